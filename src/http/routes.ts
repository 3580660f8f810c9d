import type { Context } from "hono";
import { once } from "../core/once.ts";
import type { Principal, Scope } from "../core/principal.ts";
import type { Env } from "./front.ts";

/**
 * What a route asks of its caller: nothing; any verified credential; or, for clients of HTTP+SSE that cannot send
 * one, the ticket of an open stream; or a credential with a scope. `link`: what a person's browser brings, which has
 * no credential and sends forms: something in the URL or the form that we have made, and that the handler looks at.
 * `metrics token`: what the operator has given to who scrapes.
 */
export type Access =
  | "public"
  | "token"
  | "token or ticket"
  | Scope
  | "link"
  | `${Scope} or link`
  | "metrics token";

/**
 * Every route of the product. Nothing answers that does not stand here. Where a path has a `:workspace`, that of
 * another than the caller's is not found.
 */
export const routes = {
  "GET /": "public",
  "GET /health": "public",
  "GET /openapi.json": "public",
  "GET /docs": "public",
  "GET /docs/swagger-ui.js": "public",
  "GET /docs/swagger-ui.css": "public",
  "GET /docs/start.js": "public",
  "GET /docs/licenses.txt": "public",
  "GET /metrics": "metrics token",
  "GET /.well-known/oauth-protected-resource": "public",
  "GET /.well-known/oauth-protected-resource/mcp": "public",
  "GET /.well-known/oauth-protected-resource/mcp/:server": "public",
  "POST /mcp": "token",
  "GET /mcp": "token",
  "DELETE /mcp": "token",
  "GET /mcp/sessions": "token",
  "GET /mcp/stream": "token",
  "POST /mcp/:server": "token",
  "GET /mcp/:server": "token",
  "DELETE /mcp/:server": "token",
  "GET /ws": "token",
  "GET /ws/:server": "token",
  "GET /sse": "token",
  "POST /sse/messages": "token or ticket",
  "GET /api/v2/w/:workspace/api-keys": "apps:write",
  "POST /api/v2/w/:workspace/api-keys": "apps:write",
  "DELETE /api/v2/w/:workspace/api-keys/:id": "apps:write",
  "GET /api/v2/w/:workspace/audit": "apps:read",
  "GET /api/v2/w/:workspace/mcp-servers/:id/oauth/authorize":
    "apps:write or link",
  "POST /api/v2/w/:workspace/mcp-servers/:id/oauth/authorize": "link",
  "GET /api/v2/w/:workspace/mcp-servers/oauth/callback": "link",
  "GET /oauth/callback": "link",
  "GET /oauth/client.json": "public",
  "GET /servers": "apps:read",
  "POST /servers": "apps:write",
  "GET /servers/:name": "apps:read",
  "PATCH /servers/:name": "apps:write",
  "DELETE /servers/:name": "apps:admin",
  "POST /servers/:name/tools/:tool/call": "token",
  "POST /tools/:name/call": "token",
  "GET /api/v2/w/:workspace/mcp-servers": "apps:read",
  "POST /api/v2/w/:workspace/mcp-servers": "apps:write",
  "POST /api/v2/w/:workspace/mcp-servers/oauth-discovery": "apps:write",
  "GET /api/v2/w/:workspace/mcp-servers/:id": "apps:read",
  "PATCH /api/v2/w/:workspace/mcp-servers/:id": "apps:write",
  "DELETE /api/v2/w/:workspace/mcp-servers/:id": "apps:admin",
  "POST /api/v2/w/:workspace/mcp-servers/:id/credentials": "apps:write",
  "POST /api/v2/w/:workspace/mcp-servers/:id/enable": "apps:write",
  "POST /api/v2/w/:workspace/mcp-servers/:id/disable": "apps:write",
  "POST /api/v2/w/:workspace/mcp-servers/:id/test": "apps:read",
  "GET /api/v2/w/:workspace/mcp-servers/:id/tools": "apps:read",
  "POST /api/v2/w/:workspace/mcp-servers/:id/tools/:tool/approve": "apps:write",
  "GET /api/v2/w/:workspace/mcp-servers/:id/prompts": "apps:read",
  "GET /api/v2/w/:workspace/mcp-servers/:id/resources": "apps:read",
  "GET /api/v2/w/:workspace/mcp-servers/:id/members": "apps:read",
  "GET /api/v2/w/:workspace/mcp-servers/:id/icon": "public",
  "GET /api/v2/w/:workspace/app-connections/mcp-servers": "apps:read",
  "GET /api/v2/w/:workspace/app-connections/mcp-servers/:id/tools": "apps:read",
  "GET /webhooks": "apps:read",
  "POST /webhooks": "apps:write",
  "GET /webhooks/:id": "apps:read",
  "PATCH /webhooks/:id": "apps:write",
  "DELETE /webhooks/:id": "apps:write",
  "POST /webhooks/:id/rotate": "apps:write",
  "POST /webhooks/:id/test": "apps:write",
  "POST /webhooks/:id/replay": "apps:write",
  // They tell what all members do, and when.
  "GET /webhooks/:id/deliveries": "apps:write",
  "POST /webhooks/:id/deliveries/:delivery/replay": "apps:write",
  "GET /api/v2/w/:workspace/webhooks": "apps:read",
  "POST /api/v2/w/:workspace/webhooks": "apps:write",
  "GET /api/v2/w/:workspace/webhooks/:id": "apps:read",
  "PATCH /api/v2/w/:workspace/webhooks/:id": "apps:write",
  "DELETE /api/v2/w/:workspace/webhooks/:id": "apps:write",
  "POST /api/v2/w/:workspace/webhooks/:id/rotate": "apps:write",
  "POST /api/v2/w/:workspace/webhooks/:id/test": "apps:write",
  "POST /api/v2/w/:workspace/webhooks/:id/replay": "apps:write",
  "GET /api/v2/w/:workspace/webhooks/:id/deliveries": "apps:write",
  "POST /api/v2/w/:workspace/webhooks/:id/deliveries/:delivery/replay":
    "apps:write",
  "POST /webhook/mcp": "public",
  "GET /app-connections/mcp-servers": "apps:read",
  "GET /app-connections/mcp-servers/:id/tools": "apps:read",
} as const satisfies Record<string, Access>;

