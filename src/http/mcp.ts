import { z } from "zod";
import type { ErrorCode } from "../core/errors.ts";
import { GatewayError, asGatewayError } from "../core/errors.ts";
import type { Approach, Exchange, Peer } from "../core/exchange.ts";
import { chatId, modes } from "../core/session.ts";
import type { Mode, SessionStore } from "../core/session.ts";
import { slug } from "../core/upstream.ts";
import type { Env } from "./front.ts";
import { addRetryAfter, challengeOf, statusOf } from "./front.ts";
import type { Caller, Ctx, Handlers } from "./routes.ts";

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
  };
  ws: {
    open(
      approach: Approach,
      place: { sessionId: string | null; lastEventId: string | null },
      accept: (peer: Peer) => Response,
    ): Promise<Response>;
  };
};

export type McpRouteOptions = {
  mcp: McpHandlers;
  sessions: SessionStore;
};

type McpRoute =
  | `${"POST" | "GET" | "DELETE"} /mcp`
  | `${"POST" | "GET" | "DELETE"} /mcp/:server`
  | "GET /mcp/sessions"
  | "GET /ws"
  | "GET /ws/:server"
  | "GET /sse"
  | "POST /sse/messages";

export function mcpRoutes(options: McpRouteOptions): Handlers<McpRoute> {
  const { mcp, sessions } = options;

  const approach = (c: Ctx, { principal, stillValid }: Caller): Approach => ({
    principal,
    server: c.req.param("server") ?? null,
    chat: readChat(c),
    asked: readAsked(c),
    log: c.env.log,
    stillValid,
  });

  const exchange = (
    c: Ctx,
    caller: Caller,
    body: Uint8Array | null,
  ): Exchange => ({
    request: c.req.raw,
    body,
    ...approach(c, caller),
    holdOpen: c.env.holdOpen,
  });

  const readBody = async (c: Ctx) =>
    new Uint8Array(await c.req.raw.arrayBuffer());

  const streamable: Handlers<`${"POST" | "GET" | "DELETE"} /mcp`> = {
    "POST /mcp": async (c, _, caller) =>
      mcp.http.post(exchange(c, caller, await readBody(c))),
    "GET /mcp": (c, _, caller) => mcp.http.get(exchange(c, caller, null)),
    "DELETE /mcp": (c, _, caller) => mcp.http.delete(exchange(c, caller, null)),
  };

  const openSocket: Handlers<"GET /ws">["GET /ws"] = (c, _, caller) => {
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") {
      return upgradeRequired(c);
    }
    const place = {
      sessionId:
        c.req.header("mcp-session-id") ?? c.req.query("session") ?? null,
      lastEventId:
        c.req.header("last-event-id") ?? c.req.query("lastEventId") ?? null,
    };
    return mcp.ws.open(approach(c, caller), place, (peer) => {
      if (!c.env.handOver(peer)) return upgradeRequired(c);
      // Bun would choose the first that is offered, which may be the credential.
      const protocol = readProtocols(c).includes("mcp") ? "mcp" : "";
      return new Response(null, {
        status: 101,
        headers: { "sec-websocket-protocol": protocol },
      });
    });
  };

  return {
    ...streamable,
    "GET /ws": openSocket,
    "GET /ws/:server": openSocket,
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
    "GET /sse": (c, _, caller) => mcp.sse.open(exchange(c, caller, null)),
    "POST /sse/messages": async (c, _, caller) =>
      mcp.sse.post(
        exchange(c, caller, await readBody(c)),
        c.req.query("sessionId") ?? "",
      ),
  };
}

function upgradeRequired(c: Ctx): Response {
  return c.json(
    {
      error:
        "Upgrade Required: this URL speaks MCP over WebSocket. Other clients go to /mcp.",
    },
    426,
    { upgrade: "websocket", connection: "upgrade" },
  );
}

/** The subprotocols that a WebSocket client offers. */
export function readProtocols(c: Ctx): string[] {
  const header = c.req.header("sec-websocket-protocol") ?? "";
  return header.split(",").map((name) => name.trim());
}

/** The name in the path of what can be a server shown alone, or null. */
export function serverAt(path: string): string | null {
  const [, name] = /^\/(?:mcp|ws)\/([^/]+)$/.exec(path) ?? [];
  return slug.safeParse(name).success ? name! : null;
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

/** What a client may try again, with a back-off. */
const RETRY = -32000;

/** What each code is to a client of MCP, before its message was read. */
const rpcCodes = {
  invalid: -32600,
  unauthenticated: -32600,
  forbidden: -32600,
  not_found: -32600,
  conflict: -32600,
  rate_limited: RETRY,
  needs_authorization: -32600,
  upstream_failed: RETRY,
  timeout: RETRY,
  internal: -32603,
} satisfies Record<ErrorCode, number>;

/** Failures of the MCP door: 401 as its clients know it, the rest as JSON-RPC errors. */
export function mcpError(
  thrown: unknown,
  env: Env["Bindings"],
  resourceMetadata: string,
): Response {
  const error = asGatewayError(thrown);
  const { retryAfterMs } = error;
  const retryAfter = retryAfterMs === undefined ? {} : { retryAfterMs };
  const body =
    error.code === "unauthenticated"
      ? { error: `Unauthorized: ${error.message}` }
      : {
          jsonrpc: "2.0",
          error: {
            code:
              error.retryAfterMs === undefined ? rpcCodes[error.code] : RETRY,
            message: error.message,
            data: { ...error.data, ...retryAfter, requestId: env.requestId },
          },
          id: null,
        };
  const response = Response.json(body, { status: statusOf(error) });
  const challenge = challengeOf(error, resourceMetadata);
  if (challenge) response.headers.set("www-authenticate", challenge);
  addRetryAfter(response, error);
  return response;
}
