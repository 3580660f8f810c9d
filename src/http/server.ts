import { HonoBase } from "hono/hono-base";
import { describeError } from "../core/errors.ts";
import type { Scope } from "../core/principal.ts";
import type { Store } from "../core/store.ts";
import type { Admission } from "../gateway/limits/admission.ts";
import type { AuthenticationOptions } from "./authenticate.ts";
import { createAuthentication } from "./authenticate.ts";
import type { EventRouteOptions } from "./events.ts";
import { eventRoutes } from "./events.ts";
import type { Connection, Env, FrontOptions } from "./front.ts";
import { createFront, explain, pathOf, problem } from "./front.ts";
import { docsRoutes } from "./docs.ts";
import type { GatewayRouteOptions } from "./gateway.ts";
import { gatewayRoutes } from "./gateway.ts";
import type { KeyRouteOptions } from "./keys.ts";
import { keyRoutes } from "./keys.ts";
import type { McpRouteOptions } from "./mcp.ts";
import { mcpError, mcpRoutes, serverAt } from "./mcp.ts";
import type { OAuthRouteOptions } from "./oauth.ts";
import { oauthRoutes } from "./oauth.ts";
import type { Access, Ctx, Handlers, Route } from "./routes.ts";
import { createRouter } from "./router.ts";
import { methodsOf, routes } from "./routes.ts";
import type { ServerRouteOptions } from "./servers.ts";
import { serverRoutes } from "./servers.ts";
import type { IncomingRouteOptions } from "./webhook-in.ts";
import { incomingRoutes } from "./webhook-in.ts";
import type { WebhookRouteOptions } from "./webhooks.ts";
import { webhookRoutes } from "./webhooks.ts";

export type HttpOptions = Omit<FrontOptions, "publicUrl"> &
  AuthenticationOptions &
  McpRouteOptions &
  KeyRouteOptions &
  EventRouteOptions &
  WebhookRouteOptions &
  IncomingRouteOptions &
  Omit<OAuthRouteOptions, "upstreams"> &
  Omit<ServerRouteOptions & GatewayRouteOptions, "base"> & {
    /** Registered servers as they are stored. */
    registered: OAuthRouteOptions["upstreams"];
    admission: Pick<Admission, "take">;
    version: string;
    store: Pick<Store, "check">;
    sourceHealth: () => Readonly<Record<string, string>>;
    publicUrl: string | null;
    /** Authorization servers whose tokens we accept; none when tokens come from the product itself. */
    authorizationServers: readonly string[];
    /** Answers a request for metrics, or refuses it; null when they are not to be had here. */
    scraper?: ((request: Request) => Promise<Response>) | null;
  };

export type HttpHandler = (
  request: Request,
  connection: Connection,
) => Promise<Response>;

