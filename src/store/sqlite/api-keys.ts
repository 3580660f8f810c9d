import { and, asc, count, desc, eq, isNull, lt, or, sql } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import type { ApiKey, ApiKeyStore } from "../../core/api-key.ts";
import { keyEntry } from "../../core/entries.ts";
import { GatewayError } from "../../core/errors.ts";
import { BY_ITSELF } from "../../core/journal.ts";
import type { Scope } from "../../core/principal.ts";
import type { WriteEntries } from "./journal.ts";
import { later } from "./later.ts";
import { apiKeys } from "./schema.ts";
import type { Writer } from "./writer.ts";

const { hash, ...visible } = {
  id: apiKeys.id,
  workspace: apiKeys.workspace,
  subject: apiKeys.subject,
  name: apiKeys.name,
  hash: apiKeys.hash,
  scope: sql<Scope>`${apiKeys.scope}`,
  createdBy: apiKeys.createdBy,
  createdWith: apiKeys.createdWith,
  createdAt: apiKeys.createdAt,
  expiresAt: apiKeys.expiresAt,
  lastUsedAt: apiKeys.lastUsedAt,
  revokedAt: apiKeys.revokedAt,
};

/** {@link ApiKeyStore} over the `api_keys` table. Nothing is kept in memory: a key that was revoked is, for everybody. */
export function createApiKeyStore(wiring: {
  db: BunSQLiteDatabase;
  writer: Writer;
  note: WriteEntries;
}): ApiKeyStore {
  const { db, writer, note } = wiring;
  const byId = later(() =>
    db
      .select({ ...visible, hash })
      .from(apiKeys)
      .where(eq(apiKeys.id, sql.placeholder("id")))
      .prepare(),
  );

  return {
    find: (id) => byId().get({ id }) ?? null,
    list: (workspace, subject) =>
      db
        .select(visible)
        .from(apiKeys)
        .where(
          and(
            eq(apiKeys.workspace, workspace),
            subject === null ? undefined : eq(apiKeys.subject, subject),
          ),
        )
        .orderBy(desc(apiKeys.createdAt), desc(apiKeys.id))
        .all(),
    create: (key, { most, endedBefore }, cause = BY_ITSELF) =>
      writer.write(() => {
        const theirs = and(
          eq(apiKeys.workspace, key.workspace),
          eq(apiKeys.subject, key.subject),
        );
        db.delete(apiKeys)
          .where(
            and(
              theirs,
              or(
                lt(apiKeys.expiresAt, endedBefore),
                lt(apiKeys.revokedAt, endedBefore),
              ),
            ),
          )
          .run();
        const kept = db
          .select({ n: count() })
          .from(apiKeys)
          .where(theirs)
          .get()!.n;
        if (kept >= most) {
          throw new GatewayError(
            "conflict",
            `${key.subject} has ${kept} API keys already, with those that ended lately.`,
          );
        }
        if (byId().get({ id: key.id })) {
          throw new GatewayError(
            "conflict",
            `There is an API key ${key.id} already.`,
          );
        }
        const { createdWith } = key;
        // Revoked after it was verified for this: nobody would find what it makes now.
        if (
          createdWith !== null &&
          byId().get({ id: createdWith })?.revokedAt !== null
        ) {
          throw new GatewayError(
            "unauthenticated",
            "The API key is not accepted: it has been revoked.",
          );
        }
        db.insert(apiKeys).values(key).run();
        note([keyEntry("key_created", key, cause)]);
      }),
    revoke: (workspace, id, at, cause = BY_ITSELF) =>
      writer.write((): ApiKey | null => {
        const own = and(eq(apiKeys.workspace, workspace), eq(apiKeys.id, id));
        const withAllMade = sql`${apiKeys.id} IN (
          WITH RECURSIVE made(id) AS (
            SELECT id FROM api_keys WHERE workspace = ${workspace} AND id = ${id}
            UNION
            SELECT api_keys.id FROM api_keys JOIN made ON created_with = made.id
          ) SELECT id FROM made)`;
        const ending = db
          .select(visible)
          .from(apiKeys)
          .where(and(withAllMade, isNull(apiKeys.revokedAt)))
          .orderBy(asc(apiKeys.createdAt))
          .all();
        note(ending.map((key) => keyEntry("key_revoked", key, cause)));
        db.update(apiKeys)
          .set({ revokedAt: sql`coalesce(${apiKeys.revokedAt}, ${at})` })
          .where(withAllMade)
          .run();
        return db.select(visible).from(apiKeys).where(own).get() ?? null;
      }),
    async used(id, at) {
      await writer.write(() =>
        db
          .update(apiKeys)
          .set({ lastUsedAt: at })
          .where(eq(apiKeys.id, id))
          .run(),
      );
    },
  };
}
