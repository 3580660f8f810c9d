import { GatewayError, asGatewayError } from "../core/errors.ts";
import type { Authenticator, Principal, Scope } from "../core/principal.ts";
import { requireScope, sameIdentity } from "../core/principal.ts";
import { isApiKey, readApiKey } from "../gateway/api-key-text.ts";
import { NO_CREDENTIAL, readVia } from "./front.ts";
import { serverAt } from "./mcp.ts";
import type { Caller, Ctx } from "./routes.ts";

/** Who calls, and whether they may. */

export type AuthenticationOptions = {
  /** Whose every request is, whatever it carries; without: whose its credential is. */
  operator?: Principal | null;
  /** Bearer tokens. */
  tokens: Authenticator;
  apiKeys: Authenticator;
  tickets: {
    /** Throws `unauthenticated` unless it is the ticket of an open stream; else who reads that. */
    principalOf(sessionId: string, ticket: string): Principal;
  };
  /** Accept `?token=` where a connection is opened. */
  tokenInQuery: boolean;
};

/** Decides who calls a route. Throws `unauthenticated`, `invalid`, `not_found` or `forbidden`, in this order of looking. */
export type Authenticate = (
  c: Ctx,
  access: "token" | "token or ticket" | Scope,
) => Promise<Caller>;

export function createAuthentication(
  options: AuthenticationOptions,
): Authenticate {
  const { operator = null, tokens, apiKeys, tickets, tokenInQuery } = options;

  /** How this request says who it is of, to be asked again for as long as its answer goes on. */
  function readCredential(c: Ctx, byTicket: boolean): () => Promise<Principal> {
    if (operator !== null) return async () => operator;
    const { address } = c.env;
    const { path } = c.req;
    const opens =
      /^\/(mcp|sse|mcp\/stream)$/.test(path) || serverAt(path) !== null;
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
      throw new GatewayError("unauthenticated", NO_CREDENTIAL);
    }
    const sessionId = c.req.query("sessionId") ?? "";
    return async () => tickets.principalOf(sessionId, ticket);
  }

  return async (c, access) => {
    const verify = readCredential(c, access === "token or ticket");
    const verified = await verify();
    const via = readVia(c.req.raw);
    const principal = via.length === 0 ? verified : { ...verified, via };
    const { log } = c.env;
    log["workspace"] = principal.workspace;
    log["user"] = principal.subject;
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
          (now) => (sameIdentity(now, principal) ? now : null),
          (error: unknown) => {
            if (asGatewayError(error).code === "unauthenticated") return null;
            throw error;
          },
        ),
    };
  };
}

/** The token of a request, or null. Two at once are refused: which of them counts would be a guess. */
function readToken(c: Ctx, inQuery: boolean): string | null {
  const header = c.req.header("authorization");
  const query = inQuery ? c.req.query("token") : undefined;
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
    "Send one credential: an Authorization header, X-API-Key or ?token=, and only once.",
  );
}
