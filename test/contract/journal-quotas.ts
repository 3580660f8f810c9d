import { describe, expect, test } from "bun:test";
import type { EventType, NewEntry } from "../../src/core/journal.ts";
import { BY_ITSELF } from "../../src/core/journal.ts";
import type { Store } from "../../src/core/store.ts";
import { bounds } from "../support/journal-bounds.ts";
import type { OpenStore } from "./rig.ts";

const by = (subject: string): NewEntry["by"] => ({
  method: "membrane",
  subject,
  key: null,
});
const called = (
  subject: string,
  changes: Partial<NewEntry> = {},
): NewEntry => ({
  ...BY_ITSELF,
  by: by(subject),
  type: "tool_executed",
  workspace: "w",
  subject,
  data: {},
  ...changes,
});
const done = (subject: string, changes: Partial<NewEntry> = {}): NewEntry =>
  called(subject, { type: "server_changed", subject: null, ...changes });
const times = <T>(n: number, value: T): T[] => Array<T>(n).fill(value);
const last = called("nobody", { workspace: "last" });

/** What every store promises of a journal that somebody fills. */
export function journalQuotaContract(name: string, open: OpenStore): void {
  const all = ({ journal }: Store) => journal.readOn(0, 100_000);
  /** How many are left of each, named by who did them. */
  const left = (store: Store) =>
    Object.fromEntries(
      Object.entries(
        Object.groupBy(
          all(store).filter(({ workspace }) => workspace !== "last"),
          (entry) => `${entry.workspace} ${entry.by?.subject} ${entry.type}`,
        ),
      ).map(([key, of]) => [key, of!.length]),
    );
  async function pruneAll(
    { journal }: Store,
    of: Parameters<typeof bounds>[0],
    limit = 100,
  ): Promise<number> {
    let forgotten = 0;
    for (;;) {
      const part = await journal.prune(bounds(of), limit);
      forgotten += part.forgotten;
      if (!part.more) return forgotten;
    }
  }

  describe(`${name}: a journal that somebody fills`, () => {
    test("costs them their own oldest entries: others keep theirs, and what administrators did stays", async () => {
      await using rig = open();
      const { journal } = rig.store;
      await journal.append([
        ...times(20, called("ada")),
        ...times(5, done("admin")),
        // One who administers and floods.
        ...times(5, done("mallory")),
        called("mallory", { type: "key_created" }),
      ]);
      for (let i = 0; i < 10; i++) {
        await journal.append(
          times(100, called("mallory", { data: { round: i } })),
        );
      }
      await journal.append([last]);
      expect(await pruneAll(rig.store, { most: 200 })).toBe(1021 - 200);
      expect(left(rig.store)).toEqual({
        "w ada tool_executed": 20,
        "w admin server_changed": 5,
        "w mallory server_changed": 5,
        "w mallory key_created": 1,
        "w mallory tool_executed": 179,
      });
      const rounds = all(rig.store)
        .filter(
          ({ type, subject }) =>
            type === "tool_executed" && subject === "mallory",
        )
        .map(({ data }) => data["round"]);
      expect(rounds[0]).toBe(8);
      expect(rounds.at(-1)).toBe(9);
    });

    test("those who fill it as much as each other lose as much", async () => {
      await using rig = open();
      const who = ["a", "b", "c", "d"];
      for (let i = 0; i < 100; i++) {
        await rig.store.journal.append(who.map((subject) => called(subject)));
      }
      await rig.store.journal.append([...times(3, called("e")), last]);
      await pruneAll(rig.store, { most: 204 }, 1000);
      const counts = left(rig.store);
      expect(counts["w e tool_executed"]).toBe(3);
      const shares = who.map(
        (subject) => counts[`w ${subject} tool_executed`]!,
      );
      expect(shares.reduce((sum, n) => sum + n)).toBe(200);
      expect(Math.min(...shares)).toBeGreaterThanOrEqual(40);
      expect(Math.max(...shares)).toBeLessThanOrEqual(60);
    });

    test("a workspace of many members gives before one of few", async () => {
      await using rig = open();
      const { journal } = rig.store;
      await journal.append(times(50, called("ada", { workspace: "small" })));
      await journal.append(
        Array.from({ length: 500 }, (_, n) => called(`member ${n}`)),
      );
      await journal.append([last]);
      await pruneAll(rig.store, { most: 111 });
      const counts = left(rig.store);
      expect(counts["small ada tool_executed"]).toBe(50);
      expect(all(rig.store)).toHaveLength(111);
    });

    test("what administrators did is bounded by itself: by time, by number, whoever did most first", async () => {
      await using rig = open();
      const { journal } = rig.store;
      await journal.append(times(5, done("admin")));
      rig.clock.advance(1000);
      await journal.append([
        ...times(30, called("ada")),
        ...times(3, done("admin")),
        ...times(200, called("ada", { type: "member_connected" })),
        last,
      ]);
      const at = rig.clock.now();
      const kept = { before: at, most: 1000 };
      expect(await pruneAll(rig.store, { most: 100, kept })).toBe(5);
      await pruneAll(rig.store, { most: 100, kept: { most: 50 } });
      expect(left(rig.store)).toEqual({
        "w admin server_changed": 3,
        "w ada tool_executed": 30,
        "w ada member_connected": 47,
      });
      expect(
        await pruneAll(rig.store, { before: at + 1, kept: { before: 0 } }),
      ).toBe(30);
      expect(left(rig.store)).toEqual({
        "w admin server_changed": 3,
        "w ada member_connected": 47,
      });
    });

    test("is bounded in bytes, by the same rule", async () => {
      await using rig = open();
      const { journal } = rig.store;
      const large = { data: { result: "😀".repeat(25_000) } };
      await journal.append(times(10, called("ada", large)));
      await journal.append(times(300, called("ben")));
      for (let i = 0; i < 10; i++) {
        await journal.append(times(10, called("mallory", large)));
      }
      await journal.append([last]);
      await pruneAll(rig.store, { most: 10_000, bytes: 4_000_000 });
      const counts = left(rig.store);
      expect(counts["w ada tool_executed"]).toBe(10);
      expect(counts["w ben tool_executed"]).toBe(300);
      const bytes = all(rig.store).reduce(
        (sum, { data }) => sum + Buffer.byteLength(JSON.stringify(data)),
        0,
      );
      expect(bytes).toBeLessThanOrEqual(4_000_000);
      expect(bytes).toBeGreaterThan(3_500_000);
    });

    test("is pruned alike after a restart, with other bounds, and beside what others write", async () => {
      await using rig = open();
      await rig.store.journal.append(times(90, called("mallory")));
      await pruneAll(rig.store, { most: 80 });
      const store = await rig.reopen();
      rig.elsewhere(
        "INSERT INTO journal (at, type, workspace, subject, data) VALUES (5, 'tool_executed', 'w', 'ada', '{}')",
      );
      await store.journal.append([...times(10, called("mallory")), last]);
      await pruneAll(store, { most: 50, bytes: 3_333_333 });
      expect(left(store)).toEqual({
        "w undefined tool_executed": 1,
        "w mallory tool_executed": 48,
      });
      await pruneAll(store, { most: 20 });
      expect(all(store)).toHaveLength(20);
    });

    test("what is between two entries that are gone is still there, in its order, for everyone who reads on", async () => {
      await using rig = open();
      const { journal } = rig.store;
      for (let i = 0; i < 20; i++) {
        await journal.append([...times(9, called("mallory")), done("admin")]);
      }
      await journal.append([last]);
      await pruneAll(rig.store, { most: 2, kept: { most: 100 } });
      const kept = Array.from({ length: 20 }, (_, i) => 10 * (i + 1));
      const seqs = all(rig.store).map(({ seq }) => seq);
      // Of the flood the newest, and the newest of all.
      expect(seqs).toEqual([...kept.slice(0, -1), 199, 200, 201]);
      expect(journal.readOn(35, 2).map(({ seq }) => seq)).toEqual([40, 50]);
      expect(journal.first()).toBe(10);
      expect([journal.next(10), journal.next(11), journal.next(201)]).toEqual([
        20, 20, 202,
      ]);
      expect([journal.previous(20), journal.previous(10)]).toEqual([10, 0]);
      expect(() => rig.elsewhere("DELETE FROM journal WHERE seq = 10")).toThrow(
        /append-only/,
      );
      expect(() =>
        rig.elsewhere(
          "INSERT INTO journal (seq, at, type, workspace, data) VALUES (11, 0, 'x', 'w', '{}')",
        ),
      ).toThrow(/append-only/);
    });

    test("says to each reader what is gone that they could have read, and no more", async () => {
      await using rig = open();
      const { journal } = rig.store;
      const odd = 'ö"\\/\n\u0001\u2028😀';
      const of = (subject: string | null, types: EventType[] | null = null) =>
        journal.lost({ workspace: "w", subject, shared: true }, types);
      await journal.append([
        called("ada"),
        ...times(8, called(odd)),
        ...times(4, done("admin")),
        called("ben"),
        last,
      ]);
      expect(of(null)).toBe(0);
      await pruneAll(rig.store, { most: 6, kept: { most: 100 } });
      expect(left(rig.store)[`w ${odd} tool_executed`]).toBe(3);
      expect([of(odd), of(null)]).toEqual([6, 6]);
      expect([of("ada"), of("ben"), of("stranger")]).toEqual([0, 0, 0]);
      expect(of(null, ["session_opened", "server_changed"])).toBe(6);
      expect(of(null, ["server_changed"])).toBe(0);
      await pruneAll(rig.store, { most: 6, kept: { most: 1 } });
      expect([of("ada"), of(null), of("ada", ["tool_executed"])]).toEqual([
        12, 12, 0,
      ]);
      // With nothing left of a member, it is remembered of all of them, and then of all workspaces.
      await pruneAll(rig.store, { before: Infinity, kept: { before: 0 } });
      expect([of("ada", ["tool_executed"]), of(odd)]).toEqual([14, 14]);
      const store = await rig.reopen();
      expect(
        store.journal.lost(
          { workspace: "x", subject: "y", shared: true },
          null,
        ),
      ).toBe(14);
    });
  });
}
