import { Database, constants as sqlite } from "bun:sqlite";
import {
  accessSync,
  constants,
  existsSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { asc, count, desc, eq, sql, sum } from "drizzle-orm";
import { drizzle } from "drizzle-orm/bun-sqlite";
import type { ApiKeyStore } from "../../core/api-key.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Journal } from "../../core/journal.ts";
import { BY_OPERATOR } from "../../core/journal.ts";
import type { Clock } from "../../core/runtime.ts";
import type { SealedStore } from "../../core/sealed.ts";
import { createApiKeyStore } from "./api-keys.ts";
import { backUp, check, toDisk } from "./backup.ts";
import {
  databaseFile,
  giveToOwner,
  makeDirectory,
  openDatabase,
  openExisting,
  damaged,
  unusable,
} from "./database.ts";
import { createJournal } from "./journal.ts";
import { holderOf, lockDirectory } from "./lock.ts";
import { inspect, migrations } from "./migrations.ts";
import type { Cures } from "./migrations.ts";
import { apiKeys, calls, chats, events, servers, sessions } from "./schema.ts";
import { createSealedStore, readKeyCheck } from "./sealed.ts";
import { createSessionStore } from "./sessions.ts";
import { createWriter } from "./writer.ts";

/** What an operator does with a data directory, also while a server uses it. */

export type SessionSummary = {
  id: string;
  workspace: string;
  user: string;
  chat: string | null;
  client: string | null;
  protocolVersion: string;
  createdAt: number;
  lastSeenAt: number;
};

export type SessionDetail = SessionSummary & {
  mode: string;
  apps: string[] | null;
  enabled: string[];
  server: string | null;
  capabilities: Record<string, unknown>;
  events: number;
  eventBytes: number;
  runningCalls: number;
};

export type ChatSummary = {
  chat: string;
  workspace: string;
  user: string;
  /** Slug of the one server that it is a chat with; null for everything. */
  server: string | null;
  mode: string;
  session: string | null;
  lastSeenAt: number;
};

/** Rows of the database, read and ended beside a running server, which notices within a moment. */
export type Registry = Disposable & {
  /** The newest first. */
  sessions(of: { user?: string; limit: number }): SessionSummary[];
  session(id: string): SessionDetail | null;
  /** Ends a session with all that belongs to it. False when there is none of that id. */
  end(id: string): Promise<boolean>;
  chats(of: { user?: string; limit: number }): ChatSummary[];
  /** Those of which there is anything, in the order of their names. */
  workspaces(): string[];
  journal: Journal;
  apiKeys: ApiKeyStore;
  sealed: SealedStore;
};

/** Throws `not_found` when there is no database yet, `conflict` when it is not of this version. */
export function openRegistry(directory: string, clock: Clock): Registry {
  const client = openExisting(directory);
  const db = drizzle(client, { casing: "snake_case" });
  const writer = createWriter(client, () => {});
  const { journal, write: note } = createJournal({ client, writer, clock });
  const store = createSessionStore({
    client,
    db,
    writer,
    note,
    takeStream: () => {
      throw new Error("Sessions are opened by the server.");
    },
    cacheSize: 1,
    othersVersion: () => 0,
    now: () => 0,
  });
  const summary = {
    id: sessions.id,
    workspace: sessions.workspace,
    user: sessions.subject,
    chat: chats.chat,
    client: sql<
      string | null
    >`json_extract(${sessions.client}, '$.name') || ' ' || json_extract(${sessions.client}, '$.version')`,
    protocolVersion: sessions.protocolVersion,
    createdAt: sessions.createdAt,
    lastSeenAt: sessions.lastSeenAt,
  };
  const select = () =>
    db
      .select(summary)
      .from(sessions)
      .leftJoin(chats, eq(chats.pk, sessions.chatPk));
  const pkOf = (id: string) =>
    db
      .select({ pk: sessions.pk })
      .from(sessions)
      .where(eq(sessions.id, id))
      .get()?.pk;

  return {
    sessions: ({ user, limit }) =>
      select()
        .where(user === undefined ? undefined : eq(sessions.subject, user))
        .orderBy(desc(sessions.lastSeenAt))
        .limit(limit)
        .all(),
    session(id) {
      const pk = pkOf(id);
      const found = select().where(eq(sessions.id, id)).get();
      if (pk === undefined || !found) return null;
      const session = store.findByPk(
        { workspace: found.workspace, subject: found.user },
        pk,
      )!;
      const stored = db
        .select({ n: count(), bytes: sum(sql`length(${events.data})`) })
        .from(events)
        .where(eq(events.sessionPk, pk))
        .get();
      const running = db
        .select({ n: count() })
        .from(calls)
        .where(eq(calls.sessionPk, pk))
        .get();
      return {
        ...found,
        ...session.view,
        capabilities: session.capabilities,
        events: stored?.n ?? 0,
        eventBytes: Number(stored?.bytes ?? 0),
        runningCalls: running?.n ?? 0,
      };
    },
    async end(id) {
      const pk = pkOf(id);
      if (pk === undefined) return false;
      await store.end(pk, BY_OPERATOR);
      return true;
    },
    chats: ({ user, limit }) =>
      db
        .select({
          chat: chats.chat,
          workspace: chats.workspace,
          user: chats.subject,
          server: sql<string | null>`nullif(${chats.server}, '')`,
          mode: chats.mode,
          session: sessions.id,
          lastSeenAt: chats.lastSeenAt,
        })
        .from(chats)
        .leftJoin(sessions, eq(sessions.chatPk, chats.pk))
        .where(user === undefined ? undefined : eq(chats.subject, user))
        .orderBy(desc(chats.lastSeenAt), asc(chats.pk))
        .limit(limit)
        .all(),
    workspaces: () => {
      const found = [sessions, chats, servers, apiKeys].flatMap((table) =>
        db.selectDistinct({ is: table.workspace }).from(table).all(),
      );
      return [...new Set(found.map(({ is }) => is))].sort();
    },
    journal,
    apiKeys: createApiKeyStore({ db, writer, note }),
    sealed: createSealedStore({ client, writer }),
    [Symbol.dispose]: () => client.close(),
  };
}

/**
 * A consistent, checked copy of a data directory's database, also while a server writes, and before it is migrated.
 * Returns the version of its schema.
 */
export function backUpDirectory(directory: string, file: string): number {
  using db = openExisting(directory, () => {}, 1);
  const folder = dirname(resolve(file));
  const ours =
    existsSync(folder) && realpathSync(folder) === realpathSync(directory);
  const same = statSync(file, { throwIfNoEntry: false });
  const { ino, dev } = statSync(databaseFile(directory));
  if (
    (ours && OUR_FILES.test(basename(file))) ||
    (same?.ino === ino && same.dev === dev)
  ) {
    throw new GatewayError(
      "invalid",
      `${file} is one of the server's own files. Name another for the backup.`,
    );
  }
  backUp(db, file);
  return inspect(db, file);
}

/** What the server keeps in its directory. */
const OUR_FILES =
  /^(membrane-mcp\.db|demo\.db)(-wal|-shm|-journal)?$|^instance\.|^encryption\.key$/;

/** Of the SQLite in this executable. */
export function sqliteVersion(): string {
  using db = new Database(":memory:");
  return db.query<{ v: string }, []>("SELECT sqlite_version() AS v").get()!.v;
}

/** Numbers of streams skipped by a restore: those given out since the backup must not come again. */
const SKIPPED_STREAMS = 1_000_000_000;

/** For a file that is to be restored. */
const backupCures: Cures = {
  damaged: "Name another file that membrane-mcp backup has written.",
  foreign: "Name a file that membrane-mcp backup has written.",
  newer: "Restore it with the newer version.",
};

/**
 * Puts a backup in the place of a data directory's database, which is kept beside it; returns the name it was
 * kept under, or null when there was none. Throws `conflict` when a server holds the directory, or the backup is
 * damaged, of another application or of a newer version; then nothing has changed.
 */
export function restoreDirectory(
  directory: string,
  backup: string,
  clock: Clock,
): string | null {
  requireFile(backup);
  makeDirectory(directory);
  using _lock = lockDirectory(directory, clock);
  const file = databaseFile(directory);
  const incoming = `${file}.restoring`;
  try {
    using source = openReadOnly(backup);
    if (inspect(source, backup, migrations, backupCures) === 0) {
      throw new GatewayError(
        "conflict",
        `${backup} is empty. Nothing was changed. ${backupCures.foreign}`,
        { data: { reason: "foreign" } },
      );
    }
    check(source, backup);
    rmSync(incoming, { force: true });
    backUp(source, incoming);
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause;
    const { message } = cause as Error;
    throw damaged(backup, message, cause, backupCures.damaged);
  }
  {
    using copy = new Database(incoming);
    copy.run(
      `UPDATE meta SET value = CAST(value AS INTEGER) + ${SKIPPED_STREAMS} WHERE key = 'next_stream'`,
    );
  }
  giveToOwner(directory, incoming);
  toDisk(incoming);
  const kept = setAside(file, clock);
  renameSync(incoming, file);
  toDisk(dirname(file));
  return kept;
}

/** Throws `not_found` for a file that is not there or cannot be read. */
function requireFile(file: string): void {
  try {
    if (statSync(file).isDirectory()) throw new Error("it is a directory");
    accessSync(file, constants.R_OK);
  } catch (cause) {
    const { code, message } = cause as Error & { code?: string };
    const why = code === "ENOENT" ? "it does not exist" : message;
    throw new GatewayError("not_found", `${file} cannot be read: ${why}.`, {
      cause,
    });
  }
}

/** A backup of ours, or a copy of a database in WAL mode, which SQLite would otherwise want to write beside. */
function openReadOnly(file: string): Database {
  const alone = !existsSync(`${file}-wal`);
  const { href } = pathToFileURL(resolve(file));
  return alone
    ? new Database(`${href}?immutable=1`, URI_READONLY)
    : new Database(file, { readonly: true });
}
const { SQLITE_OPEN_READONLY, SQLITE_OPEN_URI } = sqlite;
const URI_READONLY = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;

/** Moves a database and what belongs to it out of the way. */
function setAside(file: string, clock: Clock): string | null {
  if (!existsSync(file)) return null;
  const at = new Date(clock.now()).toISOString().replaceAll(/[:.]/g, "-");
  const kept = `${file}.replaced-${at}`;
  for (const suffix of ["-wal", "-shm", ""]) {
    if (existsSync(file + suffix)) renameSync(file + suffix, kept + suffix);
  }
  return kept;
}

/** Brings a data directory's database to the newest schema. Returns its version before and after. */
export function migrateDirectory(directory: string, clock: Clock) {
  const file = databaseFile(directory);
  let from = 0;
  try {
    if (existsSync(file)) {
      using db = new Database(file, { readonly: true });
      from = inspect(db, file);
    }
    makeDirectory(directory);
    using _lock = lockDirectory(directory, clock);
    openDatabase(directory).close();
  } catch (cause) {
    throw unusable(directory, cause);
  }
  return { from, to: migrations.length };
}

/** How a data directory's database is; every page is read. Throws `conflict` as a start would, and changes nothing. */
export function examine(directory: string): {
  /** Null when there is none yet. */
  version: number | null;
  newest: number;
  bytes: number;
  walBytes: number;
  /** Shows which key its secrets were sealed with; null when there are none. */
  keyCheck: string | null;
  /** Who holds the directory, or null. */
  heldBy: string | null;
} {
  const file = databaseFile(directory);
  const newest = migrations.length;
  if (!existsSync(file)) {
    return {
      version: null,
      newest,
      bytes: 0,
      walBytes: 0,
      keyCheck: null,
      heldBy: null,
    };
  }
  const size = (name: string) => (existsSync(name) ? statSync(name).size : 0);
  const sizes = { bytes: size(file), walBytes: size(`${file}-wal`) };
  try {
    using db = new Database(file, { readonly: true });
    const version = inspect(db, file);
    check(db, file);
    const keyCheck = version === 0 ? null : readKeyCheck(db);
    return { version, newest, ...sizes, keyCheck, heldBy: holderOf(directory) };
  } catch (cause) {
    throw unusable(directory, cause);
  }
}
