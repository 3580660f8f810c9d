import type { Principal } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";
import { createRate } from "./rate.ts";

/** How often somebody may have us connect to what they have typed, by way of a registered server. */
export type Reaches = {
  /**
   * Counts one, before anything is sent. Throws `rate_limited` for more than {@link REACHES} a minute of one member;
   * who runs commands on this machine is not counted.
   */
  take(principal: Principal): void;
};

/** Enough to take over the servers of a large client; too few to look through a network. */
const REACHES = 60;

export function createReaches(clock: Clock): Reaches {
  const rate = createRate(
    clock,
    REACHES,
    60_000,
    "registrations",
    `Servers can be registered, moved and connected ${REACHES} times a minute. Wait a moment.`,
  );
  return {
    take({ method, workspace, subject }) {
      if (method === "operator") return;
      rate.take(JSON.stringify([workspace, subject]));
    },
  };
}
