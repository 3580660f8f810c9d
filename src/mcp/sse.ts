import { GatewayError } from "../core/errors.ts";
import type { Exchange } from "../core/exchange.ts";
import type { Principal } from "../core/principal.ts";
import type { Ids } from "../core/runtime.ts";
import type { Session } from "../core/session.ts";
import type { Admission } from "../gateway/limits/admission.ts";
import { initializeFields, readInitialize } from "./initialize.ts";
import type { RpcRequest } from "./jsonrpc.ts";
import { parseBody } from "./jsonrpc.ts";
import type { TransportWiring } from "./legacy.ts";
import {
  STREAM_HEADERS,
  answering,
  refuse,
  rpcName,
  sessionNotFound,
  toolName,
} from "./legacy.ts";
import type { Method } from "./methods.ts";
import { traceOf } from "./observation.ts";
import { writeLegacy } from "./result.ts";
import { RETRY_MS } from "./stream.ts";

/**
 * HTTP+SSE of revision 2024-11-05 (basic/transports): one long stream, and a URL to post to. Everything
 * the server says, answers included, goes over the session's own stream, so a client that reconnects with
 * `Last-Event-ID` gets its session and what it missed.
 */
export type HttpSse = {
  /** Opens the stream, or resumes it. */
  open(exchange: Exchange): Promise<Response>;
  /** Takes a message for a session. */
  post(exchange: Exchange, sessionId: string): Promise<Response>;
  /**
   * Whose session this is, for a post that carries the ticket of the `endpoint` event instead of a
   * credential: the caller who reads the stream at present, as the credential of that stream says now. Throws
   * `unauthenticated` when there is none, or that credential is no longer good.
   */
  principalOf(sessionId: string, ticket: string): Promise<Principal>;
};

export function createHttpSse(
  wiring: TransportWiring & {
    ids: Ids;
    admission: Pick<Admission, "take" | "hold">;
    /** Where `/sse/messages` is seen by clients, without a trailing slash; may be empty. */
    basePath: string;
  },
): HttpSse {
  const { methods, sessions, events, eventIds, streams, calls, ids } = wiring;

  async function open(exchange: Exchange): Promise<Response> {
    const ticket = ids.secret();
    const { principal, chat, server } = exchange;
    const lastEventId = exchange.request.headers.get("last-event-id");
    const cursor = lastEventId === null ? null : eventIds.decode(lastEventId);
    const resumed = cursor && sessions.findTicketed(principal, cursor.streamId);
    const before =
      resumed ??
      (chat === null ? null : sessions.findByChat(principal, chat, server));
    // Before anything changes: the reader there keeps its ticket.
    if (before && !streams.free(before.pk)) {
      return refuse(
        409,
        "Conflict: this stream has just been opened by another request.",
      );
    }
    // Nor is a session opened that nobody could read.
    if (!before || !streams.reader(before.pk))
      wiring.admission.hold(principal)();
    // An id that is not known any more begins a new session: an EventSource would try it for ever.
    const session =
      (resumed && (await resume(exchange, resumed, hash(ticket)))) ??
      (await wiring.lifecycle.open(exchange, null, hash(ticket)));
    const own = { sessionPk: session.pk, streamId: session.pk };
    const last = events.last(own);
    const after = resumed && cursor ? Math.min(cursor.seq, last) : last;
    exchange.holdOpen();
    const endpoint = `${wiring.basePath}/sse/messages?sessionId=${session.id}&ticket=${ticket}`;
    const readable = streams.open({
      ref: own,
      after,
      prelude: `retry: ${RETRY_MS}\nid: ${eventIds.encode(session.pk, after)}\nevent: endpoint\ndata: ${endpoint}\n\n`,
      principal,
      stillValid: exchange.stillValid,
    });
    if (!readable) throw sessionNotFound();
    const first = events.firstAfter(own, after);
    const lost = first !== null && first > after + 1;
    wiring.lifecycle.attached(session, principal, lost);
    return new Response(readable, { headers: STREAM_HEADERS });
  }

  function resume(
    exchange: Exchange,
    session: Session,
    ticketHash: string,
  ): Promise<Session | null> {
    wiring.lifecycle.seen(session, exchange.log);
    return sessions.edit(session.pk, () => ({ ticketHash }));
  }

  async function post(
    exchange: Exchange,
    sessionId: string,
  ): Promise<Response> {
    const session = sessions.find(exchange.principal, sessionId);
    if (session?.view.server !== exchange.server) throw sessionNotFound();
    wiring.lifecycle.seen(session, exchange.log);
    const { messages, batch } = parseBody(exchange.body!, wiring.limits);
    const [first] = messages;
    exchange.log["rpc"] = rpcName(first!);
    exchange.log["trace"] ??= traceOf(first)?.traceId;
    if (messages.length > 1) {
      wiring.admission.take(exchange.principal, messages.length - 1);
    }
    if (!batch && first!.kind === "request") {
      calls.requireRoom(exchange.principal, first!);
    }
    for (const message of messages) {
      if (message.kind === "request") {
        exchange.log["tool"] = toolName(message);
        await startRequest(exchange, session, message);
      } else calls.received(session.pk, message);
    }
    return new Response("Accepted", { status: 202 });
  }

  async function startRequest(
    exchange: Exchange,
    session: Session,
    request: RpcRequest,
  ): Promise<void> {
    const { principal } = exchange;
    await calls.onStream(
      {
        session,
        customer: { principal, view: session.view },
        request,
        method: method(session, request),
        write: writeLegacy,
        door: "sse",
      },
      session.pk,
      events.nextStream(),
    );
    streams.wake(session.pk);
  }

  function method(session: Session, request: RpcRequest): Method {
    if (request.method === "initialize") {
      return async () => {
        const handshake = readInitialize(request);
        await sessions.edit(session.pk, () => handshake);
        const { protocolVersion } = handshake;
        const { about } = wiring;
        const { view } = session;
        return {
          fields: initializeFields(about, protocolVersion, session, view),
        };
      };
    }
    return methods.find(request.method, "sessions");
  }

  return {
    open: (exchange) => answering(exchange.log, () => open(exchange)),
    post: (exchange, sessionId) =>
      answering(exchange.log, () => post(exchange, sessionId)),
    async principalOf(sessionId, ticket) {
      const session = sessions.findByTicket(sessionId, hash(ticket));
      const reader = session && (await streams.verifiedReader(session.pk));
      if (!reader) {
        throw new GatewayError(
          "unauthenticated",
          "No token provided, and the ticket is not that of an open stream",
        );
      }
      return reader;
    },
  };
}

function hash(ticket: string): string {
  return new Bun.CryptoHasher("sha256").update(ticket).digest("base64url");
}
