import { LRUCache } from "lru-cache";
import { describeError } from "../../core/errors.ts";
import type { Identity } from "../../core/principal.ts";
import { identityKey } from "../../core/principal.ts";
import type { Log, LogFields } from "../../core/runtime.ts";
import type { SessionStore } from "../../core/session.ts";

/**
 * Bounds what one identity, and one workspace, can make us store: beyond that many sessions, those that have not been
 * seen for longest end, as if they had expired; of a workspace, of those who have most of them. Clients seldom end
 * theirs, so refusing new ones would lock their users out.
 */
export type SessionCap = {
  /** A session was opened, or a chat begun without one. In the background, and never throws. */
  opened(who: Identity): void;
};

/** Identities and workspaces that are counted at the same time; one that is forgotten is looked at later. */
const MAX_COUNTED = 10_000;
/** Removed in one transaction: a slice that delays nobody. */
const SLICE = 500;

type Trim = () => Promise<{ had: number; ended: number[] }>;

export function createSessionCap(wiring: {
  sessions: Pick<SessionStore, "trim" | "trimWorkspace">;
  /** Of one identity. Zero: no limit. */
  most: number;
  /** Of all members of a workspace. Zero: no limit. */
  mostOfWorkspace: number;
  /** Sessions of this identity that are in use, however long ago that was noted. */
  inUse: (who: Identity) => number[];
  /** Told of every session that has ended. */
  ended: (sessionPk: number) => void;
  log: Log;
}): SessionCap {
  const { sessions, log, inUse } = wiring;
  /** How many more may be opened before it is looked how many there are. */
  const left = new LRUCache<string, number>({ max: MAX_COUNTED });

  function count(key: string, most: number, of: LogFields, trim: Trim): void {
    if (most === 0) return;
    // Counting takes a look at every row, so it is done once for each hundredth that may have been added.
    const step = Math.max(1, Math.floor(most / 100));
    const more = left.get(key) ?? step - 1;
    left.set(key, more > 0 ? more - 1 : step - 1);
    if (more === 0) void look(key, most, step, of, trim);
  }

  async function look(
    key: string,
    most: number,
    step: number,
    of: LogFields,
    trim: Trim,
  ): Promise<void> {
    try {
      for (;;) {
        const { had, ended } = await trim();
        for (const pk of ended) wiring.ended(pk);
        if (ended.length > 0) {
          const sessions = ended.length;
          log.warn("too many sessions", { ...of, sessions, limit: most });
        }
        left.set(key, Math.max(step, most - had) - 1);
        if (ended.length < SLICE) return;
      }
    } catch (error) {
      log.warn("sessions could not be counted", {
        reason: describeError(error),
      });
    }
  }

  return {
    opened({ workspace, subject }) {
      const who = { workspace, subject };
      const { most, mostOfWorkspace } = wiring;
      count(identityKey(who), most, { workspace, user: subject }, () =>
        sessions.trim(who, most, inUse(who), SLICE),
      );
      // No key of an identity.
      count(workspace, mostOfWorkspace, { workspace }, () =>
        sessions.trimWorkspace(workspace, mostOfWorkspace, inUse, SLICE),
      );
    },
  };
}
