import { GatewayError, describeError } from "../core/errors.ts";
import type { EventLog, Recorded, RunningCall } from "../core/event.ts";
import { createIdle } from "../core/idle.ts";
import type { Cause, NewEntry } from "../core/journal.ts";
import { causeOf } from "../core/journal.ts";
import type { Identity, Principal } from "../core/principal.ts";
import { sameIdentity } from "../core/principal.ts";
import type { Clock, Log } from "../core/runtime.ts";
import type { Session, SessionStore } from "../core/session.ts";
import type { LogLevel } from "../core/source.ts";
import type { Door } from "../core/telemetry.ts";
import type { Admission, Place } from "../gateway/limits/admission.ts";
import { isLimit } from "../gateway/limits/admission.ts";
import type { CallJournal } from "../gateway/events/execution.ts";
import { cutEntry, openCallRecord } from "../gateway/events/execution.ts";
import type { Customer } from "../gateway/catalog/toolbox.ts";
import type { Allowance } from "./allowance.ts";
import { createAllowance } from "./allowance.ts";
import type { Asks } from "./asks.ts";
import { canOpenUrls, completedText } from "./elicitations.ts";
import type {
  RequestId,
  RpcNotification,
  RpcRequest,
  RpcResponse,
} from "./jsonrpc.ts";
import {
  RpcError,
  isChatter,
  resultText,
  thrownText,
  tooMany,
} from "./jsonrpc.ts";
import type { ListName } from "./lists.ts";
import { changedText, listedAs } from "./lists.ts";
import { logText, wantsLog } from "./logs.ts";
import type { Method, MethodContext } from "./methods.ts";
import type { Observation } from "./observation.ts";
import { failureOf } from "./observation.ts";
import { createProgress } from "./progress.ts";
import type { WriteResult } from "./result.ts";
import type { Streams } from "./stream.ts";
import { primes } from "./versions.ts";

/**
 * Calls in flight. A call runs once. What it says is in the log before it is on the wire; from the first
 * commit until its answer it is on record as running, so that a crash cannot leave a caller waiting.
 */
export type Calls = {
  /**
   * Throws {@link RpcError} with status 429 for a call that is one too many for its caller. Started all the same, it
   * ends with that error.
   */
  requireRoom(principal: Principal, request: RpcRequest): void;
  /** Starts a method whose messages go to a stream. Rejects when it cannot be put on record; it is then aborted. */
  onStream(
    start: CallStart,
    streamId: number,
    callId: number,
  ): Promise<Recorded>;
  /** Starts a method of a request that nobody comes back for. `say` takes notifications. */
  detached(
    call: CallStart,
    say: ((text: string) => void) | null,
  ): { outcome: Promise<Outcome>; stop(): void };
  /** Tells a session that its tools have changed. */
  tellChange(session: Session): void;
  /** Keeps the tools that a session has enabled, and tells it. */
  enable(
    session: Session,
    names: string[],
    say: ((text: string) => void) | null,
    cause: Cause,
  ): Promise<void>;
  /** What the client of a session tells: the answer to a request of ours, the cancellation of a call, or nothing for us. */
  received(sessionPk: number, message: RpcNotification | RpcResponse): void;
  /** Aborts what a session has running; nothing more is said. */
  abort(sessionPk: number): void;
  /** Tries again to store what the disk did not take. */
  retry(): void;
  /** Resolves when nothing is running. */
  idle(): Promise<void>;
  count(): number;
  /** The sessions of this identity that have something running. */
  sessions(who: Identity): number[];
};

/** An answer, with the HTTP status where it is a response of its own. */
export type Outcome = {
  text: string;
  status: number;
  /** It was one too many of something, and this says when to come back. */
  limited?: GatewayError;
};

export type CallStart = {
  session: Session | null;
  customer: Omit<Customer, "enable">;
  /** Without a session: keeps a new set of enabled tools, or null when there is nothing to keep it in. */
  enable?: Customer["enable"];
  /** Without a session: what the request says of its caller. */
  caller?: { capabilities: Record<string, unknown>; logLevel: LogLevel | null };
  request: RpcRequest;
  method: Method;
  write: WriteResult;
  /** What it came by; `/mcp` unless said. */
  door?: Door;
};

