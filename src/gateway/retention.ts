import { describeError } from "../core/errors.ts";
import type { EventLog } from "../core/event.ts";
import type { Clock, Log } from "../core/runtime.ts";
import type { SessionStore } from "../core/session.ts";

export type RetentionOptions = {
  sessionTtlMs: number;
  eventTtlMs: number;
};

/** Rows removed in one transaction: a slice that delays nobody. */
const SLICE = 500;

/**
 * One slice of forgetting: sessions idle for too long, and events too old.
 * True when there is more to do.
 */
export function createRetention(
  wiring: {
    sessions: SessionStore;
    events: EventLog;
    clock: Clock;
    log: Log;
    /** Told of every session that has expired. */
    expired: (sessionPk: number) => void;
  } & RetentionOptions,
): () => Promise<boolean> {
  const { sessions, events, clock, log } = wiring;
  return async () => {
    const now = clock.now();
    try {
      const ended = await sessions.expire(now - wiring.sessionTtlMs, SLICE);
      for (const pk of ended) wiring.expired(pk);
      const pruned = await events.prune(now - wiring.eventTtlMs, SLICE);
      if (ended.length > 0 || pruned > 0) {
        log.info("retention", { sessions: ended.length, events: pruned });
      }
      return ended.length >= SLICE || pruned >= SLICE;
    } catch (error) {
      log.error("retention failed", { reason: describeError(error) });
      return false;
    }
  };
}
