import { GatewayError } from "../../core/errors.ts";
import type { Clock } from "../../core/runtime.ts";
import type { Upstream } from "../../core/upstream.ts";
import { hasAnswered, isDown } from "./failure.ts";
import type { Health } from "./health.ts";
import { wasDown } from "./health.ts";

/**
 * Keeps a server that is down from costing every caller its timeout: after some failures in a row it counts as down,
 * and now and then one request finds out whether it still is.
 */
export type Breakers = {
  /** Throws `upstream_failed` for a server that counts as down; lets one request through when it is time. */
  require(upstream: Upstream): void;
  isDown(serverId: number): boolean;
  /** How many count as down. */
  down(): number;
  succeeded(upstream: Upstream): void;
  /** What a failed request says of its server, if anything. */
  judge(upstream: Upstream, error: unknown): void;
  forget(serverId: number): void;
};

const FAILURES = 5;
const FIRST_MS = 15_000;
const MAX_MS = 300_000;

export function createBreakers(clock: Clock, health: Health): Breakers {
  type State = {
    failures: number;
    waitMs: number;
    until: number;
    /** One request was let through, and has not come back. */
    probing: boolean;
  };
  const servers = new Map<number, State>();

  function failed(upstream: Upstream): void {
    const { id } = upstream;
    const state = servers.get(id) ?? {
      failures: 0,
      waitMs: 0,
      until: 0,
      probing: false,
    };
    // What had begun before says nothing new: a restart may cut off any number of calls at once.
    if (isOut(state) && !state.probing) return;
    state.probing = false;
    state.failures++;
    if (isOut(state)) {
      state.waitMs = Math.min(Math.max(state.waitMs * 2, FIRST_MS), MAX_MS);
      state.until = clock.monotonic() + state.waitMs;
    }
    servers.set(id, state);
    if (state.failures === FAILURES) health.down(upstream);
  }

  function answered(upstream: Upstream): void {
    const down = isDownNow(upstream.id) || wasDown(upstream);
    servers.delete(upstream.id);
    if (down) health.up(upstream);
  }

  const isOut = (state: { failures: number } | undefined) =>
    (state?.failures ?? 0) >= FAILURES;
  const isDownNow = (id: number) => isOut(servers.get(id));

  return {
    require({ id, name }) {
      const state = servers.get(id);
      if (!state || !isOut(state)) return;
      const retryAfterMs = Math.ceil(state.until - clock.monotonic());
      if (retryAfterMs > 0) {
        throw new GatewayError(
          "upstream_failed",
          `${name} does not answer at present.`,
          {
            retryAfterMs,
            data: { code: "upstream_unreachable", failureClass: "transport" },
          },
        );
      }
      // This one finds out; the others wait for what it finds.
      state.until = clock.monotonic() + state.waitMs;
      state.probing = true;
    },
    isDown: isDownNow,
    down: () => servers.values().filter(isOut).toArray().length,
    succeeded: answered,
    judge(upstream, error) {
      if (isDown(error)) failed(upstream);
      else if (hasAnswered(error)) answered(upstream);
    },
    forget: (id) => void servers.delete(id),
  };
}
