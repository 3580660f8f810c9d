import { GatewayError } from "../core/errors.ts";
import { causeOf } from "../core/journal.ts";
import type { EventLog } from "../core/event.ts";
import type { Exchange } from "../core/exchange.ts";
import type { LogFields } from "../core/runtime.ts";
import type { Session, SessionStore } from "../core/session.ts";
import { CALL_TOOL } from "../core/tool.ts";
import type { Customer } from "../gateway/catalog/toolbox.ts";
import type { CallStart, Calls, Outcome } from "./calls.ts";
import type { EventIds } from "./event-id.ts";
import type { About } from "./initialize.ts";
import { initializeFields, readInitialize } from "./initialize.ts";
import type { ParseLimits, RpcMessage, RpcRequest } from "./jsonrpc.ts";
import {
  INVALID_REQUEST,
  RpcError,
  SERVER_ERROR,
  errorText,
  isRecord,
  resultText,
  retryAfter,
} from "./jsonrpc.ts";
import type { Methods } from "./methods.ts";
import type { Observation } from "./observation.ts";
import { writeLegacy } from "./result.ts";
import type { Sessions } from "./sessions.ts";
import type { StreamOpening, Streams } from "./stream.ts";
import { eventText, preludeText } from "./stream.ts";
import { BATCHES, legacyVersions, primes } from "./versions.ts";

/**
 * Streamable HTTP with sessions, revisions 2025-03-26 to 2025-11-25 (basic/transports), and callers
 * without a session or a stream. Throws {@link RpcError} and GatewayError.
 */
export type LegacyHttp = {
  post(
    exchange: Exchange,
    messages: RpcMessage[],
    batch: boolean,
  ): Promise<Response>;
  get(exchange: Exchange): Promise<Response>;
  delete(exchange: Exchange): Promise<Response>;
};

export const JSON_HEADERS = { "content-type": "application/json" };
export const STREAM_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};

/** What every transport with sessions works with. */
export type TransportWiring = {
  about: About;
  methods: Methods;
  sessions: SessionStore;
  lifecycle: Sessions;
  events: EventLog;
  eventIds: EventIds;
  streams: Streams;
  calls: Calls;
  observation: Observation;
  limits: ParseLimits;
};

