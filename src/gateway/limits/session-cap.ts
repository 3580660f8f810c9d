import { LRUCache } from "lru-cache";
import { describeError } from "../../core/errors.ts";
import type { Identity } from "../../core/principal.ts";
import { identityKey } from "../../core/principal.ts";
import type { Log } from "../../core/runtime.ts";
import type { SessionStore } from "../../core/session.ts";

/**
 * Bounds what one identity can make us store: beyond `most` sessions, those that have not been seen for longest end,
 * as if they had expired. Clients seldom end theirs, so refusing new ones would lock their users out.
 */
export type SessionCap = {
  /** A session was opened. In the background, and never throws. */
  opened(who: Identity): void;
};

/** Identities that are counted at the same time; one that is forgotten is looked at later. */
const MAX_COUNTED = 10_000;
/** Removed in one transaction: a slice that delays nobody. */
const SLICE = 500;

export function createSessionCap(wiring: {
  sessions: Pick<SessionStore, "trim">;
  /** Zero: no limit. */
  most: number;
  /** Sessions of this identity that are in use, however long ago that was noted. */
  inUse: (who: Identity) => number[];
  /** Told of every session that has ended. */
  ended: (sessionPk: number) => void;
  log: Log;
}): SessionCap {
  const { sessions, most, log } = wiring;
  // Counting takes a look at every row, so it is done once for each hundredth that may have been added.
  const step = Math.max(1, Math.floor(most / 100));
  /** How many more may be opened before it is looked how many there are. */
  const left = new LRUCache<string, number>({ max: MAX_COUNTED });

  async function trim(who: Identity, key: string): Promise<void> {
    try {
      const { had, ended } = await sessions.trim(
        who,
        most,
        wiring.inUse(who),
        SLICE,
      );
      for (const pk of ended) wiring.ended(pk);
      if (ended.length > 0) {
        log.warn("sessions of one user ended", {
          workspace: who.workspace,
          user: who.subject,
          sessions: ended.length,
          limit: most,
        });
      }
      left.set(key, Math.max(step, most - had) - 1);
      if (ended.length === SLICE) await trim(who, key);
    } catch (error) {
      log.warn("sessions could not be counted", {
        reason: describeError(error),
      });
    }
  }

  return {
    opened({ workspace, subject }) {
      if (most === 0) return;
      const who = { workspace, subject };
      const key = identityKey(who);
      const more = left.get(key) ?? step - 1;
      left.set(key, more > 0 ? more - 1 : step - 1);
      if (more === 0) void trim(who, key);
    },
  };
}
