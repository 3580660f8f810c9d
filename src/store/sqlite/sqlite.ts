import { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { drizzle } from "drizzle-orm/bun-sqlite";
import type { Clock } from "../../core/runtime.ts";
import type { Store } from "../../core/store.ts";
import { createEventLog } from "./events.ts";
import { lockDirectory } from "./lock.ts";
import { inspect, migrate } from "./migrations.ts";
import { createNameStore } from "./names.ts";
import { createSessionStore } from "./sessions.ts";
import { createWriter } from "./writer.ts";

export type SqliteOptions = {
  /** Made with mode 0700 when missing; the database is `membrane-mcp.db` in it. */
  directory: string;
  clock: Clock;
  /** Sessions kept in memory. */
  sessionCache: number;
};

/** Stream numbers are reserved in blocks of this many, so that a crash skips some and repeats none. */
const STREAM_BLOCK = 1_000_000;

/**
 * Opens the store, alone: throws `conflict` when another process holds the directory, when the
 * database is of a newer version or of another application.
 */
export function openSqlite(options: SqliteOptions): Store {
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  const lock = lockDirectory(options.directory, options.clock);
  try {
    return openLocked(options, lock);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

function openLocked(options: SqliteOptions, lock: Disposable): Store {
  const file = join(options.directory, "membrane-mcp.db");
  const client = openDatabase(file);
  const db = drizzle(client, { casing: "snake_case" });
  const writer = createWriter(client);

  // By hand: these run before anything else, when a query builder is at its slowest.
  const readMeta = client.prepare<{ value: string }, [string]>(
    "SELECT value FROM meta WHERE key = ?",
  );
  const putMeta = client.prepare<null, [string, string]>(
    "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
  );
  const read = (key: string) => readMeta.get(key)?.value ?? null;
  const put = (key: string, value: string) => putMeta.run(key, value);

  let nextStream = Number(read("next_stream") ?? 1);
  let reserved = nextStream + STREAM_BLOCK;
  put("next_stream", String(reserved));
  const takeStream = () => {
    if (nextStream === reserved) {
      // Unreachable in practice: the block below is on disk long before this one is used up.
      reserved += STREAM_BLOCK;
      put("next_stream", String(reserved));
    } else if (nextStream === reserved - STREAM_BLOCK / 2) {
      reserved += STREAM_BLOCK;
      void writer.write(() => put("next_stream", String(reserved)));
    }
    return nextStream++;
  };

  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    writer.flush();
    client.run("PRAGMA wal_checkpoint(TRUNCATE)");
    client.close();
    lock[Symbol.dispose]();
  };
  return {
    sessions: createSessionStore({
      db,
      writer,
      takeStream,
      cacheSize: options.sessionCache,
    }),
    events: createEventLog({
      client,
      db,
      writer,
      takeStream,
      clock: options.clock,
    }),
    names: createNameStore({ db, writer }),
    secret(name) {
      const key = `secret:${name}`;
      let value = read(key);
      if (value === null) {
        value = crypto.getRandomValues(new Uint8Array(32)).toHex();
        put(key, value);
      }
      return Uint8Array.fromHex(value);
    },
    check() {
      // Takes the write lock and gives it back: proves more than a read, and changes nothing.
      client.run("BEGIN IMMEDIATE");
      client.run("ROLLBACK");
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/**
 * A migrated database, with the settings of the house. `synchronous=FULL`: what is committed survives a
 * power cut.
 */
function openDatabase(file: string): Database {
  const db = new Database(file, { create: true, strict: true });
  try {
    const version = inspect(db, file);
    // One process per directory, so a lock is held for moments only, by a backup or a reader.
    db.run("PRAGMA busy_timeout = 250");
    db.run("PRAGMA auto_vacuum = INCREMENTAL");
    db.run("PRAGMA journal_mode = WAL");
    db.run("PRAGMA synchronous = FULL");
    db.run("PRAGMA foreign_keys = ON");
    db.run("PRAGMA journal_size_limit = 67108864");
    // 32 MB between checkpoints: under load each one costs two more fsyncs and every page again.
    db.run("PRAGMA wal_autocheckpoint = 8000");
    db.run("PRAGMA cache_size = -32000");
    db.run("PRAGMA temp_store = MEMORY");
    db.run("PRAGMA trusted_schema = OFF");
    db.run("PRAGMA cell_size_check = ON");
    db.run("PRAGMA secure_delete = FAST");
    migrate(db, version);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
