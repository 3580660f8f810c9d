import { describe, expect, test } from "bun:test";
import type { RunningCall, StreamRef } from "../../src/core/event.ts";
import type { Store } from "../../src/core/store.ts";
import { openSession } from "../support/openings.ts";
import type { OpenStore } from "./rig.ts";

/** What every store promises of events. */
export function eventLogContract(name: string, open: OpenStore): void {
  function newCall(store: Store, own: StreamRef, requestId = "1"): RunningCall {
    const streamId = store.events.nextStream();
    return { sessionPk: own.sessionPk, streamId, callId: streamId, requestId };
  }
  const data = (events: { data: string }[]) =>
    events.map((event) => event.data);

  describe(`${name}: events`, () => {
    test("a call answered before its commit is done, with its messages in order", async () => {
      await using rig = open();
      const { events } = rig.store;
      const call = newCall(rig.store, await openSession(rig.store));
      const recorded = await events.record(call, () => ({
        messages: ["progress", "answer"],
        answered: true,
      }));
      expect(recorded).toEqual({
        answered: true,
        events: [
          { seq: 1, data: "progress" },
          { seq: 2, data: "answer" },
        ],
      });
      expect(events.state(call)).toBe("done");
      expect(data(events.read(call, 0, 10))).toEqual(["progress", "answer"]);
      expect(data(events.read(call, 1, 10))).toEqual(["answer"]);
    });

    test("a running call is on record until it is finished", async () => {
      await using rig = open();
      const { events } = rig.store;
      const call = newCall(rig.store, await openSession(rig.store));
      await events.record(call, () => ({ messages: [], answered: false }));
      expect(events.state(call)).toBe("running");
      expect(await events.append(call, "note")).toBe(1);
      expect(await events.finish(call, "answer")).toBe(2);
      expect(events.state(call)).toBe("done");
      expect(data(events.read(call, 0, 10))).toEqual(["note", "answer"]);
    });

    test("a cancelled call is done, and leaves nothing on record", async () => {
      await using rig = open();
      const { events } = rig.store;
      const call = newCall(rig.store, await openSession(rig.store));
      await events.record(call, () => ({ messages: [], answered: false }));
      expect(await events.finish(call, null)).toBeNull();
      expect(events.state(call)).toBe("done");
      expect(events.read(call, 0, 10)).toEqual([]);
      const other = { ...call, sessionPk: call.sessionPk + 1 };
      expect(events.state(other)).toBe("unknown");
      const { events: reopened } = await rig.reopen();
      expect(await reopened.interrupt(() => "cut")).toBe(0);
      expect(reopened.state(call)).toBe("unknown");
    });

    test("a restart answers each running call once, and no other", async () => {
      await using rig = open();
      const own = await openSession(rig.store);
      const [fast, slow] = [
        newCall(rig.store, own),
        newCall(rig.store, own, '"x"'),
      ];
      await rig.store.events.record(fast, () => ({
        messages: ["answer"],
        answered: true,
      }));
      await rig.store.events.record(slow, () => ({
        messages: ["note"],
        answered: false,
      }));
      const store = await rig.reopen();
      const interrupt = () => store.events.interrupt((id) => `cut ${id}`);
      expect(await interrupt()).toBe(1);
      expect(await interrupt()).toBe(0);
      expect(store.events.state(slow)).toBe("done");
      expect(data(store.events.read(slow, 0, 10))).toEqual(["note", 'cut "x"']);
      expect(data(store.events.read(fast, 0, 10))).toEqual(["answer"]);
    });

    test("events are found under their own session only", async () => {
      await using rig = open();
      const { events } = rig.store;
      const [mine, theirs] = [
        await openSession(rig.store),
        await openSession(rig.store),
      ];
      const call = newCall(rig.store, mine);
      await events.record(call, () => ({ messages: ["a"], answered: true }));
      const stolen = { sessionPk: theirs.sessionPk, streamId: call.streamId };
      expect(events.read(stolen, 0, 10)).toEqual([]);
      expect(events.state(stolen)).toBe("unknown");
      expect(events.last(stolen)).toBe(0);
      expect(events.firstAfter(stolen, 0)).toBeNull();
    });

    test("nothing is written to a session that has ended", async () => {
      await using rig = open();
      const { events, sessions } = rig.store;
      const own = await openSession(rig.store);
      const call = newCall(rig.store, own);
      await sessions.end(own.sessionPk);
      expect(await events.append(own, "late")).toBeNull();
      expect(
        events.record(call, () => ({ messages: ["a"], answered: true })),
      ).rejects.toThrow("Session not found");
      expect(events.read(own, 0, 10)).toEqual([]);
    });

    test("numbers of streams never come again, not even after a restart", async () => {
      await using rig = open();
      const before = [
        rig.store.events.nextStream(),
        rig.store.events.nextStream(),
      ];
      const store = await rig.reopen();
      const after = store.events.nextStream();
      expect(before[1]).toBeGreaterThan(before[0]!);
      expect(after).toBeGreaterThan(before[1]!);
    });

    test("appends of one turn keep their order and are numbered without a gap", async () => {
      await using rig = open();
      const own = await openSession(rig.store);
      const texts = Array.from({ length: 60 }, (_, i) => `n${i}`);
      const numbers = await Promise.all(
        texts.map((text) => rig.store.events.append(own, text)),
      );
      expect(numbers).toEqual(texts.map((_, i) => i + 1));
      expect(data(rig.store.events.read(own, 0, 500))).toEqual(texts);
    });

    test("old events go, in slices, but the newest of an open stream stays so that its number does not come again", async () => {
      await using rig = open();
      const { events } = rig.store;
      const own = await openSession(rig.store);
      const call = newCall(rig.store, own);
      for (const text of ["a", "b", "c"]) await events.append(own, text);
      await events.record(call, () => ({ messages: ["x"], answered: true }));
      rig.clock.advance(1000);
      const before = rig.clock.now();
      const late = newCall(rig.store, own);
      await events.record(late, () => ({ messages: ["y"], answered: true }));
      expect(await events.prune(before, 2)).toBe(2);
      expect(await events.prune(before, 2)).toBe(1);
      expect(await events.prune(before, 2)).toBe(0);
      expect(events.state(call)).toBe("unknown");
      expect(data(events.read(late, 0, 10))).toEqual(["y"]);
      expect(events.read(own, 0, 10)).toEqual([{ seq: 3, data: "c" }]);
      expect(await events.append(own, "d")).toBe(4);
      expect(events.firstAfter(own, 1)).toBe(3);
    });

    test("a session over its caps (20 events, 100,000 bytes) loses its oldest events, and only it does", async () => {
      await using rig = open();
      const { events } = rig.store;
      const [greedy, modest] = [
        await openSession(rig.store),
        await openSession(rig.store),
      ];
      await events.append(modest, "kept");
      for (let i = 1; i <= 20; i++) await events.append(greedy, `n${i}`);
      expect(events.read(greedy, 0, 100)).toHaveLength(20);
      rig.clock.advance(60_000);
      for (let i = 21; i <= 100; i++) {
        await events.append(greedy, `n${i}`);
        rig.clock.advance(60_000);
      }
      const left = events.read(greedy, 0, 100);
      expect(left.length).toBeLessThanOrEqual(22);
      expect(left.length).toBeGreaterThanOrEqual(17);
      expect(left.at(-1)).toEqual({ seq: 100, data: "n100" });
      expect(data(events.read(modest, 0, 10))).toEqual(["kept"]);
      // One that is too large by itself is all that is left.
      await events.append(greedy, "x".repeat(200_000));
      expect(events.read(greedy, 0, 10).map(({ seq }) => seq)).toEqual([101]);
    });

    test.each([
      ["ASCII", "x".repeat(10_000)],
      ["what is longer in bytes than in characters", "😀ü".repeat(1667)],
    ])(
      "a session keeps as much of %s however long it writes",
      async (_, text) => {
        await using rig = open();
        const { events } = rig.store;
        const own = await openSession(rig.store);
        const kept = async () => {
          for (let i = 0; i < 100; i++) {
            await events.append(own, text);
            rig.clock.advance(60_000);
          }
          const { length } = events.read(own, 0, 100);
          return length * Buffer.byteLength(text);
        };
        for (let round = 0; round < 4; round++) {
          const bytes = await kept();
          expect(bytes).toBeLessThanOrEqual(120_000);
          expect(bytes).toBeGreaterThan(70_000);
        }
      },
    );

    test("what is being read stays until it is", async () => {
      await using rig = open();
      const { events } = rig.store;
      const own = await openSession(rig.store);
      const call = newCall(rig.store, own);
      rig.store.readBy(() => [call.streamId]);
      const answer = () => ({ messages: ["a"], answered: true });
      await events.record(call, answer);
      const flood = async () => {
        for (let i = 0; i < 300; i++) {
          await events.record(newCall(rig.store, own), answer);
        }
      };
      await flood();
      expect(events.read(call, 0, 9)).toHaveLength(1);
      rig.store.readBy(() => []);
      await flood();
      expect(events.read(call, 0, 9)).toHaveLength(0);
    });

    test("what may not have been read yet stays, up to four times the caps, and the newest always", async () => {
      await using rig = open();
      const { events } = rig.store;
      const own = await openSession(rig.store);
      const calls = Array.from({ length: 60 }, () => newCall(rig.store, own));
      for (const call of calls) {
        await events.record(call, () => ({ messages: ["a"], answered: true }));
      }
      for (const call of calls) expect(events.read(call, 0, 9)).toHaveLength(1);
      const flood = Array.from({ length: 2000 }, () => newCall(rig.store, own));
      await Promise.all(
        flood.map((call) =>
          events.record(call, () => ({ messages: ["b"], answered: true })),
        ),
      );
      const kept = flood.filter((call) => events.read(call, 0, 9).length > 0);
      expect(kept.length).toBeLessThanOrEqual(84);
      expect(kept.at(-1)).toBe(flood.at(-1)!);
    });
  });
}
