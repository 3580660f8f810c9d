import { describe, expect, test } from "bun:test";
import { GatewayError } from "../../../../src/core/errors.ts";
import type { Principal } from "../../../../src/core/principal.ts";
import type { LogFields } from "../../../../src/core/runtime.ts";
import type { AdmissionLimits } from "../../../../src/gateway/limits/admission.ts";
import { createAdmission } from "../../../../src/gateway/limits/admission.ts";
import { noLimits } from "../../../support/admission.ts";
import { fakeClock, silentLog } from "../../../support/clock.ts";

const user = (
  subject: string,
  method: Principal["method"] = "membrane",
): Principal => ({
  workspace: "w",
  subject,
  name: null,
  method,
  scope: null,
  token: null,
  expiresAt: null,
});
const ada = user("ada");
const bob = user("bob");
const APP = { ref: "1", key: "gmail", name: "Gmail" };

function rig(limits: Partial<AdmissionLimits>) {
  const clock = fakeClock();
  const logged: LogFields[] = [];
  const admission = createAdmission({
    clock,
    log: {
      ...silentLog,
      warn: (event, more) => logged.push({ event, ...more }),
    },
    limits: { ...noLimits, ...limits },
  });
  return { admission, clock, logged };
}

function refused(work: () => unknown): GatewayError {
  try {
    work();
  } catch (error) {
    if (error instanceof GatewayError) return error;
  }
  throw new Error("It was not refused.");
}

const { signal } = new AbortController();

describe("messages", () => {
  test("one user's are counted together, another's are not", () => {
    const { admission, clock } = rig({ perSecond: 2, burst: 3 });
    admission.take(ada, 3);
    const error = refused(() => admission.take(ada));
    expect(error).toMatchObject({
      code: "rate_limited",
      retryAfterMs: 500,
      data: { limit: "user" },
    });
    expect(error.message).toContain("RATE_LIMIT");
    admission.take(bob);
    admission.take({ ...ada, workspace: "another" });
    clock.advance(500);
    admission.take(ada);
  });

  test("of all users together are counted too, and a flood of one keeps nobody else out", () => {
    const { admission } = rig({ globalPerSecond: 10 });
    for (let n = 0; n < 10; n++) admission.take(ada);
    expect(refused(() => admission.take(ada)).data).toEqual({ limit: "all" });
    admission.take(bob);
  });

  test("the operator's are not counted", () => {
    const { admission } = rig({
      perSecond: 1,
      globalPerSecond: 1,
      serverPerSecond: 1,
      calls: 1,
      streams: 1,
    });
    const operator = user("ada", "operator");
    for (let n = 0; n < 10; n++) {
      admission.take(operator);
      admission.toward(operator, "s", APP);
      admission.hold(operator);
      expect(admission.enter(operator, signal).ready).toBeNull();
    }
    admission.take(ada);
  });

  test("zero is no limit", () => {
    const { admission } = rig({});
    for (let n = 0; n < 10_000; n++) {
      admission.take(ada);
      admission.toward(ada, "s", APP);
      admission.hold(ada);
      expect(admission.enter(ada, signal).ready).toBeNull();
    }
  });
});

describe("requests toward an app", () => {
  test("are counted for everybody of a workspace, for each app", () => {
    const { admission } = rig({ serverPerSecond: 2 });
    admission.toward(ada, "membrane", APP);
    admission.toward(ada, "membrane", { ...APP, ref: "2" });
    const error = refused(() => admission.toward(ada, "membrane", APP));
    expect(error.data).toEqual({ limit: "server" });
    expect(error.message).toContain("Gmail");
    admission.toward(ada, "membrane", { ...APP, key: "notes" });
    admission.toward(ada, "servers", APP);
    admission.toward({ ...ada, workspace: "another" }, "membrane", APP);
  });
});

describe("calls", () => {
  test("wait in their user's own queue, in their order, and beyond it are refused", async () => {
    const { admission } = rig({ calls: 2, queuedCalls: 2 });
    const running = [
      admission.enter(ada, signal),
      admission.enter(ada, signal),
    ];
    expect(running.map(({ ready }) => ready)).toEqual([null, null]);
    const order: number[] = [];
    const waiting = [1, 2].map((n) => {
      const place = admission.enter(ada, signal);
      void place.ready!.then(() => order.push(n));
      return place;
    });
    const error = refused(() => admission.enter(ada, signal));
    expect(error).toMatchObject({
      code: "rate_limited",
      data: { limit: "calls" },
    });
    expect(error.message).toContain("MAX_CALLS");
    refused(() => admission.requireRoom(ada));

    admission.requireRoom(bob);
    expect(admission.enter(bob, signal).ready).toBeNull();

    running[0]!.leave();
    running[0]!.leave();
    await waiting[0]!.ready;
    expect(order).toEqual([1]);
    admission.requireRoom(ada);
    running[1]!.leave();
    await waiting[1]!.ready;
    expect(order).toEqual([1, 2]);
    for (const place of waiting) place.leave();
    expect(admission.enter(ada, signal).ready).toBeNull();
  });

  test("one that is cancelled while it waits leaves its place to others, and says why", async () => {
    const { admission } = rig({ calls: 1, queuedCalls: 1 });
    const running = admission.enter(ada, signal);
    const controller = new AbortController();
    const waiting = admission.enter(ada, controller.signal);
    controller.abort(new Error("cancelled"));
    expect(waiting.ready).rejects.toThrow("cancelled");
    const next = admission.enter(ada, signal);
    waiting.leave();
    running.leave();
    await next.ready;
    // It runs, so the next has to wait.
    expect(admission.enter(ada, signal).ready).not.toBeNull();
  });

  test("one that is cancelled when it runs already gives its place back once", async () => {
    const { admission } = rig({ calls: 1, queuedCalls: 1 });
    const controller = new AbortController();
    const running = admission.enter(ada, signal);
    const second = admission.enter(ada, controller.signal);
    running.leave();
    await second.ready;
    controller.abort();
    const third = admission.enter(ada, signal);
    expect(third.ready).not.toBeNull();
    second.leave();
    second.leave();
    await third.ready;
    expect(admission.enter(ada, signal).ready).not.toBeNull();
  });
});

test("streams are counted until they are closed", () => {
  const { admission } = rig({ streams: 2 });
  const release = admission.hold(ada);
  admission.hold(ada);
  expect(refused(() => admission.hold(ada)).data).toEqual({ limit: "streams" });
  admission.hold(bob);
  release();
  release();
  admission.hold(ada);
  refused(() => admission.hold(ada));
});

test("that somebody is limited is logged once a minute, for each limit", () => {
  const { admission, clock, logged } = rig({
    perSecond: 1,
    burst: 1,
    streams: 1,
  });
  admission.take(ada);
  for (let n = 0; n < 100; n++) refused(() => admission.take(ada));
  expect(logged).toEqual([
    { event: "caller limited", workspace: "w", user: "ada", limit: "user" },
  ]);
  admission.hold(ada);
  refused(() => admission.hold(ada));
  admission.take(bob);
  refused(() => admission.take(bob));
  expect(logged).toHaveLength(3);
  clock.advance(59_000);
  refused(() => admission.hold(ada));
  expect(logged).toHaveLength(3);
  clock.advance(1000);
  refused(() => admission.hold(ada));
  expect(logged).toHaveLength(4);
});
