import { describe, expect, test } from "bun:test";
import type { Store } from "../../src/core/store.ts";
import type {
  Credential,
  Definition,
  Upstream,
} from "../../src/core/upstream.ts";
import { definitionHash } from "../../src/core/definition.ts";
import { registrationOf } from "../support/upstreams.ts";
import type { OpenStore } from "./rig.ts";

let made = 0;
function registration(changes: Partial<Upstream> = {}) {
  made++;
  return registrationOf({
    uuid: `uuid-${made}`,
    name: `Server ${made}`,
    slug: `server-${made}`,
    createdAt: 100,
    createdBy: "ada",
    ...changes,
  });
}
const credential = (changes: Partial<Credential> = {}) => ({
  name: null,
  authType: "direct_auth" as const,
  status: "active" as const,
  sealed: null,
  refreshingAt: null,
  connectedAt: 1,
  expiresAt: null,
  lastUsedAt: null,
  ...changes,
});
const definition = (
  tool: string,
  text: string,
  changes: Partial<Definition> = {},
): Definition => ({
  tool,
  hash: definitionHash({ name: tool, description: text }),
  firstSeenAt: 1,
  approvedAt: null,
  approvedBy: null,
  ...changes,
});

/** What every store promises of registered servers. `other`: the same database in another process. */
export function upstreamStoreContract(name: string, open: OpenStore): void {
  const create = (store: Store, changes: Partial<Upstream> = {}) =>
    store.upstreams.create(registration(changes), 200);

  describe(`${name}: registered servers`, () => {
    test("what may be registered is decided with the servers of that moment", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const alone = (others: readonly Upstream[]) => {
        if (others.some((one) => one.name === "one")) throw new Error("two");
      };
      const both = await Promise.allSettled(
        ["a", "b"].map((slug) =>
          upstreams.create(registration({ name: "one", slug }), 200, alone),
        ),
      );
      expect(both.map(({ status }) => status).sort()).toEqual([
        "fulfilled",
        "rejected",
      ]);
      expect(upstreams.list("w")).toHaveLength(1);
    });

    test("a server comes back with everything it was registered with, also after a restart", async () => {
      await using rig = open();
      const asked = registration({
        description: "d",
        transport: "stdio",
        command: { command: "node", args: ["a b", "'"], cwd: null },
        sealedSecret: "s",
        sealedOauth: "o",
        oauth: {
          issuer: "https://as.example",
          clientId: "c",
          registration: "dcr",
          scopes: ["a"],
          hasClientSecret: true,
        },
        about: {
          era: "sessions",
          protocolVersion: "2025-11-25",
          serverInfo: { name: "s", version: "1" },
          capabilities: { tools: {} },
          instructions: null,
        },
        lastError: { code: "timeout", message: "m", at: 5 },
        pinned: true,
      });
      const created = await rig.store.upstreams.create(asked, 200);
      expect(created).toEqual({
        ...asked,
        id: created.id,
        version: 1,
        updatedAt: 100,
      });
      const store = await rig.reopen();
      expect(store.upstreams.list("w")).toEqual([created]);
      expect(store.upstreams.find("w", created.id)).toEqual(created);
    });

    test("another workspace does not find a server, by id or name, and may use its slug", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const mine = await create(rig.store, { slug: "s", name: "S" });
      const theirs = await create(rig.store, { slug: "s", workspace: "w2" });
      expect(upstreams.find("w2", mine.id)).toBeNull();
      expect(upstreams.find("w", theirs.id)).toBeNull();
      expect(upstreams.findByName("w2", "S")).toBeNull();
      expect(upstreams.findByName("w2", "s")?.id).toBe(theirs.id);
      expect(upstreams.list("w")).toHaveLength(1);
    });

    test("a taken slug and one server too many are refused, also when they come at once", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const same = await Promise.allSettled([
        create(rig.store, { slug: "same" }),
        create(rig.store, { slug: "same" }),
      ]);
      expect(same.map(({ status }) => status)).toEqual([
        "fulfilled",
        "rejected",
      ]);
      expect(same[1]).toMatchObject({
        reason: { code: "conflict", data: { code: "slug_taken" } },
      });
      const many = await Promise.allSettled([
        upstreams.create(registration(), 2),
        upstreams.create(registration(), 2),
      ]);
      expect(many[1]).toMatchObject({
        reason: { code: "conflict", data: { code: "too_many_servers" } },
      });
      expect(upstreams.list("w")).toHaveLength(2);
    });

    test("ids are never given twice", async () => {
      await using rig = open();
      const first = await create(rig.store);
      await rig.store.upstreams.remove(first.id);
      const store = await rig.reopen();
      expect((await create(store)).id).toBeGreaterThan(first.id);
    });

    test("a server is found by its slug, or else by a display name that only it has", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const a = await create(rig.store, { name: "One", slug: "a" });
      const b = await create(rig.store, { name: "Two", slug: "b" });
      await create(rig.store, { name: "Two", slug: "c" });
      const d = await create(rig.store, { name: "a", slug: "d" });
      expect(upstreams.findByName("w", "a")).toEqual(a);
      expect(upstreams.findByName("w", "One")).toEqual(a);
      expect(upstreams.findByName("w", "b")).toEqual(b);
      expect(upstreams.findByName("w", "Two")).toBeNull();
      expect(upstreams.findByName("w", "d")).toEqual(d);
    });

    test("edits see each other, count up the version, and change no more than they say", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const { id } = await create(rig.store, { description: "" });
      await Promise.all(
        ["a", "b", "c"].map((letter) =>
          upstreams.edit(
            id,
            ({ description }) => ({ description: description + letter }),
            200,
          ),
        ),
      );
      expect(upstreams.find("w", id)).toMatchObject({
        description: "abc",
        version: 4,
        updatedAt: 200,
        createdAt: 100,
      });
      expect(await upstreams.edit(id, () => null, 300)).toMatchObject({
        version: 4,
        updatedAt: 200,
      });
      const failed = upstreams.edit(
        id,
        () => {
          throw new Error("no");
        },
        300,
      );
      expect(failed).rejects.toThrow("no");
      await upstreams.edit(
        id,
        () => ({ lastError: { code: "c", message: "m", at: 1 } }),
        400,
      );
      await upstreams.edit(id, () => ({ lastError: null }), 500);
      const store = await rig.reopen();
      expect(store.upstreams.find("w", id)).toMatchObject({
        version: 4,
        updatedAt: 200,
        lastError: null,
      });
      expect(await store.upstreams.edit(99, () => ({}), 1)).toBeNull();
    });

    test("a removed server takes all that belongs to it", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const { id } = await create(rig.store);
      await upstreams.editCredential(id, "ada", () => credential());
      const nothing = {
        tools: [],
        prompts: [],
        resources: [],
        resourceTemplates: [],
      };
      await upstreams.saveListing(id, "ada", nothing, 1);
      await upstreams.addDefinitions(id, [definition("t", "")]);
      const icon = {
        type: "image/png",
        etag: "e",
        bytes: new Uint8Array([0, 255]),
        fetchedAt: 1,
      };
      await upstreams.saveIcon(id, icon);
      expect(upstreams.icon(id)).toEqual(icon);
      const flow = {
        stateHash: "h",
        serverId: id,
        workspace: "w",
        subject: "ada",
        browserHash: "b",
        sealed: "s",
        expiresAt: 10,
      };
      await upstreams.openFlow(flow, 0);
      expect(await upstreams.remove(id)).toBe(true);
      expect(await upstreams.remove(id)).toBe(false);
      const store = await rig.reopen();
      expect(store.upstreams.credentials(id)).toEqual([]);
      expect(store.upstreams.listing(id, "ada")).toBeNull();
      expect(store.upstreams.definitions(id)).toEqual([]);
      expect(store.upstreams.icon(id)).toBeNull();
      expect(await store.upstreams.takeFlow("h")).toBeNull();
      // What comes late for a server that is gone is no error.
      await store.upstreams.saveListing(id, "ada", nothing, 2);
      await store.upstreams.addDefinitions(id, [definition("t", "")]);
      await store.upstreams.saveIcon(id, icon);
      expect(
        await store.upstreams.editCredential(id, "ada", () => credential()),
      ).toBeNull();
    });

    test("a member's credential is edited by rules that see each other", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const { id } = await create(rig.store);
      expect(
        await upstreams.editCredential(id, "ada", (before) => {
          expect(before).toBeNull();
          return null;
        }),
      ).toBeNull();
      await Promise.all(
        ["1", "2", "3"].map((digit) =>
          upstreams.editCredential(id, "ada", (before) =>
            credential({ sealed: (before?.sealed ?? "") + digit }),
          ),
        ),
      );
      await upstreams.editCredential(id, "bob", () =>
        credential({ connectedAt: 2, name: "Bob", expiresAt: 9 }),
      );
      expect(upstreams.credential(id, "ada")).toEqual({
        ...credential({ sealed: "123" }),
        serverId: id,
        subject: "ada",
        version: 3,
      });
      expect(upstreams.credentials(id).map(({ subject }) => subject)).toEqual([
        "ada",
        "bob",
      ]);
      expect(await upstreams.removeCredential(id, "ada")).toBe(true);
      expect(await upstreams.removeCredential(id, "ada")).toBe(false);
      expect(upstreams.credential(id, "ada")).toBeNull();
      expect(upstreams.credential(id, "bob")).not.toBeNull();
      await upstreams.removeCredentials(id);
      expect(upstreams.credentials(id)).toEqual([]);
    });

    test("credentials are for one URL and one way to be let in, and go with it", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const { id } = await create(rig.store, { url: "https://a.example/" });
      const link = () =>
        upstreams.editCredential(id, "ada", () => credential());
      const edits = [
        [{ name: "n", url: "https://a.example/", enabled: true }, 1],
        [{ url: "https://a.example/other" }, 0],
        [{ authType: "direct_auth" }, 0],
        [{ authType: "direct_auth" }, 1],
      ] as const;
      for (const [edit, left] of edits) {
        await link();
        await upstreams.edit(id, () => edit, 1);
        expect(upstreams.credentials(id)).toHaveLength(left);
      }
    });

    test("who is connected is counted for all of a workspace's servers at once", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const [a, b, other] = [
        await create(rig.store),
        await create(rig.store),
        await create(rig.store, { workspace: "w2" }),
      ];
      const link = (id: number, subject: string, status = "active") =>
        upstreams.editCredential(id, subject, () =>
          credential({ status: status as Credential["status"] }),
        );
      await link(a.id, "ada");
      await link(a.id, "bob");
      await link(a.id, "eve", "expired");
      await link(other.id, "ada");
      await upstreams.saveIcon(b.id, {
        type: "image/png",
        etag: "e",
        bytes: new Uint8Array(1),
        fetchedAt: 1,
      });
      expect(upstreams.connections("w", "eve")).toEqual(
        new Map([
          [a.id, { members: 2, own: "expired", iconEtag: null }],
          [b.id, { members: 0, own: null, iconEtag: "e" }],
        ]),
      );
      expect(upstreams.connections("w", "ada").get(a.id)?.own).toBe("active");
    });

    test("a flow is good once, and goes when it has expired", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const { id } = await create(rig.store);
      const flow = (stateHash: string, expiresAt: number) => ({
        stateHash,
        serverId: id,
        workspace: "w",
        subject: "ada",
        browserHash: "b",
        sealed: "s",
        expiresAt,
      });
      await upstreams.openFlow(flow("old", 10), 0);
      await upstreams.openFlow(flow("new", 100), 50);
      expect(await upstreams.takeFlow("old")).toBeNull();
      const taken = await Promise.all([
        upstreams.takeFlow("new"),
        upstreams.takeFlow("new"),
      ]);
      expect(taken).toEqual([flow("new", 100), null]);
    });

    test("what a server listed is kept for each member", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const { id } = await create(rig.store);
      const listing = (tool: string) => ({
        tools: [{ name: tool }],
        prompts: [],
        resources: [],
        resourceTemplates: [],
      });
      await upstreams.saveListing(id, "ada", listing("a"), 1);
      await upstreams.saveListing(id, "bob", listing("b"), 2);
      await upstreams.saveListing(id, "ada", listing("c"), 3);
      expect(upstreams.listing(id, "ada")).toEqual({
        listing: listing("c"),
        fetchedAt: 3,
      });
      expect(upstreams.listing(id, "eve")).toBeNull();
      expect(upstreams.listings(id)).toHaveLength(2);
    });

    test("definitions keep the time they were first seen at and take the newest approval", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const { id } = await create(rig.store);
      const first = definition("t", "1", { approvedAt: 1 });
      const second = definition("t", "2", { firstSeenAt: 2 });
      await upstreams.addDefinitions(id, [first, second]);
      await upstreams.addDefinitions(id, [
        { ...first, firstSeenAt: 9 },
        { ...second, firstSeenAt: 9, approvedAt: 9 },
      ]);
      expect(upstreams.definitions(id)).toEqual([
        first,
        { ...second, approvedAt: 9 },
      ]);
      await upstreams.addDefinitions(id, [{ ...second, approvedAt: null }]);
      expect(upstreams.definitions(id)[1]?.approvedAt).toBe(9);
      await upstreams.approveOnly(id, new Set([first.hash]));
      expect(upstreams.definitions(id)).toEqual([first, second]);
      expect(await upstreams.approve(id, "t", second.hash, "ada", 20)).toBe(
        true,
      );
      expect(await upstreams.approve(id, "t", "other", "ada", 20)).toBe(false);
      expect(await upstreams.approve(id, "u", second.hash, "ada", 20)).toBe(
        false,
      );
      expect(upstreams.definitions(id)[1]).toMatchObject({
        approvedAt: 20,
        approvedBy: "ada",
      });
    });

    test("of a tool the newest 20 definitions stay, and what is approved is not pushed out by what is not", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const { id } = await create(rig.store);
      const many = Array.from({ length: 30 }, (_, i) =>
        definition("t", `${i}`, { firstSeenAt: i }),
      );
      await upstreams.addDefinitions(id, [
        definition("t", "approved", { approvedAt: 1, firstSeenAt: -1 }),
        definition("u", "other"),
      ]);
      await upstreams.addDefinitions(id, many.slice(0, 15));
      await upstreams.addDefinitions(id, many.slice(15));
      const kept = upstreams.definitions(id);
      expect(kept.filter(({ tool }) => tool === "u")).toHaveLength(1);
      expect(
        kept
          .filter(({ tool }) => tool === "t")
          .map(({ firstSeenAt }) => firstSeenAt),
      ).toEqual([-1, ...Array.from({ length: 20 }, (_, i) => i + 10)]);
    });

    test("changes are told, each with whose they are, and looks and renewals are not", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const told: string[] = [];
      upstreams.onChange(({ upstream, subject }) =>
        told.push(
          `${upstream.slug} ${upstream.enabled ? "on" : "off"} ${subject}`,
        ),
      );
      const { id } = await create(rig.store, { slug: "s" });
      await upstreams.edit(id, () => ({ enabled: true }), 1);
      await upstreams.edit(id, () => ({ lastCheckedAt: 5 }), 1);
      await upstreams.edit(id, () => ({ enabled: true, about: null }), 1);
      await upstreams.edit(id, () => null, 1);
      await upstreams.editCredential(id, "ada", () => credential());
      await upstreams.editCredential(id, "ada", () =>
        credential({ sealed: "renewed", lastUsedAt: 4 }),
      );
      await upstreams.editCredential(id, "ada", () =>
        credential({ status: "expired" }),
      );
      await upstreams.removeCredential(id, "ada");
      await upstreams.removeCredential(id, "ada");
      await upstreams.remove(id);
      expect(told).toEqual([
        "s off null",
        "s on null",
        "s on ada",
        "s on ada",
        "s on ada",
        "s off null",
      ]);
    });

    test("what another process changes is seen at once, and its workspaces are told once", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const mine = await create(rig.store);
      await create(rig.store, { workspace: "w2" });
      upstreams.list("w2");
      expect(upstreams.find("w", mine.id)?.enabled).toBe(false);
      expect(upstreams.changedElsewhere()).toEqual([]);
      rig.elsewhere(
        `UPDATE servers SET enabled = 1, version = version + 1 WHERE id = ${mine.id}`,
      );
      expect(upstreams.find("w", mine.id)?.enabled).toBe(true);
      expect(upstreams.changedElsewhere()).toEqual(["w"]);
      expect(upstreams.changedElsewhere()).toEqual([]);
      rig.elsewhere(
        `INSERT INTO credentials VALUES (${mine.id}, 'ada', NULL, 'direct_auth', 'active', NULL, NULL, 1, 5, NULL, NULL)`,
      );
      expect(upstreams.changedElsewhere()).toEqual(["w"]);
      rig.elsewhere("PRAGMA foreign_keys = 1; DELETE FROM servers");
      expect(upstreams.changedElsewhere().toSorted()).toEqual(["w", "w2"]);
      expect(upstreams.list("w")).toEqual([]);
    });
  });
}
