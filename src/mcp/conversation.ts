import type { Approach, Peer, Socket } from "../core/exchange.ts";
import { GatewayError, describeError } from "../core/errors.ts";
import type { Principal } from "../core/principal.ts";
import type { Admission } from "../gateway/limits/admission.ts";
import type { Clock, Log, LogFields } from "../core/runtime.ts";
import type { Closing } from "./closing.ts";
import { closings } from "./closing.ts";
import { isStateless } from "./http.ts";
import type { RequestId, RpcMessage, RpcRequest } from "./jsonrpc.ts";
import {
  INVALID_REQUEST,
  RpcError,
  SERVER_ERROR,
  parseBody,
  thrownText,
} from "./jsonrpc.ts";
import type { TransportWiring } from "./legacy.ts";
import { sessionNotFound, toolName } from "./legacy.ts";
import type { Method } from "./methods.ts";
import { createOutbox } from "./outbox.ts";
import { writeLegacy } from "./result.ts";
import type { Place } from "./seat.ts";
import { createSeat } from "./seat.ts";
import type { Stateless } from "./stateless.ts";
import type { Turns } from "./turns.ts";
import { BATCHES } from "./versions.ts";

/**
 * One WebSocket: JSON-RPC, one message (or batch) a text frame. What it carries depends on what its client sends, as
 * on `/mcp`: plain requests, those of a session, and those of 2026-07-28, also mixed. Messages are begun in the order
 * in which they came, and answered as they are done.
 */
export type Conversation = Omit<Peer, "opened"> & {
  /** Takes the place in a session that its client has asked for. Before anything else. */
  start(): void;
  /** Pings, and closes what has stalled or lost its right to be here. */
  tick(): void;
  end(why: Closing): void;
};

export type ConversationWiring = TransportWiring & {
  stateless: Pick<Stateless, "begin" | "plain">;
  admission: Pick<Admission, "take">;
  /** Throws {@link RpcError} for a URL of a server that is not there. */
  requireServer(approach: Approach, id: RequestId | null): void;
  draining(): boolean;
  /** For each message. */
  turns: Turns;
  clock: Clock;
  log: Log;
  /** Of one frame, in bytes. */
  maxFrame: number;
};

/** Requests of one socket that are being answered. */
export const MAX_RUNNING = 128;
/** Frames that wait for their turn. */
const MAX_WAITING = 1024;

type Entry = {
  id: RequestId;
  /** Nobody is interested any more. */
  stop: () => void;
  cancelled: boolean;
};