export function createLegacyHttp(
  wiring: TransportWiring & {
    /** Of a request without a session: what it shows, and what keeps the tools that it enables. */
    plain: (exchange: Exchange) => Pick<Customer, "view" | "enable">;
  },
): LegacyHttp {
  const { methods, sessions, events, eventIds, streams, calls } = wiring;

  /** The session a request belongs to, by its header or by its chat; null when it names neither. */
  function findSession(exchange: Exchange): Session | null {
    const id = exchange.request.headers.get("mcp-session-id");
    const { principal, chat, server } = exchange;
    if (id === null) {
      return chat === null
        ? null
        : sessions.findByChat(principal, chat, server);
    }
    const session = sessions.find(principal, id);
    // One of another URL is as unknown here as one that never was.
    if (session?.view.server !== server) throw sessionNotFound();
    return session;
  }

  async function initialize(
    exchange: Exchange,
    request: RpcRequest,
  ): Promise<Response> {
    if (exchange.request.headers.has("mcp-session-id")) {
      findSession(exchange);
      throw new RpcError(
        INVALID_REQUEST,
        "Invalid Request: this session is initialized already. Send initialize without Mcp-Session-Id to open another.",
        { id: request.id },
      );
    }
    const handshake = readInitialize(request);
    const session = await wiring.lifecycle.open(exchange, handshake, null);
    const fields = initializeFields(
      wiring.about,
      session.protocolVersion,
      session,
      session.view,
    );
    return new Response(resultText(request.id, writeLegacy({ fields })), {
      headers: { ...JSON_HEADERS, "mcp-session-id": session.id },
    });
  }

  /** One request on a stream of its own. */
  async function callOnStream(
    exchange: Exchange,
    session: Session,
    request: RpcRequest,
  ): Promise<Response> {
    const streamId = events.nextStream();
    const prelude = preludeText(
      eventIds.encode(streamId, 0),
      primes(session.protocolVersion),
    );
    const recorded = await calls.onStream(
      start(exchange, session, request),
      streamId,
      streamId,
    );
    if (!recorded.answered) {
      return streamResponse(exchange, session, streamId, prelude);
    }
    let text = prelude;
    for (const { seq, data } of recorded.events) {
      text += eventText(eventIds.encode(streamId, seq), data);
    }
    return new Response(text, { headers: STREAM_HEADERS });
  }

  /** Several requests on one stream (2025-03-26 only). */
  async function batchOnStream(
    exchange: Exchange,
    session: Session,
    requests: RpcRequest[],
  ): Promise<Response> {
    const streamId = events.nextStream();
    await Promise.all(
      requests.map((request) =>
        calls.onStream(
          start(exchange, session, request),
          streamId,
          events.nextStream(),
        ),
      ),
    );
    const prelude = preludeText(eventIds.encode(streamId, 0), false);
    return streamResponse(exchange, session, streamId, prelude);
  }

  function start(
    exchange: Exchange,
    session: Session | null,
    request: RpcRequest,
  ): CallStart {
    const { principal } = exchange;
    const { view, enable } = session
      ? { view: session.view, enable: null }
      : wiring.plain(exchange);
    return {
      session,
      customer: { principal, view },
      enable,
      request,
      method: methods.find(request.method, "sessions"),
      write: writeLegacy,
    };
  }

  function streamResponse(
    exchange: Exchange,
    session: Session,
    streamId: number,
    prelude: string,
    after = 0,
  ): Response {
    const opening: StreamOpening = {
      ref: { sessionPk: session.pk, streamId },
      after,
      prelude,
      principal: exchange.principal,
      stillValid: exchange.stillValid,
    };
    exchange.holdOpen();
    const readable = streams.open(opening);
    if (!readable) {
      throw new RpcError(
        SERVER_ERROR,
        "Conflict: this stream has just been opened by another request.",
        { status: 409 },
      );
    }
    return new Response(readable, { headers: STREAM_HEADERS });
  }

  async function post(
    exchange: Exchange,
    messages: RpcMessage[],
    batch: boolean,
  ): Promise<Response> {
    const accepts = readAccept(exchange.request);
    if (!accepts.json) return notAcceptable();
    checkVersion(exchange.request);
    const requests = messages.filter((message) => message.kind === "request");
    const { log } = exchange;

    if (requests.some(({ method }) => method === "initialize")) {
      if (batch) {
        throw new RpcError(
          INVALID_REQUEST,
          "Invalid Request: initialize must not be part of a batch.",
        );
      }
      return wiring.observation.during(
        { door: "mcp", request: requests[0]! },
        exchange.principal,
        () => initialize(exchange, requests[0]!),
      );
    }

    const session = findSession(exchange);
    if (!session && accepts.stream) {
      // An MCP client that has lost its header; a caller that expects streams must have a session.
      return refuse(
        400,
        "Bad Request: No valid session ID provided. Send initialize first, then its Mcp-Session-Id with every request.",
      );
    }
    if (session) wiring.lifecycle.seen(session, log);
    if (batch && session?.protocolVersion !== BATCHES) {
      throw new RpcError(
        INVALID_REQUEST,
        `Invalid Request: batches exist in revision ${BATCHES} only.`,
      );
    }
    for (const message of messages) {
      if (session && message.kind !== "request") {
        calls.received(session.pk, message);
      }
    }
    const [first] = requests;
    if (!first) return new Response(null, { status: 202 });
    log["tool"] = toolName(first);
    if (!batch) calls.requireRoom(exchange.principal, first);

    if (session && accepts.stream) {
      if (batch) return batchOnStream(exchange, session, requests);
      if (methods.onRecord(first.method)) {
        return callOnStream(exchange, session, first);
      }
    }
    exchange.holdOpen();
    const calling = requests.map((request) =>
      calls.detached(start(exchange, session, request), null),
    );
    const { signal } = exchange.request;
    const stop = () => calling.forEach((one) => one.stop());
    // Without a session nobody can cancel in another way, or come back.
    if (!session) signal.addEventListener("abort", stop, { once: true });
    const outcomes = await Promise.all(calling.map(({ outcome }) => outcome));
    signal.removeEventListener("abort", stop);
    if (signal.aborted) return new Response(null, { status: 499 });
    if (!batch) return plainAnswer(log, outcomes[0]!);
    const answers = outcomes.map(({ text }) => text);
    return new Response(`[${answers.join(",")}]`, { headers: JSON_HEADERS });
  }

  async function get(exchange: Exchange): Promise<Response> {
    if (!readAccept(exchange.request).stream) {
      return refuse(
        406,
        "Not Acceptable: this URL speaks MCP. A GET opens an event stream and must accept text/event-stream.",
      );
    }
    checkVersion(exchange.request);
    const session = findSession(exchange);
    if (!session) {
      return refuse(400, "Bad Request: No valid session ID provided");
    }
    wiring.lifecycle.seen(session, exchange.log);
    const lastEventId = exchange.request.headers.get("last-event-id");
    const own = { sessionPk: session.pk, streamId: session.pk };
    const cursor =
      lastEventId === null
        ? { streamId: session.pk, seq: events.last(own) }
        : eventIds.decode(lastEventId);
    if (!cursor) return refuse(400, "Invalid event ID");
    const ref = { sessionPk: session.pk, streamId: cursor.streamId };
    const endless = cursor.streamId === session.pk;
    if (
      endless ? cursor.seq > events.last(ref) : events.state(ref) === "unknown"
    ) {
      return refuse(400, "Invalid event ID");
    }
    if (!endless && isFinished(ref, cursor.seq)) {
      return new Response(null, { status: 204 });
    }
    const response = streamResponse(
      exchange,
      session,
      cursor.streamId,
      preludeText(
        eventIds.encode(cursor.streamId, cursor.seq),
        primes(session.protocolVersion),
      ),
      cursor.seq,
    );
    if (endless) {
      const first = events.firstAfter(ref, cursor.seq);
      const lost = first !== null && first > cursor.seq + 1;
      wiring.lifecycle.attached(session, exchange.principal, lost);
    }
    return response;
  }

  function isFinished(
    ref: { sessionPk: number; streamId: number },
    after: number,
  ): boolean {
    return (
      events.state(ref) === "done" && events.firstAfter(ref, after) === null
    );
  }

  return {
    post,
    get,
    async delete(exchange) {
      const session = findSession(exchange);
      if (!session) {
        return refuse(400, "Bad Request: No valid session ID provided");
      }
      await wiring.lifecycle.end(session, causeOf(exchange.principal));
      return new Response(null, { status: 200 });
    },
  };
}

