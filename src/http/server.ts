import { Hono } from "hono";
import { GatewayError, describeError } from "../core/errors.ts";
import type { Principal } from "../core/principal.ts";
import { requireScope } from "../core/principal.ts";
import type { Store } from "../core/store.ts";
import type { Connection, Env, FrontOptions } from "./front.ts";
import { createFront, pathOf, problem } from "./front.ts";
import type { GatewayRouteOptions } from "./gateway.ts";
import { gatewayRoutes } from "./gateway.ts";
import type { McpRouteOptions } from "./mcp.ts";
import { mcpError, mcpRoutes } from "./mcp.ts";
import type { Access, Ctx, Handlers, Route } from "./routes.ts";
import { methodsOf, routes } from "./routes.ts";
import type { ServerRouteOptions } from "./servers.ts";
import { serverRoutes } from "./servers.ts";

export type HttpOptions = Omit<FrontOptions, "publicUrl"> &
  McpRouteOptions &
  Omit<ServerRouteOptions & GatewayRouteOptions, "base"> & {
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
  const metadata = ({ env }: Ctx) =>
    Response.json({
      resource: `${base(env.origin)}/mcp`,
      resource_name: "membrane-mcp",
      bearer_methods_supported: ["header"],
      ...(options.authorizationServers.length > 0
        ? {
            authorization_servers: options.authorizationServers,
            scopes_supported: ["tenant"],
          }
        : {}),
    });
  const mcp = mcpRoutes(options);
  const managing = { ...options, base };
  const handlers: Handlers<Route> = {
    ...mcp.handlers,
    ...serverRoutes(managing),
    ...gatewayRoutes(managing),
    "GET /": (c) =>
      c.text(
        "membrane-mcp is running. Connect an MCP client to /mcp (Streamable HTTP) or /sse (HTTP+SSE).",
      ),
    "GET /health": health,
    "GET /.well-known/oauth-protected-resource": metadata,
    "GET /.well-known/oauth-protected-resource/mcp": metadata,
  };

  const app = new Hono<Env>({ getPath: pathOf });
  for (const route of Object.keys(routes) as Route[]) add(route);

  function add<R extends Route>(route: R): void {
    const [method, path] = route.split(" ") as [string, string];
    const access: Access = routes[route];
    const handler = handlers[route] as Handlers<"GET /mcp">["GET /mcp"];
    app.on(method, path, async (c) => {
      if (method === "GET" && c.req.raw.method === "HEAD") {
        // Hono answers HEAD by way of GET, which could open a stream.
        if (access !== "public") return notAllowed(c);
      }
      if (carriesBody(c) && !isJson(c)) {
        // What a web page could send without asking is refused before it costs anything.
        return c.json(
          {
            error:
              "Unsupported Media Type: Content-Type must be application/json.",
          },
          415,
        );
      }
      return access === "public"
        ? handler(c, undefined as never)
        : handler(c, await authenticate(c, access));
    });
  }

  async function authenticate(
    c: Ctx,
    access: Exclude<Access, "public">,
  ): Promise<Principal> {
    const principal = await mcp.authenticate(c, access === "token or ticket");
    const workspace = c.req.param("workspace");
    if (workspace !== undefined && workspace !== principal.workspace) {
      throw new GatewayError("not_found", "There is no such workspace.");
    }
    if (access !== "token" && access !== "token or ticket") {
      requireScope(principal, access);
    }
    return principal;
  }

  function health(c: Ctx): Response {
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
  }

  app.onError((thrown, c) => {
    c.env.log["reason"] = describeError(thrown);
    return /^\/(mcp|sse)(\/|$)/.test(c.req.path)
      ? mcpError(thrown, c.env, `${base(c.env.origin)}${METADATA}/mcp`)
      : problem(thrown, c.env.requestId);
  });
  app.notFound((c) =>
    methodsOf(c.req.path).length > 0
      ? notAllowed(c)
      : c.json(
          { error: "Not Found: MCP is at /mcp, the older HTTP+SSE at /sse." },
          404,
        ),
  );

  return createFront(options, (request, bindings) =>
    app.fetch(request, bindings),
  );
}

const METADATA = "/.well-known/oauth-protected-resource";

function notAllowed(c: Ctx): Response {
  const methods = [...methodsOf(c.req.path), "OPTIONS"].join(", ");
  return c.json(
    { error: `Method Not Allowed: ${c.req.path} takes ${methods}.` },
    405,
    { allow: methods },
  );
}

/** Requests of the MCP door have one always; elsewhere there may be nothing to say. */
function carriesBody(c: Ctx): boolean {
  const { method, headers } = c.req.raw;
  if (method !== "POST" && method !== "PATCH") return false;
  if (/^\/(mcp|sse)(\/|$)/.test(c.req.path)) return true;
  return (
    (headers.get("content-length") ?? "0") !== "0" ||
    headers.has("transfer-encoding") ||
    headers.has("content-type")
  );
}

function isJson(c: Ctx): boolean {
  const type = c.req.header("content-type") ?? "";
  return /^application\/json\s*(;[^,]*)?$/i.test(type);
}
