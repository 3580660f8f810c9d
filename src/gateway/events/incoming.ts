import { GatewayError } from "../../core/errors.ts";
import { identityKey } from "../../core/principal.ts";
import type { Clock, Log } from "../../core/runtime.ts";
import type { ConnectionEvents, ReceivedStore } from "../../core/webhook.ts";
import { createPace } from "../limits/pace.ts";
import { verify } from "./signatures.ts";

/** Webhooks that come in: from whoever has our secret, another gateway perhaps, and from Membrane. */
export type Incoming = {
  /**
   * False for one whose signature is not good. What was received before is received again without effect: a sender
   * that did not hear our answer sends it once more. `parse` is called for what is verified, and throws what this
   * throws.
   */
  receive(
    headers: Pick<Headers, "get">,
    body: Uint8Array,
    parse: (body: Uint8Array) => unknown,
  ): Promise<boolean>;
};

/** How far a message's time may be from ours, either way. */
const TOLERANCE_SECONDS = 300;
/** For as long as one could come again: from as far ahead to as far behind. */
const REMEMBERED_MS = 2 * TOLERANCE_SECONDS * 1000 + 1000;

/** Of one member's connections: whoever may tell of them may do so without end. */
const PACE_MS = 1000;

/** Events of another gateway after which what it offers may be another. */
const CHANGES =
  /^(catalog_changed|tools_enabled|tool_approved|(server|member)_\w+)$/;

export function createIncoming(wiring: {
  /** None: messages of others are refused. */
  secrets: readonly Uint8Array[];
  /** Null: those of Membrane are. */
  connectionEvents: ConnectionEvents | null;
  received: ReceivedStore;
  /** Has a catalogue loaded anew, of one member or (null) of all. */
  refresh: (workspace: string, subject: string | null) => void;
  /** Whose the gateways are that tell us of changes; null: nobody's. */
  workspace: string | null;
  clock: Clock;
  log: Log;
}): Incoming {
  const { secrets, connectionEvents, received, workspace, clock, log } = wiring;
  const pace = createPace(PACE_MS);

  async function fromMembrane(
    token: string,
    parse: () => unknown,
  ): Promise<boolean> {
    if (!connectionEvents) return false;
    try {
      const event = await connectionEvents(token, parse);
      if (event === null) return true;
      pace.run(identityKey(event), () =>
        wiring.refresh(event.workspace, event.subject),
      );
      log.info("connection webhook received", {
        workspace: event.workspace,
        user: event.subject,
        type: event.type,
      });
      return true;
    } catch (error) {
      const refused =
        error instanceof GatewayError && error.code === "unauthenticated";
      if (refused) return false;
      throw error;
    }
  }

  return {
    async receive(headers, body, parse) {
      const token = headers.get("x-integration-app-token");
      if (token) return fromMembrane(token, () => parse(body));
      const now = clock.now();
      const known = verify(headers, body, secrets, {
        now: Math.floor(now / 1000),
        toleranceSeconds: TOLERANCE_SECONDS,
      });
      if (!known) return false;
      const message = parse(body);
      const isNew = await received.admit(known, now + REMEMBERED_MS, now);
      const event = eventOf(message);
      log.info("webhook received", { type: event, isNew });
      if (isNew && workspace !== null && CHANGES.test(event)) {
        wiring.refresh(workspace, null);
      }
      return true;
    },
  };
}

function eventOf(message: unknown): string {
  const { event } = (message ?? {}) as { event?: unknown };
  return typeof event === "string" ? event.slice(0, 64) : "";
}
