import { statSync } from "node:fs";
import type { Database } from "bun:sqlite";
import { drizzle } from "drizzle-orm/bun-sqlite";
import { GatewayError } from "../../core/errors.ts";
import type { Clock, Vault } from "../../core/runtime.ts";
import type { SealContext } from "../../core/sealed.ts";
import type { Store } from "../../core/store.ts";
import { createAddresses, sealAddresses } from "./addresses.ts";
import {
  databaseFile,
  makeDirectory,
  openDatabase,
  openExisting,
  unusable,
} from "./database.ts";
import type { EventQuotas } from "./event-quota.ts";
import { usedBytes } from "./event-quota.ts";
import type { EventCaps } from "./events.ts";
import { createEventLog } from "./events.ts";
import { lockDirectory } from "./lock.ts";
import { createDeliveryStore } from "./deliveries.ts";
import { createApiKeyStore } from "./api-keys.ts";
import { createJournal } from "./journal.ts";
import { createNameStore } from "./names.ts";
import { createReceivedStore } from "./received.ts";
import { createSealedStore, readKeyCheck } from "./sealed.ts";
import { createSessionStore } from "./sessions.ts";
import { createUpstreamStore } from "./upstreams.ts";
import { createWebhookStore } from "./webhooks.ts";
import { createWriter, writeError } from "./writer.ts";

export type SqliteOptions = {
  /** Made with mode 0700 when missing; the database is `membrane-mcp.db` in it. */
  directory: string;
  clock: Clock;
  /** Sessions kept in memory. */
  sessionCache: number;
  /** For the events of each session. */
  caps: EventCaps;
  /** For those of each user, and for all that is stored; no limits unless given. */
  quotas?: EventQuotas;
  /**
   * Called before anything is written, when secrets have been sealed here: with the check of their key. What it
   * throws keeps the store closed.
   */
  verifyKey?: (check: string) => void;
  /** Seals addresses; not asked before the first of them is stored or read. */
  vault: Pick<Vault, "seal" | "open">;
  /** Called once for an address that cannot be read; its server or webhook then leads nowhere. */
  onUnreadable?: (context: SealContext, error: unknown) => void;
  /** Called once when the disk or the file fails; nothing is written after that. */
  onFailure?: (error: unknown) => void;
  /**
   * Where another process holds the directory, works beside it instead of throwing: on the database as it is, and
   * without opening sessions, which is for who serves them.
   */
  beside?: boolean;
  /** For tests. */
  migrations?: readonly string[];
};

/** As SQLite makes databases. */
const PAGE_SIZE = 4096;
/** To be able to make room there has to be some: by this much the database may be larger meanwhile. */
const MAKING_ROOM = 16_777_216;
/** Stream numbers are reserved in blocks of this many, so that a crash skips some and repeats none. */
const STREAM_BLOCK = 1_000_000;

/** Kept in the database once no address is in it as it was given. */
const ADDRESSES = "addresses";

/**
 * Opens the store, alone unless `beside`: throws `conflict` when another process holds the directory, when the
 * database is of a newer version or of another application.
 */
export function openSqlite(options: SqliteOptions): Store {
  makeDirectory(options.directory);
  const lock = options.beside ? lockOrNull(options) : lockOf(options);
  try {
    return openStore(options, lock);
  } catch (error) {
    lock?.[Symbol.dispose]();
    throw unusable(options.directory, error);
  }
}

const lockOf = ({ directory, clock }: SqliteOptions) =>
  lockDirectory(directory, clock);

/** Null when another process holds the directory. */
function lockOrNull(options: SqliteOptions): Disposable | null {
  try {
    return lockOf(options);
  } catch (error) {
    const held =
      error instanceof GatewayError && error.data?.["reason"] === "in_use";
    if (held) return null;
    throw error;
  }
}

