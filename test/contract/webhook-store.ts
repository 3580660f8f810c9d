import { describe, expect, test } from "bun:test";
import type { EventType, NewEntry } from "../../src/core/journal.ts";
import { BY_ITSELF, BY_OPERATOR } from "../../src/core/journal.ts";
import type { Store } from "../../src/core/store.ts";
import type {
  Attempt,
  Claimed,
  NewWebhook,
  Settlement,
} from "../../src/core/webhook.ts";
import { bounds } from "../support/journal-bounds.ts";
import type { OpenStore } from "./rig.ts";

let made = 0;
export function webhook(changes: Partial<NewWebhook> = {}): NewWebhook {
  const n = ++made;
  return {
    id: `wh_${n}`,
    workspace: "w1",
    url: `https://x.example/${n}`,
    description: null,
    types: null,
    enabled: true,
    form: "full",
    concurrency: 1,
    configured: false,
    sealedSecret: `sealed ${n}`,
    sealedPrevious: null,
    previousUntil: null,
    createdAt: n,
    createdBy: "ada",
    ...changes,
  };
}

const called = (tool: string, more: Partial<NewEntry> = {}): NewEntry => ({
  ...BY_ITSELF,
  type: "tool_executed",
  workspace: "w1",
  subject: "ada",
  data: { tool },
  ...more,
});
const toolsOf = (claimed: Claimed[]) =>
  claimed.map(({ entry }) => entry.data["tool"]);
/** Who has had something sent again, and what. */
const replays = ({ journal }: Store) =>
  journal
    .readOn(0, 100)
    .filter(({ type }) => type === "webhook_replayed")
    .map(({ by, data }) => [by?.subject, data["delivery"], data["count"]]);

const fine: Attempt = { at: 1, ms: 2, status: 200, error: null };
const bad: Attempt = { at: 1, ms: 2, status: 500, error: "status" };
const settled =
  (changes: Partial<Settlement> = {}) =>
  (): Settlement => ({
    state: "delivered",
    dueAt: null,
    failingSince: null,
    disable: null,
    ...changes,
  });

