import { z } from "zod";
import { GatewayError, asGatewayError } from "../core/errors.ts";
import type { Exchange } from "../core/exchange.ts";
import type { Authenticator, Principal } from "../core/principal.ts";
import { chatId, modes } from "../core/session.ts";
import type { Mode, SessionStore } from "../core/session.ts";
import { slug } from "../core/upstream.ts";
import type { Env } from "./front.ts";
import { addRetryAfter, statusOf } from "./front.ts";
import type { Ctx, Handlers } from "./routes.ts";

/** The MCP door, as far as HTTP knows it. */
export type McpHandlers = {
  http: {
    post(exchange: Exchange): Promise<Response>;
    get(exchange: Exchange): Promise<Response>;
    delete(exchange: Exchange): Promise<Response>;
  };
  sse: {
    open(exchange: Exchange): Promise<Response>;
    post(exchange: Exchange, sessionId: string): Promise<Response>;
    principalOf(sessionId: string, ticket: string): Principal;
  };
};

export type McpRouteOptions = {
  mcp: McpHandlers;
  authenticator: Authenticator;
  sessions: SessionStore;
  tokenInQuery: boolean;
};

type McpRoute =
  | `${"POST" | "GET" | "DELETE"} /mcp`
  | `${"POST" | "GET" | "DELETE"} /mcp/:server`
  | "GET /mcp/sessions"
  | "GET /sse"
  | "POST /sse/messages";

/** The handlers of the MCP door, and how it learns who calls. */
export function mcpRoutes(options: McpRouteOptions): {
  handlers: Handlers<McpRoute>;
  /** Throws `unauthenticated`. `byTicket`: a ticket of HTTP+SSE will do. */
  authenticate(c: Ctx, byTicket: boolean): Promise<Principal>;
} {
  const { mcp, authenticator, sessions, tokenInQuery } = options;

  async function authenticate(c: Ctx, byTicket: boolean): Promise<Principal> {
    const { path } = c.req;
    const inQuery =
      tokenInQuery && (/^\/(mcp|sse)$/.test(path) || serverAt(path) !== null);
    const token = readToken(c, inQuery);
    const ticket = byTicket ? c.req.query("ticket") : undefined;
    if (token === null && ticket === undefined) {
      throw new GatewayError("unauthenticated", "No token provided");
    }
    const principal =
      token === null
        ? mcp.sse.principalOf(c.req.query("sessionId") ?? "", ticket!)
        : await authenticator.verify(token, c.env.address);
    const { log } = c.env;
    log["workspace"] = principal.workspace;
    log["user"] = principal.subject;
    return principal;
  }

  function exchange(
    c: Ctx,
    principal: Principal,
    body: Uint8Array | null,
  ): Exchange {
    const { address } = c.env;
    return {
      request: c.req.raw,
      body,
      principal,
      server: c.req.param("server") ?? null,
      chat: readChat(c),
      asked: readAsked(c),
      log: c.env.log,
      holdOpen: c.env.holdOpen,
      stillValid: () =>
        authenticator.verify(principal.token ?? "", address).then(
          () => true,
          (error: unknown) => {
            if (asGatewayError(error).code === "unauthenticated") return false;
            throw error;
          },
        ),
    };
  }

  const readBody = async (c: Ctx) =>
    new Uint8Array(await c.req.raw.arrayBuffer());

  const streamable: Handlers<`${"POST" | "GET" | "DELETE"} /mcp`> = {
    "POST /mcp": async (c, principal) =>
      mcp.http.post(exchange(c, principal, await readBody(c))),
    "GET /mcp": (c, principal) => mcp.http.get(exchange(c, principal, null)),
    "DELETE /mcp": (c, principal) =>
      mcp.http.delete(exchange(c, principal, null)),
  };

  return {
    authenticate,
    handlers: {
      ...streamable,
      "POST /mcp/:server": streamable["POST /mcp"],
      "GET /mcp/:server": streamable["GET /mcp"],
      "DELETE /mcp/:server": streamable["DELETE /mcp"],
      // Not an object literal: a chat may be called __proto__.
      "GET /mcp/sessions": (c, principal) =>
        c.json(
          Object.fromEntries(
            sessions.chats(principal).map((row) => [row.chat, row.sessionId]),
          ),
        ),
      "GET /sse": (c, principal) => mcp.sse.open(exchange(c, principal, null)),
      "POST /sse/messages": async (c, principal) =>
        mcp.sse.post(
          exchange(c, principal, await readBody(c)),
          c.req.query("sessionId") ?? "",
        ),
    },
  };
}

