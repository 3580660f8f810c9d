import type { Database } from "bun:sqlite";
import type { Clock } from "../../core/runtime.ts";
import { fairShare } from "../../core/shares.ts";
import { later } from "./later.ts";
import type { Writer } from "./writer.ts";

/** What events may take, in bytes; each 0 for no limit. */
export type EventQuotas = {
  /** Those of one user. */
  user: number;
  /** The whole database, beyond which nothing is written. */
  database: number;
};

/** From this part of the database on it counts as full … */
const HIGH = 0.9;
/** … and is brought down to this one … */
const LOW = 0.85;
/** … but for this part, which is for events whatever else there is. */
const RESERVED = 0.25;
/** Beyond so many times what a user may have, nothing is too young to go. */
const HARD = 4;
/** Looked at anew after so much has been written, or half of what one user may have. */
const LOOK_BYTES = 67_108_864;
/** How often it is looked whether the database is full, by what is written. */
const CHECK_BYTES = 1_048_576;
/** How long one part of the work may take. */
const PART_MS = 5;

/** What the database takes, without pages that are free. */
export function usedBytes(client: Database): number {
  return client
    .query<{ bytes: number }, []>(
      "SELECT (page_count - freelist_count) * page_size AS bytes FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    )
    .get()!.bytes;
}

type User = { bytes: number; sessions: { pk: number; bytes: number }[] };
type Job = { pk: number; bytes: number; hard: boolean };

/**
 * Bounds what the events of one user take, of all their sessions, and shares out what there is when the database is
 * full: of those who take most, the oldest go. What everybody takes is added up now and then.
 */
export type EventQuota = {
  /** So many bytes were written. */
  wrote(bytes: number): void;
  /** The database is nearly as large as it may be. */
  full(): boolean;
  /** One part of the work. How many bytes went, and whether there is more to do. */
  curb(): Promise<{ removed: number; more: boolean }>;
};

export function createEventQuota(wiring: {
  client: Database;
  writer: Writer;
  clock: Clock;
  quotas: EventQuotas;
  /** Whose session it is, in whatever form; null for nobody's. */
  ownerOf: (sessionPk: number) => string | null;
  /** What its events take. */
  bytesOf: (sessionPk: number) => number;
  /**
   * Within a transaction: removes the oldest events of a session, down to so many bytes; but for those that may not
   * have been read yet, unless `hard`. Returns how many bytes went.
   */
  shrink: (sessionPk: number, bytes: number, hard: boolean) => number;
}): EventQuota {
  const { client, writer, clock, quotas } = wiring;
  const nextSession = later(() =>
    client.prepare<{ pk: number | null }, [number]>(
      "SELECT min(session_pk) AS pk FROM events WHERE session_pk > ?",
    ),
  );

  const lookBytes = Math.min(LOOK_BYTES, quotas.user / 2 || Infinity);
  let unlooked = Infinity;
  let unchecked = Infinity;
  let isFull = false;
  /** Who takes what, while it is being counted, and up to which session it has been. */
  let users: Map<string, User> | null = null;
  let upTo = 0;
  let jobs: Job[] = [];

  const used = () => usedBytes(client);

  function full(): boolean {
    if (quotas.database > 0 && unchecked >= CHECK_BYTES) {
      unchecked = 0;
      isFull = used() > quotas.database * HIGH;
    }
    return isFull;
  }

  /** True when all are counted. */
  function count(into: Map<string, User>, until: number): boolean {
    do {
      const { pk } = nextSession().get(upTo)!;
      if (pk === null) return true;
      upTo = pk;
      const owner = wiring.ownerOf(pk);
      if (owner === null) continue;
      const bytes = wiring.bytesOf(pk);
      const user = into.get(owner) ?? { bytes: 0, sessions: [] };
      user.bytes += bytes;
      user.sessions.push({ pk, bytes });
      into.set(owner, user);
    } while (clock.monotonic() < until);
    return false;
  }

  /** What each user may have now. */
  function mostOf(all: readonly User[]): number {
    const user = quotas.user || Infinity;
    if (!full()) return user;
    const sizes = all.map(({ bytes }) => bytes);
    const total = sizes.reduce((sum, bytes) => sum + bytes, 0);
    const left = total - (used() - quotas.database * LOW);
    const share = fairShare(sizes, Math.max(left, quotas.database * RESERVED));
    return Math.min(user, share);
  }

  function planned(all: readonly User[]): Job[] {
    const most = mostOf(all);
    return all
      .filter(({ bytes }) => bytes > most)
      .flatMap(({ bytes: had, sessions }) => {
        const share = fairShare(
          sessions.map(({ bytes }) => bytes),
          most,
        );
        const hard = had > most * HARD;
        return sessions
          .filter(({ bytes }) => bytes > share)
          .map(({ pk }) => ({ pk, bytes: share, hard }));
      });
  }

  return {
    wrote(bytes) {
      unlooked += bytes;
      unchecked += bytes;
    },
    full,
    async curb() {
      const until = clock.monotonic() + PART_MS;
      if (jobs.length > 0) {
        const { removed, done } = await writer.write(() => {
          let removed = 0;
          let done = 0;
          do {
            const { pk, bytes, hard } = jobs[done++]!;
            removed += wiring.shrink(pk, bytes, hard);
          } while (done < jobs.length && clock.monotonic() < until);
          return { removed, done };
        });
        jobs = jobs.slice(done);
        unchecked = Infinity;
        return { removed, more: jobs.length > 0 };
      }
      unchecked = Infinity;
      if (users === null) {
        if (unlooked < lookBytes && !full()) {
          return { removed: 0, more: false };
        }
        unlooked = 0;
        upTo = 0;
        users = new Map();
      }
      if (!count(users, until)) return { removed: 0, more: true };
      jobs = planned([...users.values()]);
      users = null;
      return { removed: 0, more: jobs.length > 0 };
    },
  };
}