export function createCalls(wiring: {
  events: EventLog;
  journal: CallJournal;
  sessions: SessionStore;
  streams: Streams;
  asks: Asks;
  admission: Pick<Admission, "enter" | "requireRoom">;
  observation: Observation;
  clock: Clock;
  log: Log;
  /** Told of the sessions whose tools were changed. */
  enabled: (session: Session) => void;
  /** How often a running call that asked for progress is told that it still runs. */
  progressMs: number;
}): Calls {
  const { admission, asks, events, sessions, streams, log } = wiring;

  type Unstored = { answer: string | null; entries: readonly NewEntry[] };
  type Running = { of: Session | null; id: RequestId; stop: () => void };
  const running = new Set<Running>();
  const idle = createIdle(() => running.size > 0);
  // Answers that the disk did not take. Until it does, or until the next start, their calls read as running.
  const unstored = new Map<RunningCall, Unstored>();

  function settle(entry: Running): void {
    running.delete(entry);
    idle.ended();
  }

  /** Runs the method. `say` takes notifications; the outcome is the answer, or null when it was cancelled. */
  function run(
    start: CallStart,
    say: ((text: string) => void) | null,
    connection: Pick<MethodContext, "hangUp" | "onRecord">,
  ) {
    const { session, request } = start;
    const { principal } = start.customer;
    const entries: NewEntry[] = [];
    const note = (entry: NewEntry) =>
      void entries.push(withSession(entry, session));
    const controller = new AbortController();
    let cancelled = false;
    let over = false;
    const stopped = Promise.withResolvers<never>();
    stopped.promise.catch(() => {});
    const entry: Running = {
      of: session,
      id: request.id,
      stop: () => {
        cancelled = true;
        const reason = new GatewayError("conflict", "The call was cancelled.");
        controller.abort(reason);
        stopped.reject(reason);
      },
    };
    running.add(entry);
    const observed = wiring.observation.begin(
      {
        door: start.door ?? "mcp",
        request,
        ...(session ? { protocolVersion: session.protocolVersion } : {}),
      },
      start.customer.principal,
    );
    const progress = say && createProgress(request, say, wiring.progressMs);
    const { signal } = controller;
    const logLevel =
      (session ? session.logLevel : start.caller?.logLevel) ?? null;
    let mayLog: Allowance | null = null;
    const log: MethodContext["log"] = (level, data, logger) => {
      if (!say || over || !wantsLog(logLevel, level)) return;
      mayLog ??= createAllowance(wiring.clock, LOGS_PER_SECOND);
      if (mayLog()) say(logText({ level, logger, data }));
    };
    const completed: MethodContext["completed"] = (elicitationId) => {
      // 2026-07-28 has no such notification: its clients learn it by asking again.
      if (!say || over || !session || !canOpenUrls(session)) return;
      say(completedText(elicitationId));
    };
    const outcome = (async () => {
      let place: Place | null = null;
      try {
        if (counted.has(request.method)) {
          place = admission.enter(principal, signal);
          if (place.ready) await place.ready;
        }
        const method = start.method(request.params, {
          customer: {
            principal: observed.principal,
            view: start.customer.view,
            enable: session
              ? (names) => enable(session, names, say, causeOf(principal))
              : (start.enable ?? null),
          },
          controller,
          input: session
            ? {
                capabilities: session.capabilities,
                ask: say && asks.create(session.pk, say, signal),
              }
            : {
                capabilities: start.caller?.capabilities ?? {},
                ask: start.caller ? "stateless" : null,
              },
          progress: progress?.report ?? null,
          logLevel: say && logLevel,
          log,
          completed,
          note,
          keep: session && ((rule) => sessions.edit(session.pk, rule)),
          ...connection,
          listed: async (list, digest) => {
            if (session) await rememberListed(session, list, digest);
          },
        });
        const result =
          method instanceof Promise
            ? await Promise.race([method, stopped.promise])
            : method;
        if (cancelled) {
          observed.end("cancelled");
          return null;
        }
        const text = resultText(request.id, start.write(result));
        observed.end(result.failed ? "tool_error" : "ok");
        return { text, status: 200 };
      } catch (error) {
        if (cancelled) {
          observed.end("cancelled");
          return null;
        }
        observed.end(...failureOf(error));
        if (!(error instanceof GatewayError || error instanceof RpcError)) {
          wiring.log.error("call failed", { reason: describeError(error) });
        }
        return failed(request.id, error);
      } finally {
        place?.leave();
        over = true;
        progress?.stop(!cancelled);
      }
    })();
    return { outcome, entries, stop: entry.stop, settle: () => settle(entry) };
  }

  async function enable(
    session: Session,
    names: string[],
    say: ((text: string) => void) | null,
    cause: Cause,
  ): Promise<void> {
    const edited = sessions.edit(
      session.pk,
      ({ view }) => ({
        view: { ...view, enabled: names },
        // The list it was told of is out of date, and it is being told.
        listed: null,
      }),
      cause,
    );
    void edited.then(
      () => wiring.enabled(session),
      () => {},
    );
    const changed = changedText.tools;
    // On the session's own stream when somebody listens there; else it would wait for a GET that may never come.
    if (say && streams.reader(session.pk) === null) {
      await edited;
      return say(changed);
    }
    const own = { sessionPk: session.pk, streamId: session.pk };
    // Queued in the same turn, so both are in one transaction.
    await Promise.all([edited, events.append(own, changed)]);
    streams.wake(session.pk);
  }

  /** On disk before the list is sent: a change that comes later, even while we are down, is told. */
  async function rememberListed(
    session: Session,
    list: ListName,
    digest: string,
  ) {
    const as = listedAs[list];
    if (session[as] !== digest) {
      await sessions.edit(session.pk, () => ({ [as]: digest }));
    }
  }

  function detached(start: CallStart, say: ((text: string) => void) | null) {
    const record = openCallRecord(wiring);
    const { outcome, entries, stop, settle } = run(start, say, {
      hangUp: () => {},
      onRecord: (ifCut) =>
        record.begin(ifCut && withSession(ifCut, start.session)),
    });
    const answered = outcome.then(async (answer) => {
      // On disk before the answer is sent.
      await record.end(entries);
      settle();
      return answer ?? { text: cancelledText(start.request.id), status: 200 };
    });
    return { outcome: answered, stop };
  }

  let retrying = false;
  /** One by one: what does not fit together may fit alone. */
  async function retryAll(): Promise<void> {
    if (retrying) return;
    retrying = true;
    try {
      for (const [call, { answer, entries }] of unstored) {
        await events.finish(call, answer, () => entries);
        unstored.delete(call);
        streams.wake(call.streamId);
      }
    } catch {
      // The disk takes nothing yet.
    } finally {
      retrying = false;
    }
  }

  return {
    requireRoom(principal, request) {
      if (!counted.has(request.method)) return;
      try {
        admission.requireRoom(principal);
      } catch (thrown) {
        throw thrown instanceof GatewayError
          ? tooMany(request.id, thrown)
          : thrown;
      }
    },

    enable,
    detached,

    tellChange(session) {
      const own = { sessionPk: session.pk, streamId: session.pk };
      Promise.all([
        sessions.edit(session.pk, () => ({ listed: null })),
        events.append(own, changedText.tools),
      ]).then(
        () => streams.wake(session.pk),
        (error: unknown) =>
          log.warn("session could not be told", {
            reason: describeError(error),
          }),
      );
    },

    async onStream(start, streamId, callId) {
      const call: RunningCall = {
        callId,
        streamId,
        sessionPk: start.session!.pk,
        requestId: JSON.stringify(start.request.id),
        ...ifCut(start),
      };
      // Until the first commit messages gather here; after it they go to the log one by one.
      const messages: string[] = [];
      let answered = false;
      let onRecord = false;
      const publish = (text: string) =>
        void events
          .append(call, text, isChatter(text))
          .then(() => streams.wake(streamId), storageFailed);
      const storageFailed = (error: unknown) => {
        // Its reader must not wait for what cannot be stored; after a restart the call reads as interrupted.
        log.error("event could not be stored", {
          reason: describeError(error),
        });
        streams.close(streamId);
      };
      const finish = (answer: string | null) =>
        void events
          .finish(call, answer, () => entries)
          .then(
            () => streams.wake(streamId),
            (error: unknown) => {
              unstored.set(call, { answer, entries });
              storageFailed(error);
            },
          )
          .finally(() => settle());
      const say = (text: string) => {
        if (onRecord) publish(text);
        else messages.push(text);
      };
      const resumable =
        callId === streamId && primes(start.session!.protocolVersion);
      const record = Promise.withResolvers<void>();
      // Nobody may be waiting for it.
      record.promise.catch(() => {});
      const { outcome, entries, stop, settle } = run(start, say, {
        hangUp: () => {
          if (resumable) streams.close(streamId);
        },
        onRecord: () => record.promise,
      });
      void outcome.then((outcome) => {
        const answer = outcome && outcome.text;
        if (onRecord) return finish(answer);
        answered = true;
        if (answer !== null) messages.push(answer);
      });
      let recorded: Recorded;
      try {
        recorded = await events.record(call, () => ({
          messages,
          answered,
          entries,
        }));
      } catch (error) {
        record.reject(error);
        stop();
        // Its session has ended meanwhile, and it may have run all the same.
        void outcome
          .then(() => openCallRecord(wiring).end(entries))
          .finally(settle);
        throw error;
      }
      onRecord = true;
      record.resolve();
      if (recorded.answered) settle();
      else {
        // What was said between the commit and now.
        const late = messages.slice(recorded.events.length);
        const answer = answered ? (late.pop() ?? null) : null;
        for (const text of late) publish(text);
        if (answered) finish(answer);
      }
      return recorded;
    },

    received(sessionPk, message) {
      if (message.kind === "response") {
        asks.answered(sessionPk, message);
        return;
      }
      const { method, params } = message;
      if (method !== "notifications/cancelled") return;
      for (const entry of running) {
        const meant = entry.id === params["requestId"];
        if (entry.of?.pk === sessionPk && meant) entry.stop();
      }
    },

    abort(sessionPk) {
      for (const entry of running) {
        if (entry.of?.pk === sessionPk) entry.stop();
      }
    },

    retry() {
      void retryAll();
    },

    idle: idle.wait,
    count: () => running.size,
    sessions: (who) =>
      [...running]
        .filter(({ of }) => of !== null && sameIdentity(of, who))
        .map(({ of }) => of!.pk),
  };
}

