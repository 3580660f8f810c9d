import { GatewayError, describeError } from "../../core/errors.ts";
import { limited } from "../../core/limit.ts";
import type {
  EventType,
  Journal,
  JournalEntry,
  JournalView,
} from "../../core/journal.ts";
import { shows } from "../../core/journal.ts";
import type { Principal } from "../../core/principal.ts";
import { identityKey } from "../../core/principal.ts";
import type { Log } from "../../core/runtime.ts";
import { tell, viewFor } from "../../core/told.ts";
import type { Places } from "./journal-places.ts";
import type { Looks } from "./looks.ts";

/**
 * The journal to those who go with it. A reader is a place in the journal and nothing else: what it has missed is read
 * from the database, what is new from the few entries that are kept in memory for all readers, and there is no seam
 * between the two. However many readers there are, the journal is read once for a commit.
 */
export type Feed = {
  /**
   * `after`: a place that a reader was given before; null for from now on. Throws `rate_limited` when the caller has
   * {@link MAX_READERS} readers already.
   */
  open(asked: {
    principal: Principal;
    types: readonly EventType[] | null;
    after: string | null;
    /** There may be something to read. */
    wake: () => void;
  }): FeedReader;
  /** Reads what other processes have written. */
  look(): void;
  count(): number;
};

export type FeedReader = {
  /** Resolves when the next part may be read; null when that is now. */
  turn(): Promise<void> | null;
  /** The next part of what there is. */
  read(): FeedPart;
  /** Where it is. */
  place(): string;
  /** Shows what this caller may see from now on. */
  become(principal: Principal): void;
  close(): void;
};

export type FeedPart = {
  /**
   * What cannot be told any more, before the lines: entries that retention has removed; or nobody knows what, because
   * the reader's place is not one of this database, and it goes on from now.
   */
  missed: "forgotten" | "unknown" | null;
  lines: FeedLine[];
  /** There may be more at once, also when this part is empty. */
  more: boolean;
};

/** An entry as its reader may see it, as JSON, and the place after it. */
export type FeedLine = { place: string; json: string };

export const MAX_READERS = 32;
const PAGE = 64;
/** In characters; but for one that is longer alone. */
const PAGE_SIZE = 262_144;
/** Numbers that one look at the database passes: few milliseconds, whatever is looked for. */
const SPAN = 20_000;
/** Kept in memory for all readers, with their size in characters. */
const MAX_TAIL = 1000;
const MAX_TAIL_SIZE = 4_194_304;
/** Read from the journal at once. */
const READ = 500;

/** An entry that all readers share. */
type Kept = { entry: JournalEntry; json: string; place: string };

type Reader = {
  view: JournalView;
  types: ReadonlySet<EventType> | null;
  cursor: number;
  /** It knows that entries up to this one are gone, as far as it had not read them. */
  told: number;
  wake: () => void;
};

