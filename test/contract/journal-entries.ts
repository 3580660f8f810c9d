import { describe, expect, test } from "bun:test";
import type { Cause } from "../../src/core/journal.ts";
import type { SessionOpening } from "../../src/core/session.ts";
import type { Store } from "../../src/core/store.ts";
import type { Credential, Upstream } from "../../src/core/upstream.ts";
import { webhook } from "./webhook-store.ts";
import { openingOf } from "../support/openings.ts";
import { registrationOf } from "../support/upstreams.ts";
import type { OpenStore } from "./rig.ts";

const ada = { workspace: "w", subject: "ada" };
const cause: Cause = {
  by: { method: "membrane", subject: "carol", key: null },
  requestId: "r1",
  traceparent: null,
};

let made = 0;
const opening = (changes: Partial<SessionOpening> = {}): SessionOpening =>
  openingOf({ ...ada, at: 1000, cause, ...changes });
const registration = (changes: Partial<Upstream> = {}) => ({
  ...registrationOf({
    uuid: `u${++made}`,
    name: "Lab",
    slug: `lab-${made}`,
    authType: "direct_auth",
    state: "ready",
    setupStep: null,
    createdAt: 100,
    createdBy: "ada",
    ...changes,
  }),
  createdWith: null,
});
const credential = (changes: Partial<Credential> = {}) => ({
  name: null,
  authType: "direct_auth" as const,
  status: "active" as const,
  sealed: "very secret",
  refreshingAt: null,
  connectedAt: 1,
  expiresAt: null,
  lastUsedAt: null,
  ...changes,
});

const apiKey = (id: string) => ({
  ...ada,
  id,
  name: "CI",
  scope: "apps:write" as const,
  createdBy: "carol",
  createdWith: null,
  createdAt: 1,
  expiresAt: null,
  lastUsedAt: null,
  revokedAt: null,
  hash: "very secret",
});