/** Somebody else's session and one that never was are answered alike, to the byte. */
export function sessionNotFound(): RpcError {
  return new RpcError(SERVER_ERROR, "Session not found", { status: 404 });
}

/** One JSON answer. Errors of a method are answers like results, but for those that say when to come back. */
function plainAnswer(log: LogFields, { text, limited }: Outcome): Response {
  return limited
    ? tooManyResponse(log, text, limited)
    : new Response(text, { headers: JSON_HEADERS });
}

/** `log`: fields of the request's line. */
export function tooManyResponse(
  log: LogFields,
  text: string,
  { message, retryAfterMs }: Pick<GatewayError, "message" | "retryAfterMs">,
): Response {
  log["reason"] = message;
  return new Response(text, {
    status: 429,
    headers: { ...JSON_HEADERS, ...retryAfter(retryAfterMs) },
  });
}

/** Turns envelope faults into their HTTP answers. `log`: fields of the request's line. */
export async function answering(
  log: LogFields,
  answer: () => Promise<Response>,
): Promise<Response> {
  try {
    return await answer();
  } catch (thrown) {
    // A session that ended while it was being used.
    const gone = thrown instanceof GatewayError && thrown.code === "not_found";
    const error = gone ? sessionNotFound() : thrown;
    if (!(error instanceof RpcError)) throw error;
    const { id, code, message, data, status } = error;
    const text = errorText(id, code, message, data);
    return status === 429
      ? tooManyResponse(log, text, error)
      : new Response(text, { status, headers: JSON_HEADERS });
  }
}

/** An HTTP-level refusal in the shape of MCP: an error for no request in particular. Of them, 409 may be tried again. */
export function refuse(status: number, message: string): Response {
  const code = status === 409 ? SERVER_ERROR : INVALID_REQUEST;
  return new Response(errorText(null, code, message), {
    status,
    headers: JSON_HEADERS,
  });
}

export function notAcceptable(): Response {
  return refuse(
    406,
    "Not Acceptable: the client must accept application/json and text/event-stream.",
  );
}

export function readAccept(request: Request): {
  json: boolean;
  stream: boolean;
} {
  const accept = request.headers.get("accept")?.toLowerCase() ?? "*/*";
  return {
    json: /application\/(json|\*)|\*\/\*/.test(accept),
    stream: accept.includes("text/event-stream"),
  };
}

/** The header is absent before and on `initialize`, and from clients older than 2025-06-18. */
function checkVersion(request: Request): void {
  const version = request.headers.get("mcp-protocol-version");
  if (version === null || legacyVersions.includes(version)) return;
  throw new RpcError(
    INVALID_REQUEST,
    `Bad Request: Unsupported protocol version (supported versions: ${legacyVersions.join(", ")})`,
    { data: { supported: legacyVersions, requested: version.slice(0, 64) } },
  );
}

export function rpcName(message: RpcMessage): string {
  return message.kind === "response" ? "response" : message.method;
}

/** For the log: the tool that a request calls, also by way of `call-tool`. */
export function toolName(request: RpcRequest): string | undefined {
  if (request.method !== "tools/call") return undefined;
  const { name, arguments: args } = request.params;
  if (typeof name !== "string") return undefined;
  const inner = name === CALL_TOOL && isRecord(args) ? args["name"] : undefined;
  const whole = typeof inner === "string" ? `${name} ${inner}` : name;
  return whole.slice(0, 128);
}
