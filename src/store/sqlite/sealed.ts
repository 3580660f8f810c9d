import type { Database } from "bun:sqlite";
import type { SealContext, SealedStore } from "../../core/sealed.ts";
import { sealContexts } from "../../core/sealed.ts";
import { later } from "./later.ts";
import type { Writer } from "./writer.ts";

const CHECK = "key_check";

/** The check of a database that may be of any version, before anything is written to it. */
export function readKeyCheck(db: Database): string | null {
  return (
    db
      .query<{ value: string }, [string]>(
        "SELECT value FROM meta WHERE key = ?",
      )
      .get(CHECK)?.value ?? null
  );
}

/** Rows changed in one transaction: a slice that delays nobody. */
const SLICE = 100;

/** One sealed column: how to walk over it, and to what each value belongs. */
type Place = {
  /** `a` and `b` identify the row and are where to go on; `sealed` is not null. */
  select: string;
  update: string;
  context(row: Row): SealContext;
};
type Row = { a: string | number; b: string; uuid: string; sealed: string };

/** Literal, so that nothing but a new table needs more than an entry. */
const places: readonly Place[] = [
  {
    select:
      "SELECT id AS a, '' AS b, uuid, sealed_secret AS sealed FROM servers WHERE id > ?1 AND ?2 IS NOT NULL AND sealed_secret IS NOT NULL ORDER BY id LIMIT ?3",
    update: "UPDATE servers SET sealed_secret = ?3 WHERE id = ?1 AND ?2 = ''",
    context: ({ uuid }) => sealContexts.serverSecret(uuid),
  },
  {
    select:
      "SELECT id AS a, '' AS b, uuid, sealed_oauth AS sealed FROM servers WHERE id > ?1 AND ?2 IS NOT NULL AND sealed_oauth IS NOT NULL ORDER BY id LIMIT ?3",
    update: "UPDATE servers SET sealed_oauth = ?3 WHERE id = ?1 AND ?2 = ''",
    context: ({ uuid }) => sealContexts.serverOauth(uuid),
  },
  {
    select:
      "SELECT id AS a, '' AS b, uuid, url AS sealed FROM servers WHERE id > ?1 AND ?2 IS NOT NULL ORDER BY id LIMIT ?3",
    update: "UPDATE servers SET url = ?3 WHERE id = ?1 AND ?2 = ''",
    context: ({ uuid }) => sealContexts.serverUrl(uuid),
  },
  {
    select:
      "SELECT id AS a, '' AS b, uuid, command AS sealed FROM servers WHERE id > ?1 AND ?2 IS NOT NULL AND command IS NOT NULL ORDER BY id LIMIT ?3",
    update: "UPDATE servers SET command = ?3 WHERE id = ?1 AND ?2 = ''",
    context: ({ uuid }) => sealContexts.serverCommand(uuid),
  },
  {
    select:
      "SELECT server_id AS a, subject AS b, uuid, sealed FROM credentials JOIN servers ON id = server_id WHERE (server_id, subject) > (?1, ?2) AND sealed IS NOT NULL ORDER BY server_id, subject LIMIT ?3",
    update:
      "UPDATE credentials SET sealed = ?3 WHERE server_id = ?1 AND subject = ?2",
    context: ({ uuid, b }) => sealContexts.credential(uuid, b),
  },
  {
    select:
      "SELECT 0 AS a, state_hash AS b, '' AS uuid, sealed FROM oauth_flows WHERE ?1 IS NOT NULL AND state_hash > ?2 ORDER BY state_hash LIMIT ?3",
    update:
      "UPDATE oauth_flows SET sealed = ?3 WHERE ?1 = 0 AND state_hash = ?2",
    context: ({ b }) => sealContexts.oauthFlow(b),
  },
  {
    select:
      "SELECT 0 AS a, id AS b, '' AS uuid, url AS sealed FROM webhooks WHERE ?1 IS NOT NULL AND id > ?2 ORDER BY id LIMIT ?3",
    update: "UPDATE webhooks SET url = ?3 WHERE ?1 = 0 AND id = ?2",
    context: ({ b }) => sealContexts.webhookUrl(b),
  },
  {
    select:
      "SELECT 0 AS a, id AS b, '' AS uuid, sealed_secret AS sealed FROM webhooks WHERE ?1 IS NOT NULL AND id > ?2 AND sealed_secret IS NOT NULL ORDER BY id LIMIT ?3",
    update: "UPDATE webhooks SET sealed_secret = ?3 WHERE ?1 = 0 AND id = ?2",
    context: ({ b }) => sealContexts.webhookSecret(b),
  },
  {
    select:
      "SELECT 0 AS a, id AS b, '' AS uuid, sealed_previous AS sealed FROM webhooks WHERE ?1 IS NOT NULL AND id > ?2 AND sealed_previous IS NOT NULL ORDER BY id LIMIT ?3",
    update: "UPDATE webhooks SET sealed_previous = ?3 WHERE ?1 = 0 AND id = ?2",
    context: ({ b }) => sealContexts.webhookPrevious(b),
  },
];

/** {@link SealedStore} over everything that is sealed. */
export function createSealedStore(wiring: {
  client: Database;
  writer: Writer;
}): SealedStore {
  const { client, writer } = wiring;
  const keep = later(() =>
    client.prepare<null, [string, string]>(
      "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
    ),
  );

  /** One walk over everything; how many were changed. */
  async function walk(
    rule: (sealed: string, context: SealContext) => string | null,
    goOn: () => boolean,
  ): Promise<number> {
    let changed = 0;
    for (const { select, update, context } of places) {
      const read = client.prepare<Row, [string | number, string, number]>(
        select,
      );
      const put = client.prepare<null, [string | number, string, string]>(
        update,
      );
      let at: { a: string | number; b: string } | undefined = { a: 0, b: "" };
      while (at && goOn()) {
        const from: { a: string | number; b: string } = at;
        const slice = await writer.write(() => {
          const rows = read.all(from.a, from.b, SLICE);
          let done = 0;
          for (const row of rows) {
            const sealed = rule(row.sealed, context(row));
            if (sealed === null) continue;
            put.run(row.a, row.b, sealed);
            done++;
          }
          return { done, last: rows.at(-1) };
        });
        changed += slice.done;
        at = slice.last;
      }
    }
    return changed;
  }

  return {
    keyCheck: () => readKeyCheck(client),
    keepKeyCheck: (check) => void keep().run(CHECK, check),
    async resealAll(rule, check, goOn) {
      let total = 0;
      for (;;) {
        const changed = await walk(rule, goOn);
        total += changed;
        if (!goOn()) return total;
        // Again, for what another process may have sealed meanwhile.
        if (changed === 0) break;
      }
      await writer.write(() =>
        client.run("UPDATE meta SET value = ? WHERE key = ?", [check, CHECK]),
      );
      return total;
    },
  };
}
