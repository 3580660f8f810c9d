import { expect, test } from "bun:test";
import { GatewayError } from "../../../src/core/errors.ts";
import type { NewEntry } from "../../../src/core/journal.ts";
import { BY_ITSELF } from "../../../src/core/journal.ts";
import { noTelemetry } from "../../../src/core/telemetry.ts";
import { createCalls } from "../../../src/mcp/calls.ts";
import { createObservation } from "../../../src/mcp/observation.ts";
import { fakeClock, silentLog } from "../../support/clock.ts";

test("a call that ran while its session ended is in the journal all the same", async () => {
  const clock = fakeClock();
  const written: NewEntry[] = [];
  const gone = new GatewayError("not_found", "Session not found");
  const calls = createCalls({
    events: { record: () => Promise.reject(gone) } as never,
    journal: {
      begin: () => Promise.reject(gone),
      end: () => Promise.reject(gone),
      append: async (entries) => void written.push(...entries),
    },
    sessions: {} as never,
    streams: {} as never,
    asks: { create: () => null } as never,
    admission: {
      enter: () => ({ ready: null, leave() {} }),
      requireRoom() {},
    },
    observation: createObservation(noTelemetry, clock),
    clock,
    log: silentLog,
    enabled() {},
    progressMs: 1000,
  });
  const entry: NewEntry = {
    ...BY_ITSELF,
    type: "tool_executed",
    workspace: "w1",
    subject: "ada",
    data: { tool: "lab_echo" },
  };
  const who = { workspace: "w1", subject: "ada" };
  const started = calls.onStream(
    {
      session: { pk: 1, id: "s1", protocolVersion: "2025-06-18" } as never,
      customer: { principal: who, view: {} } as never,
      request: { kind: "request", id: 1, method: "tools/call", params: {} },
      method: async (_params, { controller, note }) => {
        const { promise, reject } = Promise.withResolvers<never>();
        controller.signal.addEventListener("abort", () => reject(gone));
        return promise.catch((error: unknown) => {
          note(entry);
          throw error;
        });
      },
      write: () => "{}",
    },
    7,
    7,
  );
  expect(await started.catch((error: unknown) => error)).toBe(gone);
  await calls.idle();
  expect(written).toEqual([
    { ...entry, data: { tool: "lab_echo", session: "s1" } },
  ]);
});
