import { LRUCache } from "lru-cache";
import { GatewayError } from "../../core/errors.ts";
import type { LimitName } from "../../core/limit.ts";
import { limited } from "../../core/limit.ts";
import type { Identity, Principal } from "../../core/principal.ts";
import { identityKey } from "../../core/principal.ts";
import type { Clock, Log } from "../../core/runtime.ts";
import type { Telemetry } from "../../core/telemetry.ts";
import { noTelemetry } from "../../core/telemetry.ts";
import type { App } from "../../core/tool.ts";
import { createBuckets, createSharedBuckets } from "./bucket.ts";

/**
 * Who may do how much, whichever door they come by. Each throws `rate_limited`, with which `limit` it is as its data
 * and when to come back, before anything is done. The operator is not limited.
 */
export type Admission = {
  /** Counts messages that have come from this caller: an HTTP request, a frame, or each message of a batch. */
  take(who: Principal, messages?: number): void;
  /** A call begins, or waits behind those that this caller has running. Whoever enters leaves. */
  enter(who: Principal, signal: AbortSignal): Place;
  /** Throws what {@link enter} would throw now. */
  requireRoom(who: Principal): void;
  /** Counts a request toward an app or registered server, by everybody. */
  toward(who: Principal, source: string, app: App): void;
  /** A stream is opened, until what is returned is called. */
  hold(who: Principal): () => void;
};

export type Place = {
  /** Resolves when the call may run, and rejects when it is aborted before; null when it may at once. */
  ready: Promise<void> | null;
  /** It has ended, or does not wait any more. */
  leave(): void;
};

export type AdmissionLimits = {
  /** Messages of one caller in a second, and at once after a rest. Here and below: 0 for no limit. */
  perSecond: number;
  burst: number;
  /** Requests in a second toward one app or registered server. */
  serverPerSecond: number;
  /** Messages of all callers in a second. */
  globalPerSecond: number;
  /** Calls of one caller that run at once. */
  calls: number;
  /** Those that wait until others have ended. Zero is none. */
  queuedCalls: number;
  /** Open streams of one caller. */
  streams: number;
};

const own = [
  "user",
  "all",
  "server",
  "calls",
  "streams",
] as const satisfies readonly LimitName[];
type Limit = (typeof own)[number];

/** When somebody whose own calls or streams are too many may look again. */
const LOOK_AGAIN_MS = 1000;
/** How often it is logged that somebody meets a limit. */
const LOGGED_MS = 60_000;
const MAX_LOGGED = 10_000;

type Waiter = { go(): void };
type Calling = { running: number; waiting: Set<Waiter> };

