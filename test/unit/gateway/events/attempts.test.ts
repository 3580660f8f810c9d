import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import type { OutboundFetch } from "../../../../src/core/runtime.ts";
import { noTelemetry } from "../../../../src/core/telemetry.ts";
import type { Webhook } from "../../../../src/core/webhook.ts";
import { createSend } from "../../../../src/gateway/events/attempts.ts";
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
