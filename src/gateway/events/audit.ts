import { GatewayError } from "../../core/errors.ts";
import { limited } from "../../core/limit.ts";
import type {
  Journal,
  JournalEntry,
  JournalQuery,
  JournalView,
} from "../../core/journal.ts";
import type { Identity } from "../../core/principal.ts";
import { identityKey } from "../../core/principal.ts";
import type { Places } from "./journal-places.ts";
import type { Looks } from "./looks.ts";

/** What is looked for: by a view, filters, and where to go on. */
export type AuditQuery = Pick<
  JournalQuery,
  "types" | "since" | "until" | "requestId" | "of" | "limit"
> & {
  /** Who asks. */
  who: Identity;
  view: JournalView;
  /** Of a page before; null for the newest entries. */
  cursor: string | null;
};

export type Audit = {
  /**
   * The newest first. Looks for as long as it takes, in parts between which others have their turn. Throws `invalid`
   * for a cursor that is none of this workspace, and `rate_limited` for who is looking {@link MAX_PAGES} times already.
   * `cursor`: null when there is nothing beyond.
   */
  page(query: AuditQuery): Promise<AuditPage>;
};

export type AuditPage = {
  entries: JournalEntry[];
  cursor: string | null;
  /** Among what was looked through for it, entries are kept no longer. */
  pruned: boolean;
};

/** Pages that are looked for at the same time for one caller. */
export const MAX_PAGES = 8;
/** Numbers that one look passes: few milliseconds, whatever is looked for. */
const SPAN = 20_000;

export function createAudit({
  journal,
  places,
  looks,
}: {
  journal: Journal;
  places: Places;
  looks: Looks;
}): Audit {
  const looking = new Map<string, number>();

  function begin({ view, cursor }: AuditQuery): number {
    if (cursor === null) return journal.last() + 1;
    const place = places.decode(view.workspace, cursor);
    if (place?.fits(journal)) return place.seq;
    throw new GatewayError(
      "invalid",
      "The cursor is none that this workspace's audit has given. Leave it out to begin with the newest entries.",
    );
  }

  async function find(query: AuditQuery, key: string): Promise<AuditPage> {
    const { view, cursor: _, who: _who, ...filter } = query;
    const { limit, types, of, since } = filter;
    /** Whether one after this number is gone that was asked for. */
    const lostAfter = (seq: number) => {
      // Of another member's, who may not see them does not learn either that there were any.
      if (of !== undefined && of !== (view.subject ?? of)) return false;
      const seen =
        of === undefined ? view : { ...view, subject: of, shared: false };
      const lost = journal.lost(seen, types);
      if (lost <= seq) return false;
      if (since === undefined) return true;
      // When it was is gone with it; what came next was not before it.
      const next = journal.get(journal.next(lost));
      return next === null || next.at >= since;
    };
    const entries: JournalEntry[] = [];
    let beyond = begin(query);
    for (;;) {
      const turn = looks.turn(key);
      if (turn) await turn;
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
        return { entries, cursor, pruned: lostAfter(seq) };
      }
      // Of numbers whose entries are gone there may be many in a row.
      beyond = journal.previous(upTo) + 1;
      if (beyond === 1) return { entries, cursor: null, pruned: lostAfter(0) };
    }
  }

  return {
    async page(query) {
      const key = identityKey(query.who);
      const mine = looking.get(key) ?? 0;
      if (mine >= MAX_PAGES) throw tooMany();
      looking.set(key, mine + 1);
      try {
        return await find(query, key);
      } finally {
        const left = looking.get(key)! - 1;
        if (left === 0) looking.delete(key);
        else looking.set(key, left);
      }
    },
  };
}

function tooMany(): GatewayError {
  return new GatewayError(
    "rate_limited",
    `${MAX_PAGES} pages of the audit are being looked for on your behalf already. Wait for one.`,
    { retryAfterMs: 1000, data: limited("audit") },
  );
}
