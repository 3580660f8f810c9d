import { decodeJwt } from "jose";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { GatewayError, asGatewayError } from "../../core/errors.ts";
import type { Authenticator, Principal } from "../../core/principal.ts";
import { identityPart } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";
import { readClaims, refused } from "./claims.ts";
import type { MembraneApi } from "./client.ts";
import { MembraneFailure, isRefusal } from "./failure.ts";
import { tokenKey } from "./token-key.ts";

export type IntrospectionOptions = {
  clock: Clock;
  api: Pick<MembraneApi, "self">;
  /** When known, tokens of other workspaces are refused. */
  workspaceKey: string | null;
  timeoutMs?: number;
};

/** How long Membrane's answer holds: a token it has revoked is refused after this. */
const GOOD_MS = 60_000;
/** How much longer it holds while Membrane cannot be asked. */
const STALE_MS = 60_000;
const BAD_MS = 15_000;
const CACHE_SIZE = 20_000;
/** Bad tokens from one address in a minute, after which it has to wait. */
const FAILURES_PER_MINUTE = 20;
const MINUTE = 60_000;

const tenant = z.object({
  workspaceKey: identityPart,
  internalId: identityPart,
  name: z.string().nullish().catch(null),
  isActive: z.boolean().nullish().catch(null),
});

type Verdict =
  | { principal: Principal; goodUntil: number }
  | { error: GatewayError; badUntil: number };

/**
 * Asks Membrane whose a token is (`GET /self`): once per token, however many requests come with it at the
 * same time. The identity is Membrane's answer; what the token itself claims can only contradict it.
 * Fails closed: while Membrane cannot be asked, only tokens that were good a moment ago are.
 */
export function createIntrospection(
  options: IntrospectionOptions,
): Authenticator {
  const { clock, api, workspaceKey, timeoutMs = 5000 } = options;
  const verdicts = new LRUCache<string, Verdict>({ max: CACHE_SIZE });
  const flights = new Map<string, Promise<Principal>>();
  const failures = new LRUCache<string, { count: number; since: number }>({
    max: 10_000,
  });

  async function ask(token: string): Promise<Principal> {
    const claimed = readClaimed(token, clock);
    let answer: unknown;
    try {
      answer = await api.self({ token, timeoutMs });
    } catch (error) {
      throw explain(error);
    }
    const read = tenant.safeParse(answer);
    if (!read.success) {
      throw refused("Membrane names no user for it");
    }
    const { workspaceKey: workspace, internalId: subject } = read.data;
    if (read.data.isActive === false) throw refused("its user is not active");
    if (workspaceKey !== null && workspace !== workspaceKey) {
      throw refused("it belongs to another workspace");
    }
    if (
      claimed.identity !== null &&
      (claimed.identity.workspace !== workspace ||
        claimed.identity.subject !== subject)
    ) {
      throw refused("its claims contradict what Membrane says of it");
    }
    return {
      workspace,
      subject,
      name: read.data.name ?? null,
      token,
      expiresAt: claimed.expiresAt,
    };
  }

  function settle(key: string, address: string | null, outcome: unknown): void {
    const error = asGatewayError(outcome);
    if (error.code !== "unauthenticated") return;
    verdicts.set(key, { error, badUntil: clock.monotonic() + BAD_MS });
    if (address === null) return;
    const now = clock.monotonic();
    const seen = failures.get(address);
    if (seen && now - seen.since < MINUTE) seen.count++;
    else failures.set(address, { count: 1, since: now });
  }

  function checkAddress(address: string | null): void {
    const seen = address === null ? undefined : failures.get(address);
    if (!seen || seen.count < FAILURES_PER_MINUTE) return;
    const waitMs = seen.since + MINUTE - clock.monotonic();
    if (waitMs <= 0) return;
    throw new GatewayError(
      "rate_limited",
      "Too many tokens from this address were not accepted. Try again later.",
      { retryAfterMs: waitMs },
    );
  }

  return {
    async verify(token, address) {
      const key = tokenKey(token);
      const known = verdicts.get(key);
      const now = clock.monotonic();
      if (known && "error" in known && now < known.badUntil) throw known.error;
      const good = known && "principal" in known ? known : null;
      if (good && isPast(good.principal, clock))
        throw refused("it has expired");
      if (good && now < good.goodUntil) return good.principal;
      if (!good) checkAddress(address);

      let flight = flights.get(key);
      if (!flight) {
        flight = ask(token).then(
          (principal) => {
            verdicts.set(key, {
              principal,
              goodUntil: clock.monotonic() + GOOD_MS,
            });
            return principal;
          },
          (error: unknown) => {
            settle(key, address, error);
            throw error;
          },
        );
        flights.set(key, flight);
        void flight.catch(() => {}).finally(() => flights.delete(key));
      }
      try {
        return await flight;
      } catch (error) {
        const passing = asGatewayError(error).code !== "unauthenticated";
        if (good && passing && now < good.goodUntil + STALE_MS) {
          return good.principal;
        }
        throw error;
      }
    },
  };
}

function isPast({ expiresAt }: Principal, clock: Clock): boolean {
  return expiresAt !== null && clock.now() > expiresAt;
}

/** What a token says of itself, when it is a JWT. Only ever narrows what Membrane says. */
function readClaimed(token: string, clock: Clock) {
  let payload;
  try {
    payload = decodeJwt(token);
  } catch {
    return { identity: null, expiresAt: null };
  }
  const { exp } = payload;
  const expiresAt =
    typeof exp === "number" && Number.isFinite(exp) ? exp * 1000 : null;
  if (exp !== undefined && expiresAt === null)
    throw refused("its exp is not a time");
  if (expiresAt !== null && clock.now() > expiresAt)
    throw refused("it has expired");
  return { identity: readClaims(payload), expiresAt };
}

function explain(error: unknown): GatewayError {
  if (!(error instanceof MembraneFailure)) return asGatewayError(error);
  if (isRefusal(error) || error.status === 403 || error.status === 404) {
    return refused("Membrane does not know it");
  }
  const slow = error.code === "ECONNABORTED" || error.code === "ETIMEDOUT";
  return new GatewayError(
    slow ? "timeout" : "upstream_failed",
    "Membrane, which knows whose tokens these are, does not answer at present. Try again.",
    { retryAfterMs: error.retryAfterMs ?? 5000, cause: error },
  );
}