/** The name in the path of what can be a server shown alone, or null. */
export function serverAt(path: string): string | null {
  const [, name] = /^\/mcp\/([^/]+)$/.exec(path) ?? [];
  return slug.safeParse(name).success ? name! : null;
}

/** The one credential of a request, or null. Two at once are refused: which of them counts would be a guess. */
function readToken(c: Ctx, inQuery: boolean): string | null {
  const header = c.req.header("authorization");
  const query = inQuery ? c.req.query("token") : undefined;
  if (header === undefined)
    return query === undefined || query === "" ? null : query;
  if (query !== undefined) {
    throw new GatewayError(
      "invalid",
      "Send one credential: an Authorization header or ?token=, not both.",
    );
  }
  const match = /^bearer +([^\s,]+) *$/i.exec(header);
  if (!match) {
    throw new GatewayError(
      "unauthenticated",
      "The Authorization header must be: Bearer <token>",
    );
  }
  return match[1]!;
}

function readChat(c: Ctx): string | null {
  const header = c.req.header("x-chat-id");
  const asked = header === undefined ? c.req.query("chat") : asUtf8(header);
  if (asked === undefined) return null;
  const read = chatId.safeParse(asked);
  if (read.success) return read.data;
  throw new GatewayError("invalid", "A chat id has 1 to 256 characters.");
}

/** Bytes of a header arrive one character each; most clients mean UTF-8. */
function asUtf8(header: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(
      Buffer.from(header, "latin1"),
    );
  } catch {
    return header;
  }
}

/** `mode` and `apps`, or its older name `integrationKey`. */
function readAsked(c: Ctx): { mode?: Mode; apps?: string[] } {
  const query = readQuery(c.req.url);
  if (query === null) return {};
  const asked: { mode?: Mode; apps?: string[] } = {};
  const mode = query.get("mode");
  if (mode !== null) {
    const read = z.enum(modes).safeParse(mode);
    if (!read.success) {
      throw new GatewayError(
        "invalid",
        `Unknown mode. Valid modes are: ${modes.join(", ")}.`,
      );
    }
    asked.mode = read.data;
  }
  const apps = query.get("apps") ?? query.get("integrationKey");
  if (apps !== null) {
    asked.apps = apps
      .split(",")
      .map((app) => app.trim())
      .filter((app) => app !== "");
  }
  return asked;
}

/** A published client writes `/mcp&integrationKey=gmail`. */
function readQuery(text: string): URLSearchParams | null {
  if (!/[?&]/.test(text)) return null;
  const { pathname, searchParams } = new URL(text);
  const ampersand = pathname.indexOf("&");
  if (ampersand >= 0) {
    const late = new URLSearchParams(pathname.slice(ampersand + 1));
    for (const [name, value] of late) searchParams.append(name, value);
  }
  return searchParams;
}

/** Failures of the MCP door: 401 as its clients know it, the rest as JSON-RPC errors. */
export function mcpError(
  thrown: unknown,
  env: Env["Bindings"],
  resourceMetadata: string,
): Response {
  const error = asGatewayError(thrown);
  const status = statusOf(error);
  if (error.code === "unauthenticated") {
    const given = error.message !== "No token provided";
    const challenge = [
      ...(given
        ? [
            'error="invalid_token"',
            `error_description="${error.message.replace(/["\\\n]/g, "'")}"`,
          ]
        : []),
      `resource_metadata="${resourceMetadata}"`,
    ];
    return Response.json(
      { error: `Unauthorized: ${error.message}` },
      {
        status,
        headers: { "www-authenticate": `Bearer ${challenge.join(", ")}` },
      },
    );
  }
  const response = Response.json(
    {
      jsonrpc: "2.0",
      error: {
        code: error.code === "internal" ? -32603 : -32000,
        message: error.message,
        data: { ...error.data, requestId: env.requestId },
      },
      id: null,
    },
    { status },
  );
  addRetryAfter(response, error);
  return response;
}
