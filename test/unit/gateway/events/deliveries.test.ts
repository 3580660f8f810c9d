import { describe, expect, test } from "bun:test";
import { readRetryAfter } from "../../../../src/gateway/events/attempts.ts";
import { judge } from "../../../../src/gateway/events/deliveries.ts";

const DAY = 24 * 3_600_000;
const NOW = 1_800_000_000_000;
const webhook = { failingSince: null };
const tried = (status: number | null, retryAfterMs: number | null = null) => ({
  at: NOW,
  ms: 5,
  status,
  error: status === 200 ? null : "status",
  retryAfterMs,
});
/** Seconds until the next attempt. */
const secondsLeft = (
  attempts: number,
  chance = 0.5,
  after: number | null = null,
) =>
  (judge(webhook, tried(500, after), attempts, NOW, chance).dueAt! - NOW) /
  1000;

describe("after an attempt", () => {
  test("the waits are those of the schedule, a fifth more or less by chance", () => {
    const schedule = [5, 300, 1800, 7200, 18_000, 36_000, 36_000];
    expect(schedule.map((_, n) => secondsLeft(n + 1))).toEqual(schedule);
    expect(schedule.map((_, n) => secondsLeft(n + 1, 0))).toEqual(
      schedule.map((seconds) => seconds * 0.8),
    );
    expect(schedule.map((_, n) => secondsLeft(n + 1, 1))).toEqual(
      schedule.map((seconds) => seconds * 1.2),
    );
    expect(judge(webhook, tried(500), 8, NOW, 0.5).state).toBe("dead");
  });

  test("what the receiver asks for counts when it is longer", () => {
    expect(secondsLeft(1, 0.5, 60_000)).toBe(60);
    expect(secondsLeft(2, 0.5, 60_000)).toBe(300);
  });

  test("failing counts from the first failure on, and ends after five days", () => {
    const since = NOW - 5 * DAY;
    const judged = (failingSince: number | null, status = 500) =>
      judge({ failingSince }, tried(status), 1, NOW, 0.5);
    expect(judged(null)).toMatchObject({ failingSince: NOW, disable: null });
    expect(judged(since + 1)).toMatchObject({
      failingSince: since + 1,
      disable: null,
    });
    expect(judged(since)).toMatchObject({
      state: "pending",
      disable: "failing",
    });
    expect(judged(since, 200)).toEqual({
      state: "delivered",
      dueAt: null,
      failingSince: null,
      disable: null,
    });
    expect(judged(null, 410)).toMatchObject({
      state: "pending",
      dueAt: null,
      disable: "gone",
    });
  });
});

test.each([
  ["120", 120_000],
  [" 5 ", 5000],
  [new Date(NOW + 90_000).toUTCString(), 90_000],
  ["99999999", DAY],
  ["0", null],
  ["-5", null],
  [new Date(NOW - 90_000).toUTCString(), null],
  ["soon", null],
  ["", null],
  [null, null],
])("Retry-After: %p is %p ms", (header, expected) => {
  expect(readRetryAfter(header, NOW)).toBe(expected);
});
