import type { Database } from "bun:sqlite";
import type { Vault } from "../../core/runtime.ts";
import type { SealContext } from "../../core/sealed.ts";
import { sealContexts } from "../../core/sealed.ts";

/**
 * How to get to servers and webhooks. Any part of a URL may be its credential, and so may the arguments of a program:
 * all of it is sealed.
 */
export type Addresses = {
  seal(address: string, context: SealContext): string;
  /** Null for what cannot be read: damaged, or put there by somebody without the key. */
  open(sealed: string, context: SealContext): string | null;
};

/** In the place of a URL that cannot be read. No host has a name that ends like this (RFC 6761). */
export const UNREADABLE_URL = "https://unreadable.invalid";

export function createAddresses(
  vault: Pick<Vault, "seal" | "open">,
  /** Told once of each. */
  onUnreadable: (context: SealContext, error: unknown) => void = () => {},
): Addresses {
  const told = new Set<string>();
  return {
    seal: vault.seal,
    open(sealed, context) {
      try {
        return vault.open(sealed, context);
      } catch (error) {
        const key = `${JSON.stringify(context)} ${sealed}`;
        if (!told.has(key)) {
          told.add(key);
          onUnreadable(context, error);
        }
        return null;
      }
    },
  };
}

type Value = string | number | null;
type Row = Record<string, Value>;

/** What is not sealed is a URL, or JSON: a letter or a brace, and then no dot. */
const isSealed = (text: Value) => /^\d+\./.test(String(text));

/**
 * Seals the addresses that a version before this one has stored as they were, and leaves them nowhere in the file:
 * neither in pages that are not used any more, nor in what is left of others, nor in the log. For a connection that
 * is used for nothing else meanwhile. False when somebody reads the log just then, so that it has to stay.
 */
export function sealAddresses(
  client: Database,
  seal: Addresses["seal"],
): boolean {
  if (!hadAny(client)) return true;
  const sealed = (value: Value, context: SealContext) =>
    value === null || isSealed(value) ? value : seal(String(value), context);
  client.run("PRAGMA secure_delete = ON");
  // What refers to the rows that are written anew is to stay.
  client.run("PRAGMA foreign_keys = OFF");
  try {
    client
      .transaction(() => {
        rewrite(client, "servers", ({ uuid, url = null, command = null }) => ({
          url: sealed(url, sealContexts.serverUrl(String(uuid))),
          command: sealed(command, sealContexts.serverCommand(String(uuid))),
        }));
        rewrite(client, "webhooks", ({ id, url = null }) => ({
          url: sealed(url, sealContexts.webhookUrl(String(id))),
        }));
      })
      .immediate();
    client.query("PRAGMA incremental_vacuum").all();
  } finally {
    client.run("PRAGMA foreign_keys = ON");
    client.run("PRAGMA secure_delete = FAST");
  }
  const { busy } = client
    .query<{ busy: number }, []>("PRAGMA wal_checkpoint(TRUNCATE)")
    .get()!;
  return busy === 0;
}

/** Whether there was ever anything to seal: else there is nothing to look for in what is free. */
function hadAny(client: Database): boolean {
  const { any } = client
    .query<{ any: number }, []>(
      "SELECT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'servers') OR EXISTS (SELECT 1 FROM webhooks) AS any",
    )
    .get()!;
  return any === 1;
}

/** All rows of a table, written into pages that nothing else was in before. */
function rewrite(
  client: Database,
  table: "servers" | "webhooks",
  change: (row: Row) => Row,
): void {
  const rows = client.query<Row, []>(`SELECT * FROM ${table}`).all();
  client.run(`DELETE FROM ${table}`);
  for (const row of rows) {
    const changed = { ...row, ...change(row) };
    const places = Object.keys(changed).map(() => "?");
    client
      .query<null, Value[]>(
        `INSERT INTO ${table} (${Object.keys(changed).join()}) VALUES (${places.join()})`,
      )
      .run(...Object.values(changed));
  }
}