export function createFeed(wiring: {
  journal: Journal;
  places: Places;
  looks: Looks;
  log: Log;
}): Feed {
  const { journal, places, looks, log } = wiring;
  const readers = new Set<Reader>();
  const perIdentity = new Map<string, number>();
  /** The last entry that was read; those of `tail` end with it and begin after `start`. */
  let head: { seq: number; id: string | null } = { seq: 0, id: null };
  let start = 0;
  let tail: Kept[] = [];
  let tailSize = 0;
  let scheduled = false;

  const wants = ({ view, types }: Reader, entry: JournalEntry) =>
    shows(view, entry) && (types === null || types.has(entry.type));

  const whole = (workspace: string) => ({
    workspace,
    subject: null,
    shared: true,
  });
  const keep = (entry: JournalEntry): Kept => ({
    entry,
    json: JSON.stringify(tell(entry, whole(entry.workspace))),
    place: places.encode(entry.workspace, entry.seq, entry.id),
  });

  /** With nobody to tell, nothing is read. */
  function begin(): void {
    const seq = journal.last();
    head = { seq, id: journal.get(seq)?.id ?? null };
    start = seq;
    tail = [];
    tailSize = 0;
  }

  function advance(): void {
    scheduled = false;
    if (readers.size === 0) return;
    const before = head.seq;
    const entries = journal.readOn(before, READ);
    if (entries.length === 0) return;
    for (const entry of entries) {
      const kept = keep(entry);
      tail.push(kept);
      tailSize += kept.json.length;
    }
    const { seq, id } = entries.at(-1)!;
    head = { seq, id };
    trim();
    for (const reader of readers) {
      if (reader.cursor < before) continue;
      if (entries.some((entry) => wants(reader, entry))) reader.wake();
      else reader.cursor = seq;
    }
    if (entries.length === READ) schedule();
  }

  function trim(): void {
    let gone = 0;
    while (
      tail.length - gone > MAX_TAIL ||
      (tailSize > MAX_TAIL_SIZE && gone < tail.length)
    ) {
      const { entry, json } = tail[gone++]!;
      start = entry.seq;
      tailSize -= json.length;
    }
    if (gone > 0) tail = tail.slice(gone);
  }

  function schedule(): void {
    if (scheduled || readers.size === 0) return;
    scheduled = true;
    setImmediate(() => {
      try {
        advance();
      } catch (error) {
        // Tried again when it is looked for what others have written.
        log.error("journal could not be read", {
          reason: describeError(error),
        });
      }
    });
  }
  journal.onAppend(schedule);

  /** From what is in memory. */
  function readTail(reader: Reader): Omit<FeedPart, "more"> {
    const lines: FeedLine[] = [];
    let size = 0;
    let at = firstAfter(tail, reader.cursor);
    for (; at < tail.length && lines.length < PAGE && size < PAGE_SIZE; at++) {
      const kept = tail[at]!;
      reader.cursor = kept.entry.seq;
      if (!wants(reader, kept.entry)) continue;
      const line = lineFor(reader, kept);
      size += line.json.length;
      lines.push(line);
    }
    if (at === tail.length) reader.cursor = head.seq;
    return { missed: null, lines };
  }

  /** From the database, up to where memory begins. */
  function readBack(reader: Reader): Omit<FeedPart, "more"> {
    const lost = journal.lost(reader.view, reader.types);
    const missed =
      lost > Math.max(reader.cursor, reader.told) ? "forgotten" : null;
    reader.told = lost;
    // Of numbers whose entries are gone there may be many in a row.
    reader.cursor = Math.min(journal.next(reader.cursor) - 1, start);
    const upTo = Math.min(reader.cursor + SPAN, start);
    const entries = journal.query({
      ...reader.view,
      types: reader.types && [...reader.types],
      beyond: reader.cursor,
      upTo,
      order: "oldest first",
      limit: PAGE,
    });
    const lines: FeedLine[] = [];
    let size = 0;
    for (const entry of entries) {
      if (size >= PAGE_SIZE) return { missed, lines };
      const line = lineFor(reader, keep(entry));
      size += line.json.length;
      lines.push(line);
      reader.cursor = entry.seq;
    }
    if (entries.length < PAGE) reader.cursor = upTo;
    return { missed, lines };
  }

  const lineFor = ({ view }: Reader, { entry, json, place }: Kept) => ({
    place,
    json: view.subject === null ? json : JSON.stringify(tell(entry, view)),
  });

  function leave(key: string): void {
    const left = perIdentity.get(key)! - 1;
    if (left === 0) perIdentity.delete(key);
    else perIdentity.set(key, left);
  }

  /** Where a reader begins that was at this place; null when the place is not known. */
  function find(workspace: string, after: string | null): number | null {
    if (after === null) return head.seq;
    const place = places.decode(workspace, after);
    return place?.fits(journal) ? place.seq : null;
  }

  return {
    open({ principal, types, after, wake }) {
      const key = identityKey(principal);
      const mine = perIdentity.get(key) ?? 0;
      if (mine >= MAX_READERS) throw tooMany();
      if (readers.size === 0) begin();
      // What is on record by now is not new.
      else while (journal.last() > head.seq) advance();
      const view = viewFor(principal);
      const found = find(view.workspace, after);
      let lost = found === null;
      const reader: Reader = {
        view,
        types: types && new Set(types),
        cursor: found ?? head.seq,
        told: 0,
        wake,
      };
      readers.add(reader);
      perIdentity.set(key, mine + 1);
      return {
        turn: () => (reader.cursor < start ? looks.turn(key) : null),
        read() {
          const { lines, missed } =
            reader.cursor < start ? readBack(reader) : readTail(reader);
          const unknown = lost ? "unknown" : null;
          lost = false;
          const more = reader.cursor < head.seq;
          return { missed: unknown ?? missed, lines, more };
        },
        place() {
          const { cursor: seq } = reader;
          const id =
            seq === head.seq ? head.id : (journal.get(seq)?.id ?? null);
          return places.encode(reader.view.workspace, seq, id);
        },
        become(now) {
          reader.view = viewFor(now);
        },
        close() {
          if (!readers.delete(reader)) return;
          leave(key);
          if (readers.size === 0) tail = [];
        },
      };
    },
    look() {
      if (readers.size > 0 && journal.last() > head.seq) schedule();
    },
    count: () => readers.size,
  };
}

function tooMany(): GatewayError {
  return new GatewayError(
    "rate_limited",
    `You have ${MAX_READERS} event streams open already. Close one, or let several pages share one.`,
    { retryAfterMs: 15_000, data: limited("event_streams") },
  );
}

/** Where in the tail what comes after this number begins. */
function firstAfter(tail: readonly Kept[], seq: number): number {
  let [low, high] = [0, tail.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (tail[middle]!.entry.seq <= seq) low = middle + 1;
    else high = middle;
  }
  return low;
}
