import { describeError } from "../core/errors.ts";
import type { EventLog } from "../core/event.ts";
import type { Clock, Log } from "../core/runtime.ts";
import type { SessionStore } from "../core/session.ts";
import type { DeliveryStore } from "../core/webhook.ts";

export type RetentionOptions = {
  sessionTtlMs: number;
  eventTtlMs: number;
};

/** Rows removed in one transaction: a slice that delays nobody. */
const SLICE = 500;
/** How long it is known what became of a delivery, and of how many of one webhook. */
const DELIVERY_MS = 30 * 24 * 3_600_000;
const DELIVERIES = 1000;

/**
 * One slice of forgetting: sessions idle for too long, and events too old.
 * True when there is more to do.
 */
export function createRetention(
  wiring: {
    sessions: SessionStore;
    events: EventLog;
    deliveries: DeliveryStore;
    clock: Clock;
    log: Log;
    /** Told of every session that has expired. */
    expired: (sessionPk: number) => void;
  } & RetentionOptions,
): () => Promise<boolean> {
  const { sessions, events, deliveries, clock, log } = wiring;
  return async () => {
    const now = clock.now();
    try {
      const ended = await sessions.expire(now - wiring.sessionTtlMs, SLICE);
      for (const pk of ended) wiring.expired(pk);
      const pruned = await events.prune(now - wiring.eventTtlMs, SLICE);
      const delivered = await deliveries.prune(
        now - DELIVERY_MS,
        DELIVERIES,
        SLICE,
      );
      if (ended.length > 0 || pruned > 0) {
        log.info("retention", { sessions: ended.length, events: pruned });
      }
      return ended.length >= SLICE || pruned >= SLICE || delivered >= SLICE;
    } catch (error) {
      log.error("retention failed", { reason: describeError(error) });
      return false;
    }
  };
}