export function createAdmission(wiring: {
  clock: Pick<Clock, "monotonic">;
  log: Log;
  limits: AdmissionLimits;
  telemetry?: Telemetry;
}): Admission {
  const { clock, log, limits, telemetry = noTelemetry } = wiring;
  const { perSecond, burst, serverPerSecond, globalPerSecond } = limits;
  const users =
    perSecond > 0 ? createBuckets(clock, { perSecond, burst }) : null;
  const shared = (rate: number) =>
    rate > 0
      ? createSharedBuckets(clock, { perSecond: rate, burst: rate })
      : null;
  const everybody = shared(globalPerSecond);
  const servers = shared(serverPerSecond);
  const callers = new Map<string, Calling>();
  const streams = new Map<string, number>();
  const loggedAt = new LRUCache<string, number>({ max: MAX_LOGGED });

  function refuse(
    who: Identity,
    limit: Limit,
    retryAfterMs: number,
    message: string,
    app?: string,
  ): GatewayError {
    telemetry.count("limited", { limit });
    const key = `${identityKey(who)} ${limit}`;
    const now = clock.monotonic();
    const last = loggedAt.get(key);
    if (last === undefined || now - last >= LOGGED_MS) {
      loggedAt.set(key, now);
      log.warn("caller limited", {
        workspace: who.workspace,
        user: who.subject,
        limit,
        app,
      });
    }
    return new GatewayError("rate_limited", message, {
      retryAfterMs,
      data: limited(limit),
    });
  }

  const isFree = (who: Principal) => who.method === "operator";

  function tooManyCalls(who: Principal): GatewayError {
    const { calls, queuedCalls } = limits;
    return refuse(
      who,
      "calls",
      LOOK_AGAIN_MS,
      `Too many calls at once: ${calls} of this user are running and ${queuedCalls} wait for them (MAX_CALLS, MAX_QUEUED_CALLS). Try again when some have ended.`,
    );
  }

  function isFull(caller: Calling | undefined): boolean {
    return (
      caller !== undefined &&
      caller.running >= limits.calls &&
      caller.waiting.size >= limits.queuedCalls
    );
  }

  function leave(key: string, caller: Calling): void {
    const [next] = caller.waiting;
    if (next) {
      caller.waiting.delete(next);
      return next.go();
    }
    caller.running--;
    if (caller.running === 0) callers.delete(key);
  }

  return {
    take(who, messages = 1) {
      if (isFree(who) || (users === null && everybody === null)) return;
      const key = identityKey(who);
      const ownMs = users?.take(key, messages) ?? 0;
      if (ownMs > 0) {
        throw refuse(
          who,
          "user",
          ownMs,
          `Too many requests: a user may send ${perSecond} a second, and ${burst} at once (RATE_LIMIT, RATE_LIMIT_BURST). Try again in a moment.`,
        );
      }
      const allMs = everybody?.take("", key, messages) ?? 0;
      if (allMs === 0) return;
      throw refuse(
        who,
        "all",
        allMs,
        `Too many requests: all users together may send ${globalPerSecond} a second (RATE_LIMIT_GLOBAL). Try again in a moment.`,
      );
    },

    enter(who, signal) {
      if (limits.calls === 0 || isFree(who)) return FREE;
      const key = identityKey(who);
      const caller = callers.get(key) ?? { running: 0, waiting: new Set() };
      if (isFull(caller)) throw tooManyCalls(who);
      let left = false;
      if (caller.running < limits.calls) {
        caller.running++;
        callers.set(key, caller);
        return {
          ready: null,
          leave() {
            if (!left) leave(key, caller);
            left = true;
          },
        };
      }
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      // Who waits for it may have been told by the signal itself.
      promise.catch(() => {});
      const aborted = () => {
        if (caller.waiting.delete(waiter)) left = true;
        reject(signal.reason);
      };
      const waiter: Waiter = {
        go() {
          signal.removeEventListener("abort", aborted);
          resolve();
        },
      };
      caller.waiting.add(waiter);
      signal.addEventListener("abort", aborted);
      return {
        ready: promise,
        leave() {
          if (left) return;
          left = true;
          signal.removeEventListener("abort", aborted);
          if (!caller.waiting.delete(waiter)) leave(key, caller);
        },
      };
    },

    requireRoom(who) {
      if (limits.calls === 0 || isFree(who)) return;
      if (isFull(callers.get(identityKey(who)))) throw tooManyCalls(who);
    },

    toward(who, source, app) {
      if (servers === null || isFree(who)) return;
      const server = `${who.workspace}\u0000${source}\u0000${app.key}`;
      const waitMs = servers.take(server, identityKey(who), 1);
      if (waitMs === 0) return;
      throw refuse(
        who,
        "server",
        waitMs,
        `Too many requests to ${app.name}: all users together may send it ${serverPerSecond} a second (RATE_LIMIT_SERVER). Try again in a moment.`,
        app.key,
      );
    },

    hold(who) {
      if (limits.streams === 0 || isFree(who)) return () => {};
      const key = identityKey(who);
      const open = streams.get(key) ?? 0;
      if (open >= limits.streams) {
        throw refuse(
          who,
          "streams",
          LOOK_AGAIN_MS,
          `Too many streams: ${open} of this user are open (MAX_STREAMS). Close one first.`,
        );
      }
      streams.set(key, open + 1);
      let held = true;
      return () => {
        if (!held) return;
        held = false;
        const now = streams.get(key)! - 1;
        if (now === 0) streams.delete(key);
        else streams.set(key, now);
      };
    },
  };
}

const FREE: Place = { ready: null, leave() {} };

/** True for what an {@link Admission} has thrown: the caller's client is told to come back, not its model. */
export function isLimit(error: GatewayError): boolean {
  const limit = error.data?.["limit"];
  return error.code === "rate_limited" && own.some((name) => name === limit);
}
