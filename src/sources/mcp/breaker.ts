import type { Clock } from "../../core/runtime.ts";

/**
 * Keeps a server that is down from costing every caller its timeout: after some failures in a row it counts as down,
 * and now and then one request finds out whether it still is.
 */
export type Breakers = {
  /** 0 when a request may go there now; otherwise in how many ms the next try is. */
  closedFor(serverId: number): number;
  succeeded(serverId: number): void;
  failed(serverId: number): void;
  forget(serverId: number): void;
};

const FAILURES = 5;
const FIRST_MS = 15_000;
const MAX_MS = 300_000;

export function createBreakers(clock: Clock): Breakers {
  const servers = new Map<
    number,
    { failures: number; waitMs: number; until: number }
  >();
  return {
    closedFor(id) {
      const state = servers.get(id);
      if (!state || state.failures < FAILURES) return 0;
      const left = state.until - clock.monotonic();
      if (left > 0) return Math.ceil(left);
      // This one finds out; the others wait for what it finds.
      state.until = clock.monotonic() + state.waitMs;
      return 0;
    },
    succeeded: (id) => void servers.delete(id),
    failed(id) {
      const state = servers.get(id) ?? { failures: 0, waitMs: 0, until: 0 };
      state.failures++;
      if (state.failures >= FAILURES) {
        state.waitMs = Math.min(Math.max(state.waitMs * 2, FIRST_MS), MAX_MS);
        state.until = clock.monotonic() + state.waitMs;
      }
      servers.set(id, state);
    },
    forget: (id) => void servers.delete(id),
  };
}
