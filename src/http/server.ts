import { Hono } from "hono";
import { describeError } from "../core/errors.ts";
import type { Store } from "../core/store.ts";
import type { Connection, Env, FrontOptions } from "./front.ts";
import { createFront, pathOf, problem } from "./front.ts";
import type { McpRouteOptions } from "./mcp.ts";
import { mcpError, mcpRoutes } from "./mcp.ts";

/**
 * The map of the product. Public, that is without a credential:
 *
 * GET /                                          what this is
 * GET /health                                    is it well
 * GET /.well-known/oauth-protected-resource[…]   how to get in (RFC 9728)
 *
 * Everything else answers 401 without one.
 */
export type HttpOptions = Omit<FrontOptions, "publicUrl"> &
  McpRouteOptions & {
    version: string;
    store: Pick<Store, "check">;
    sourceHealth: () => Readonly<Record<string, string>>;
    publicUrl: string | null;
    /** Authorization servers whose tokens we accept; none when tokens come from the product itself. */
    authorizationServers: readonly string[];
  };

export type HttpHandler = (
  request: Request,
  connection: Connection,
) => Promise<Response>;

export function createHttp(options: HttpOptions): HttpHandler {
  const { clock, log, publicUrl } = options;
  const base = (origin: string) => publicUrl ?? origin;
  const metadataPath = "/.well-known/oauth-protected-resource";

  const app = new Hono<Env>({ getPath: pathOf });
  app.get("/", (c) =>
    c.text(
      "membrane-mcp is running. Connect an MCP client to /mcp (Streamable HTTP) or /sse (HTTP+SSE).",
    ),
  );
  app.get("/health", (c) => {
    let database = "ok";
    try {
      options.store.check();
    } catch (error) {
      database = "failing";
      log.error("health check failed", { reason: describeError(error) });
    }
    const sources = options.sourceHealth();
    const failing = Object.values(sources).includes("failing");
    const status =
      database !== "ok" ? "unavailable" : failing ? "degraded" : "ok";
    return c.json(
      {
        status,
        timestamp: new Date(clock.now()).toISOString(),
        version: options.version,
        checks: { database, ...sources },
      },
      database === "ok" ? 200 : 503,
    );
  });
  const metadata = (origin: string) => ({
    resource: `${base(origin)}/mcp`,
    resource_name: "membrane-mcp",
    bearer_methods_supported: ["header"],
    ...(options.authorizationServers.length > 0
      ? {
          authorization_servers: options.authorizationServers,
          scopes_supported: ["tenant"],
        }
      : {}),
  });
  for (const path of [metadataPath, `${metadataPath}/mcp`]) {
    app.get(path, (c) => c.json(metadata(c.env.origin)));
  }
  const isMcp = mcpRoutes(app, options);
  app.onError((thrown, c) => {
    c.env.log["reason"] = describeError(thrown);
    return isMcp(c.req.path)
      ? mcpError(thrown, c.env, `${base(c.env.origin)}${metadataPath}/mcp`)
      : problem(thrown, c.env.requestId);
  });
  app.notFound((c) => {
    const methods = methodsOf(c.req.path);
    if (methods === null) {
      return c.json(
        { error: "Not Found: MCP is at /mcp, the older HTTP+SSE at /sse." },
        404,
      );
    }
    return c.json(
      { error: `Method Not Allowed: ${c.req.path} takes ${methods}.` },
      405,
      { allow: methods },
    );
  });
  /** The methods of a path that exists, or null. */
  function methodsOf(path: string): string | null {
    const methods = app.routes
      .filter((route) => route.path === path)
      .map((route) => route.method);
    return methods.length === 0 ? null : [...methods, "OPTIONS"].join(", ");
  }

  return createFront(options, (request, bindings) =>
    app.fetch(request, bindings),
  );
}
