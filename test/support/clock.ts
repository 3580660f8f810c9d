import type { Clock, Ids, Log } from "../../src/core/runtime.ts";

/** A clock that stands still until it is told to move. */
export type FakeClock = Clock & {
  advance(ms: number): void;
  /** Sets another time, as NTP does: back, when it is negative. */
  set(ms: number): void;
};

export function fakeClock(start = 1_800_000_000_000): FakeClock {
  let elapsed = 0;
  let off = 0;
  return {
    now: () => start + elapsed + off,
    // Never 0, as on a machine: lru-cache takes 0 for no time at all.
    monotonic: () => 1 + elapsed,
    advance: (ms) => {
      elapsed += ms;
    },
    set: (ms) => {
      off += ms;
    },
  };
}

/** Ids that count. */
export function countingIds(): Ids {
  let n = 0;
  const next = () => (++n).toString(16).padStart(32, "0");
  return {
    session: next,
    secret: next,
    random: (bytes) => new Uint8Array(bytes).fill(++n),
    request: next,
  };
}

export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
};
