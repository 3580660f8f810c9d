import { describe, expect, test } from "bun:test";
import type { JournalQuery, NewEntry } from "../../src/core/journal.ts";
import { BY_ITSELF, BY_OPERATOR } from "../../src/core/journal.ts";
import type { Store } from "../../src/core/store.ts";
import { bounds } from "../support/journal-bounds.ts";
import type { OpenStore } from "./rig.ts";

let made = 0;
const entry = (changes: Partial<NewEntry> = {}): NewEntry => ({
  ...BY_ITSELF,
  type: "tool_executed",
  workspace: "w",
  subject: "ada",
  data: { n: ++made },
  ...changes,
});
const apiKey = (id: string) => ({
  workspace: "w",
  subject: "ada",
  id,
  name: "k",
  scope: "apps:read" as const,
  createdBy: null,
  createdWith: null,
  createdAt: 0,
  expiresAt: null,
  lastUsedAt: null,
  revokedAt: null,
  hash: "h",
});
const limits = { most: 10, endedBefore: 0 };

const everything: JournalQuery = {
  workspace: "w",
  subject: null,
  shared: true,
  types: null,
  beyond: null,
  order: "oldest first",
  limit: 100,
};

/** What every store promises of its journal. */
export function journalContract(name: string, open: OpenStore): void {
  const all = ({ journal }: Store) => journal.readOn(0, 1000);
  const numbers = (store: Store) => all(store).map(({ seq }) => seq);

  describe(`${name}: the journal`, () => {
    test("an entry comes back as it was written, with a number, an id and a time, also after a restart", async () => {
      await using rig = open();
      const asked = entry({
        by: { method: "api_key", subject: "bob", key: "k1" },
        requestId: "r",
        traceparent: "00-1-2-01",
        data: { deep: [{ "ü\n": null }] },
      });
      expect(rig.store.journal.last()).toBe(0);
      expect(rig.store.journal.first()).toBe(1);
      await rig.store.journal.append([asked, entry({ subject: null })]);
      const [first, second] = all(rig.store);
      expect(first).toEqual({
        ...asked,
        seq: 1,
        id: expect.stringMatching(/^[0-9a-f]{32}$/),
        at: rig.clock.now(),
      });
      expect(second).toMatchObject({ seq: 2, by: null, subject: null });
      expect(second!.id).not.toBe(first!.id);
      const store = await rig.reopen();
      expect(all(store)).toEqual([first!, second!]);
      expect(store.journal.get(1)).toEqual(first!);
      expect(store.journal.get(3)).toBeNull();
      expect(store.journal.last()).toBe(2);
    });

    test("entries are in the order of their commits, whoever wrote them at once", async () => {
      await using rig = open();
      const { journal } = rig.store;
      await Promise.all(
        Array.from({ length: 100 }, (_, n) =>
          journal.append([entry({ data: { n } }), entry({ data: { n } })]),
        ),
      );
      const read = all(rig.store);
      expect(read.map(({ data }) => data["n"])).toEqual(
        Array.from({ length: 200 }, (_, i) => Math.floor(i / 2)),
      );
      expect(read.map(({ seq }) => seq)).toEqual(
        Array.from({ length: 200 }, (_, i) => i + 1),
      );
    });

    test("what was begun has an entry when it has ended, or when the process that began it is gone", async () => {
      await using rig = open();
      const { journal } = rig.store;
      const cut = (n: number) => entry({ data: { cut: n } });
      const [first, second] = await Promise.all([
        journal.begin(cut(1)),
        journal.begin(cut(2)),
        journal.begin(cut(3)),
      ]);
      expect(all(rig.store)).toEqual([]);
      await journal.end(first, [entry({ data: { ended: 1 } })]);
      await journal.end(second, []);
      const data = (store: Store) => all(store).map((one) => one.data);
      expect(data(rig.store)).toEqual([{ ended: 1 }]);
      const store = await rig.reopen();
      expect(data(store)).toEqual([{ ended: 1 }]);
      expect(await store.journal.interrupt()).toBe(1);
      expect(await store.journal.interrupt()).toBe(0);
      expect(data(store)).toEqual([{ ended: 1 }, { cut: 3 }]);
      expect(await store.journal.begin(cut(4))).toBe(4);
    });

    // Demanded: journal-with-cause
    test("a change that is refused leaves no entry, and those committed with it leave exactly one", async () => {
      await using rig = open();
      const { apiKeys, journal } = rig.store;
      const results = await Promise.allSettled([
        apiKeys.create(apiKey("a"), limits, BY_OPERATOR),
        apiKeys.create(apiKey("a"), limits),
        apiKeys.create(apiKey("b"), limits),
        journal.append([entry()]),
      ]);
      expect(results.map(({ status }) => status)).toEqual([
        "fulfilled",
        "rejected",
        "fulfilled",
        "fulfilled",
      ]);
      expect(
        all(rig.store).map(({ type, data, by }) => [
          type,
          data["key"],
          by?.method,
        ]),
      ).toEqual([
        ["key_created", "a", "operator"],
        ["key_created", "b", undefined],
        ["tool_executed", undefined, undefined],
      ]);
    });

    // Demanded: journal-append-only
    test("nobody changes or removes an entry, not even by SQL", async () => {
      await using rig = open();
      await rig.store.journal.append([entry(), entry(), entry()]);
      const before = all(rig.store);
      for (const statement of [
        "UPDATE journal SET data = '{}' WHERE seq = 1",
        "UPDATE journal SET seq = 9 WHERE seq = 3",
        "DELETE FROM journal WHERE seq = 1",
        "DELETE FROM journal",
      ]) {
        expect(() => rig.elsewhere(statement)).toThrow(/append-only/);
      }
      expect(() =>
        rig.elsewhere(
          "INSERT OR REPLACE INTO journal (seq, at, type, workspace, data) VALUES (3, 0, 'x', 'w', '{}')",
        ),
      ).toThrow(/append-only/);
      expect(all(rig.store)).toEqual(before);
      // What is forgotten is no exception for what is left.
      const { forgotten } = await rig.store.journal.prune(
        bounds({ most: 1 }),
        10,
      );
      expect(forgotten).toBe(2);
      expect(() => rig.elsewhere("DELETE FROM journal")).toThrow(/append-only/);
    });

    test("what is too old is forgotten, the oldest first, in slices, and never the newest", async () => {
      await using rig = open();
      const { journal } = rig.store;
      for (let i = 0; i < 5; i++) {
        await journal.append([entry()]);
        rig.clock.advance(100);
      }
      const start = all(rig.store)[0]!.at;
      const prune = async (before: number, limit: number) =>
        (await journal.prune(bounds({ before }), limit)).forgotten;
      expect(await prune(start, 10)).toBe(0);
      expect(await prune(start + 250, 2)).toBe(2);
      expect(numbers(rig.store)).toEqual([3, 4, 5]);
      expect(journal.first()).toBe(3);
      expect(await prune(start + 250, 2)).toBe(1);
      expect(await prune(start + 250, 2)).toBe(0);
      expect(numbers(rig.store)).toEqual([4, 5]);
      expect(await prune(start + 9999, 10)).toBe(1);
      expect(await prune(start + 9999, 10)).toBe(0);
      expect(numbers(rig.store)).toEqual([5]);
    });

    test("what is more than there may be is forgotten, and a number never comes again", async () => {
      await using rig = open();
      await rig.store.journal.append(Array.from({ length: 10 }, () => entry()));
      const prune = (limit: number) =>
        rig.store.journal.prune(bounds({ most: 4 }), limit);
      expect(await prune(3)).toEqual({ forgotten: 3, more: true });
      expect(await prune(30)).toEqual({ forgotten: 3, more: false });
      expect(await prune(30)).toEqual({ forgotten: 0, more: false });
      expect(numbers(rig.store)).toEqual([7, 8, 9, 10]);
      await rig.store.journal.prune(
        bounds({ before: rig.clock.now() + 1 }),
        30,
      );
      const store = await rig.reopen();
      await store.journal.append([entry()]);
      expect(numbers(store)).toEqual([10, 11]);
      expect(store.journal.last()).toBe(11);
    });

    test("a query finds by view, member, type, time and request, from either end, up to a number", async () => {
      await using rig = open();
      const { journal } = rig.store;
      const write = async (changes: Partial<NewEntry>) => {
        await journal.append([entry(changes)]);
        rig.clock.advance(10);
      };
      await write({});
      await write({ subject: "bob", requestId: "r" });
      await write({ subject: null, type: "server_registered" });
      await write({ workspace: "other", requestId: "r" });
      await write({ type: "session_opened" });
      await write({ subject: "bob", type: "session_opened" });
      const start = all(rig.store)[0]!.at;
      const found = (changes: Partial<JournalQuery>) =>
        journal.query({ ...everything, ...changes }).map(({ seq }) => seq);
      const ada = { subject: "ada", shared: false };

      expect(found({})).toEqual([1, 2, 3, 5, 6]);
      expect(found({ order: "newest first" })).toEqual([6, 5, 3, 2, 1]);
      expect(found({ workspace: "other" })).toEqual([4]);
      expect(found({ workspace: "none" })).toEqual([]);
      expect(found(ada)).toEqual([1, 5]);
      expect(found({ ...ada, shared: true })).toEqual([1, 3, 5]);
      expect(found({ of: "bob" })).toEqual([2, 6]);
      expect(found({ ...ada, shared: true, of: "bob" })).toEqual([]);
      expect(found({ types: ["session_opened"] })).toEqual([5, 6]);
      expect(found({ types: ["session_opened", "server_registered"] })).toEqual(
        [3, 5, 6],
      );
      expect(found({ requestId: "r" })).toEqual([2]);
      expect(found({ since: start + 10, until: start + 40 })).toEqual([2, 3]);
      expect(found({ limit: 2 })).toEqual([1, 2]);
      expect(found({ limit: 2, order: "newest first" })).toEqual([6, 5]);
      expect(found({ beyond: 2 })).toEqual([3, 5, 6]);
      expect(found({ beyond: 2, upTo: 5 })).toEqual([3, 5]);
      const back = { order: "newest first", beyond: 5 } as const;
      expect(found(back)).toEqual([3, 2, 1]);
      expect(found({ ...back, upTo: 2 })).toEqual([3, 2]);
      expect(found({ ...back, ...ada, shared: true, upTo: 2 })).toEqual([3]);
    });

    test("who goes with the journal is told once for each commit that has brought something, and of no other", async () => {
      await using rig = open();
      const { journal, apiKeys } = rig.store;
      let told = 0;
      journal.onAppend(() => {
        // What it is told of is there to be read.
        expect(journal.last()).toBeGreaterThan(0);
        told++;
      });
      await Promise.all([
        journal.append([entry(), entry()]),
        apiKeys.create(apiKey("a"), limits),
      ]);
      expect(told).toBe(1);
      await journal.append([]);
      await apiKeys.used("a", 5);
      expect(told).toBe(1);
      await Promise.allSettled([apiKeys.create(apiKey("a"), limits)]);
      await apiKeys.used("a", 6);
      expect(told).toBe(1);
      await journal.append([entry()]);
      expect(told).toBe(2);
    });

    test("what another process has written is read on like the rest", async () => {
      await using rig = open();
      const { journal } = rig.store;
      await journal.append([entry()]);
      rig.elsewhere(
        `INSERT INTO journal (at, type, workspace, data) VALUES (5, 'server_removed', 'w2', '{"server":"s"}')`,
      );
      await journal.append([entry()]);
      expect(journal.readOn(1, 10).map(({ seq, type }) => [seq, type])).toEqual(
        [
          [2, "server_removed"],
          [3, "tool_executed"],
        ],
      );
      expect(journal.readOn(0, 1)).toHaveLength(1);
      expect(journal.readOn(3, 10)).toEqual([]);
    });
  });
}
