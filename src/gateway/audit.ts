import { GatewayError } from "../core/errors.ts";
import type {
  Journal,
  JournalEntry,
  JournalQuery,
  JournalView,
} from "../core/journal.ts";
import type { Places } from "./journal-places.ts";

/** What is looked for: by a view, filters, and where to go on. */
export type AuditQuery = Pick<
  JournalQuery,
  "types" | "since" | "until" | "requestId" | "of" | "limit"
> & {
  view: JournalView;
  /** Of a page before; null for the newest entries. */
  cursor: string | null;
};

export type Audit = {
  /**
   * The newest first. Looks for as long as it takes, in parts between which others have their turn. Throws `invalid`
   * for a cursor that is none of this workspace. `cursor`: null when there is nothing beyond.
   */
  page(
    query: AuditQuery,
  ): Promise<{ entries: JournalEntry[]; cursor: string | null }>;
};

/** Numbers that one look passes: few milliseconds, whatever is looked for. */
const SPAN = 20_000;

export function createAudit({
  journal,
  places,
}: {
  journal: Journal;
  places: Places;
}): Audit {
  function begin({ view, cursor }: AuditQuery): number {
    if (cursor === null) return journal.last() + 1;
    const place = places.decode(view.workspace, cursor);
    if (place?.fits(journal)) return place.seq;
    throw new GatewayError(
      "invalid",
      "The cursor is none that this workspace's audit has given. Leave it out to begin with the newest entries.",
    );
  }

  return {
    async page(query) {
      const { view, cursor: _, ...filter } = query;
      const { limit } = filter;
      const entries: JournalEntry[] = [];
      let beyond = begin(query);
      for (;;) {
        const upTo = beyond - SPAN;
        const part = journal.query({
          ...view,
          ...filter,
          order: "newest first",
          beyond,
          upTo,
          limit: limit - entries.length,
        });
        entries.push(...part);
        const end = entries.at(-1);
        if (end && entries.length === limit) {
          const { seq, id } = end;
          const more = seq > journal.first();
          const cursor = more ? places.encode(view.workspace, seq, id) : null;
          return { entries, cursor };
        }
        if (upTo <= journal.first()) return { entries, cursor: null };
        beyond = upTo;
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}
