import type { Approach, Peer, Socket } from "../core/exchange.ts";
import { GatewayError, describeError } from "../core/errors.ts";
import type { Principal } from "../core/principal.ts";
import type { Clock, Log, LogFields } from "../core/runtime.ts";
import type { Session } from "../core/session.ts";
import { DEFAULT_VIEW } from "../core/session.ts";
import { EVENT_ID, SESSION_ID, withEventId } from "./event-id.ts";
import { isStateless } from "./http.ts";
import { initializeFields, readInitialize } from "./initialize.ts";
import type { RequestId, RpcMessage, RpcRequest } from "./jsonrpc.ts";
import {
  INVALID_REQUEST,
  RpcError,
  SERVER_ERROR,
  parseBody,
  resultText,
  thrownText,
} from "./jsonrpc.ts";
import type { TransportWiring } from "./legacy.ts";
import { sessionNotFound, toolName } from "./legacy.ts";
import type { Method } from "./methods.ts";
import { writeLegacy } from "./result.ts";
import type { Stateless } from "./stateless.ts";
import type { Attachment, Ending } from "./stream.ts";
import { BATCHES } from "./versions.ts";

/**
 * One WebSocket: JSON-RPC, one message a text frame. What it carries depends on what its client sends, as on `/mcp`:
 * plain requests, those of a session, and those of 2026-07-28, also mixed. A socket with a session reads the
 * session's own stream, and all of the session that is on record goes there, answers included: one cursor is enough
 * to go on after a break.
 */
export type Conversation = Peer & {
  /** Pings, and closes what has stalled or lost its right to be here. */
  tick(): void;
  /** Closes with a code of {@link closing}. */
  end(why: keyof typeof closing): void;
};

/** Where in a session a client wants to go on. */
export type Place = { sessionId: string | null; lastEventId: string | null };

/** What the client of a socket that we close is told. Numbers from 4000 on are like the statuses of HTTP. */
export const closing = {
  binary: [1003, "Send JSON-RPC in text frames."],
  failed: [1011, "Something went wrong on our side. Connect again."],
  restart: [1012, "The server is restarting. Connect again."],
  tooMuch: [1013, "Too many messages at once. Connect again, and slower."],
  badEventId: [4400, "Invalid event ID. Connect again without it."],
  credentialEnded: [4401, "The credential is no longer good."],
  sessionNotFound: [4404, "Session not found. Initialize a new one."],
  takenOver: [4409, "Another connection reads this session."],
} as const satisfies Record<string, readonly [number, string]>;

const closingFor = {
  over: "failed",
  failed: "failed",
  restart: "restart",
  "taken over": "takenOver",
  "credential ended": "credentialEnded",
  "session ended": "sessionNotFound",
} as const satisfies Record<Exclude<Ending, "stalled">, keyof typeof closing>;

export type ConversationWiring = TransportWiring & {
  stateless: Pick<Stateless, "begin">;
  /** Throws {@link RpcError} for a URL of a server that is not there. */
  requireServer(approach: Approach, id: RequestId | null): void;
  draining(): boolean;
  clock: Clock;
  log: Log;
  /** Of one frame, in bytes. */
  maxFrame: number;
};

/** Requests of one socket that are being answered. */
export const MAX_RUNNING = 128;
/** Frames that wait for their turn. */
const MAX_WAITING = 1024;
/** From here on, what waits for the network leaves no room for what is on record. */
const ROOM = 1_048_576;
/** With more than this waiting for the network, a socket is cut off; it holds some of the largest answers. */
const MAX_BEHIND = 33_554_432;
/** As is one of which the network has taken nothing for this long. */
const STALL_MS = 60_000;

type Entry = {
  id: RequestId;
  /** Nobody is interested any more. */
  stop: () => void;
  cancelled: boolean;
};

