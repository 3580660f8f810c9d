import { LRUCache } from "lru-cache";
import type {
  Authenticator,
  FailureLimit,
  Principal,
} from "../../core/principal.ts";
import { once } from "../../core/once.ts";
import type { Clock } from "../../core/runtime.ts";
import { tokenKey } from "./token-key.ts";
import { createVerification } from "./verification.ts";
import type { VerificationOptions } from "./verification.ts";

/** A verified token is not verified again for this long; a key that is withdrawn counts after that. */
const CACHE_MS = 5 * 60_000;
const CACHE_SIZE = 20_000;

/** Verifies tokens with the workspace's secret or keys. Never by decoding alone. */
export function createVerifier(
  options: VerificationOptions & { clock: Clock; limit: FailureLimit },
): Authenticator {
  const { clock, limit } = options;
  const verify = createVerification(options);
  const verified = once(
    () =>
      new LRUCache<string, Principal>({
        max: CACHE_SIZE,
        ttl: CACHE_MS,
        ttlResolution: 0,
        perf: { now: () => clock.monotonic() },
      }),
  );
  return {
    async verify(token, address) {
      const key = tokenKey(token);
      const known = verified().get(key);
      if (known && !isExpired(known, clock, options.leewayMs)) return known;
      try {
        const principal = await verify(token);
        verified().set(key, principal);
        return principal;
      } catch (error) {
        // Good tokens of such an address are still good: many users may share it.
        const refusal = limit.refusal(address);
        limit.failed(address);
        throw refusal ?? error;
      }
    },
  };
}

function isExpired(
  { expiresAt }: Principal,
  clock: Clock,
  leewayMs: number,
): boolean {
  return expiresAt !== null && clock.now() > expiresAt + leewayMs;
}
