import { LRUCache } from "lru-cache";
import { GatewayError } from "../../core/errors.ts";
import type { LimitName } from "../../core/limit.ts";
import { limited } from "../../core/limit.ts";
import { once } from "../../core/once.ts";
import type { Clock } from "../../core/runtime.ts";

/** How often somebody may do something. */
export type Rate = {
  /** Counts one. Throws `rate_limited` when it is one too many, and then does not count it. */
  take(who: string): void;
};

/** Those who are counted at the same time; who was counted longest ago is forgotten. */
const MAX_COUNTED = 10_000;

/** At most `most` within any `windowMs`. `limit`: what it is called where it is met. */
export function createRate(
  clock: Clock,
  most: number,
  windowMs: number,
  limit: LimitName,
  message: string,
): Rate {
  const taken = once(
    () => new LRUCache<string, number[]>({ max: MAX_COUNTED }),
  );
  return {
    take(who) {
      const now = clock.monotonic();
      const recent = (taken().get(who) ?? []).filter(
        (at) => now - at < windowMs,
      );
      const [oldest] = recent;
      if (oldest !== undefined && recent.length >= most) {
        throw new GatewayError("rate_limited", message, {
          retryAfterMs: windowMs - (now - oldest),
          data: limited(limit),
        });
      }
      recent.push(now);
      taken().set(who, recent);
    },
  };
}
