import { decodeJwt } from "jose";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { GatewayError, asGatewayError } from "../../core/errors.ts";
import type {
  Authenticator,
  FailureLimit,
  Principal,
  Scope,
} from "../../core/principal.ts";
import { once } from "../../core/once.ts";
import { identityPart } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";
import { neverExpires, readClaims, refused } from "./claims.ts";
import type { MembraneApi } from "./client.ts";
import { MembraneFailure, isRefusal } from "./failure.ts";
import { tokenKey } from "./token-key.ts";

export type IntrospectionOptions = {
  clock: Clock;
  api: Pick<MembraneApi, "self">;
  /** When known, tokens of other workspaces are refused. */
  workspaceKey: string | null;
  /** Accept a JWT without `exp`. What is no JWT tells nobody when it ends. */
  allowNonExpiring: boolean;
  /** What every token may do. */
  scope: Scope | null;
  limit: FailureLimit;
  timeoutMs?: number;
};

/** How long Membrane's answer holds: a token it has revoked is refused after this. */
const GOOD_MS = 60_000;
/** How much longer it holds while Membrane cannot be asked. */
const STALE_MS = 60_000;
const BAD_MS = 15_000;
const CACHE_SIZE = 20_000;
/** Unknown tokens of one address that are asked about at the same time; the others wait for their turn. */
const AT_ONCE = 8;

const tenant = once(() =>
  z.object({
    workspaceKey: identityPart,
    internalId: identityPart,
    name: z.string().nullish().catch(null),
    isActive: z.boolean().nullish().catch(null),
  }),
);

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
  const { clock, api, workspaceKey, limit, timeoutMs = 5000 } = options;
  const verdicts = once(
    () => new LRUCache<string, Verdict>({ max: CACHE_SIZE }),
  );
  const flights = new Map<string, Promise<Principal>>();
  const turns = createTurns(AT_ONCE);

  async function ask(token: string): Promise<Principal> {
    const claimed = readClaimed(token, clock, options.allowNonExpiring);
    let answer: unknown;
    try {
      // For all tries together.
      const signal = AbortSignal.timeout(timeoutMs);
      answer = await api.self({ token, timeoutMs, signal });
    } catch (error) {
      throw explain(error);
    }
    const read = tenant().safeParse(answer);
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
      method: "membrane",
      scope: options.scope,
      token,
      expiresAt: claimed.expiresAt,
    };
  }

  function settle(key: string, address: string | null, outcome: unknown): void {
    const error = asGatewayError(outcome);
    if (error.code !== "unauthenticated") return;
    verdicts().set(key, { error, badUntil: clock.monotonic() + BAD_MS });
    limit.failed(address);
  }

  function checkAddress(address: string | null): void {
    const refusal = limit.refusal(address);
    if (refusal) throw refusal;
  }

  return {
    async verify(token, address) {
      const key = tokenKey(token);
      const known = verdicts().get(key);
      const now = clock.monotonic();
      if (known && "error" in known && now < known.badUntil) throw known.error;
      const good = known && "principal" in known ? known : null;
      if (good && isPast(good.principal, clock))
        throw refused("it has expired");
      if (good && now < good.goodUntil) return good.principal;
      if (!good) checkAddress(address);

      let flight = flights.get(key);
      if (!flight) {
        flight = turns(address ?? "", () => {
          if (!good) checkAddress(address);
          return ask(token);
        }).then(
          (principal) => {
            // Spread, so that those who came together do not all have to be asked about together again.
            const [random] = crypto.getRandomValues(new Uint8Array(1));
            const goodMs = GOOD_MS * (0.75 + random! / 1024);
            verdicts().set(key, {
              principal,
              goodUntil: clock.monotonic() + goodMs,
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

/** Lets at most `atOnce` pieces of work of one key run at the same time, in the order in which they came. */
function createTurns(atOnce: number) {
  const queues = new Map<
    string,
    { running: number; waiting: (() => void)[] }
  >();
  return async <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const queue = queues.get(key) ?? { running: 0, waiting: [] };
    queues.set(key, queue);
    if (queue.running >= atOnce) {
      await new Promise<void>((resolve) => queue.waiting.push(resolve));
    } else queue.running++;
    try {
      return await work();
    } finally {
      const next = queue.waiting.shift();
      if (next) next();
      else if (--queue.running === 0) queues.delete(key);
    }
  };
}

/** What a token says of itself, when it is a JWT. Only ever narrows what Membrane says. */
function readClaimed(token: string, clock: Clock, allowNonExpiring: boolean) {
  let payload;
  try {
    payload = decodeJwt(token);
  } catch {
    return { identity: null, expiresAt: null };
  }
  const { exp } = payload;
  const expiresAt =
    typeof exp === "number" && Number.isFinite(exp) ? exp * 1000 : null;
  if (exp === undefined && !allowNonExpiring) throw neverExpires();
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
  const slow = ["ECONNABORTED", "ETIMEDOUT", "ERR_CANCELED"].includes(
    error.code ?? "",
  );
  return new GatewayError(
    slow ? "timeout" : "upstream_failed",
    "Membrane, which knows whose tokens these are, does not answer at present. Try again.",
    { retryAfterMs: error.retryAfterMs ?? 5000, cause: error },
  );
}