/** `lock`: null beside another process. */
function openStore(options: SqliteOptions, lock: Disposable | null): Store {
  const { verifyKey } = options;
  const look = (db: Database) => {
    const check = verifyKey && readKeyCheck(db);
    if (check) verifyKey(check);
  };
  const client = lock
    ? openDatabase(options.directory, options.migrations, look)
    : openExisting(options.directory, look);
  const { quotas = { user: 0, database: 0 } } = options;
  const bound = (bytes: number) => {
    const pages = Math.ceil(bytes / PAGE_SIZE);
    // What goes beyond it is refused as if the disk were full.
    if (pages > 0) client.run(`PRAGMA max_page_count = ${pages}`);
  };
  bound(quotas.database);
  /** More of it, for what makes room in the end, or has to be done before anything can. SQLite itself counts a file that is larger than its limit as full. */
  function withRoom<T>(work: () => T): T {
    const { page_count: pages } = client
      .query<{ page_count: number }, []>("PRAGMA page_count")
      .get()!;
    const { database } = quotas;
    bound(database && Math.max(database, pages * PAGE_SIZE) + MAKING_ROOM);
    try {
      return work();
    } finally {
      bound(database);
    }
  }
  const db = drizzle(client, { casing: "snake_case" });
  const writer = createWriter(client, options.onFailure ?? (() => {}));

  // By hand: these run before anything else, when a query builder is at its slowest.
  const readMeta = client.prepare<{ value: string }, [string]>(
    "SELECT value FROM meta WHERE key = ?",
  );
  const putMeta = client.prepare<null, [string, string]>(
    "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
  );
  const read = (key: string) => readMeta.get(key)?.value ?? null;
  const put = (key: string, value: string) => putMeta.run(key, value);

  const isNew = read("next_stream") === null;
  let nextStream = Number(read("next_stream") ?? 1);
  let reserved = nextStream + STREAM_BLOCK;
  if (lock) {
    client.transaction(() => {
      put("next_stream", String(reserved));
      if (isNew) put(ADDRESSES, "sealed");
    })();
  }
  const reserve = () => {
    put("next_stream", String(reserved + STREAM_BLOCK));
    reserved += STREAM_BLOCK;
  };
  const takeStream = () => {
    if (!lock) throw new Error("Sessions are opened by the server.");
    if (nextStream === reserved) {
      // Unreachable unless the disk refused the next block for half a million streams.
      reserve();
    } else if (nextStream === reserved - STREAM_BLOCK / 2) {
      // Half a block early, so that nobody waits for it; one that fails is made up for above.
      writer.write(reserve).catch(() => {});
    }
    return nextStream++;
  };

  const dataVersion = client.prepare<{ data_version: number }, []>(
    "PRAGMA data_version",
  );
  const othersVersion = () => dataVersion.get()!.data_version;

  const { clock } = options;
  const { journal, write: note } = createJournal({
    client,
    writer,
    clock,
    beforePrune: (entries) => deliveries.passOver(entries),
    withRoom,
  });
  const addresses = createAddresses(options.vault, options.onUnreadable);
  const webhooks = createWebhookStore({
    client,
    db,
    writer,
    note,
    addresses,
    last: journal.last,
  });
  const deliveries = createDeliveryStore({
    client,
    writer,
    note,
    journal,
    webhooks: webhooks.rows,
  });

  let readers: (sessionPk: number) => readonly number[] = () => [];
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    writer.flush();
    if (lock && !writer.failed()) {
      client.run("PRAGMA wal_checkpoint(TRUNCATE)");
    }
    client.close();
    lock?.[Symbol.dispose]();
  };
  return {
    journal,
    sessions: createSessionStore({
      client,
      db,
      writer,
      note,
      takeStream,
      cacheSize: options.sessionCache,
      othersVersion,
      now: clock.monotonic,
    }),
    events: createEventLog({
      client,
      db,
      writer,
      takeStream,
      note,
      clock,
      caps: options.caps,
      quotas,
      streamsRead: (sessionPk) => readers(sessionPk),
      withRoom,
    }),
    readBy(streamsRead) {
      readers = streamsRead;
    },
    names: createNameStore({ db, writer }),
    apiKeys: createApiKeyStore({ db, writer, note }),
    sealed: createSealedStore({ client, writer }),
    upstreams: createUpstreamStore({
      db,
      writer,
      note,
      addresses,
      othersVersion,
    }),
    webhooks: webhooks.store,
    deliveries: deliveries.store,
    received: createReceivedStore({ client, writer }),
    secret(name) {
      const key = `secret:${name}`;
      let value = read(key);
      if (value === null) {
        value = crypto.getRandomValues(new Uint8Array(32)).toHex();
        try {
          put(key, value);
        } catch (error) {
          throw writeError(error);
        }
      }
      return Uint8Array.fromHex(value);
    },
    sealAddresses() {
      if (!lock || read(ADDRESSES) !== null) return;
      try {
        withRoom(() => {
          if (sealAddresses(client, addresses.seal)) put(ADDRESSES, "sealed");
        });
      } catch (error) {
        throw unusable(options.directory, error);
      }
    },
    check: writer.check,
    size() {
      const file = databaseFile(options.directory);
      const sizeOf = (path: string) =>
        statSync(path, { throwIfNoEntry: false })?.size ?? 0;
      return {
        database: sizeOf(file),
        wal: sizeOf(`${file}-wal`),
        used: usedBytes(client),
      };
    },
    othersVersion,
    close,
    [Symbol.asyncDispose]: close,
  };
}
