import type { Approach, Peer } from "../core/exchange.ts";
import { GatewayError } from "../core/errors.ts";
import { limited } from "../core/limit.ts";
import type { Identity } from "../core/principal.ts";
import { identityKey } from "../core/principal.ts";
import { closings } from "./closing.ts";
import type { Conversation, ConversationWiring } from "./conversation.ts";
import { createConversation } from "./conversation.ts";
import { serverNotFound } from "./http.ts";
import { answering } from "./legacy.ts";
import type { Place } from "./seat.ts";
import { createTurns } from "./turns.ts";

/** MCP over WebSockets: every era, with and without a session. */
export type WebSockets = {
  /**
   * `accept`: answers with the opening of a socket, for the one who will talk over it. Throws `rate_limited` when this
   * user has too many open.
   */
  open(
    approach: Approach,
    place: Place,
    accept: (peer: Peer) => Response,
  ): Promise<Response>;
  /** Pings, and closes those that have stalled or whose credential has ended. */
  tick(): void;
  /** Begins nothing any more. */
  drain(): void;
  closeAll(): void;
  count(): number;
};

/** Messages of all sockets in one turn of the event loop: more would make other requests wait. */
const PER_TURN = 64;

/** Open sockets of one user. */
const MAX_SOCKETS = 100;

export function createWebSockets(
  wiring: Omit<ConversationWiring, "requireServer" | "draining" | "turns"> & {
    /** Whether the caller has a server of that name. */
    knows: (who: Identity, server: string) => boolean;
  },
): WebSockets {
  const sockets = new Map<string, Set<Conversation>>();
  let draining = false;

  const shared: ConversationWiring = {
    ...wiring,
    draining: () => draining,
    turns: createTurns(PER_TURN),
    requireServer({ principal, server }, id) {
      if (server === null || wiring.knows(principal, server)) return;
      throw serverNotFound(id);
    },
  };

  const all = () => [...sockets.values()].flatMap((mine) => [...mine]);

  function meet(approach: Approach, place: Place): Peer {
    shared.requireServer(approach, null);
    const key = identityKey(approach.principal);
    if ((sockets.get(key)?.size ?? 0) >= MAX_SOCKETS) {
      throw new GatewayError(
        "rate_limited",
        `There are ${MAX_SOCKETS} open WebSockets of this user already. Close one first.`,
        { retryAfterMs: 10_000, data: limited("sockets") },
      );
    }
    let conversation: Conversation | null = null;
    const left = () => {
      const mine = sockets.get(key);
      if (mine?.delete(conversation!) && mine.size === 0) sockets.delete(key);
    };
    return {
      opened(socket) {
        // Others may have opened since it was asked.
        if ((sockets.get(key)?.size ?? 0) >= MAX_SOCKETS) {
          return socket.close(...closings.tooManySockets);
        }
        conversation = createConversation(
          shared,
          approach,
          place,
          socket,
          left,
        );
        const mine = sockets.get(key) ?? new Set();
        sockets.set(key, mine.add(conversation));
        conversation.start();
      },
      message: (text) => conversation?.message(text),
      drained: () => conversation?.drained(),
      closed: (code) => conversation?.closed(code),
    };
  }

  return {
    open: (approach, place, accept) =>
      answering(approach.log, async () => accept(meet(approach, place))),
    tick() {
      for (const conversation of all()) conversation.tick();
    },
    drain() {
      draining = true;
    },
    closeAll() {
      for (const conversation of all()) conversation.end("restart");
    },
    count: () => all().length,
  };
}
