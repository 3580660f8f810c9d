import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import { createPace } from "../../../../src/gateway/limits/pace.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** What was done, and a key's way to have it done. */
function rig() {
  const pace = createPace(1000);
  const done: string[] = [];
  const run = (key: string, what: string) =>
    pace.run(key, () => void done.push(`${key} ${what}`));
  return { pace, done, run };
}

test("the first is done at once, and of a storm the last when the time is over", () => {
  const { done, run } = rig();
  for (let n = 0; n < 10_000; n++) run("a", String(n));
  expect(done).toEqual(["a 0"]);
  jest.advanceTimersByTime(999);
  expect(done).toHaveLength(1);
  jest.advanceTimersByTime(1);
  expect(done).toEqual(["a 0", "a 9999"]);
  // What came last counts too.
  run("a", "soon after");
  expect(done).toHaveLength(2);
  jest.advanceTimersByTime(1000);
  expect(done.at(-1)).toBe("a soon after");
  jest.advanceTimersByTime(5000);
  run("a", "much later");
  expect(done).toHaveLength(4);
});

test("keys do not wait for each other", () => {
  const { done, run } = rig();
  run("a", "1");
  run("b", "1");
  run("a", "2");
  expect(done).toEqual(["a 1", "b 1"]);
});

test("what waits can be done now, and is not done again", () => {
  const { pace, done, run } = rig();
  run("a", "1");
  run("a", "2");
  run("b", "1");
  pace.flush();
  expect(done).toEqual(["a 1", "b 1", "a 2"]);
  jest.advanceTimersByTime(5000);
  pace.flush();
  expect(done).toHaveLength(3);
});

test("work that throws does not keep the next from being done", () => {
  const { pace, done, run } = rig();
  expect(() =>
    pace.run("a", () => {
      throw new Error("no");
    }),
  ).toThrow("no");
  run("a", "2");
  jest.advanceTimersByTime(1000);
  expect(done).toEqual(["a 2"]);
});
