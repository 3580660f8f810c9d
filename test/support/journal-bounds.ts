import type { JournalBounds } from "../../src/core/journal.ts";

/** What a journal may hold: of each kind so many entries, none written before a time, and what they take. */
export function bounds({
  most = 1_000_000,
  before = 0,
  kept = {},
  bytes = most * 100_000,
}: {
  most?: number;
  before?: number;
  kept?: Partial<JournalBounds["kept"]>;
  bytes?: number;
}): JournalBounds {
  const traffic = { before, most };
  return { traffic, kept: { ...traffic, ...kept }, bytes };
}