export type Route = keyof typeof routes;
export type Ctx = Context<Env>;

/** Who calls, and the same later: as the credential of this request says then, or null when it is no longer good. */
export type Caller = {
  principal: Principal;
  stillValid(): Promise<Principal | null>;
};

type Answer = Response | Promise<Response>;
type HandlerOf<A extends Access> = A extends "public" | "link" | "metrics token"
  ? (c: Ctx) => Answer
  : A extends `${string} or link`
    ? (c: Ctx, principal: Principal | null) => Answer
    : (c: Ctx, principal: Principal, caller: Caller) => Answer;

/** One handler for each of some routes; who may call is decided before it runs. */
export type Handlers<R extends Route> = {
  [Each in R]: HandlerOf<(typeof routes)[Each]>;
};

const parted = once(() =>
  Object.keys(routes).map((route) => {
    const [method, path] = route.split(" ") as [string, string];
    return { method, path, parts: path.split("/") };
  }),
);

/** The methods that a path takes: those of the routes with this very path, or else of those whose parameters fit. */
export function methodsOf(path: string): string[] {
  const parts = path.split("/");
  const all = parted();
  const exact = all.filter((route) => route.path === path);
  const found =
    exact.length > 0 ? exact : all.filter((route) => fits(route.parts, parts));
  return found.map(({ method }) => method);
}

function fits(pattern: string[], parts: string[]): boolean {
  return (
    pattern.length === parts.length &&
    pattern.every((part, i) =>
      part.startsWith(":") ? parts[i] !== "" : part === parts[i],
    )
  );
}
