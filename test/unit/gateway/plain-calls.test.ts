import { expect, test } from "bun:test";
import { GatewayError, describeError } from "../../../src/core/errors.ts";
import type { Principal } from "../../../src/core/principal.ts";
import { createAdmission } from "../../../src/gateway/limits/admission.ts";
import type { CallJournal } from "../../../src/gateway/events/execution.ts";
import type { PlainCalls } from "../../../src/gateway/plain-calls.ts";
import { createPlainCalls } from "../../../src/gateway/plain-calls.ts";
import { noLimits } from "../../support/admission.ts";
import { fakeClock, silentLog } from "../../support/clock.ts";

const journal: CallJournal = {
  append: async () => {},
  begin: async () => 1,
  end: async () => {},
};

const ada: Principal = {
  workspace: "w",
  subject: "ada",
  name: null,
  method: "api_key",
  scope: null,
  token: null,
  expiresAt: null,
};

/** Without limits, and a journal that takes everything, unless said. */
const open = (
  parts: Partial<Parameters<typeof createPlainCalls>[0]>,
): PlainCalls =>
  createPlainCalls({
    admission: createAdmission({
      clock: fakeClock(),
      log: silentLog,
      limits: noLimits,
    }),
    journal,
    log: silentLog,
    upstreams: {} as never,
    contents: {} as never,
    toolbox: {} as never,
    ...parts,
  });

test("a call whose caller leaves while it waits never runs, and makes room for another", async () => {
  const admission = createAdmission({
    clock: fakeClock(),
    log: silentLog,
    limits: { ...noLimits, calls: 1, queuedCalls: 1 },
  });
  const called: string[] = [];
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const calls = open({
    admission,
    toolbox: {
      async call(_customer: unknown, name: string) {
        called.push(name);
        await held;
        return { content: [] };
      },
    } as never,
  });
  const call = (name: string, signal = new AbortController().signal) =>
    calls.call(ada, name, {}, signal);
  const running = call("first");
  const controller = new AbortController();
  const waiting = call("second", controller.signal);
  expect(call("third")).rejects.toThrow("Too many calls");
  controller.abort(new Error("The caller has left."));
  expect(waiting).rejects.toThrow("The caller has hung up.");
  await waiting.catch(() => {});
  const next = call("fourth");
  release();
  await Promise.all([running, next]);
  expect(called).toEqual(["first", "fourth"]);
});

test("a call is on record while it runs, and what came of it takes that one's place", async () => {
  const happened: unknown[] = [];
  const entry = { data: { outcome: "interrupted" } } as never;
  const ended = { data: { outcome: "ok" } } as never;
  const calls = open({
    journal: {
      append: async () => void happened.push("append"),
      begin: async (ifCut) => happened.push(["begin", ifCut]),
      end: async (begun, entries) =>
        void happened.push(["end", begun, entries]),
    },
    toolbox: {
      async call(_who: unknown, name: string, _args: unknown, context: any) {
        if (name === "unknown") throw new Error("Unknown tool");
        await context.onRecord(entry);
        happened.push(name);
        context.note(ended);
        return { content: [] };
      },
    } as never,
  });
  const { signal } = new AbortController();
  await calls.call(ada, "x", {}, signal);
  expect(happened).toEqual([["begin", entry], "x", ["end", 1, [ended]]]);
  happened.length = 0;
  await calls.call(ada, "unknown", {}, signal).catch(() => {});
  expect(happened).toEqual(["append"]);
});

test("a call whose caller leaves while it is put on record leaves nothing that reads as interrupted", async () => {
  const happened: unknown[] = [];
  const onDisk = Promise.withResolvers<number>();
  const asked = Promise.withResolvers<void>();
  const calls = open({
    journal: {
      append: async (entries) => void happened.push(["append", entries]),
      begin: () => (asked.resolve(), onDisk.promise),
      end: async (begun, entries) =>
        void happened.push(["end", begun, entries]),
    },
    toolbox: {
      async call(_who: unknown, _name: string, _args: unknown, context: any) {
        void context.onRecord({ data: { outcome: "interrupted" } });
        const { signal } = context.controller;
        await new Promise((resolve) => (signal.onabort = resolve));
        context.note("failed");
        throw signal.reason;
      },
    } as never,
  });
  const caller = new AbortController();
  const called = calls.call(ada, "x", {}, caller.signal).catch(() => {});
  await asked.promise;
  caller.abort();
  // What was to be on disk at once takes a turn longer than the caller.
  setImmediate(() => onDisk.resolve(7));
  await called;
  expect(happened).toEqual([["end", 7, ["failed"]]]);
});

test("what has failed is in the log once, with what it came from", async () => {
  const calls = open({
    toolbox: {
      call: async () => {
        const cause = new Error("ECONNRESET");
        throw new GatewayError("timeout", "It is late.", { cause });
      },
    } as never,
  });
  const { signal } = new AbortController();
  const thrown = await calls
    .call(ada, "x", {}, signal)
    .catch((e: unknown) => e);
  expect(thrown).toMatchObject({ data: { code: "upstream_timeout" } });
  const said = describeError(thrown);
  expect(said.split("It is late.")).toHaveLength(2);
  expect(said).toContain("ECONNRESET");
});

test("what a tool has answered is told, though the disk takes nothing", async () => {
  const errors: string[] = [];
  const calls = open({
    journal: {
      ...journal,
      append: () => Promise.reject(new Error("disk full")),
    },
    log: { ...silentLog, error: (event) => void errors.push(event) },
    toolbox: { call: async () => ({ content: [] }) } as never,
  });
  const { signal } = new AbortController();
  expect(await calls.call(ada, "x", {}, signal)).toEqual({ content: [] });
  expect(errors).toEqual(["call not in the journal"]);
});
