import { describe, expect, test } from "bun:test";
import {
  createBuckets,
  createSharedBuckets,
} from "../../../../src/gateway/limits/bucket.ts";
import { fakeClock } from "../../../support/clock.ts";

/** How many of so many tries were let in. */
function flood(tries: number, take: () => number): number {
  let taken = 0;
  for (let n = 0; n < tries; n++) if (take() === 0) taken++;
  return taken;
}

describe("a bucket of one's own", () => {
  test("gives the burst at once, then as many as flow in, and never more than the burst", () => {
    const clock = fakeClock();
    const buckets = createBuckets(clock, { perSecond: 10, burst: 30 });
    const take = () => buckets.take("ada", 1);
    expect(flood(100, take)).toBe(30);
    clock.advance(500);
    expect(flood(100, take)).toBe(5);
    clock.advance(3_600_000);
    expect(flood(100, take)).toBe(30);
  });

  test("says to the millisecond when the next one is let in", () => {
    const clock = fakeClock();
    const buckets = createBuckets(clock, { perSecond: 3, burst: 1 });
    expect(buckets.take("ada", 1)).toBe(0);
    const waitMs = buckets.take("ada", 1);
    expect(waitMs).toBe(334);
    clock.advance(waitMs - 1);
    expect(buckets.take("ada", 1)).toBeGreaterThan(0);
    clock.advance(1);
    expect(buckets.take("ada", 1)).toBe(0);
  });

  test("what is refused is not counted", () => {
    const clock = fakeClock();
    const buckets = createBuckets(clock, { perSecond: 1, burst: 1 });
    const take = () => buckets.take("ada", 1);
    take();
    expect(flood(1000, take)).toBe(0);
    clock.advance(1000);
    expect(flood(1000, take)).toBe(1);
  });

  test("more than the burst is let in when it is full, and paid for later", () => {
    const clock = fakeClock();
    const buckets = createBuckets(clock, { perSecond: 1, burst: 10 });
    expect(buckets.take("ada", 40)).toBe(0);
    clock.advance(30_000);
    expect(buckets.take("ada", 1)).toBe(1000);
    clock.advance(1000);
    expect(buckets.take("ada", 1)).toBe(0);
    expect(buckets.take("ada", 40)).toBe(10_000);
  });

  test("one who is forgotten among very many begins anew, and nobody else does", () => {
    const clock = fakeClock();
    const buckets = createBuckets(clock, { perSecond: 1, burst: 1 });
    expect(buckets.take("first", 1)).toBe(0);
    for (let n = 0; n < 9999; n++) buckets.take(`user-${n}`, 1);
    expect(buckets.take("first", 1)).toBeGreaterThan(0);
    for (let n = 0; n < 10_000; n++) buckets.take(`other-${n}`, 1);
    expect(buckets.take("first", 1)).toBe(0);
    expect(buckets.take("other-9999", 1)).toBeGreaterThan(0);
  });
});

describe("a bucket that is shared", () => {
  function rig(perSecond: number) {
    const clock = fakeClock();
    const buckets = createSharedBuckets(clock, {
      perSecond,
      burst: perSecond,
    });
    return { clock, take: (who: string) => buckets.take("server", who, 1) };
  }

  test("is all for who is alone", () => {
    const { clock, take } = rig(10);
    expect(flood(100, () => take("ada"))).toBe(10);
    clock.advance(10_000);
    expect(flood(100, () => take("ada"))).toBe(10);
  });

  test("who comes to an empty one is let in, and who has emptied it waits", () => {
    const { take } = rig(10);
    flood(1000, () => take("ada"));
    expect(take("ada")).toBeGreaterThan(0);
    expect(flood(5, () => take("bob"))).toBe(5);
    expect(take("ada")).toBeGreaterThan(0);
  });

  test("one who floods takes nothing from one who asks for less than an equal share", () => {
    const { clock, take } = rig(10);
    let flooding = 0;
    let refused = 0;
    for (let ms = 0; ms < 60_000; ms += 10) {
      clock.advance(10);
      flooding += flood(20, () => take("ada"));
      // Four a second, of ten among two.
      if (ms % 250 === 0 && take("bob") > 0) refused++;
    }
    expect(refused).toBe(0);
    // What bob leaves, and the burst at the beginning.
    expect(flooding).toBeGreaterThanOrEqual(355);
    expect(flooding).toBeLessThanOrEqual(375);
  });

  test("all together get no more than flows in, and one burst that newcomers may owe", () => {
    const { clock, take } = rig(100);
    let taken = 0;
    for (let second = 0; second < 60; second++) {
      for (let n = 0; n < 300; n++) {
        if (take(`user-${second}-${n}`) === 0) taken++;
      }
      clock.advance(1000);
    }
    expect(taken).toBeGreaterThanOrEqual(60 * 100);
    expect(taken).toBeLessThanOrEqual(60 * 100 + 200);
  });

  test("says when to come back, and it is so", () => {
    const { clock, take } = rig(2);
    flood(100, () => take("ada"));
    flood(100, () => take("bob"));
    const waitMs = take("bob");
    expect(waitMs).toBeGreaterThan(0);
    clock.advance(waitMs - 1);
    expect(take("bob")).toBeGreaterThan(0);
    clock.advance(1);
    expect(take("bob")).toBe(0);
  });

  test("one who has gone leaves the whole of it to the others", () => {
    const { clock, take } = rig(10);
    take("ada");
    flood(100, () => take("bob"));
    for (let n = 0; n < 20; n++) {
      clock.advance(1000);
      take("bob");
    }
    clock.advance(1000);
    expect(flood(100, () => take("bob"))).toBe(10);
  });

  test("another bucket is another", () => {
    const clock = fakeClock();
    const buckets = createSharedBuckets(clock, { perSecond: 1, burst: 1 });
    expect(buckets.take("one", "ada", 1)).toBe(0);
    expect(buckets.take("one", "ada", 1)).toBeGreaterThan(0);
    expect(buckets.take("two", "ada", 1)).toBe(0);
  });
});
