import type { Database } from "bun:sqlite";
import init from "../../../drizzle/sqlite/0000_init.sql" with { type: "text" };
import statelessChats from "../../../drizzle/sqlite/0001_stateless_chats.sql" with { type: "text" };
import servers from "../../../drizzle/sqlite/0002_servers.sql" with { type: "text" };
import events from "../../../drizzle/sqlite/0003_events.sql" with { type: "text" };
import quotas from "../../../drizzle/sqlite/0004_quotas.sql" with { type: "text" };
import begun from "../../../drizzle/sqlite/0005_begun.sql" with { type: "text" };
import { GatewayError } from "../../core/errors.ts";

/**
 * The generated migrations, in the order of `drizzle/sqlite/meta/_journal.json` (a test compares
 * them), imported as text so that the executable carries them. Number n brings `user_version` to n.
 */
export const migrations: readonly string[] = [
  init,
  statelessChats,
  servers,
  events,
  quotas,
  begun,
];

/** Marks a file as ours: "MCPd" as a big-endian integer. */
const APPLICATION_ID = 0x4d435064;

function pragma(db: Database, name: string): number {
  const row = db.query(`PRAGMA ${name}`).get() as Record<string, number>;
  return Number(Object.values(row)[0]);
}

/** What to do about a file that is not taken, by why. */
export type Cures = Readonly<Record<"damaged" | "foreign" | "newer", string>>;

/** For the database of a data directory. */
export const cures: Cures = {
  damaged:
    "Restore a backup (membrane-mcp restore FILE), or set DATA_DIR to another directory.",
  foreign: "Set DATA_DIR to a directory of its own.",
  newer: "Start the newer version, or restore a backup.",
};

/**
 * Looks at a file before anything is written to it. Throws `conflict` when it is no database, or one of
 * another application or of a newer version of ours. Returns its version.
 */
export function inspect(
  db: Database,
  file: string,
  steps: readonly string[] = migrations,
  cure: Cures = cures,
): number {
  let application: number;
  let version: number;
  let empty: boolean;
  try {
    application = pragma(db, "application_id");
    version = pragma(db, "user_version");
    empty =
      version === 0 &&
      db.query("SELECT 1 FROM sqlite_schema LIMIT 1").get() === null;
  } catch (cause) {
    const { code = "", message } = cause as Error & { code?: string };
    // Whatever else keeps it from being read is for the caller to explain.
    if (!/^SQLITE_(CORRUPT|NOTADB)/.test(code)) throw cause;
    throw new GatewayError(
      "conflict",
      `${file} cannot be read as a database: ${message}. Nothing was changed. ${cure.damaged}`,
      { data: { reason: "damaged" }, cause },
    );
  }
  if (application !== APPLICATION_ID && !(application === 0 && empty)) {
    throw new GatewayError(
      "conflict",
      `${file} is an SQLite database of another application. Nothing was changed. ${cure.foreign}`,
      { data: { reason: "foreign" } },
    );
  }
  if (version > steps.length) {
    throw new GatewayError(
      "conflict",
      `${file} was written by a newer version of membrane-mcp (schema ${version}, this one knows ${steps.length}). Nothing was changed. ${cure.newer}`,
      { data: { reason: "newer" } },
    );
  }
  return version;
}

/** Brings an inspected database from `version` to the newest schema, in one transaction. */
export function migrate(
  db: Database,
  version: number,
  steps: readonly string[] = migrations,
): void {
  if (version === steps.length) return;
  db.transaction(() => {
    for (const step of steps.slice(version)) {
      for (const statement of step.split("--> statement-breakpoint")) {
        db.run(statement);
      }
    }
    db.run(`PRAGMA application_id = ${APPLICATION_ID}`);
    db.run(`PRAGMA user_version = ${steps.length}`);
  }).immediate();
}
