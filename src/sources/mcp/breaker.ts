import { GatewayError, asGatewayError } from "../../core/errors.ts";
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
  /**
   * Throws `upstream_failed` for a server that counts as down; lets one request through when it is time. Returns when
   * the request begins.
   */
  require(upstream: Upstream): number;
  isDown(serverId: number): boolean;
  /** How many count as down. */
  down(): number;
  succeeded(upstream: Upstream): void;
  /** What a failed request says of its server, if anything. `begunAt`: what {@link require} returned for it. */
  judge(upstream: Upstream, error: unknown, begunAt: number): void;
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
    /** When the last failure was. */
    failedAt: number;
    /** One request was let through, and has not come back. */
    probing: boolean;
  };
  const servers = new Map<number, State>();

  function failed(upstream: Upstream, begunAt: number): void {
    const { id } = upstream;
    const state = servers.get(id) ?? {
      failures: 0,
      waitMs: 0,
      until: 0,
      failedAt: 0,
      probing: false,
    };
    // What had begun before says nothing new: a restart may cut off any number of calls at once.
    if (begunAt < state.failedAt) return;
    if (isOut(state) && !state.probing) return;
    state.probing = false;
    state.failedAt = clock.monotonic();
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
      const now = clock.monotonic();
      if (!state || !isOut(state)) return now;
      const retryAfterMs = Math.ceil(state.until - now);
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
      state.until = now + state.waitMs;
      state.probing = true;
      return now;
    },
    isDown: isDownNow,
    down: () => servers.values().filter(isOut).toArray().length,
    succeeded: answered,
    judge(upstream, error, begunAt) {
      // Each that had to wait for its time to be up has cost somebody that.
      const waited = asGatewayError(error).code === "timeout";
      if (isDown(error)) failed(upstream, waited ? Infinity : begunAt);
      else if (hasAnswered(error)) answered(upstream);
    },
    forget: (id) => void servers.delete(id),
  };
}
