import type { Approach } from "../core/exchange.ts";
import type { Principal } from "../core/principal.ts";
import type { Session } from "../core/session.ts";
import type { Closing } from "./closing.ts";
import { EVENT_ID, SESSION_ID, withEventId } from "./event-id.ts";
import { initializeFields, readInitialize } from "./initialize.ts";
import type { RpcRequest } from "./jsonrpc.ts";
import {
  INVALID_REQUEST,
  RpcError,
  resultText,
  thrownText,
} from "./jsonrpc.ts";
import type { TransportWiring } from "./legacy.ts";
import { sessionNotFound } from "./legacy.ts";
import type { Outbox } from "./outbox.ts";
import { writeLegacy } from "./result.ts";
import type { Attachment, Ending } from "./stream.ts";

/**
 * The place of a WebSocket in a session. It reads the session's own stream, and all of the session that is on record
 * goes there, answers included: one cursor is enough to go on after a break.
 */
export type Seat = {
  /** Takes it where the client says that it was, if it says so. */
  take(): void;
  /** The session of the next message; null when there is none, or when the socket has just been closed. */
  current(principal: Principal): Session | null;
  taken(): boolean;
  /** `initialize`: opens a session, or continues that of the chat. Throws {@link RpcError} and GatewayError. */
  initialize(asking: Approach, request: RpcRequest): Promise<void>;
  /** There is room for more of what is on record. */
  more(): void;
  leave(): void;
};

/** Where in a session a client wants to go on. */
export type Place = { sessionId: string | null; lastEventId: string | null };

const closingFor = {
  over: "failed",
  failed: "failed",
  restart: "restart",
  "taken over": "takenOver",
  "credential ended": "credentialEnded",
  "session ended": "sessionNotFound",
  stalled: "stalled",
} as const satisfies Record<Ending, Closing>;

export function createSeat(
  wiring: Pick<
    TransportWiring,
    "about" | "sessions" | "lifecycle" | "events" | "eventIds" | "streams"
  >,
  approach: Approach,
  place: Place,
  socket: Pick<Outbox, "say" | "hasRoom"> & {
    end(why: Closing): void;
    closed(): boolean;
  },
): Seat {
  const { sessions, events, eventIds, streams, lifecycle } = wiring;
  const { chat, server } = approach;
  let bound: { pk: number; attachment: Attachment } | null = null;
  // A session that is named is initialized already; that of a chat is continued by it.
  let initialized = place.sessionId !== null;

  const ownStream = ({ pk }: Session) => ({ sessionPk: pk, streamId: pk });
  const lastOf = (session: Session) => events.last(ownStream(session));

  /** Reads the session's own stream from here on, or closes the socket. */
  function bind(session: Session, principal: Principal, after: number): void {
    const ref = ownStream(session);
    const first = events.firstAfter(ref, after);
    const attachment = streams.attach(
      { ref, after, principal, stillValid: approach.stillValid },
      {
        deliver(id, data) {
          socket.say(withEventId(data, id));
          return socket.hasRoom();
        },
        end: (why) => socket.end(closingFor[why]),
      },
    );
    if (!attachment) return socket.end("takenOver");
    // It may not have taken what was there.
    if (socket.closed()) return attachment.leave();
    bound = { pk: session.pk, attachment };
    const lost = first !== null && first > after + 1;
    lifecycle.attached(session, principal, lost);
  }

  function find(principal: Principal): Session | null {
    if (place.sessionId === null) {
      return chat === null
        ? null
        : sessions.findByChat(principal, chat, server);
    }
    const session = sessions.find(principal, place.sessionId);
    return session?.view.server === server ? session : null;
  }

  function leave(): void {
    bound?.attachment.leave();
    bound = null;
  }

  return {
    leave,
    more: () => bound?.attachment.more(),
    taken: () => bound !== null,

    take() {
      const { principal } = approach;
      const { sessionId, lastEventId } = place;
      const session = find(principal);
      if (!session) {
        if (sessionId === null && lastEventId === null) return;
        socket.say(thrownText(null, sessionNotFound()));
        return socket.end("sessionNotFound");
      }
      const last = lastOf(session);
      if (lastEventId === null) return bind(session, principal, last);
      const cursor = eventIds.decode(lastEventId);
      if (cursor?.streamId !== session.pk || cursor.seq > last) {
        return socket.end("badEventId");
      }
      bind(session, principal, cursor.seq);
    },

    current(principal) {
      if (!bound) {
        // The chat may have a session by now.
        const session = chat === null ? null : find(principal);
        if (session) bind(session, principal, lastOf(session));
        return bound && session;
      }
      const session = sessions.findByPk(principal, bound.pk);
      if (!session) socket.end("sessionNotFound");
      return session;
    },

    async initialize(asking, request) {
      if (initialized) {
        throw new RpcError(
          INVALID_REQUEST,
          "Invalid Request: this session is initialized already. Open another connection, without a session, for another.",
        );
      }
      const handshake = readInitialize(request);
      const session = await lifecycle.open(asking, handshake, null);
      if (socket.closed()) return;
      initialized = true;
      const last = lastOf(session);
      const { protocolVersion, view } = session;
      const fields = initializeFields(
        wiring.about,
        protocolVersion,
        session,
        view,
      );
      const meta = {
        [SESSION_ID]: session.id,
        [EVENT_ID]: eventIds.encode(session.pk, last),
      };
      socket.say(resultText(request.id, writeLegacy({ fields, meta })));
      if (bound?.pk === session.pk) return;
      leave();
      bind(session, asking.principal, last);
    },
  };
}
