import { LRUCache } from "lru-cache";
import { GatewayError } from "../../core/errors.ts";
import { limited } from "../../core/limit.ts";
import { once } from "../../core/once.ts";
import type { FailureLimit } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";

/** Bad credentials from one address in a minute, after which it has to wait. */
const FAILURES_PER_MINUTE = 20;
const MINUTE = 60_000;

export function createFailureLimit(clock: Clock): FailureLimit {
  const failures = once(
    () =>
      new LRUCache<string, { count: number; since: number }>({ max: 10_000 }),
  );
  return {
    failed(address) {
      if (address === null) return;
      const now = clock.monotonic();
      const seen = failures().get(address);
      if (seen && now - seen.since < MINUTE) seen.count++;
      else failures().set(address, { count: 1, since: now });
    },
    refusal(address) {
      const seen = address === null ? undefined : failures().get(address);
      if (!seen || seen.count < FAILURES_PER_MINUTE) return null;
      const waitMs = seen.since + MINUTE - clock.monotonic();
      if (waitMs <= 0) return null;
      return new GatewayError(
        "rate_limited",
        "Too many credentials from this address were not accepted. Try again later.",
        { retryAfterMs: Math.ceil(waitMs), data: limited("credentials") },
      );
    },
  };
}