/** What the journal says of a call of a tool that is cut off, by the name that was asked for. */
function ifCut({ request, session, customer }: CallStart): {
  ifCut?: NewEntry;
} {
  const { name } = request.params;
  if (request.method !== "tools/call" || typeof name !== "string") return {};
  const of = { tool: name.slice(0, MAX_NAME), session: session!.id };
  return { ifCut: cutEntry(customer.principal, of) };
}

function withSession(entry: NewEntry, session: Session | null): NewEntry {
  const { data } = entry;
  return session ? { ...entry, data: { ...data, session: session.id } } : entry;
}

/** Names that callers send are anything. */
const MAX_NAME = 128;
function failed(id: RequestId, error: unknown): Outcome {
  const text = thrownText(id, error);
  if (error instanceof RpcError) return { text, status: error.status };
  if (!(error instanceof GatewayError && isLimit(error))) {
    return { text, status: 200 };
  }
  return { text, status: 429, limited: error };
}

/** What keeps a source busy. Lists are of the catalogue, which is asked for once for all who wait. */
const counted: ReadonlySet<string> = new Set([
  "tools/call",
  "prompts/get",
  "resources/read",
  "completion/complete",
]);

function cancelledText(id: RequestId): string {
  return thrownText(
    id,
    new GatewayError("conflict", "The call was cancelled."),
  );
}

/** Of one call; what is more is left out. */
const LOGS_PER_SECOND = 50;