/** `left`: called once, when it is over. */
export function createConversation(
  wiring: ConversationWiring,
  approach: Approach,
  place: Place,
  socket: Socket,
  left: () => void,
): Conversation {
  const { methods, events, streams, calls, clock, log } = wiring;
  const openedAt = clock.monotonic();
  let { principal } = approach;
  let over = false;
  const running = new Set<Entry>();
  const listening = new Set<Entry>();
  let turn = Promise.resolve();
  let waiting = 0;
  let waitingLength = 0;
  let received = 0;

  const outbox = createOutbox(socket, clock, () => end("stalled"));
  const { hasRoom } = outbox;
  const say = (text: string) => {
    if (!over) outbox.say(text);
  };
  const closed = () => over;
  const seat = createSeat(wiring, approach, place, {
    say,
    hasRoom,
    end,
    closed,
  });

  function leave(): void {
    seat.leave();
    // Those of a session go on, and their answers wait for whoever comes back.
    for (const entry of [...running, ...listening]) entry.stop();
    left();
  }

  function end(why: Closing): void {
    if (over) return;
    over = true;
    const closing = closings[why];
    if (closing) socket.close(closing[0], closing[1]);
    else {
      log.warn("socket cut off", { ...about(), behind: socket.behind() });
      socket.cut();
    }
    leave();
  }

  const about = () => ({
    id: approach.log["id"],
    workspace: principal.workspace,
    user: principal.subject,
  });

  async function receive(text: string): Promise<void> {
    // Whoever does not read what was answered is not answered more.
    if (!hasRoom()) await outbox.room();
    const turn = wiring.turns.take();
    if (turn) await turn;
    if (over) return;
    let messages: RpcMessage[];
    let batch: boolean;
    try {
      const bytes = encoder.encode(text);
      ({ messages, batch } = parseBody(bytes, wiring.limits));
    } catch (error) {
      return say(thrownText(null, excess() ?? error));
    }
    let now: Principal | null;
    try {
      now = await approach.stillValid();
    } catch (error) {
      // Who is asking cannot be learned just now.
      for (const message of messages) {
        if (message.kind === "request") say(thrownText(message.id, error));
      }
      return;
    }
    if (!now) return end("credentialEnded");
    principal = now;
    for (const message of messages) {
      if (over) return;
      await take(message, batch);
    }
  }

  /** Counts a message, whatever it is; the error when it is one too many. */
  function excess(): GatewayError | null {
    try {
      wiring.admission.take(principal, 1);
      return null;
    } catch (error) {
      if (error instanceof GatewayError) return error;
      throw error;
    }
  }

  async function take(message: RpcMessage, batch: boolean): Promise<void> {
    const fields: LogFields = { ...about() };
    const asking = { ...approach, principal, log: fields };
    const tooMany = excess();
    if (message.kind === "request") {
      fields["rpc"] = message.method;
      fields["tool"] = toolName(message);
      try {
        if (tooMany) throw tooMany;
        await begin(asking, message, batch);
      } catch (error) {
        fail(message.id, error);
      }
      log[tooMany ? "debug" : "info"]("message", fields);
      return;
    }
    if (tooMany) return say(thrownText(null, tooMany));
    const session = seat.current(principal);
    if (session) {
      wiring.lifecycle.seen(session, fields);
      calls.received(session.pk, message);
    }
    if (message.kind === "response") return;
    if (message.method !== "notifications/cancelled") return;
    for (const entry of [...running, ...listening]) {
      if (entry.id !== message.params["requestId"]) continue;
      entry.cancelled = true;
      entry.stop();
    }
  }

  function fail(id: RequestId, thrown: unknown): void {
    // A session that ended while it was being used.
    const gone = thrown instanceof GatewayError && thrown.code === "not_found";
    const error = gone ? sessionNotFound() : thrown;
    if (!(error instanceof RpcError || error instanceof GatewayError)) {
      log.error("message failed", {
        ...about(),
        reason: describeError(error),
      });
    }
    say(thrownText(id, error));
  }

  async function begin(
    asking: Approach,
    request: RpcRequest,
    batch: boolean,
  ): Promise<void> {
    if (wiring.draining()) {
      throw new RpcError(SERVER_ERROR, "The server is restarting. Try again.", {
        data: { retryAfterMs: 2000 },
      });
    }
    wiring.requireServer(asking, request.id);
    if (isStateless(null, request)) {
      if (!batch) return beginStateless(asking, request);
      throw new RpcError(
        INVALID_REQUEST,
        "Invalid Request: this revision has no batches.",
      );
    }
    if (request.method === "initialize") {
      if (!batch) {
        return wiring.observation.during(
          { door: "ws", request },
          principal,
          () => seat.initialize(asking, request),
        );
      }
      throw new RpcError(
        INVALID_REQUEST,
        "Invalid Request: initialize must not be part of a batch.",
      );
    }
    if (!batch) calls.requireRoom(principal, request);
    const session = seat.current(principal);
    if (over) return;
    if (batch && session?.protocolVersion !== BATCHES) {
      throw new RpcError(
        INVALID_REQUEST,
        `Invalid Request: batches exist in revision ${BATCHES} only.`,
      );
    }
    if (session) wiring.lifecycle.seen(session, asking.log);
    const { view, enable } = session
      ? { view: session.view, enable: null }
      : wiring.stateless.plain(asking);
    const method = methods.find(request.method, "sessions");
    const entry = enter(request.id);
    const start = {
      session,
      customer: { principal, view },
      enable,
      request,
      write: writeLegacy,
      door: "ws" as const,
    };
    if (session && methods.onRecord(request.method)) {
      const { pk } = session;
      const untilDone: Method = async (params, context) => {
        try {
          return await method(params, context);
        } finally {
          running.delete(entry);
        }
      };
      // Not awaited: others need not wait for the disk.
      calls
        .onStream({ ...start, method: untilDone }, pk, events.nextStream())
        .then(
          () => streams.wake(pk),
          (error: unknown) => fail(request.id, error),
        );
      return;
    }
    const { outcome, stop } = calls.detached(
      { ...start, method },
      session ? null : (text) => entry.cancelled || say(text),
    );
    if (!session) entry.stop = stop;
    void answer(entry, outcome);
  }

  async function beginStateless(
    asking: Approach,
    request: RpcRequest,
  ): Promise<void> {
    const entry = enter(request.id);
    try {
      const begun = await wiring.stateless.begin(
        asking,
        request,
        (text) => entry.cancelled || say(text),
        (gone) => {
          running.delete(entry);
          listening.add(entry);
          entry.stop = () => {
            listening.delete(entry);
            gone();
          };
          return {
            notify(text) {
              if (over || !hasRoom()) return false;
              say(text);
              return true;
            },
            send: say,
            close: () => listening.delete(entry),
          };
        },
      );
      if (!begun) return;
      entry.stop = begun.stop;
      // It has gone while this began.
      if (over) begun.stop();
      void answer(entry, begun.outcome);
    } catch (error) {
      running.delete(entry);
      throw error;
    }
  }

  function enter(id: RequestId): Entry {
    if (running.size >= MAX_RUNNING) {
      throw new RpcError(
        SERVER_ERROR,
        `${MAX_RUNNING} requests of this connection are being answered already. Wait for one.`,
        { data: { retryAfterMs: 1000 } },
      );
    }
    const entry: Entry = { id, stop: () => {}, cancelled: false };
    running.add(entry);
    return entry;
  }

  /** Says what is answered, unless its client has cancelled it. */
  async function answer(
    entry: Entry,
    outcome: Promise<{ text: string }>,
  ): Promise<void> {
    const { text } = await outcome;
    running.delete(entry);
    if (!entry.cancelled) say(text);
  }

  return {
    start: seat.take,
    end,
    message(text) {
      if (over) return;
      if (text === null) return end("binary");
      if (
        waiting >= MAX_WAITING ||
        waitingLength + text.length > wiring.maxFrame * 2
      ) {
        return end("tooMuch");
      }
      waiting++;
      waitingLength += text.length;
      received++;
      turn = turn
        .then(() => receive(text))
        .catch((error: unknown) => {
          log.error("message failed", {
            ...about(),
            reason: describeError(error),
          });
          end("failed");
        })
        .finally(() => {
          waiting--;
          waitingLength -= text.length;
        });
    },
    drained() {
      outbox.drained();
      if (hasRoom()) seat.more();
    },
    closed(code) {
      if (!over) {
        over = true;
        leave();
      }
      const ms = Math.round(clock.monotonic() - openedAt);
      log.info("socket closed", { ...about(), code, ms, messages: received });
    },
    tick() {
      if (outbox.stalled()) return end("stalled");
      socket.ping();
      // That of a stream's reader is asked by the stream.
      if (seat.taken()) return;
      approach.stillValid().then(
        (now) => now ?? end("credentialEnded"),
        () => {},
      );
    },
  };
}

const encoder = new TextEncoder();
