import { describe, expect, test } from "bun:test";
import type { ApiKey } from "../../src/core/api-key.ts";
import type { OpenStore } from "./rig.ts";

const limits = { most: 100, endedBefore: 0 };

let made = 0;
function key(changes: Partial<ApiKey> = {}): ApiKey & { hash: string } {
  const n = ++made;
  return {
    id: `key-${n}`,
    workspace: "w1",
    subject: "ada",
    name: `key ${n}`,
    scope: "apps:write",
    createdBy: "ada",
    createdWith: null,
    createdAt: n,
    expiresAt: null,
    lastUsedAt: null,
    revokedAt: null,
    hash: `hash of ${n}`,
    ...changes,
  };
}

/** What every store promises of API keys. */
export function apiKeyStoreContract(name: string, open: OpenStore): void {
  describe(`${name}: API keys`, () => {
    test("a key is found with everything it was made with, also after a restart", async () => {
      await using rig = open();
      const one = key({ createdBy: null, expiresAt: 99, scope: "apps:admin" });
      await rig.store.apiKeys.create(one, limits);
      expect(rig.store.apiKeys.find(one.id)).toEqual(one);
      const store = await rig.reopen();
      expect(store.apiKeys.find(one.id)).toEqual(one);
      expect(store.apiKeys.find("other")).toBeNull();
    });

    test("lists are of one workspace, or one of its members, the newest first, and without hashes", async () => {
      await using rig = open();
      const { apiKeys } = rig.store;
      const keys = [
        key({ createdAt: 1 }),
        key({ createdAt: 3, subject: "bob" }),
        key({ createdAt: 2 }),
        key({ createdAt: 4, workspace: "w2" }),
      ];
      for (const one of keys) await apiKeys.create(one, limits);
      const ids = (list: ApiKey[]) => list.map(({ id }) => id);
      const [a1, b, a2, other] = keys.map(({ id }) => id) as string[];
      expect(ids(apiKeys.list("w1", null))).toEqual([b!, a2!, a1!]);
      expect(ids(apiKeys.list("w1", "ada"))).toEqual([a2!, a1!]);
      expect(ids(apiKeys.list("w2", null))).toEqual([other!]);
      expect(apiKeys.list("w2", "bob")).toEqual([]);
      expect(JSON.stringify(apiKeys.list("w1", null))).not.toContain("hash");
    });

    test("an id is given once", async () => {
      await using rig = open();
      const { apiKeys } = rig.store;
      const one = key();
      await apiKeys.create(one, limits);
      await expect(
        apiKeys.create({ ...key({ id: one.id }), hash: "other" }, limits),
      ).rejects.toMatchObject({ code: "conflict" });
      expect(apiKeys.find(one.id)?.hash).toBe(one.hash);
    });

    test("is revoked in its own workspace only, once, and stays listed", async () => {
      await using rig = open();
      const { apiKeys } = rig.store;
      const one = key();
      await apiKeys.create(one, limits);
      expect(await apiKeys.revoke("w2", one.id, 50)).toBeNull();
      expect(await apiKeys.revoke("w1", "other", 50)).toBeNull();
      expect(apiKeys.find(one.id)?.revokedAt).toBeNull();
      expect(await apiKeys.revoke("w1", one.id, 50)).toMatchObject({
        id: one.id,
        revokedAt: 50,
      });
      expect((await apiKeys.revoke("w1", one.id, 60))?.revokedAt).toBe(50);
      expect(apiKeys.find(one.id)?.revokedAt).toBe(50);
      expect(apiKeys.list("w1", "ada")).toHaveLength(1);
    });

    test("is revoked with all that were made with it, and with those; one that was before keeps its time", async () => {
      await using rig = open();
      const { apiKeys } = rig.store;
      const maker = key();
      const made = key({ createdWith: maker.id, subject: "bob" });
      const last = key({ createdWith: made.id });
      const early = key({ createdWith: made.id, revokedAt: 10 });
      const beside = key();
      for (const one of [maker, made, last, early, beside]) {
        await apiKeys.create(one, limits);
      }
      expect(await apiKeys.revoke("w2", maker.id, 50)).toBeNull();
      expect(apiKeys.find(last.id)?.revokedAt).toBeNull();
      await apiKeys.revoke("w1", maker.id, 50);
      const times = [maker, made, last, early, beside].map(
        ({ id }) => apiKeys.find(id)?.revokedAt,
      );
      expect(times).toEqual([50, 50, 50, 10, null]);
    });

    test("none is made with one that has been revoked, or is not there", async () => {
      await using rig = open();
      const { apiKeys } = rig.store;
      const maker = key();
      await apiKeys.create(maker, limits);
      await apiKeys.revoke("w1", maker.id, 50);
      for (const createdWith of [maker.id, "other"]) {
        const made = key({ createdWith });
        await expect(apiKeys.create(made, limits)).rejects.toMatchObject({
          code: "unauthenticated",
        });
        expect(apiKeys.find(made.id)).toBeNull();
      }
    });

    test("remembers its last use, and no other key's", async () => {
      await using rig = open();
      const { apiKeys } = rig.store;
      const [one, other] = [key(), key()];
      await apiKeys.create(one, limits);
      await apiKeys.create(other, limits);
      await apiKeys.used(one.id, 70);
      expect(apiKeys.find(one.id)?.lastUsedAt).toBe(70);
      expect(apiKeys.find(other.id)?.lastUsedAt).toBeNull();
    });

    test("a member has only so many; those that ended long ago are forgotten for a new one", async () => {
      await using rig = open();
      const { apiKeys } = rig.store;
      const [good, expired, revoked, later] = [
        key(),
        key({ expiresAt: 10 }),
        key({ revokedAt: 10 }),
        key({ expiresAt: 30 }),
      ];
      const bobs = key({ subject: "bob", expiresAt: 10 });
      for (const one of [good, expired, revoked, later, bobs]) {
        await apiKeys.create(one, limits);
      }
      const most = { most: 4, endedBefore: 5 };
      await expect(apiKeys.create(key(), most)).rejects.toMatchObject({
        code: "conflict",
      });
      expect(apiKeys.list("w1", "ada")).toHaveLength(4);
      await apiKeys.create(key({ subject: "bob" }), most);
      const fresh = key();
      await apiKeys.create(fresh, { most: 4, endedBefore: 20 });
      expect(new Set(apiKeys.list("w1", "ada").map(({ id }) => id))).toEqual(
        new Set([good.id, later.id, fresh.id]),
      );
      expect(apiKeys.find(bobs.id)).not.toBeNull();
    });
  });
}
