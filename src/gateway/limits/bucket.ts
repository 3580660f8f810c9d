import { LRUCache } from "lru-cache";
import type { Clock } from "../../core/runtime.ts";

/** Token buckets: so many a second on average, and so many at once after a rest. */
export type BucketRate = {
  perSecond: number;
  burst: number;
};

type Bucket = { tokens: number; at: number };

/** Buckets at the same time; who was counted longest ago is forgotten, and begins with a full one. */
const MAX_BUCKETS = 10_000;

function refill(bucket: Bucket, now: number, perMs: number, most: number) {
  bucket.tokens = Math.min(most, bucket.tokens + (now - bucket.at) * perMs);
  bucket.at = now;
}

/** Buckets that nobody shares. */
export type Buckets = {
  /**
   * Takes as many, and returns 0; or nothing, and in how many ms to try again. More than the burst at once are
   * taken from a full bucket, and paid for later.
   */
  take(who: string, count: number): number;
};

export function createBuckets(
  clock: Pick<Clock, "monotonic">,
  { perSecond, burst }: BucketRate,
): Buckets {
  const buckets = new LRUCache<string, Bucket>({ max: MAX_BUCKETS });
  const perMs = perSecond / 1000;
  return {
    take(who, count) {
      const now = clock.monotonic();
      let bucket = buckets.get(who);
      if (bucket) refill(bucket, now, perMs, burst);
      else {
        bucket = { tokens: burst, at: now };
        buckets.set(who, bucket);
      }
      const needed = Math.min(count, burst);
      if (bucket.tokens < needed) {
        return Math.ceil((needed - bucket.tokens) / perMs);
      }
      bucket.tokens -= count;
      return 0;
    },
  };
}

/**
 * Buckets that many take from. While there is enough, whoever comes takes. When one is empty, everybody who has
 * taken lately still has an equal share of what flows in, and whoever has taken less than that goes first: one who
 * takes all there is keeps nobody else from their share.
 */
export type SharedBuckets = {
  /** As {@link Buckets.take}, from one bucket on behalf of somebody. */
  take(bucket: string, who: string, count: number): number;
};

/** How long somebody who takes nothing any more keeps a share, at least; twice as long at most. */
const SHARED_MS = 5000;

/** Those who have a share of one bucket; others take what is left over. */
const MAX_SHARES = 1000;

type Shared = Bucket & {
  /** Who has taken since `since`, and in the time before that. */
  shares: Map<string, Bucket>;
  earlier: Map<string, Bucket>;
  since: number;
};

export function createSharedBuckets(
  clock: Pick<Clock, "monotonic">,
  { perSecond, burst }: BucketRate,
): SharedBuckets {
  const buckets = new LRUCache<string, Shared>({ max: MAX_BUCKETS });
  const perMs = perSecond / 1000;

  function rotate(bucket: Shared, now: number): void {
    const age = now - bucket.since;
    if (age < SHARED_MS) return;
    bucket.earlier = age < 2 * SHARED_MS ? bucket.shares : new Map();
    bucket.shares = new Map();
    bucket.since = now;
  }

  /** What somebody has of a bucket, and among how many it is shared. */
  function shareOf(bucket: Shared, who: string, now: number) {
    const { shares, earlier } = bucket;
    let share = shares.get(who);
    if (!share) {
      share = earlier.get(who) ?? { tokens: burst, at: now };
      earlier.delete(who);
      if (shares.size >= MAX_SHARES) return null;
      shares.set(who, share);
    }
    const sharing = shares.size + earlier.size;
    refill(share, now, perMs / sharing, Math.max(1, burst / sharing));
    return { share, sharing };
  }

  return {
    take(key, who, count) {
      const now = clock.monotonic();
      let bucket = buckets.get(key);
      if (bucket) {
        refill(bucket, now, perMs, burst);
        rotate(bucket, now);
      } else {
        bucket = {
          tokens: burst,
          at: now,
          shares: new Map(),
          earlier: new Map(),
          since: now,
        };
        buckets.set(key, bucket);
      }
      const own = shareOf(bucket, who, now);
      const needed = Math.min(count, burst);
      // Newcomers have something to begin with; all of them together at most one burst.
      const owing = bucket.tokens <= -burst;
      const entitled = own !== null && !owing && own.share.tokens >= needed;
      if (bucket.tokens >= needed || entitled) {
        bucket.tokens -= count;
        if (own) own.share.tokens = Math.max(0, own.share.tokens - count);
        return 0;
      }
      const flowing = (needed - bucket.tokens) / perMs;
      const sharing =
        own === null || owing
          ? Infinity
          : ((needed - own.share.tokens) * own.sharing) / perMs;
      return Math.ceil(Math.min(flowing, sharing));
    },
  };
}
