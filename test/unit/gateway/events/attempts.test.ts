import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import type { OutboundFetch } from "../../../../src/core/runtime.ts";
import { noTelemetry } from "../../../../src/core/telemetry.ts";
import type { Webhook } from "../../../../src/core/webhook.ts";
import {
  createSend,
  readRetryAfter,
} from "../../../../src/gateway/events/attempts.ts";
import { fakeClock } from "../../../support/clock.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

// Demanded: webhooks-schedule
test("a receiver has fifteen seconds for all of its answer", async () => {
  const hangs: OutboundFetch = (_, { signal } = {}) =>
    new Promise((_resolve, reject) => {
      signal!.addEventListener("abort", () => reject(signal!.reason));
    });
  const send = createSend({
    outbound: hangs,
    secretsOf: () => [Buffer.alloc(32)],
    clock: fakeClock(),
    telemetry: noTelemetry,
  });
  const message = { id: "evt_1", body: "{}", traceparent: null, attempts: 0 };
  let over = false;
  const tried = send(
    { url: "https://hooks.example/" } as Webhook,
    message,
    new AbortController().signal,
  ).finally(() => (over = true));
  jest.advanceTimersByTime(14_999);
  await Promise.resolve();
  expect(over).toBe(false);
  jest.advanceTimersByTime(1);
  expect(await tried).toMatchObject({ status: null, error: "timeout" });
});

test.each([
  ["3", 3000],
  [" 3 ", 3000],
  ["86401", 86_400_000],
  // As long as it may be, not as if it were not there.
  ["9".repeat(14), 86_400_000],
  ["9".repeat(400), 86_400_000],
  ["Wed, 21 Oct 2099 07:28:00 GMT", 86_400_000],
  ["Thu, 01 Jan 2026 00:00:09 GMT", 9000],
  ["Thu, 01 Jan 2026 00:00:00 GMT", null],
  ["0", null],
  ["-5", null],
  ["soon", null],
  ["", null],
])("Retry-After %j is %p ms", (header, ms) => {
  expect(readRetryAfter(header, Date.UTC(2026))).toBe(ms);
});