export function createHttp(options: HttpOptions): HttpHandler {
  const { clock, log, publicUrl } = options;
  const base = (origin: string) => publicUrl ?? origin;
  const metadata = ({ env }: Ctx, resource = "/mcp") =>
    Response.json({
      resource: `${base(env.origin)}${resource}`,
      resource_name: "membrane-mcp",
      bearer_methods_supported: ["header"],
      ...(options.authorizationServers.length > 0
        ? {
            authorization_servers: options.authorizationServers,
            scopes_supported: ["tenant"],
          }
        : {}),
    });
  const authenticate = createAuthentication(options);
  const managing = { ...options, base };
  const handlers: Handlers<Route> = {
    ...mcpRoutes(options),
    ...keyRoutes(options),
    ...eventRoutes(options),
    ...oauthRoutes({ ...options, upstreams: options.registered }),
    ...serverRoutes(managing),
    ...gatewayRoutes(managing),
    ...docsRoutes(options),
    ...webhookRoutes(options),
    ...incomingRoutes(options),
    "GET /": (c) =>
      c.text(
        "membrane-mcp is running. Connect an MCP client to /mcp (Streamable HTTP) or /sse (HTTP+SSE).",
      ),
    "GET /health": health,
    "GET /metrics": (c) => options.scraper?.(c.req.raw) ?? notFound(c),
    "GET /.well-known/oauth-protected-resource": (c) => metadata(c),
    "GET /.well-known/oauth-protected-resource/mcp": (c) => metadata(c),
    // Whether there is such a server is not for everybody to know.
    "GET /.well-known/oauth-protected-resource/mcp/:server": (c) => {
      const path = c.req.path.slice(METADATA.length);
      return serverAt(path) === null ? notFound(c) : metadata(c, path);
    },
  };

  const app = new HonoBase<Env>({
    getPath: pathOf,
    router: createRouter(),
  });
  for (const route of Object.keys(routes) as Route[]) add(route);

  function add<R extends Route>(route: R): void {
    const [method, path] = route.split(" ") as [string, string];
    const access: Access = routes[route];
    const handler = handlers[route] as Handlers<"GET /mcp">["GET /mcp"];
    app.on(method, path, async (c) => {
      c.env.route = path;
      if (path.includes(":") && !methodsOf(c.req.path).includes(method)) {
        // A path that is in the table as it is has its own methods and no others.
        return notAllowed(c);
      }
      if (method === "GET" && c.req.raw.method === "HEAD") {
        // Hono answers HEAD by way of GET, which could open a stream.
        if (access !== "public") return notAllowed(c);
      }
      if (method === "POST" && access === "link" && !isForm(c)) {
        return c.json({ error: "Unsupported Media Type: send a form." }, 415);
      }
      if (access !== "link" && carriesBody(c) && !isJson(c)) {
        // What a web page could send without asking is refused before it costs anything.
        return c.json(
          {
            error:
              "Unsupported Media Type: Content-Type must be application/json.",
          },
          415,
        );
      }
      if (isEncoded(c) && carriesBody(c)) {
        return c.json(
          {
            error:
              "Unsupported Media Type: send the body as it is, without Content-Encoding.",
          },
          415,
          { "accept-encoding": "identity" },
        );
      }
      if (
        access === "public" ||
        access === "link" ||
        access === "metrics token"
      ) {
        return (handler as PublicHandler)(c);
      }
      if (byLink(access)) {
        const linked = c.req.query("ticket") !== undefined;
        const scope = access.slice(0, -" or link".length) as Scope;
        const caller = linked ? null : await authenticate(c, scope);
        return (handler as LinkHandler)(c, caller?.principal ?? null);
      }
      const caller = await authenticate(c, access);
      return handler(c, caller.principal, caller);
    });
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

  app.onError((error, c) => {
    const thrown = explain(error, c.req.raw);
    c.env.log["reason"] = describeError(thrown);
    const { path } = c.req;
    const metadata = `${base(c.env.origin)}${METADATA}`;
    if (!/^\/(mcp|sse|ws)(\/|$)/.test(path) || path === "/mcp/stream") {
      return problem(thrown, c.env.requestId, metadata);
    }
    const server = serverAt(path);
    const resource = server === null ? "/mcp" : `/mcp/${server}`;
    return mcpError(thrown, c.env, `${metadata}${resource}`);
  });
  app.notFound((c) =>
    methodsOf(c.req.path).length > 0 ? notAllowed(c) : notFound(c),
  );

  return createFront(options, (request, bindings) =>
    app.fetch(request, bindings),
  );
}

const METADATA = "/.well-known/oauth-protected-resource";

type PublicHandler = Handlers<"GET /">["GET /"];
const AUTHORIZE = "GET /api/v2/w/:workspace/mcp-servers/:id/oauth/authorize";
type LinkHandler = Handlers<typeof AUTHORIZE>[typeof AUTHORIZE];

function byLink(access: Access): access is `${Scope} or link` {
  return access.endsWith(" or link");
}

function notFound(c: Ctx): Response {
  return c.json(
    { error: "Not Found: MCP is at /mcp, the older HTTP+SSE at /sse." },
    404,
  );
}

function notAllowed(c: Ctx): Response {
  const methods = [...methodsOf(c.req.path), "OPTIONS"].join(", ");
  return c.json(
    { error: `Method Not Allowed: ${c.req.path} takes ${methods}.` },
    405,
    { allow: methods },
  );
}

function isForm(c: Ctx): boolean {
  const type = c.req.header("content-type") ?? "";
  return /^application\/x-www-form-urlencoded\s*(;[^,]*)?$/i.test(type);
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

function isEncoded(c: Ctx): boolean {
  const encoding = c.req.header("content-encoding");
  return encoding !== undefined && !/^(identity)?$/i.test(encoding);
}

function isJson(c: Ctx): boolean {
  const type = c.req.header("content-type") ?? "";
  return /^application\/json\s*(;[^,]*)?$/i.test(type);
}
