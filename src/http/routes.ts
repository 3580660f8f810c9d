import type { Context } from "hono";
import type { Principal } from "../core/principal.ts";
import type { Env } from "./front.ts";

/**
 * What a route asks of its caller: nothing; a verified token; or, for clients of HTTP+SSE that cannot send
 * one, the ticket of an open stream.
 */
export type Access = "public" | "token" | "token or ticket";

/** Every route of the product. Nothing answers that does not stand here. */
export const routes = {
  "GET /": "public",
  "GET /health": "public",
  "GET /.well-known/oauth-protected-resource": "public",
  "GET /.well-known/oauth-protected-resource/mcp": "public",
  "GET /.well-known/oauth-protected-resource/mcp/:server": "public",
  "POST /mcp": "token",
  "GET /mcp": "token",
  "DELETE /mcp": "token",
  "GET /mcp/sessions": "token",
  "POST /mcp/:server": "token",
  "GET /mcp/:server": "token",
  "DELETE /mcp/:server": "token",
  "GET /sse": "token",
  "POST /sse/messages": "token or ticket",
} as const satisfies Record<string, Access>;

export type Route = keyof typeof routes;
export type Ctx = Context<Env>;

type Answer = Response | Promise<Response>;
type HandlerOf<A extends Access> = A extends "public"
  ? (c: Ctx) => Answer
  : (c: Ctx, principal: Principal) => Answer;

/** One handler for each of some routes; who may call is decided before it runs. */
export type Handlers<R extends Route> = {
  [Each in R]: HandlerOf<(typeof routes)[Each]>;
};
