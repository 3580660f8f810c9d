import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import { createSlowDown } from "../../../src/http/slow-down.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

test("who is limited waits for 100 ms, unless a thousand do already", async () => {
  const slowDown = createSlowDown();
  let over = 0;
  for (let n = 0; n < 1000; n++) void slowDown()!.then(() => over++);
  expect(slowDown()).toBeNull();
  jest.advanceTimersByTime(99);
  await Promise.resolve();
  expect(over).toBe(0);
  jest.advanceTimersByTime(1);
  await Promise.resolve();
  expect(over).toBe(1000);
  expect(slowDown()).not.toBeNull();
});
