import { describeError } from "../core/errors.ts";
import type { EventLog } from "../core/event.ts";
import type { Journal } from "../core/journal.ts";
import type { Clock, Log } from "../core/runtime.ts";
import type { SessionStore } from "../core/session.ts";
import type { DeliveryStore } from "../core/webhook.ts";

export type RetentionOptions = {
  sessionTtlMs: number;
  eventTtlMs: number;
  /** Of the journal: of what members make by using the server, and of all else. */
  journalTtlMs: number;
  journalMax: number;
  journalBytes: number;
  auditTtlMs: number;
  auditMax: number;
};

/** Rows removed in one transaction: a slice that delays nobody. */
const SLICE = 500;
/** How long it is known what became of a delivery, and of how many of one webhook. */
const DELIVERY_MS = 30 * 24 * 3_600_000;
const DELIVERIES = 1000;

/**
 * One slice of forgetting: sessions idle for too long, events too old, entries of the journal too old or too many.
 * True when there is more to do; null when it failed.
 */
export function createRetention(
  wiring: {
    sessions: SessionStore;
    events: EventLog;
    journal: Journal;
    deliveries: DeliveryStore;
    clock: Clock;
    log: Log;
    /** Told of every session that has expired. */
    expired: (sessionPk: number) => void;
  } & RetentionOptions,
): () => Promise<boolean | null> {
  const { sessions, events, journal, deliveries, clock, log } = wiring;
  return async () => {
    const now = clock.now();
    try {
      const curbed = await events.curb();
      const pruned = await events.prune(now - wiring.eventTtlMs, SLICE);
      const { forgotten, more } = await journal.prune(
        {
          traffic: {
            before: now - wiring.journalTtlMs,
            most: wiring.journalMax,
          },
          kept: { before: now - wiring.auditTtlMs, most: wiring.auditMax },
          bytes: wiring.journalBytes,
        },
        SLICE,
      );
      const delivered = await deliveries.prune(
        now - DELIVERY_MS,
        DELIVERIES,
        SLICE,
      );
      // Last, as it writes down what ends: where there was no room there is some by now.
      const ended = await sessions.expire(now - wiring.sessionTtlMs, SLICE);
      for (const pk of ended) wiring.expired(pk);
      if (curbed.removed > 0) {
        log.warn("events of users with too many removed", {
          bytes: curbed.removed,
        });
      }
      if (ended.length + pruned + forgotten > 0) {
        log.info("retention", {
          sessions: ended.length,
          events: pruned,
          entries: forgotten,
        });
      }
      return (
        more ||
        curbed.more ||
        [ended.length, pruned, delivered].some((n) => n >= SLICE)
      );
    } catch (error) {
      log.error("retention failed", { reason: describeError(error) });
      return null;
    }
  };
}