/** What every store promises of webhooks. */
export function webhookStoreContract(name: string, open: OpenStore): void {
  const openWith = async (changes: Partial<NewWebhook> = {}) => {
    const rig = open();
    const one = webhook({ types: ["tool_executed"], ...changes });
    await rig.store.webhooks.create(one, 100);
    return Object.assign(rig, {
      id: one.id,
      happen: (...tools: string[]) =>
        rig.store.journal.append(tools.map((tool) => called(tool))),
      claim: (most = 10, now = 0, until = 100) =>
        rig.store.deliveries.claim(one.id, { now, until }, most),
      settle: (
        claimed: Claimed,
        rule: () => Settlement = settled(),
        attempt = fine,
      ) => rig.store.deliveries.settle(one.id, claimed, attempt, rule),
      list: () =>
        rig.store.deliveries.list(one.id, {
          state: null,
          before: null,
          limit: 1000,
        }),
    });
  };

  describe(`${name}: webhooks`, () => {
    test("one is found with everything it was made with, also after a restart, and by its workspace alone", async () => {
      await using rig = open();
      const types: EventType[] = ["tool_executed", "server_failed"];
      const one = webhook({ types, description: "ours", concurrency: 3 });
      const created = await rig.store.webhooks.create(one, 1);
      expect(created).toMatchObject({ ...one, version: 1, enabled: true });
      const store = await rig.reopen();
      expect(store.webhooks.find("w1", one.id)).toEqual(created);
      expect(store.webhooks.list("w1")).toEqual([created]);
      expect(store.webhooks.enabled()).toEqual([created]);
      expect(store.webhooks.find("w2", one.id)).toBeNull();
      expect(store.webhooks.list("w2")).toEqual([]);
      const another = store.webhooks.create(webhook(), 1);
      await expect(another).rejects.toMatchObject({ code: "conflict" });
    });

    test("a change has a version of its own and is in the journal; one that changes nothing has neither", async () => {
      await using rig = open();
      const { webhooks, journal } = rig.store;
      let told = 0;
      webhooks.onChange(() => told++);
      const one = webhook({ url: "https://x.example/?key=hidden" });
      await webhooks.create(one, 100);
      const changed = await webhooks.edit(
        "w1",
        one.id,
        () => ({ enabled: false, sealedSecret: "other" }),
        99,
      );
      expect(changed).toMatchObject({
        version: 2,
        updatedAt: 99,
        enabled: false,
        disabledAt: 99,
        disabledReason: null,
      });
      await webhooks.edit("w1", one.id, () => null, 100);
      expect(await webhooks.edit("w2", one.id, () => ({}), 1)).toBeNull();
      expect(webhooks.enabled()).toEqual([]);
      const refuse = () => {
        throw new Error("no");
      };
      await expect(webhooks.remove("w1", one.id, refuse)).rejects.toThrow("no");
      expect(await webhooks.remove("w1", one.id, () => {})).toEqual(changed!);
      expect(await webhooks.remove("w1", one.id, () => {})).toBeNull();
      const entries = journal.readOn(0, 10);
      expect(entries.map(({ type, data }) => [type, data["changed"]])).toEqual([
        ["webhook_created", undefined],
        ["webhook_changed", ["enabled", "secret"]],
        ["webhook_removed", undefined],
      ]);
      expect(JSON.stringify(entries)).not.toContain("hidden");
      expect(told).toBe(3);
    });

    test("is told in order, one at a time; what has failed holds up what is after it", async () => {
      await using rig = await openWith();
      await rig.happen("a", "b", "c");
      const first = await rig.claim();
      expect(toolsOf(first.claimed)).toEqual(["a"]);
      expect((await rig.claim()).claimed).toEqual([]);
      const later = settled({ state: "pending", dueAt: 50, failingSince: 3 });
      await rig.settle(first.claimed[0]!, later, bad);
      const waiting = await rig.claim(10, 49);
      expect(waiting).toMatchObject({ claimed: [], dueAt: 50 });
      const again = await rig.claim(10, 50, 150);
      expect(again.claimed).toMatchObject([{ attempts: 1, claim: 2 }]);
      expect(again.webhook!.failingSince).toBe(3);
      await rig.settle(again.claimed[0]!);
      expect(toolsOf((await rig.claim()).claimed)).toEqual(["b"]);
      expect(rig.store.webhooks.find("w1", rig.id)!.failingSince).toBeNull();
      expect(rig.list().at(-1)).toMatchObject({
        state: "delivered",
        attempts: 2,
        log: [bad, fine],
        dueAt: null,
        finishedAt: 3,
      });
    });

    test("with more at a time is told of what is due and what is new, up to as many as it may be", async () => {
      await using rig = await openWith({ concurrency: 3 });
      await rig.happen("a", "b", "c", "d", "e");
      const { claimed } = await rig.claim(2);
      expect(toolsOf(claimed)).toEqual(["a", "b"]);
      const more = await rig.claim();
      expect(toolsOf(more.claimed)).toEqual(["c"]);
      expect((await rig.claim()).claimed).toEqual([]);
      const later = settled({ state: "pending", dueAt: 50 });
      await rig.settle(claimed[0]!, later, bad);
      expect(toolsOf((await rig.claim()).claimed)).toEqual(["d"]);
      await rig.settle(claimed[1]!);
      expect(toolsOf((await rig.claim(10, 50)).claimed)).toEqual(["a"]);
    });

    test("what was claimed is nobody else's until its lease is over, and then not the first one's", async () => {
      await using rig = await openWith();
      await rig.happen("a", "b");
      const first = (await rig.claim(10, 0, 100)).claimed[0]!;
      expect(await rig.claim(10, 99)).toMatchObject({
        claimed: [],
        dueAt: 100,
      });
      const second = (await rig.claim(10, 100, 200)).claimed[0]!;
      expect(second.entry.id).toBe(first.entry.id);
      expect(await rig.settle(first)).toBeNull();
      expect(rig.list()[0]!.state).toBe("delivering");
      await rig.store.deliveries.release(rig.id, first, 1);
      expect(rig.list()[0]!.state).toBe("delivering");
      expect(await rig.settle(second)).not.toBeNull();
      const third = (await rig.claim(10, 100, 200)).claimed[0]!;
      await rig.store.deliveries.release(rig.id, third, 120);
      expect(rig.list()[0]).toMatchObject({
        state: "pending",
        dueAt: 120,
        attempts: 0,
      });
    });

    test("what a process had claimed that is gone is due at once, and no attempt", async () => {
      await using rig = await openWith();
      await rig.happen("a");
      await rig.claim(10, 0, 1000);
      const store = await rig.reopen();
      await store.deliveries.releaseAll(5);
      const { claimed } = await store.deliveries.claim(
        rig.id,
        { now: 5, until: 50 },
        1,
      );
      expect(claimed).toMatchObject([{ attempts: 0 }]);
    });

    test("is told nothing while it is off, and after that what it has missed, as if for the first time", async () => {
      await using rig = await openWith();
      await rig.happen("a", "b");
      const { claimed } = await rig.claim();
      const later = { state: "pending", dueAt: 500, failingSince: 3 } as const;
      await rig.settle(
        claimed[0]!,
        settled({ ...later, disable: "gone" }),
        bad,
      );
      expect(await rig.claim(10, 500)).toMatchObject({ claimed: [] });
      const off = rig.store.webhooks.find("w1", rig.id)!;
      expect([off.enabled, off.disabledReason]).toEqual([false, "gone"]);
      const on = () => ({ enabled: true });
      await rig.store.webhooks.edit("w1", rig.id, on, 20);
      expect(rig.store.webhooks.find("w1", rig.id)).toMatchObject({
        disabledReason: null,
        disabledAt: null,
        failingSince: null,
      });
      const again = await rig.claim(10, 20);
      expect(again.claimed).toMatchObject([{ attempts: 0 }]);
      expect(toolsOf(again.claimed)).toEqual(["a"]);
    });

    test("what was given up is in the journal, unless it told of a failure itself", async () => {
      await using rig = await openWith({ types: null });
      const dead = settled({ state: "dead", failingSince: 1 });
      await rig.happen("a");
      await rig.settle((await rig.claim()).claimed[0]!, dead, bad);
      const failures = () =>
        rig.store.journal
          .readOn(0, 100)
          .filter(({ type }) => type === "webhook_failed");
      expect(failures().map(({ data }) => data)).toEqual([
        {
          webhook: rig.id,
          url: expect.any(String),
          reason: "undelivered",
          delivery: `evt_${rig.list()[0]!.event}`,
          type: "tool_executed",
          attempts: 1,
          status: 500,
          error: "status",
        },
      ]);
      // Nor is it told of its own.
      expect((await rig.claim()).claimed).toEqual([]);
      await rig.store.journal.append([
        called("x", { type: "webhook_failed", data: { webhook: "another" } }),
      ]);
      await rig.settle((await rig.claim()).claimed[0]!, dead, bad);
      expect(failures()).toHaveLength(2);
    });

    test("what is sent again waits for none, and none for it", async () => {
      await using rig = await openWith();
      await rig.happen("a", "b", "c");
      const dead = settled({ state: "dead" });
      await rig.settle((await rig.claim()).claimed[0]!, dead, bad);
      const { deliveries } = rig.store;
      const b = (await rig.claim()).claimed[0]!;
      const later = settled({ state: "pending", dueAt: 900 });
      // Neither what is on its way nor what is not there.
      expect(await deliveries.replay(rig.id, b.entry.id, 10)).toBe(0);
      expect(await deliveries.replay(rig.id, "none", 10)).toBe(0);
      await rig.settle(b, later, bad);
      expect(await deliveries.replay(rig.id, null, 10, BY_OPERATOR)).toBe(1);
      expect(await deliveries.replay(rig.id, null, 10)).toBe(0);
      expect(replays(rig.store)).toEqual([["operator", null, 1]]);
      const again = await rig.claim(10, 10);
      expect(toolsOf(again.claimed)).toEqual(["a"]);
      await rig.settle(again.claimed[0]!, later, bad);
      const next = await rig.claim(10, 900);
      expect(toolsOf(next.claimed)).toHaveLength(1);
    });

    test("what waits for its next attempt is due when somebody asks, in its order and with its attempts", async () => {
      await using rig = await openWith();
      await rig.happen("a", "b");
      const a = (await rig.claim()).claimed[0]!;
      await rig.settle(a, settled({ state: "pending", dueAt: 900 }), bad);
      expect((await rig.claim(10, 10)).claimed).toEqual([]);
      const { deliveries } = rig.store;
      expect(await deliveries.replay(rig.id, a.entry.id, 10, BY_OPERATOR)).toBe(
        1,
      );
      expect(replays(rig.store)).toEqual([
        ["operator", `evt_${a.entry.id}`, 1],
      ]);
      const again = await rig.claim(10, 10);
      expect(toolsOf(again.claimed)).toEqual(["a"]);
      expect(again.claimed[0]!.attempts).toBe(1);
      expect(rig.list()[0]).toMatchObject({ replayed: false });
    });

    test("lists go back from an event, and can be of one state", async () => {
      await using rig = await openWith({ concurrency: 16 });
      await rig.happen("a", "b", "c");
      const { claimed } = await rig.claim();
      await rig.settle(claimed[1]!);
      const [c, b, a] = rig.list();
      const { deliveries } = rig.store;
      const list = (state: "delivered" | null, before: string | null) =>
        deliveries.list(rig.id, { state, before, limit: 1 });
      expect(list(null, null)).toEqual([c!]);
      expect(list(null, b!.event)).toEqual([a!]);
      expect(list("delivered", null)).toEqual([b!]);
      expect(list(null, "unknown")).toEqual([]);
    });

    test("forgets deliveries that are done, those that are old and those that are many", async () => {
      await using rig = await openWith({ concurrency: 16 });
      await rig.happen("a", "b", "c", "d");
      const { claimed } = await rig.claim();
      for (const [n, one] of claimed.slice(0, 3).entries()) {
        await rig.settle(one, settled(), { ...fine, at: n * 10, ms: 0 });
      }
      const { deliveries } = rig.store;
      expect(await deliveries.prune(5, 10, 100)).toBe(1);
      expect(await deliveries.prune(0, 1, 100)).toBe(1);
      expect(rig.list().map(({ state }) => state)).toEqual([
        "delivering",
        "delivered",
      ]);
    });

    test("counts what the journal forgets before it was told, and nothing else", async () => {
      await using rig = await openWith();
      const { journal, webhooks } = rig.store;
      await rig.happen("a", "b", "c");
      await journal.append([
        called("theirs", { workspace: "w2" }),
        called("other", { type: "server_failed" }),
      ]);
      await rig.settle((await rig.claim()).claimed[0]!);
      await journal.prune(bounds({ before: Infinity }), 1000);
      expect(webhooks.find("w1", rig.id)).toMatchObject({ missed: 2 });
      await rig.happen("d");
      const { claimed } = await rig.claim();
      expect(toolsOf(claimed)).toEqual(["d"]);
      await rig.settle(claimed[0]!);
      expect(webhooks.find("w1", rig.id)).toMatchObject({ missed: 0 });
      const told = journal
        .readOn(0, 100)
        .filter(({ type }) => type === "webhook_failed")
        .map(({ data }) => [data["reason"], data["missed"]]);
      expect(told).toEqual([
        ["events_missed", 2],
        ["events_missed", 2],
      ]);
    });

    test("is told of what is left between what somebody's flood has cost, in order, and counts the rest", async () => {
      await using rig = await openWith({ types: null });
      const { journal, webhooks } = rig.store;
      for (let i = 0; i < 3; i++) {
        const flood = { subject: "mallory" };
        await journal.append([
          ...Array.from({ length: 3000 }, () => called("flood", flood)),
          called(`${i}`),
        ]);
      }
      for (let more = true; more;) {
        ({ more } = await journal.prune(bounds({ most: 5 }), 1000));
      }
      // Of the flood two are left, the newest.
      expect(webhooks.find("w1", rig.id)).toMatchObject({ missed: 8998 });
      const tools: unknown[] = [];
      while (tools.length < 5) {
        const [next] = (await rig.claim(1)).claimed;
        if (!next) continue;
        tools.push(next.entry.data["tool"] ?? next.entry.data["missed"]);
        await rig.settle(next);
      }
      expect(tools).toEqual(["0", "1", "flood", "flood", "2"]);
    });

    test("a delivery whose entry is gone is given up, and the next one made", async () => {
      await using rig = await openWith();
      await rig.happen("a", "b");
      const { claimed } = await rig.claim();
      const later = settled({ state: "pending", dueAt: 50 });
      await rig.settle(claimed[0]!, later, bad);
      await rig.store.journal.prune(bounds({ before: Infinity }), 1000);
      const found = await rig.claim(10, 50);
      expect(found).toMatchObject({ claimed: [], more: true });
      expect(rig.list().at(-1)).toMatchObject({ state: "dead" });
      const event = claimed[0]!.entry.id;
      expect(await rig.store.deliveries.replay(rig.id, event, 50)).toBe(0);
      expect((await rig.claim(10, 50)).claimed).toHaveLength(1);
    });

    test("looks through a long journal in pieces, and finds what is at its end", async () => {
      await using rig = await openWith();
      const others = Array.from({ length: 5000 }, () =>
        called("theirs", { workspace: "w2" }),
      );
      await rig.store.journal.append(others);
      await rig.happen("a");
      const found = await rig.claim();
      expect(found).toMatchObject({ claimed: [], more: true });
      expect(toolsOf((await rig.claim()).claimed)).toEqual(["a"]);
    });

    test("what has come in counts once for as long as it is remembered", async () => {
      await using rig = open();
      const { received } = rig.store;
      expect(await received.admit(["a", "b"], 10, 0)).toBe(true);
      expect(await received.admit(["b", "c"], 20, 5)).toBe(false);
      const store = await rig.reopen();
      expect(await store.received.admit(["c"], 20, 9)).toBe(false);
      expect(await store.received.admit(["a"], 20, 10)).toBe(true);
    });
  });
}