export function createConversation(
  wiring: ConversationWiring,
  approach: Approach,
  place: Place,
  left: () => void,
): Conversation {
  const { methods, sessions, events, eventIds, streams, calls } = wiring;
  const { clock, log } = wiring;
  const { chat, server } = approach;
  const openedAt = clock.monotonic();
  let { principal } = approach;
  let socket: Socket;
  let over = false;
  let bound: { pk: number; attachment: Attachment } | null = null;
  // A session that is named is initialized already; that of a chat is continued by it.
  let initialized = place.sessionId !== null;
  const running = new Set<Entry>();
  const listening = new Set<Entry>();
  let turn = Promise.resolve();
  let waiting = 0;
  let waitingLength = 0;
  let slowSince: number | null = null;
  let received = 0;

  /** Our end of it: `how` is told to the socket. */
  function leave(how: () => void): void {
    if (over) return;
    over = true;
    how();
    bound?.attachment.leave();
    // Those of a session go on, and their answers wait for whoever comes back.
    for (const entry of [...running, ...listening]) entry.stop();
    left();
  }

  const end: Conversation["end"] = (why) => {
    const [code, reason] = closing[why];
    leave(() => socket.close(code, reason));
  };

  function cut(): void {
    log.warn("socket cut off", { ...about(), behind: socket.behind() });
    leave(() => socket.cut());
  }

  const about = () => ({
    id: approach.log["id"],
    workspace: principal.workspace,
    user: principal.subject,
  });

  function say(text: string): void {
    if (over) return;
    socket.send(text);
    const behind = socket.behind();
    if (behind === 0) slowSince = null;
    else slowSince ??= clock.monotonic();
    if (behind > MAX_BEHIND) cut();
  }

  /** Reads the session's own stream from here on; says what is wrong when it cannot. */
  function bind(session: Session, after: number): void {
    const ref = { sessionPk: session.pk, streamId: session.pk };
    const first = events.firstAfter(ref, after);
    const attachment = streams.attach(
      { ref, after, principal, stillValid: approach.stillValid },
      {
        deliver(id, data) {
          say(withEventId(data, id));
          return !over && socket.behind() < ROOM;
        },
        end: (why) => (why === "stalled" ? cut() : end(closingFor[why])),
      },
    );
    if (!attachment) return end("takenOver");
    if (over) return attachment.leave();
    bound = { pk: session.pk, attachment };
    wiring.lifecycle.attached(
      session,
      principal,
      first !== null && first > after + 1,
    );
  }

  const lastOf = ({ pk }: Session) =>
    events.last({ sessionPk: pk, streamId: pk });

  function findSession(): Session | null {
    if (place.sessionId === null) {
      return chat === null
        ? null
        : sessions.findByChat(principal, chat, server);
    }
    const session = sessions.find(principal, place.sessionId);
    return session?.view.server === server ? session : null;
  }

  function goOn(): void {
    const session = findSession();
    const { sessionId, lastEventId } = place;
    if (!session) {
      if (sessionId === null && lastEventId === null) return;
      say(thrownText(null, sessionNotFound()));
      return end("sessionNotFound");
    }
    const last = lastOf(session);
    if (lastEventId === null) return bind(session, last);
    const cursor = eventIds.decode(lastEventId);
    if (cursor?.streamId !== session.pk || cursor.seq > last) {
      return end("badEventId");
    }
    bind(session, cursor.seq);
  }

  /** The session of the next message, or null. */
  function current(): Session | null {
    if (!bound) {
      const session = chat === null ? null : findSession();
      if (session) bind(session, lastOf(session));
      return over ? null : session;
    }
    const session = sessions.findByPk(principal, bound.pk);
    if (!session) end("sessionNotFound");
    return session;
  }

  async function receive(text: string): Promise<void> {
    if (over) return;
    let messages: RpcMessage[];
    let batch: boolean;
    try {
      const bytes = encoder.encode(text);
      ({ messages, batch } = parseBody(bytes, wiring.limits));
    } catch (error) {
      return say(thrownText(null, error));
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

  async function take(message: RpcMessage, batch: boolean): Promise<void> {
    const fields: LogFields = { ...about() };
    const asking = { ...approach, principal, log: fields };
    if (message.kind === "request") {
      fields["rpc"] = message.method;
      fields["tool"] = toolName(message);
      try {
        await begin(asking, message, batch);
      } catch (error) {
        fail(message.id, error);
      }
      log.info("message", fields);
      return;
    }
    const session = current();
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
      return initialize(asking, request, batch);
    }
    const session = current();
    if (over) return;
    if (batch && session?.protocolVersion !== BATCHES) {
      throw new RpcError(
        INVALID_REQUEST,
        `Invalid Request: batches exist in revision ${BATCHES} only.`,
      );
    }
    if (session) wiring.lifecycle.seen(session, asking.log);
    const { asked } = asking;
    const view = session?.view ?? { ...DEFAULT_VIEW, ...asked, server };
    const method = methods.find(request.method, "sessions");
    const entry = enter(request.id);
    const start = {
      session,
      customer: { principal, view },
      request,
      write: writeLegacy,
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

  async function initialize(
    asking: Approach,
    request: RpcRequest,
    batch: boolean,
  ): Promise<void> {
    if (batch) {
      throw new RpcError(
        INVALID_REQUEST,
        "Invalid Request: initialize must not be part of a batch.",
      );
    }
    if (initialized) {
      throw new RpcError(
        INVALID_REQUEST,
        "Invalid Request: this session is initialized already. Open another connection, without a session, for another.",
      );
    }
    const handshake = readInitialize(request);
    const session = await wiring.lifecycle.open(asking, handshake, null);
    if (over) return;
    initialized = true;
    const last = lastOf(session);
    const fields = initializeFields(
      wiring.about,
      session.protocolVersion,
      session,
      session.view,
    );
    const meta = {
      [SESSION_ID]: session.id,
      [EVENT_ID]: eventIds.encode(session.pk, last),
    };
    say(resultText(request.id, writeLegacy({ fields, meta })));
    if (bound?.pk === session.pk) return;
    bound?.attachment.leave();
    bound = null;
    bind(session, last);
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
              if (socket.behind() >= ROOM) return false;
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
    end,
    opened(opened) {
      socket = opened;
      goOn();
    },
    message(text) {
      if (over) return;
      if (text === null) return end("binary");
      if (
        waiting >= MAX_WAITING ||
        waitingLength + text.length > wiring.maxFrame * 4
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
      slowSince = socket.behind() === 0 ? null : clock.monotonic();
      if (socket.behind() < ROOM) bound?.attachment.more();
    },
    closed(code) {
      leave(() => {});
      const ms = Math.round(clock.monotonic() - openedAt);
      log.info("socket closed", { ...about(), code, ms, messages: received });
    },
    tick() {
      if (slowSince !== null && clock.monotonic() - slowSince > STALL_MS) {
        return cut();
      }
      socket.ping();
      // That of a stream's reader is asked by the stream.
      if (bound) return;
      approach.stillValid().then(
        (now) => now ?? end("credentialEnded"),
        () => {},
      );
    },
  };
}

const encoder = new TextEncoder();
