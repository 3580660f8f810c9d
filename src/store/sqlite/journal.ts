import type { Database, SQLQueryBindings } from "bun:sqlite";
import type {
  EventType,
  Journal,
  JournalEntry,
  JournalQuery,
  NewEntry,
} from "../../core/journal.ts";
import type { Principal } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";
import type { Leaving } from "./journal-shares.ts";
import { createJournalShares } from "./journal-shares.ts";
import { later } from "./later.ts";
import type { Writer } from "./writer.ts";

type Row = {
  seq: number;
  id: string;
  at: number;
  type: string;
  workspace: string;
  subject: string | null;
  method: string | null;
  actor: string | null;
  apiKey: string | null;
  requestId: string | null;
  traceparent: string | null;
  data: string;
};

const COLUMNS =
  "seq, id, at, type, workspace, subject, method, actor, api_key AS apiKey, request_id AS requestId, traceparent, data";

/** Adds entries to the transaction that is under way. */
export type WriteEntries = (entries: readonly NewEntry[]) => void;

/** {@link Journal} over the table of that name, by hand: a row is written with every call of a tool. */
export function createJournal(wiring: {
  client: Database;
  writer: Writer;
  clock: Clock;
  /** Called, within the transaction, before these entries go. */
  beforePrune?: (entries: readonly Leaving[]) => void;
  /** Does what has to be, where there may be no room. */
  withRoom?: <T>(work: () => T) => T;
}): { journal: Journal; write: WriteEntries } {
  const { client, writer, clock, withRoom = (work) => work() } = wiring;
  const listeners: (() => void)[] = [];

  const insert = later(() =>
    client.prepare<
      null,
      [
        number,
        string,
        string,
        string | null,
        string | null,
        string | null,
        string | null,
        string | null,
        string | null,
        string,
      ]
    >(
      "INSERT INTO journal (at, type, workspace, subject, method, actor, api_key, request_id, traceparent, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    ),
  );
  const insertBegun = later(() =>
    client.prepare<{ id: number }, [string]>(
      "INSERT INTO begun (if_cut) VALUES (?) RETURNING id",
    ),
  );
  const deleteBegun = later(() =>
    client.prepare<null, [number]>("DELETE FROM begun WHERE id = ?"),
  );
  const newest = later(() =>
    client.prepare<{ seq: number }, []>(
      "SELECT coalesce(max(seq), 0) AS seq FROM journal",
    ),
  );
  const nextAfter = later(() =>
    client.prepare<{ seq: number | null }, [number]>(
      "SELECT min(seq) AS seq FROM journal WHERE seq > ?",
    ),
  );
  const previousBefore = later(() =>
    client.prepare<{ seq: number }, [number]>(
      "SELECT coalesce(max(seq), 0) AS seq FROM journal WHERE seq < ?",
    ),
  );
  const onwards = later(() =>
    client.prepare<Row, [number, number]>(
      `SELECT ${COLUMNS} FROM journal WHERE seq > ? ORDER BY seq LIMIT ?`,
    ),
  );
  const bySeq = later(() =>
    client.prepare<Row, [number]>(
      `SELECT ${COLUMNS} FROM journal WHERE seq = ?`,
    ),
  );
  const last = () => newest().get()!.seq;
  const next = (after: number) => nextAfter().get(after)!.seq ?? last() + 1;

  // Told once for a commit, whatever it has brought.
  let written = false;
  writer.onCommit(() => {
    if (!written) return;
    written = false;
    for (const listener of listeners) listener();
  });

  function write(entries: readonly NewEntry[]): void {
    for (const { type, workspace, subject, by, ...entry } of entries) {
      insert().run(
        clock.now(),
        type,
        workspace,
        subject,
        by?.method ?? null,
        by?.subject ?? null,
        by?.key ?? null,
        entry.requestId,
        entry.traceparent,
        JSON.stringify(entry.data),
      );
      written = true;
    }
  }

  function query(asked: JournalQuery): JournalEntry[] {
    const { beyond, order, subject, types, limit } = asked;
    const up = order === "oldest first";
    const ofOne = subject !== null || asked.of !== undefined;
    // By its index, SQLite would sort all of a workspace for each page.
    const conditions = [ofOne ? "workspace = ?" : "+workspace = ?"];
    const values: SQLQueryBindings[] = [asked.workspace];
    const where = (condition: string, ...given: SQLQueryBindings[]) => {
      conditions.push(condition);
      values.push(...given);
    };
    if (subject !== null && asked.shared) {
      where("(subject = ? OR subject IS NULL)", subject);
    } else if (subject !== null) where("subject = ?", subject);
    if (asked.of !== undefined) where("subject = ?", asked.of);
    if (types !== null) {
      where("type IN (SELECT value FROM json_each(?))", JSON.stringify(types));
    }
    if (beyond !== null) where(up ? "seq > ?" : "seq < ?", beyond);
    if (asked.upTo !== undefined) {
      where(up ? "seq <= ?" : "seq >= ?", asked.upTo);
    }
    if (asked.since !== undefined) where("at >= ?", asked.since);
    if (asked.until !== undefined) where("at < ?", asked.until);
    if (asked.requestId !== undefined) where("request_id = ?", asked.requestId);
    // Between two numbers the table is read as it lies; by an index all of a workspace would have to be sorted.
    const bounded =
      beyond !== null && asked.upTo !== undefined ? "NOT INDEXED" : "";
    return client
      .query<Row, SQLQueryBindings[]>(
        `SELECT ${COLUMNS} FROM journal ${bounded} WHERE ${conditions.join(" AND ")} ORDER BY seq ${up ? "ASC" : "DESC"} LIMIT ?`,
      )
      .all(...values, limit)
      .map(toEntry);
  }

  const journal: Journal = {
    async append(entries) {
      if (entries.length > 0) await writer.write(() => write(entries));
    },
    async begin(ifCut) {
      // How it ended takes more room than this.
      writer.requireWritable();
      const text = JSON.stringify(ifCut);
      return (await writer.write(() => insertBegun().get(text)))!.id;
    },
    end: (begun, entries) =>
      writer.write(() => {
        deleteBegun().run(begun);
        write(entries);
      }),
    async interrupt() {
      // By hand, as every start waits for it.
      if (!client.prepare("SELECT 1 FROM begun LIMIT 1").get()) return 0;
      const end = () => {
        const cut = client
          .query<{ ifCut: string }, []>(
            "DELETE FROM begun RETURNING if_cut AS ifCut",
          )
          .all();
        write(cut.map(({ ifCut }) => JSON.parse(ifCut) as NewEntry));
        return cut.length;
      };
      // A server that cannot start cannot make room either.
      return writer.write(() => withRoom(end));
    },
    readOn: (after, limit) => onwards().all(after, limit).map(toEntry),
    query,
    get(seq) {
      const row = bySeq().get(seq);
      return row ? toEntry(row) : null;
    },
    last,
    first: () => next(-1),
    next,
    previous: (before) => previousBefore().get(before)!.seq,
    onAppend: (listener) => void listeners.push(listener),
    ...createJournalShares({
      client,
      writer,
      last,
      beforePrune: (entries) => wiring.beforePrune?.(entries),
      withRoom,
    }),
  };
  return { journal, write };
}

function toEntry(row: Row): JournalEntry {
  const { method, actor, apiKey, type, data, ...rest } = row;
  return {
    ...rest,
    type: type as EventType,
    by:
      method === null || actor === null
        ? null
        : {
            method: method as Principal["method"],
            subject: actor,
            key: apiKey,
          },
    data: JSON.parse(data),
  };
}
