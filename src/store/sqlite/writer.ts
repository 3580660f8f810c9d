import type { Database } from "bun:sqlite";
import { GatewayError } from "../../core/errors.ts";

/**
 * Group commit. Everything queued in one turn of the event loop becomes one transaction, and every
 * promise resolves after it is on disk: durability costs one fsync per turn, not one per write.
 */
export type Writer = {
  /**
   * Queues a synchronous operation on the database. It may run a second time when another of its
   * group failed, so it must change nothing but the database. Rejects with what it threw; its own
   * changes are then undone and nobody else's.
   */
  write<T>(operation: () => T): Promise<T>;
  /** Commits what is queued now. */
  flush(): void;
  /** Called after every commit, before its promises resolve. */
  onCommit(listener: () => void): void;
  /** Called when what operations have done is undone: what was remembered of it is wrong. */
  onRollback(listener: () => void): void;
  /**
   * True after the disk or the file failed. What the kernel could not write it may have forgotten, so that a
   * second try would report a success that is none: nothing is written until the next start.
   */
  failed(): boolean;
  /** Throws unless a commit is possible; after one that was refused it tries. */
  check(): void;
  /** As {@link check}, and free of cost while nothing is refused: throws what a refused write throws. */
  requireWritable(): void;
};

type Queued = {
  operation: () => unknown;
  resolve: (value: never) => void;
  reject: (reason: unknown) => void;
};

/** Turns of the event loop that a commit waits at most; without other work each takes microseconds. */
const MAX_TURNS = 8;

const PROBE =
  "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/** Takes as much room as a call may, which a database at its limit does not have. */
const ROOM = "INSERT INTO meta VALUES ('room', hex(zeroblob(32768)))";

/** `onFailure` is called once, with what failed. */
export function createWriter(
  db: Database,
  onFailure: (error: unknown) => void,
): Writer {
  const begin = db.prepare("BEGIN IMMEDIATE");
  const end = db.prepare("COMMIT");
  const listeners: (() => void)[] = [];
  const undone: (() => void)[] = [];
  let queue: Queued[] = [];
  let failed = false;
  let refusing = false;

  /** Runs the operations in one transaction; throws, with nothing changed, when any of them does. */
  function commit(group: Queued[]): unknown[] {
    begin.run();
    let results: unknown[];
    try {
      results = group.map((queued) => queued.operation());
      end.run();
      refusing = false;
    } catch (error) {
      // SQLite has already rolled back after some errors (disk full, I/O).
      if (db.inTransaction) db.run("ROLLBACK");
      for (const listener of undone) listener();
      throw error;
    }
    for (const listener of listeners) listener();
    return results;
  }

  function flush(): void {
    const group = queue;
    queue = [];
    if (group.length === 0) return;
    if (failed) return rejectAll(group, unavailable());
    try {
      const results = commit(group);
      group.forEach((queued, i) => queued.resolve(results[i] as never));
    } catch (error) {
      if (group.length === 1) return rejectOne(group[0]!, error);
      // What is wrong with the file is wrong for all of them; each try could take as long again. Where there is no
      // room, what makes some does not fail with what needs some.
      if (isStorage(error) && !isFull(error)) return refuse(group, error);
      for (const [i, queued] of group.entries()) {
        try {
          queued.resolve(commit([queued])[0] as never);
        } catch (own) {
          if (isStorage(own) && !isFull(own)) {
            return refuse(group.slice(i), own);
          }
          rejectOne(queued, own);
        }
      }
    }
  }

  function rejectOne(queued: Queued, error: unknown): void {
    if (isStorage(error)) refuse([queued], error);
    else queued.reject(error);
  }

  function refuse(group: Queued[], error: unknown): void {
    if (isFinal(error)) return fail(group, error);
    refusing = true;
    rejectAll(group, unavailable(error));
  }

  function fail(group: Queued[], error: unknown): void {
    failed = true;
    rejectAll(group, unavailable(error));
    onFailure(error);
  }

  /** Waits for the next turn while turns bring more: under load a commit carries many times as much. */
  function gather(before: number, turnsLeft: number): void {
    if (queue.length === before || turnsLeft === 0) flush();
    else setImmediate(gather, queue.length, turnsLeft - 1);
  }

  function check(): void {
    if (failed) throw new Error("The disk or the database has failed.");
    // Takes the write lock and gives it back: proves more than a read, and changes nothing.
    db.run("BEGIN IMMEDIATE");
    try {
      if (refusing) db.run(ROOM);
    } finally {
      if (db.inTransaction) db.run("ROLLBACK");
    }
    // The disk is asked by a commit only.
    if (refusing) db.run(PROBE, ["checked", String(queue.length)]);
    refusing = false;
  }

  return {
    write: (operation) =>
      new Promise((resolve, reject) => {
        if (queue.length === 0) setImmediate(gather, 0, MAX_TURNS);
        queue.push({ operation, resolve, reject });
      }),
    flush,
    onCommit: (listener) => void listeners.push(listener),
    onRollback: (listener) => void undone.push(listener),
    failed: () => failed,
    check,
    requireWritable() {
      if (!failed && !refusing) return;
      try {
        check();
      } catch (error) {
        throw unavailable(error);
      }
    },
  };
}

function rejectAll(group: Queued[], error: GatewayError): void {
  for (const queued of group) queued.reject(error);
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function isFull(error: unknown): boolean {
  return codeOf(error).startsWith("SQLITE_FULL");
}

function isFinal(error: unknown): boolean {
  return /^SQLITE_(IOERR|CORRUPT|NOTADB)/.test(codeOf(error));
}

/** A full disk or a lock passes, or is mended by the operator: callers are told to come back. */
function isStorage(error: unknown): boolean {
  return (
    isFinal(error) ||
    /^SQLITE_(FULL|READONLY|BUSY|CANTOPEN)/.test(codeOf(error))
  );
}

/** What to throw for a write that was made without the queue. */
export function writeError(error: unknown): unknown {
  return isStorage(error) ? unavailable(error) : error;
}

function unavailable(cause?: unknown): GatewayError {
  return new GatewayError(
    "internal",
    "The server cannot store anything at present. Nothing was changed.",
    {
      retryAfterMs: 5000,
      cause,
      data: { reason: "storage_unavailable" },
    },
  );
}
