import { SignJWT } from "jose";
import { LRUCache } from "lru-cache";
import { once } from "../../core/once.ts";
import type { Identity } from "../../core/principal.ts";
import { identityKey } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";

const TTL_MS = 5 * 60_000;
/** One that is given away is good for at least this long: for a call, and for what comes after it. */
const LEFT_MS = 2 * 60_000;
const CACHE_SIZE = 20_000;

/**
 * Makes tokens for members who have not come with one, with the workspace's secret: the claims are those that
 * Membrane's own SDK mints (HS256, `id` and `iss`). Each is good for a few minutes, and for at least two.
 */
export function createTokenMint(options: {
  clock: Clock;
  workspaceKey: string;
  secret: string;
}): (who: Identity) => Promise<string | null> {
  const { clock, workspaceKey } = options;
  const secret = new TextEncoder().encode(options.secret);
  const minted = once(
    () =>
      new LRUCache<string, { token: string; until: number }>({
        max: CACHE_SIZE,
      }),
  );
  return async (who) => {
    if (who.workspace !== workspaceKey) return null;
    const key = identityKey(who);
    const now = clock.now();
    const known = minted().get(key);
    if (known && known.until - now > LEFT_MS) return known.token;
    const until = now + TTL_MS;
    const token = await new SignJWT({ id: who.subject, iss: workspaceKey })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setExpirationTime(Math.floor(until / 1000))
      .sign(secret);
    minted().set(key, { token, until });
    return token;
  };
}