/** What every store writes into its journal by itself: what has changed, and nothing else. */
export function journalEntriesContract(name: string, open: OpenStore): void {
  /** The entries that this has brought. */
  async function brought({ journal }: Store, work: () => Promise<unknown>) {
    const before = journal.last();
    await work();
    return journal.readOn(before, 100);
  }
  /** Their types, and whom they concern. */
  async function said(store: Store, work: () => Promise<unknown>) {
    return (await brought(store, work)).map(({ type, subject }) => [
      type,
      subject,
    ]);
  }
  const failure = (at: number) => ({
    code: "upstream_unreachable",
    message: "m",
    at,
  });

  describe(`${name}: what the journal says`, () => {
    test("of a session: that it is opened, resumed by its chat, and ended, with who did it", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const asked = opening({ chat: "c" });
      const [opened, ...more] = await brought(rig.store, () =>
        sessions.open(asked),
      );
      expect(more).toEqual([]);
      expect(opened).toMatchObject({
        ...cause,
        ...ada,
        type: "session_opened",
        data: {
          session: asked.id,
          chat: "c",
          client: { name: "test", version: "1" },
          protocolVersion: "2025-11-25",
          server: null,
        },
      });
      const again = opening({ chat: "c" });
      expect(await said(rig.store, () => sessions.open(again))).toEqual([
        ["session_resumed", "ada"],
      ]);
      const { pk } = sessions.find(ada, asked.id)!;
      const [ended] = await brought(rig.store, () => sessions.end(pk, cause));
      expect(ended).toMatchObject({
        ...cause,
        type: "session_ended",
        data: { session: asked.id },
      });
      expect(await said(rig.store, () => sessions.end(pk))).toEqual([]);
    });

    test("of sessions that expire: that each has ended, by itself", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      await sessions.open(opening({ at: 1 }));
      await sessions.open(opening({ at: 2 }));
      await sessions.open(opening({ at: 900 }));
      const entries = await brought(rig.store, () => sessions.expire(500, 10));
      expect(entries.map(({ type, by }) => [type, by])).toEqual([
        ["session_ended", null],
        ["session_ended", null],
      ]);
      expect(await said(rig.store, () => sessions.expire(500, 10))).toEqual([]);
    });

    test("of enabled tools: which they are now, when they are others than before", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const { session } = await sessions.open(opening());
      const enable = (enabled: string[]) =>
        sessions.edit(
          session.pk,
          ({ view }) => ({ view: { ...view, enabled } }),
          cause,
        );
      const [entry, ...more] = await brought(rig.store, () => enable(["a"]));
      expect(more).toEqual([]);
      expect(entry).toMatchObject({
        ...cause,
        type: "tools_enabled",
        data: { session: session.id, chat: null, tools: ["a"] },
      });
      for (const look of [
        () => enable(["a"]),
        () => sessions.edit(session.pk, () => ({ lastSeenAt: 5 })),
        () => sessions.edit(session.pk, () => null),
        () => sessions.edit(session.pk, () => ({ listed: "x" })),
      ]) {
        expect(await said(rig.store, look)).toEqual([]);
      }
      const view = { mode: "dynamic", apps: null, server: null } as const;
      const chat = (enabled: string[]) => () =>
        sessions.editChat(
          ada,
          "c",
          null,
          () => ({ ...view, enabled }),
          5,
          cause,
        );
      expect(await said(rig.store, chat([]))).toEqual([]);
      const [ofChat] = await brought(rig.store, chat(["b"]));
      expect(ofChat).toMatchObject({
        ...ada,
        type: "tools_enabled",
        data: { session: null, chat: "c", tools: ["b"] },
      });
      expect(await said(rig.store, chat(["b"]))).toEqual([]);
    });

    test("of a server: what somebody has done to it, and nothing of a look at it", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      let id = 0;
      const edit = (changes: Partial<Upstream>) => () =>
        upstreams.edit(id, () => changes, 5, cause);
      const registered = await brought(rig.store, async () => {
        const asked = registration({ sealedSecret: "very secret" });
        ({ id } = await upstreams.create(asked, 10, undefined, cause));
      });
      expect(registered).toMatchObject([
        {
          ...cause,
          type: "server_registered",
          workspace: "w",
          subject: null,
          data: { serverId: id, name: "Lab" },
        },
      ]);
      expect(await said(rig.store, edit({ enabled: true }))).toEqual([
        ["server_enabled", null],
      ]);
      expect(await said(rig.store, edit({ enabled: true }))).toEqual([]);
      expect(
        await said(rig.store, edit({ lastCheckedAt: 7, lastLatencyMs: 3 })),
      ).toEqual([]);
      expect(
        await said(rig.store, () => upstreams.edit(id, () => null, 5)),
      ).toEqual([]);
      expect(await said(rig.store, edit({ lastError: failure(1) }))).toEqual([
        ["server_failed", null],
      ]);
      expect(await said(rig.store, edit({ lastError: failure(2) }))).toEqual(
        [],
      );
      expect(await said(rig.store, edit({ lastError: null }))).toEqual([
        ["server_healed", null],
      ]);
      const changed = await brought(
        rig.store,
        edit({ name: "Other", sealedSecret: "another secret", pinned: true }),
      );
      expect(changed).toMatchObject([
        {
          type: "server_changed",
          data: { changed: ["name", "sealedSecret", "pinned"] },
        },
      ]);
      expect(await said(rig.store, edit({ enabled: false }))).toEqual([
        ["server_disabled", null],
      ]);
      expect(await said(rig.store, () => upstreams.remove(id, cause))).toEqual([
        ["server_removed", null],
      ]);
      expect(await said(rig.store, () => upstreams.remove(id))).toEqual([]);
      expect(JSON.stringify(rig.store.journal.readOn(0, 99))).not.toContain(
        'secret"',
      );
    });

    test("of a registration or change that is refused: nothing", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const asked = registration();
      const { id } = await upstreams.create(asked, 10);
      const refused = async (work: () => Promise<unknown>) =>
        said(rig.store, () => work().catch(() => {}));
      expect(
        await refused(() => upstreams.create({ ...asked, uuid: "x" }, 10)),
      ).toEqual([]);
      expect(await refused(() => upstreams.create(registration(), 1))).toEqual(
        [],
      );
      expect(
        await refused(() =>
          upstreams.edit(
            id,
            () => {
              throw new Error("no");
            },
            5,
          ),
        ),
      ).toEqual([]);
    });

    test("of a member's connection: that it is made, made again, expired and ended, each once", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const { id } = await upstreams.create(registration(), 10);
      const put = (changes: Partial<Credential>) => () =>
        upstreams.editCredential(id, "ada", () => credential(changes), cause);
      const steps: [() => Promise<unknown>, string[]][] = [
        [put({}), ["member_connected"]],
        [put({ sealed: "refreshed", expiresAt: 9 }), []],
        [put({ lastUsedAt: 3 }), []],
        [put({ connectedAt: 2 }), ["member_connected"]],
        [put({ connectedAt: 2, status: "expired" }), ["member_expired"]],
        [put({ connectedAt: 2, status: "expired" }), []],
        [put({ connectedAt: 3 }), ["member_connected"]],
        [put({ connectedAt: 3, status: "revoked" }), ["member_disconnected"]],
        [() => upstreams.removeCredential(id, "ada"), []],
        [put({ connectedAt: 4 }), ["member_connected"]],
        [
          () => upstreams.removeCredential(id, "ada", cause),
          ["member_disconnected"],
        ],
        [() => upstreams.removeCredential(id, "ada"), []],
        [() => upstreams.editCredential(id, "ada", () => null), []],
      ];
      for (const [i, [work, types]] of steps.entries()) {
        const entries = await brought(rig.store, work);
        const found: string[] = entries.map(({ type }) => type);
        expect({ i, found }).toEqual({ i, found: types });
        for (const { subject, data } of entries) {
          expect([subject, data["serverId"]]).toEqual(["ada", id]);
        }
      }
      expect(JSON.stringify(rig.store.journal.readOn(0, 99))).not.toMatch(
        /very secret|refreshed/,
      );
    });

    test("of a server that goes elsewhere or away: that each member's connection has ended", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const { id } = await upstreams.create(registration(), 10);
      const connect = async () => {
        for (const who of ["ada", "bob"]) {
          await upstreams.editCredential(id, who, () => credential());
        }
      };
      await connect();
      expect(
        await said(rig.store, () =>
          upstreams.edit(
            id,
            () => ({ url: "https://other.example/" }),
            5,
            cause,
          ),
        ),
      ).toEqual([
        ["member_disconnected", "ada"],
        ["member_disconnected", "bob"],
        ["server_changed", null],
      ]);
      await connect();
      expect(
        await said(rig.store, () => upstreams.removeCredentials(id, cause)),
      ).toEqual([
        ["member_disconnected", "ada"],
        ["member_disconnected", "bob"],
      ]);
      expect(
        await said(rig.store, () => upstreams.removeCredentials(id)),
      ).toEqual([]);
      await connect();
      expect(await said(rig.store, () => upstreams.remove(id, cause))).toEqual([
        ["member_disconnected", "ada"],
        ["member_disconnected", "bob"],
        ["server_removed", null],
      ]);
    });

    test("of a tool: that it is approved, and nothing of one that is not there", async () => {
      await using rig = open();
      const { upstreams } = rig.store;
      const { id } = await upstreams.create(registration(), 10);
      const row = { firstSeenAt: 1, approvedAt: null, approvedBy: null };
      await upstreams.addDefinitions(id, [{ tool: "t", hash: "h", ...row }]);
      const approve = (hash: string) => () =>
        upstreams.approve(id, "t", hash, "ada", 5, cause);
      expect(await said(rig.store, approve("other"))).toEqual([]);
      expect(await brought(rig.store, approve("h"))).toMatchObject([
        { ...cause, type: "tool_approved", data: { serverId: id, tool: "t" } },
      ]);
    });

    test("of an API key: that it is made and revoked, once, and never its hash", async () => {
      await using rig = open();
      const { apiKeys } = rig.store;
      const limits = { most: 5, endedBefore: 0 };
      const made = await brought(rig.store, () =>
        apiKeys.create(apiKey("k1"), limits, cause),
      );
      expect(made).toMatchObject([
        {
          ...cause,
          ...ada,
          type: "key_created",
          data: { key: "k1", name: "CI", scope: "apps:write" },
        },
      ]);
      const revoke = (workspace: string) => () =>
        apiKeys.revoke(workspace, "k1", 5, cause);
      expect(await said(rig.store, () => apiKeys.used("k1", 3))).toEqual([]);
      expect(await said(rig.store, revoke("other"))).toEqual([]);
      expect(await said(rig.store, revoke("w"))).toEqual([
        ["key_revoked", "ada"],
      ]);
      expect(await said(rig.store, revoke("w"))).toEqual([]);
      expect(JSON.stringify(rig.store.journal.readOn(0, 99))).not.toContain(
        "very secret",
      );
    });

    // Demanded: journal-with-cause
    test("and what cannot be written there does not happen", async () => {
      await using rig = open();
      const { store } = rig;
      const { apiKeys, events, sessions, upstreams, webhooks } = store;
      const limits = { most: 5, endedBefore: 0 };
      await apiKeys.create(apiKey("k1"), limits);
      const { id } = await upstreams.create(registration(), 10);
      await upstreams.editCredential(id, "ada", () => credential());
      const { session } = await sessions.open(opening({ chat: "c" }));
      const hook = webhook({ workspace: "w" });
      await webhooks.create(hook, 10);
      const state = ({ journal, ...of }: Store) => [
        journal.readOn(0, 99),
        of.apiKeys.list("w", null),
        of.upstreams.list("w"),
        of.upstreams.credential(id, "ada"),
        of.webhooks.list("w"),
        of.sessions.chats(ada),
        of.sessions.findChat(ada, "c", null),
      ];
      const before = state(store);
      rig.elsewhere(
        "CREATE TRIGGER refuse BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'refused'); END",
      );
      const view = { ...session.view, enabled: ["t"] };
      const streamId = events.nextStream();
      const call = {
        sessionPk: session.pk,
        streamId,
        callId: streamId,
        requestId: "1",
      };
      const executed = {
        ...cause,
        ...ada,
        type: "tool_executed" as const,
        data: {},
      };
      for (const [i, change] of [
        () => apiKeys.create(apiKey("k2"), limits),
        () => apiKeys.revoke("w", "k1", 5),
        () => upstreams.create(registration(), 10),
        () => upstreams.edit(id, () => ({ enabled: true }), 5),
        () => upstreams.removeCredential(id, "ada"),
        () => upstreams.remove(id),
        () => webhooks.create(webhook({ workspace: "w" }), 10),
        () => webhooks.edit("w", hook.id, () => ({ enabled: false }), 5),
        () => webhooks.remove("w", hook.id, () => {}),
        () => sessions.open(opening()),
        () => sessions.editChat(ada, "c", null, () => view, 5),
        () => sessions.end(session.pk),
        () =>
          events.record(call, () => ({
            messages: ["m"],
            answered: true,
            entries: [executed],
          })),
      ].entries()) {
        const outcome = await change().then(
          () => "done",
          () => "refused",
        );
        expect([i, outcome]).toEqual([i, "refused"]);
      }
      rig.elsewhere("DROP TRIGGER refuse");
      expect(state(await rig.reopen())).toEqual(before);
    });

    test("of a call: what its end brings, with its answer or not at all, and that a crash cut it off", async () => {
      await using rig = open();
      const { events, sessions } = rig.store;
      const { session } = await sessions.open(opening());
      const executed = {
        ...cause,
        ...ada,
        type: "tool_executed" as const,
        data: { tool: "t" },
      };
      const call = (tool?: string) => {
        const streamId = events.nextStream();
        return {
          sessionPk: session.pk,
          streamId,
          callId: streamId,
          requestId: "1",
          ...(tool === undefined
            ? {}
            : { ifCut: { ...executed, data: { tool, cut: true } } }),
        };
      };
      const outcome = (answered: boolean) => () => ({
        messages: ["m"],
        answered,
        entries: [executed],
      });
      expect(
        await said(rig.store, () => events.record(call("t"), outcome(true))),
      ).toEqual([["tool_executed", "ada"]]);
      const slow = call("t");
      expect(
        await said(rig.store, () => events.record(slow, outcome(false))),
      ).toEqual([]);
      expect(
        await said(rig.store, () => events.finish(slow, "a", () => [executed])),
      ).toEqual([["tool_executed", "ada"]]);
      await events.record(call("cut"), outcome(false));
      await events.record(call(), outcome(false));
      const cut = await brought(rig.store, () =>
        events.interrupt(() => "gone"),
      );
      expect(cut).toMatchObject([
        { ...executed, data: { tool: "cut", cut: true } },
      ]);
      expect(await said(rig.store, () => events.interrupt(() => ""))).toEqual(
        [],
      );
    });
  });
}
