import { Database } from "bun:sqlite";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { GatewayError } from "../../core/errors.ts";
import { backUp } from "./backup.ts";
import { cures, inspect, migrate, migrations } from "./migrations.ts";

/** The database file of a data directory. */
export function databaseFile(directory: string): string {
  return join(directory, "membrane-mcp.db");
}

/**
 * Makes a data directory, for its owner alone; one that was there is closed to others when it is empty or has been
 * ours before, and otherwise left as it is. Throws `conflict` when it cannot be made or written.
 */
export function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const file = databaseFile(directory);
    const open = (path: string) => (statSync(path).mode & 0o077) !== 0;
    const ours = existsSync(file);
    if (open(directory) && (ours || readdirSync(directory).length === 0)) {
      chmodSync(directory, 0o700);
    }
    if (ours && open(file)) chmodSync(file, 0o600);
  } catch (cause) {
    throw unusable(directory, cause);
  }
}

/** What root makes in somebody's directory is theirs: the server may run as them. */
export function giveToOwner(directory: string, file: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(directory);
  if (uid !== 0) chownSync(file, uid, gid);
}

/** Above this size a start does not read the whole file first; `doctor` does. */
const CHECKED_BYTES = 16 * 1024 * 1024;

/**
 * Opens a data directory's database with the settings of the house, and brings it to the newest schema; a
 * database that has data is backed up first, beside it. `synchronous=FULL`: what is committed survives a power
 * cut. Throws `conflict` with a `reason` when the file cannot be used, and then has changed nothing.
 */
export function openDatabase(
  directory: string,
  steps: readonly string[] = migrations,
  /** Looks at a database that has data, before anything is written to it; what it throws leaves it as it was. */
  look: (db: Database) => void = () => {},
): Database {
  const file = databaseFile(directory);
  let db: Database;
  try {
    db = new Database(file, { create: true, strict: true });
  } catch (cause) {
    throw unusable(directory, cause);
  }
  try {
    const version = inspect(db, file, steps);
    checkPages(db, file);
    if (version > 0) look(db);
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
    if (version > 0 && version < steps.length) {
      const backup = `${file}.before-schema-${version + 1}`;
      backUp(db, backup);
      giveToOwner(directory, backup);
    }
    migrate(db, version, steps);
    giveToOwner(directory, file);
    return db;
  } catch (error) {
    db.close();
    throw unusable(directory, error);
  }
}

/**
 * The database of a directory that a server has used before, as it is, also while one uses it. Throws `not_found`
 * when there is none, `conflict` when it is of a newer version, or of a schema before `oldest`.
 */
export function openExisting(
  directory: string,
  look: (db: Database) => void = () => {},
  oldest: number = migrations.length,
): Database {
  const file = databaseFile(directory);
  if (!existsSync(file)) {
    throw new GatewayError(
      "not_found",
      `There is no database in ${join(directory, "")}. Set DATA_DIR to the directory of the server.`,
    );
  }
  let db: Database;
  try {
    db = new Database(file, { strict: true, readwrite: true });
  } catch (cause) {
    throw unusable(directory, cause);
  }
  try {
    const version = inspect(db, file);
    if (version < oldest) {
      throw new GatewayError(
        "conflict",
        `${file} was written by an older version of membrane-mcp (schema ${version}, this one reads ${migrations.length}). Start the server, or run: membrane-mcp migrate. Both keep a copy of what was before.`,
      );
    }
    look(db);
    db.run("PRAGMA busy_timeout = 5000");
    db.run("PRAGMA synchronous = FULL");
    db.run("PRAGMA foreign_keys = ON");
    return db;
  } catch (error) {
    db.close();
    throw unusable(directory, error);
  }
}

function checkPages(db: Database, file: string): void {
  if (!existsSync(file) || statSync(file).size > CHECKED_BYTES) return;
  const [finding] = db
    .query<{ quick_check: string }, []>("PRAGMA quick_check(1)")
    .all();
  if (finding && finding.quick_check !== "ok") {
    throw damaged(file, finding.quick_check);
  }
}

/** A file that SQLite cannot read. Nothing of it is touched. */
export function damaged(
  file: string,
  why: string,
  cause?: unknown,
  cure = cures.damaged,
) {
  return new GatewayError(
    "conflict",
    `${file} is damaged: ${why.replace(/\s+/g, " ")}. Nothing was changed. ${cure}`,
    { data: { reason: "damaged" }, cause },
  );
}

/** What stands in the way of using a data directory, in words for who can clear it. */
export function unusable(directory: string, cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  const { code = "", message } = cause as Error & { code?: string };
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) {
    return damaged(databaseFile(directory), message, cause);
  }
  const [reason, words] = /ENOSPC|SQLITE_FULL/.test(code)
    ? ["disk", "the disk is full. Free some space"]
    : /EIO|SQLITE_IOERR/.test(code)
      ? ["disk", `the disk fails (${message}). See the system's log`]
      : [
          "not_writable",
          `it cannot be written (${message}). Give the user of this process write access to it and what is in it, or set DATA_DIR to another directory`,
        ];
  return new GatewayError(
    "conflict",
    `${directory} cannot hold the data: ${words}.`,
    { data: { reason }, cause },
  );
}
