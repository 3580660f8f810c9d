import { GatewayError, asGatewayError } from "../core/errors.ts";
import type { Authenticator, Principal, Scope } from "../core/principal.ts";
import { requireScope, sameIdentity } from "../core/principal.ts";
import type { Refusal, Telemetry } from "../core/telemetry.ts";
import { noTelemetry } from "../core/telemetry.ts";
import { isApiKey, readApiKey } from "../gateway/api-key-text.ts";
import type { Admission } from "../gateway/limits/admission.ts";
import { isLimit } from "../gateway/limits/admission.ts";
import { NO_CREDENTIAL, TOKEN_IN_URL, isWithout, readVia } from "./front.ts";
import { readProtocols, serverAt } from "./mcp.ts";
import type { Caller, Ctx } from "./routes.ts";
import { createSlowDown } from "./slow-down.ts";

/** Who calls, and whether they may. */

export type AuthenticationOptions = {
  /** Whose every request is, whatever it carries; without: whose its credential is. */
  operator?: Principal | null;
  /** Bearer tokens. */
  tokens: Authenticator;
  apiKeys: Authenticator;
  tickets: {
    /** Throws `unauthenticated` unless it is the ticket of an open stream; else who reads that. */
    principalOf(sessionId: string, ticket: string): Promise<Principal>;
  };
  /** Accept `?token=` where a connection is opened. */
  tokenInQuery: boolean;
  /** Counts a request of whoever it is, also one that they may not make. */
  admission: Pick<Admission, "take">;
  telemetry?: Telemetry;
};

/** Decides who calls a route. Throws `unauthenticated`, `invalid`, `rate_limited`, `not_found` or `forbidden`, in this order of looking. */
export type Authenticate = (
  c: Ctx,
  access: "token" | "token or ticket" | Scope,
) => Promise<Caller>;

export function createAuthentication(
  options: AuthenticationOptions,
): Authenticate {
  const { operator = null, tokens, apiKeys, tickets, tokenInQuery } = options;
  const { telemetry = noTelemetry } = options;
  const slowDown = createSlowDown();

  /** How this request says who it is of, to be asked again for as long as its answer goes on. */
  function readCredential(c: Ctx, byTicket: boolean): () => Promise<Principal> {
    if (operator !== null) return async () => operator;
    const { address } = c.env;
    const { path } = c.req;
    const opens =
      /^\/(mcp|sse|ws|mcp\/stream)$/.test(path) || serverAt(path) !== null;
    const token = readToken(c, tokenInQuery && opens);
    const key = readKey(c);
    if (token !== null && key !== null) throw ambiguous();
    if (key !== null) {
      c.env.log["key"] = readApiKey(key)?.id;
      return () => apiKeys.verify(key, address);
    }
    if (token !== null) return () => tokens.verify(token, address);
    const ticket = byTicket ? c.req.query("ticket") : undefined;
    if (ticket === undefined) {
      const unread = Boolean(c.req.query("token")) && !(tokenInQuery && opens);
      throw new GatewayError(
        "unauthenticated",
        unread ? TOKEN_IN_URL : NO_CREDENTIAL,
      );
    }
    const sessionId = c.req.query("sessionId") ?? "";
    return () => tickets.principalOf(sessionId, ticket);
  }

  const authenticate: Authenticate = async (c, access) => {
    const verify = readCredential(c, access === "token or ticket");
    const verified = await verify();
    const via = readVia(c.req.raw);
    const { log, trace } = c.env;
    const withRequest = (who: Principal): Principal => ({
      ...who,
      ...(via.length === 0 ? {} : { via }),
      ...(trace === null ? {} : { trace }),
      request: { id: c.env.requestId },
    });
    const principal = withRequest(verified);
    log["workspace"] = principal.workspace;
    log["user"] = principal.subject;
    options.admission.take(principal);
    const workspace = c.req.param("workspace");
    if (workspace !== undefined && workspace !== principal.workspace) {
      throw new GatewayError("not_found", "There is no such workspace.");
    }
    if (access !== "token" && access !== "token or ticket") {
      requireScope(principal, access);
    }
    return {
      principal,
      stillValid: () =>
        verify().then(
          (now) => (sameIdentity(now, principal) ? withRequest(now) : null),
          (error: unknown) => {
            if (asGatewayError(error).code === "unauthenticated") return null;
            throw error;
          },
        ),
    };
  };
  return async (c, access) => {
    try {
      return await authenticate(c, access);
    } catch (thrown) {
      const reason = refusalOf(thrown);
      if (reason !== null) telemetry.count("authFailures", { reason });
      if (asGatewayError(thrown).code === "rate_limited") await slowDown();
      throw thrown;
    }
  };
}

/** Null when it was not for the credential. */
function refusalOf(thrown: unknown): Refusal | null {
  const error = asGatewayError(thrown);
  if (isLimit(error)) return null;
  const { code } = error;
  if (code === "unauthenticated") {
    return isWithout(error) ? "missing" : "refused";
  }
  const reasons: Partial<Record<typeof code, Refusal>> = {
    rate_limited: "limited",
    forbidden: "scope",
    upstream_failed: "unverified",
    timeout: "unverified",
  };
  return reasons[code] ?? null;
}

/** The token of a request, or null. Two at once are refused: which of them counts would be a guess. */
function readToken(c: Ctx, inQuery: boolean): string | null {
  const header = c.req.header("authorization");
  const [query, ...others] = inQuery ? (c.req.queries("token") ?? []) : [];
  if (others.length > 0) throw ambiguous();
  const offered = readOffered(c);
  if (offered !== null) {
    if (header !== undefined || query !== undefined) throw ambiguous();
    return token(offered);
  }
  if (header === undefined) {
    return query === undefined || query === "" ? null : token(query);
  }
  if (query !== undefined) throw ambiguous();
  const match = /^bearer +([^\s,]+) *$/i.exec(header);
  if (!match) {
    throw new GatewayError(
      "unauthenticated",
      "The Authorization header must be: Bearer <token>",
    );
  }
  return token(match[1]!);
}

/** The token that a WebSocket client offers as a subprotocol: pages in browsers cannot send headers with it. */
function readOffered(c: Ctx): string | null {
  if (!/^\/ws(\/|$)/.test(c.req.path)) return null;
  const [offered, ...others] = readProtocols(c).filter((name) =>
    name.startsWith(BEARER),
  );
  if (others.length > 0) throw ambiguous();
  return offered === undefined ? null : offered.slice(BEARER.length);
}

const BEARER = "bearer.";

/** A key in the place of a token is shown to nobody who verifies tokens. */
function token(text: string): string {
  if (!isApiKey(text)) return text;
  throw new GatewayError(
    "unauthenticated",
    "An API key belongs in the X-API-Key header, and nowhere else",
  );
}

/** Headers of the same name arrive as one, with a comma, which no key has. */
function readKey(c: Ctx): string | null {
  const header = c.req.header("x-api-key");
  if (header?.includes(",")) throw ambiguous();
  return header || null;
}

function ambiguous(): GatewayError {
  return new GatewayError(
    "invalid",
    "Send one credential: an Authorization header, X-API-Key or ?token= (on /ws also the subprotocol bearer.<token>), and only once.",
  );
}
