import { describe, expect, test } from "bun:test";
import { DEFAULT_VIEW } from "../../src/core/session.ts";
import type { SessionOpening } from "../../src/core/session.ts";
import { openingOf } from "../support/openings.ts";
import type { OpenStore } from "./rig.ts";

const ada = { workspace: "w1", subject: "ada" };
const bob = { workspace: "w1", subject: "bob" };

const opening = (changes: Partial<SessionOpening> = {}): SessionOpening =>
  openingOf({ ...ada, capabilities: { sampling: {} }, at: 1000, ...changes });

/** What every store promises of sessions and chats. */
export function sessionStoreContract(name: string, open: OpenStore): void {
  describe(`${name}: sessions`, () => {
    test("a session is found again with everything it was opened with, also after a restart", async () => {
      await using rig = open();
      const asked = opening({
        view: { mode: "dynamic", apps: ["gmail"], enabled: [], server: null },
      });
      const { session, resumed } = await rig.store.sessions.open(asked);
      expect(resumed).toBe(false);
      const store = await rig.reopen();
      const found = store.sessions.find(ada, asked.id);
      expect(found).toEqual(session);
      expect(found).toMatchObject({
        id: asked.id,
        workspace: "w1",
        subject: "ada",
        chat: null,
        client: { name: "test", version: "1" },
        capabilities: { sampling: {} },
        view: { mode: "dynamic", apps: ["gmail"], enabled: [], server: null },
        createdAt: 1000,
      });
    });

    test("another identity does not find a session, by id, number or chat", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const { session } = await sessions.open(opening({ chat: "c" }));
      for (const who of [bob, { workspace: "w2", subject: "ada" }]) {
        expect(sessions.find(who, session.id)).toBeNull();
        expect(sessions.findByPk(who, session.pk)).toBeNull();
        expect(sessions.findByChat(who, "c", null)).toBeNull();
        expect(sessions.chats(who)).toEqual([]);
      }
    });

    test("fifty openings of one chat at once are one session", async () => {
      await using rig = open();
      const results = await Promise.all(
        Array.from({ length: 50 }, () =>
          rig.store.sessions.open(opening({ chat: "c" })),
        ),
      );
      expect(new Set(results.map(({ session }) => session.id)).size).toBe(1);
      expect(results.filter(({ resumed }) => !resumed)).toHaveLength(1);
      expect(rig.store.sessions.count()).toBe(1);
    });

    test("the same chat id of two users is two chats", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const a = await sessions.open(opening({ chat: "c" }));
      const b = await sessions.open(opening({ ...bob, chat: "c" }));
      expect(a.session.id).not.toBe(b.session.id);
      expect(sessions.chats(ada)).toEqual([
        { chat: "c", sessionId: a.session.id },
      ]);
    });

    test("what a chat shows is kept by the chat when it is opened again, but for what is asked anew", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const dynamic = {
        mode: "dynamic",
        apps: ["gmail"],
        enabled: [],
        server: null,
      } as const;
      const first = await sessions.open(
        opening({
          chat: "c",
          view: { ...dynamic, apps: ["gmail"], enabled: [], server: null },
        }),
      );
      await sessions.edit(first.session.pk, ({ view }) => ({
        view: { ...view, enabled: ["gmail_send"] },
      }));
      const again = await sessions.open(
        opening({ chat: "c", viewChanges: { apps: ["notes"] } }),
      );
      expect(again.resumed).toBe(true);
      expect(again.session.view).toEqual({
        mode: "dynamic",
        apps: ["notes"],
        enabled: ["gmail_send"],
        server: null,
      });
      expect(sessions.findChat(ada, "c", null)?.view).toEqual(
        again.session.view,
      );
    });

    test("an edit is on disk when it resolves, and its rule sees what is there", async () => {
      await using rig = open();
      const { session } = await rig.store.sessions.open(opening());
      await Promise.all(
        ["a", "b", "c"].map((name) =>
          rig.store.sessions.edit(session.pk, ({ view }) => ({
            view: { ...view, enabled: [...view.enabled, name] },
          })),
        ),
      );
      const store = await rig.reopen();
      expect(store.sessions.find(ada, session.id)?.view.enabled).toEqual([
        "a",
        "b",
        "c",
      ]);
    });

    test("a rule that throws changes nothing and disturbs no other edit", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const { session } = await sessions.open(opening());
      const results = await Promise.allSettled([
        sessions.edit(session.pk, () => ({ listed: "one" })),
        sessions.edit(session.pk, () => {
          throw new Error("no");
        }),
        sessions.edit(session.pk, () => ({ lastSeenAt: 2000 })),
      ]);
      expect(results.map(({ status }) => status)).toEqual([
        "fulfilled",
        "rejected",
        "fulfilled",
      ]);
      expect(sessions.find(ada, session.id)).toMatchObject({
        listed: "one",
        lastSeenAt: 2000,
      });
    });

    test("an ended session takes its chat, events and running calls with it, for good", async () => {
      await using rig = open();
      const { sessions, events } = rig.store;
      const { session } = await sessions.open(opening({ chat: "c" }));
      const streamId = events.nextStream();
      const ref = { sessionPk: session.pk, streamId };
      await events.record({ ...ref, callId: streamId, requestId: "1" }, () => ({
        messages: ["one"],
        answered: false,
      }));
      await sessions.end(session.pk);
      const store = await rig.reopen();
      expect(store.sessions.find(ada, session.id)).toBeNull();
      expect(store.sessions.chats(ada)).toEqual([]);
      expect(store.sessions.findChat(ada, "c", null)).toBeNull();
      expect(store.events.read(ref, 0, 10)).toEqual([]);
      expect(store.events.state(ref)).toBe("unknown");
    });

    test("a chat without a session is begun, changed by a rule, kept, and taken over by a session", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const view = {
        mode: "dynamic",
        apps: null,
        enabled: ["a"],
        server: null,
      } as const;
      expect(sessions.findChat(ada, "c", null)).toBeNull();
      await sessions.editChat(
        ada,
        "c",
        null,
        (before) => {
          expect(before).toBeNull();
          return { ...view, enabled: ["a"] };
        },
        100,
      );
      await Promise.all(
        ["b", "c"].map((name) =>
          sessions.editChat(
            ada,
            "c",
            null,
            (before) => ({
              ...before!,
              enabled: [...before!.enabled, name],
            }),
            200,
          ),
        ),
      );
      const other = { workspace: "w", subject: "someone else" };
      expect(sessions.findChat(other, "c", null)).toBeNull();
      const store = await rig.reopen();
      expect(store.sessions.findChat(ada, "c", null)).toEqual({
        view: { ...view, enabled: ["a", "b", "c"] },
        lastSeenAt: 200,
      });
      expect(store.sessions.chats(ada)).toEqual([]);
      const { session, resumed } = await store.sessions.open(
        opening({ chat: "c", viewChanges: { apps: ["x"] } }),
      );
      expect(resumed).toBe(false);
      expect(session.view).toEqual({
        mode: "dynamic",
        apps: ["x"],
        enabled: ["a", "b", "c"],
        server: null,
      });
      // What changes the chat changes what is known of its session.
      expect(store.sessions.find(ada, session.id)).not.toBeNull();
      await store.sessions.editChat(
        ada,
        "c",
        null,
        (before) => ({ ...before!, enabled: [] }),
        300,
      );
      expect(store.sessions.find(ada, session.id)?.view.enabled).toEqual([]);
    });

    test("a chat id is another chat for one server than for everything, and for another server", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const at = async (server: string | null) => {
        const view = {
          mode: "static",
          apps: null,
          enabled: [],
          server,
        } as const;
        const asked = opening({ chat: "c", view: { ...view, enabled: [] } });
        return (await sessions.open(asked)).session;
      };
      const [hub, all, lab] = [
        await at("hub"),
        await at(null),
        await at("lab"),
      ];
      await sessions.editChat(
        ada,
        "c",
        "hub",
        (before) => ({ ...before!, enabled: ["x"] }),
        9000,
      );
      const store = await rig.reopen();
      for (const [server, { id }] of [
        ["hub", hub],
        ["lab", lab],
        [null, all],
      ] as const) {
        const found = store.sessions.findByChat(ada, "c", server);
        expect([server, found?.id, found?.view.server]).toEqual([
          server,
          id,
          server,
        ]);
        expect(store.sessions.findChat(ada, "c", server)?.view.server).toBe(
          server,
        );
      }
      expect(store.sessions.findChat(ada, "c", "lab")?.view.enabled).toEqual(
        [],
      );
      expect(store.sessions.findChat(ada, "c", "other")).toBeNull();
      expect(store.sessions.chats(ada)).toEqual([
        { chat: "c", sessionId: all.id },
      ]);
      await store.sessions.end(hub.pk);
      expect(store.sessions.findByChat(ada, "c", "hub")).toBeNull();
      expect(store.sessions.findByChat(ada, "c", null)?.id).toBe(all.id);
    });

    test("sessions with subscriptions are found by identity, the newest first, until they have none or end", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const ids = (who: typeof ada | null) =>
        sessions.subscribed(who).map(({ id }) => id);
      const [one, two, none] = await Promise.all(
        [1, 2, 3].map(async () => (await sessions.open(opening())).session),
      );
      const bobs = (await sessions.open(opening(bob))).session;
      expect(ids(ada)).toEqual([]);
      for (const { pk } of [one!, two!, bobs]) {
        await sessions.edit(pk, () => ({ subscriptions: ["x://1"] }));
      }
      await sessions.edit(none!.pk, () => ({ lastSeenAt: 5 }));
      expect(ids(ada)).toEqual([two!.id, one!.id]);
      expect(ids(null)).toEqual([bobs.id, two!.id, one!.id]);
      expect(sessions.subscribed(bob)[0]?.subscriptions).toEqual(["x://1"]);
      await sessions.edit(two!.pk, () => ({ subscriptions: ["x://2"] }));
      expect(sessions.subscribed(ada)[0]?.subscriptions).toEqual(["x://2"]);
      await sessions.edit(two!.pk, () => ({ subscriptions: [] }));
      expect(ids(ada)).toEqual([one!.id]);
      await sessions.end(bobs.pk);
      expect(ids(null)).toEqual([one!.id]);
      const store = await rig.reopen();
      expect(store.sessions.subscribed(ada).map(({ id }) => id)).toEqual([
        one!.id,
      ]);
    });

    test("chats without a session expire, and no others", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const view = {
        mode: "static",
        apps: null,
        enabled: [],
        server: null,
      } as const;
      const begin = (chat: string, at: number) =>
        sessions.editChat(
          ada,
          chat,
          null,
          () => ({ ...view, enabled: [] }),
          at,
        );
      await begin("old", 100);
      await begin("new", 900);
      await sessions.open(opening({ chat: "of a session", at: 100 }));
      const held = sessions.findByChat(ada, "of a session", null)!;
      await sessions.edit(held.pk, () => ({ lastSeenAt: 900 }));
      await begin("of a session", 100);
      await sessions.expire(500, 10);
      expect(sessions.findChat(ada, "old", null)).toBeNull();
      expect(sessions.findChat(ada, "new", null)).not.toBeNull();
      expect(sessions.findChat(ada, "of a session", null)).not.toBeNull();
      expect(sessions.findByChat(ada, "of a session", null)?.id).toBe(held.id);
      // Its session has not been seen for long, and it has.
      await sessions.edit(held.pk, () => ({ lastSeenAt: 100 }));
      await begin("of a session", 900);
      expect(await sessions.expire(500, 10)).toEqual([held.pk]);
      expect(sessions.findByChat(ada, "of a session", null)).toBeNull();
      expect(sessions.findChat(ada, "of a session", null)).not.toBeNull();
    });

    test("sessions expire by when they were last seen, oldest first, in slices", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const opened = [];
      for (const at of [100, 200, 300]) {
        opened.push((await sessions.open(opening({ at }))).session);
      }
      await sessions.edit(opened[0]!.pk, () => ({ lastSeenAt: 900 }));
      expect(await sessions.expire(500, 1)).toEqual([opened[1]!.pk]);
      expect(await sessions.expire(500, 10)).toEqual([opened[2]!.pk]);
      expect(sessions.find(ada, opened[0]!.id)).not.toBeNull();
      expect(sessions.count()).toBe(1);
    });

    test("of too many of one identity those not seen for longest go, in slices, and not those to be kept", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const open5 = async (who: Partial<SessionOpening>) => {
        const all = [];
        for (const at of [500, 100, 300, 200, 400]) {
          all.push((await sessions.open(opening({ ...who, at }))).session);
        }
        return all;
      };
      const [s500, s100, s300, s200, s400] = await open5(ada);
      const others = [
        ...(await open5(bob)),
        ...(await open5({ workspace: "w2" })),
      ];
      const trim = (keep: number[], limit: number) =>
        sessions.trim(ada, 2, keep, limit);
      expect(await trim([s100!.pk], 1)).toEqual({ had: 5, ended: [s200!.pk] });
      expect(sessions.find(ada, s200!.id)).toBeNull();
      expect(await trim([s100!.pk], 10)).toEqual({ had: 4, ended: [s300!.pk] });
      expect(await trim([s100!.pk], 10)).toEqual({ had: 3, ended: [] });
      expect(await trim([], 10)).toEqual({ had: 3, ended: [s100!.pk] });
      for (const { id } of [s500!, s400!]) {
        expect(sessions.find(ada, id)).not.toBeNull();
      }
      expect(sessions.count()).toBe(2 + others.length);
    });

    test("a workspace's sessions beyond what it may have are removed of those who have most, the oldest first, in slices", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const openFor = async (subject: string, n: number, workspace = "w1") => {
        const pks: number[] = [];
        for (let at = 1; at <= n; at++) {
          const changes = { workspace, subject, at };
          pks.push((await sessions.open(opening(changes))).session.pk);
        }
        return pks;
      };
      const trim = (most: number, limit = 100, kept: number[] = []) =>
        sessions.trimWorkspace("w1", most, () => kept, limit);
      await openFor("a", 9, "w2");
      await openFor("a", 2);
      const b = await openFor("b", 6);
      const c = await openFor("c", 8);
      expect(await trim(16)).toEqual({ had: 16, ended: [] });
      // As they were last seen: one of b, and three of c.
      expect(await trim(12, 100, [b[0]!])).toEqual({
        had: 16,
        ended: [c[0]!, b[1]!, c[1]!, c[2]!],
      });
      expect(await trim(12)).toEqual({ had: 12, ended: [] });
      expect(await trim(8, 3)).toMatchObject({
        had: 12,
        ended: [b[0], b[2], c[3]],
      });
      expect(await trim(8, 3)).toMatchObject({ had: 9, ended: [c[4]] });
      // Where all have the same, only what is too much goes.
      expect((await trim(2)).ended).toHaveLength(6);
      expect(sessions.count()).toBe(9 + 2);
    });

    test("chats without a session are bounded as sessions are, of a user and of a workspace", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const begin = (subject: string, n: number, workspace = "w1") =>
        Promise.all(
          Array.from({ length: n }, (_, i) =>
            sessions.editChat(
              { workspace, subject },
              `chat ${i}`,
              null,
              () => DEFAULT_VIEW,
              i,
            ),
          ),
        );
      const left = (subject: string, workspace = "w1") =>
        Array.from({ length: 9 }, (_, i) => i).filter((i) =>
          sessions.findChat({ workspace, subject }, `chat ${i}`, null),
        );
      await begin("a", 9, "w2");
      await begin("a", 2);
      await begin("b", 8);
      // With a session it is one of those.
      const b = { workspace: "w1", subject: "b" };
      await sessions.open(opening({ ...b, chat: "chat 0" }));
      expect(await sessions.trim(b, 5, [], 100)).toEqual({ had: 7, ended: [] });
      expect(left("b")).toEqual([0, 3, 4, 5, 6, 7]);
      const trim = () => sessions.trimWorkspace("w1", 4, () => [], 100);
      expect(await trim()).toEqual({ had: 7, ended: [] });
      expect(await trim()).toEqual({ had: 4, ended: [] });
      expect(left("a")).toEqual([0, 1]);
      expect(left("b")).toEqual([0, 6, 7]);
      expect(left("a", "w2")).toHaveLength(9);
    });

    test("a ticket opens the session it was made for, and only the newest one", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const { session } = await sessions.open(opening({ ticketHash: "old" }));
      expect(sessions.findByTicket(session.id, "old")?.pk).toBe(session.pk);
      await sessions.edit(session.pk, () => ({ ticketHash: "new" }));
      expect(sessions.findByTicket(session.id, "old")).toBeNull();
      expect(sessions.findByTicket(session.id, "new")?.pk).toBe(session.pk);
      expect(sessions.findByTicket("another", "new")).toBeNull();
    });

    test("names of chats such as __proto__ are ordinary", async () => {
      await using rig = open();
      const { sessions } = rig.store;
      const hostile = [
        "__proto__",
        "constructor",
        "'; DROP TABLE chats",
        "🙂\r\n",
      ];
      for (const chat of hostile) await sessions.open(opening({ chat }));
      expect(
        sessions
          .chats(ada)
          .map(({ chat }) => chat)
          .sort(),
      ).toEqual(hostile.sort());
    });
  });

  describe(`${name}: names`, () => {
    test("names come back in the order they were given, per identity, and can change", async () => {
      await using rig = open();
      await rig.store.names.give(ada, [
        { ref: "b", name: "gmail" },
        { ref: "a", name: "gmail-2" },
      ]);
      await rig.store.names.give(ada, [
        { ref: "b", name: "gmail-x" },
        { ref: "c", name: "gmail" },
      ]);
      const store = await rig.reopen();
      expect(store.names.list(ada)).toEqual([
        { ref: "b", name: "gmail-x" },
        { ref: "a", name: "gmail-2" },
        { ref: "c", name: "gmail" },
      ]);
      expect(store.names.list(bob)).toEqual([]);
    });
  });

  describe(`${name}: secrets`, () => {
    test("a secret stays, and each name has its own", async () => {
      await using rig = open();
      const first = rig.store.secret("one");
      expect(first).toHaveLength(32);
      expect(rig.store.secret("two")).not.toEqual(first);
      const store = await rig.reopen();
      expect(store.secret("one")).toEqual(first);
    });
  });
}
