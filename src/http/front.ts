import type { ErrorCode, GatewayError } from "../core/errors.ts";
import { asGatewayError, describeError, hungUp } from "../core/errors.ts";
import type { Peer } from "../core/exchange.ts";
import type { Clock, Ids, Log, LogFields } from "../core/runtime.ts";
import type { Telemetry } from "../core/telemetry.ts";
import { noTelemetry } from "../core/telemetry.ts";
import type { TraceContext } from "../core/trace.ts";
import { VIA } from "../core/upstream.ts";
import { createCallerAddress } from "./caller-address.ts";
import { createObservation } from "./observation.ts";

/** What every request passes before a route sees it, and what every answer gets. */

/** What the routes are given beside the request. */
export type Env = {
  Bindings: {
    requestId: string;
    /** Fields of this request's log line. */
    log: LogFields;
    /** The caller's address, behind trusted proxies the one they name; null when unknown. */
    address: string | null;
    /** Scheme, host and port under which the caller sees us. */
    origin: string;
    /** Lifts the idle limit of this connection. */
    holdOpen: () => void;
    /** Gives the connection to who talks WebSocket over it, once the answer is 101. False where there is none. */
    handOver: (peer: Peer) => boolean;
    /** The pattern of the route that answers; null before there is one. */
    route: string | null;
    /** Where in a trace this request stands; null for nowhere. */
    trace: TraceContext | null;
  };
};

/** The part of Bun's server that the front door needs. */
export type Connection = {
  address: string | null;
  setIdleTimeout(seconds: number): void;
  handOver?: (peer: Peer) => void;
};

export type FrontOptions = {
  clock: Clock;
  ids: Ids;
  log: Log;
  /** Host names, with a port where it matters, that this server answers to. Others are refused. */
  hosts: readonly string[];
  /** Origins of web pages that may call, beside our own. */
  origins: readonly string[];
  /** Our own address as users see it; null to take it from the request. */
  publicUrl: string | null;
  trustedProxies: readonly string[];
  maxBodyBytes: number;
  draining: () => boolean;
  /** What this gateway is called in the way of requests through others. */
  gatewayId: string;
  telemetry?: Telemetry;
};

export const httpStatus = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  rate_limited: 429,
  needs_authorization: 403,
  upstream_failed: 502,
  timeout: 504,
  internal: 500,
} satisfies Record<ErrorCode, number>;

const loopbackHosts = ["localhost", "127.0.0.1", "[::1]"];

/** Host names that a server bound to `host` answers to. */
export function allowedHosts(
  host: string,
  publicUrl: string | null,
  configured: readonly string[],
): string[] {
  const bound = host.includes(":") ? `[${host}]` : host;
  const published = publicUrl === null ? [] : [new URL(publicUrl).host];
  return [...new Set([...loopbackHosts, bound, ...published, ...configured])];
}

/** How long a connection may be silent, but for streams and running calls. As Bun's default. */
const IDLE_SECONDS = 10;

/** Wraps the routes. What they throw becomes an answer here, and one line goes to the log. */
export function createFront(
  options: FrontOptions,
  routes: (
    request: Request,
    bindings: Env["Bindings"],
  ) => Response | Promise<Response>,
): (request: Request, connection: Connection) => Promise<Response> {
  const { clock, ids, log } = options;
  const hosts = new Set(options.hosts.map((host) => host.toLowerCase()));
  const origins = new Set(options.origins);
  const callerAddress = createCallerAddress(options.trustedProxies);
  const observe = createObservation(options.telemetry ?? noTelemetry);

  function hostAllowed(host: string): boolean {
    const name = host.toLowerCase();
    return hosts.has(name) || hosts.has(name.replace(/:\d{1,5}$/, ""));
  }

  async function answer(
    request: Request,
    connection: Connection,
    bindings: Env["Bindings"],
  ): Promise<Response> {
    const host = request.headers.get("host") ?? "";
    // Bun hands over requests without a usable Host too, with a relative URL.
    if (!/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/.test(host)) {
      return plain(400, "Bad Request: exactly one valid Host is required.");
    }
    if (!hostAllowed(host)) {
      return plain(
        403,
        "Forbidden: this server does not answer to that Host. Set PUBLIC_URL or ALLOWED_HOSTS to allow it.",
      );
    }
    bindings.origin = options.publicUrl
      ? new URL(options.publicUrl).origin
      : `http://${host}`;
    const origin = request.headers.get("origin");
    const sameOrigin =
      origin === bindings.origin || origin === `http://${host}`;
    if (origin !== null && !sameOrigin && !origins.has(origin)) {
      return plain(
        403,
        "Forbidden: pages of that Origin may not call this server. Set ALLOWED_ORIGINS to allow them.",
      );
    }
    if (request.method === "OPTIONS") return preflight(request);
    const via = readVia(request);
    if (!via.every((id) => GATEWAY_ID.test(id))) {
      return plain(400, `Bad Request: ${VIA} names no gateways.`);
    }
    if (via.length > MAX_VIA) {
      return plain(
        508,
        `Loop Detected: this request has come through more than ${MAX_VIA} gateways.`,
      );
    }
    if (via.includes(options.gatewayId)) {
      return plain(
        508,
        "Loop Detected: this request has come through this gateway before. Two gateways are registered with each other; remove one of the registrations.",
      );
    }
    if (options.draining()) {
      const response = plain(503, "The server is restarting. Try again.");
      response.headers.set("retry-after", "2");
      response.headers.set("connection", "close");
      return response;
    }
    bindings.address = callerAddress(request, connection.address);
    const { method } = request;
    const length = request.headers.get("content-length");
    const announced = length !== null && Number(length) <= options.maxBodyBytes;
    if (announced || request.body === null) return routes(request, bindings);
    // Read to its end: a proxy that is still sending does not take an answer.
    const body = await request.arrayBuffer();
    if (body.byteLength <= options.maxBodyBytes) {
      return routes(new Request(request, { method, body }), bindings);
    }
    return plain(
      413,
      `Content Too Large: a body has at most ${options.maxBodyBytes} bytes (MAX_BODY_BYTES).`,
    );
  }

  return async (request, connection) => {
    const startedAt = clock.monotonic();
    const requestId = ids.request();
    const { trace, answered } = observe(request);
    const bindings: Env["Bindings"] = {
      requestId,
      // Every field from the start: objects of one shape are written faster.
      log: {
        id: requestId,
        method: request.method,
        // The path alone: a query may carry a token.
        path: withoutCredentials(pathOf(request).slice(0, 200)),
        status: undefined,
        ms: undefined,
        workspace: undefined,
        user: undefined,
        key: undefined,
        session: undefined,
        chat: undefined,
        resumed: undefined,
        rpc: undefined,
        tool: undefined,
        reason: undefined,
        trace: trace?.traceId,
      },
      address: null,
      origin: "",
      holdOpen: () => connection.setIdleTimeout(0),
      handOver(peer) {
        connection.handOver?.(peer);
        return connection.handOver !== undefined;
      },
      route: null,
      trace,
    };
    let response: Response;
    try {
      response = await answer(request, connection, bindings);
    } catch (error) {
      const thrown = explain(error, request);
      response = problem(thrown, bindings.requestId);
      bindings.log["reason"] = describeError(thrown);
    }
    const { headers, status } = response;
    if (
      status !== 101 &&
      !headers.get("content-type")?.startsWith("text/event-stream")
    ) {
      connection.setIdleTimeout(IDLE_SECONDS);
    }
    headers.set("x-request-id", bindings.requestId);
    headers.set("x-content-type-options", "nosniff");
    // The URL of a request may carry a token.
    if (!headers.has("referrer-policy")) {
      headers.set("referrer-policy", "no-referrer");
    }
    if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
    const origin = request.headers.get("origin");
    if (origin !== null && status !== 403) {
      headers.set("access-control-allow-origin", origin);
      headers.set("vary", "Origin");
      headers.set(
        "access-control-expose-headers",
        "Mcp-Session-Id, Mcp-Protocol-Version, WWW-Authenticate, X-Request-Id, Retry-After, ETag",
      );
    }
    const ms = clock.monotonic() - startedAt;
    answered(status, ms, bindings.route, requestId);
    bindings.log["status"] = status;
    bindings.log["ms"] = Math.round(ms * 100) / 100;
    log[levelOf(status)]("request", bindings.log);
    return response;
  };
}

/** Somebody may take an API key for its id, and a client may write the `?` before a token as `%3F`. */
function withoutCredentials(path: string): string {
  return path.includes("mcpk") || path.includes("eyJ")
    ? path
        .replace(/(mcpk(?:_|%5F)[0-9A-Za-z]{8})(?:_|%5F)[^/]+/gi, "$1…")
        .replace(/eyJ[\w-]+\.[\w.-]*/g, "eyJ…")
    : path;
}

/** The gateways that a request has come through. */
export function readVia(request: Request): string[] {
  const header = request.headers.get(VIA);
  if (header === null) return [];
  return header
    .split(",")
    .map((id) => id.trim())
    .filter((id) => id !== "");
}

/** Gateways one after the other; what they are called is passed on, and must not swell the requests to others. */
const MAX_VIA = 16;
const GATEWAY_ID = /^[0-9A-Za-z-]{1,64}$/;

function preflight(request: Request): Response {
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
      "access-control-allow-headers":
        request.headers.get("access-control-request-headers") ?? "",
      "access-control-max-age": "600",
    },
  });
}

/** Any refusal before a route: one sentence and the request id in the headers. */
function plain(status: number, error: string): Response {
  return Response.json({ error }, { status });
}

/**
 * What a route threw, as `application/problem+json` (RFC 9457). What has a code of its own, beside that of the error,
 * tells it in `detail`, as clients of the management API know it. `resourceMetadata`: where the challenge of a refusal
 * leads, when one is wanted.
 */
export function problem(
  thrown: unknown,
  requestId: string,
  resourceMetadata?: string,
): Response {
  const error = asGatewayError(thrown);
  const response = Response.json(
    {
      title: error.code,
      status: statusOf(error),
      code: error.code,
      // What is unknown and what is somebody else's are told in the same bytes.
      ...(error.code === "not_found" ? {} : { requestId }),
      ...factsOf(error),
    },
    {
      status: statusOf(error),
      headers: { "content-type": "application/problem+json" },
    },
  );
  const challenge = resourceMetadata && challengeOf(error, resourceMetadata);
  if (challenge) response.headers.set("www-authenticate", challenge);
  addRetryAfter(response, error);
  return response;
}

/**
 * What `WWW-Authenticate` says to who may not (RFC 6750, RFC 9728): why, what it takes, and where to learn who gives
 * credentials. Null for a refusal that no other credential would change.
 */
export function challengeOf(
  error: GatewayError,
  resourceMetadata: string,
): string | null {
  const missing = error.data?.["reason"] === "missing_scope";
  const parts: string[] = [];
  if (missing) {
    parts.push(
      'error="insufficient_scope"',
      `scope="${String(error.data?.["required"])}"`,
    );
  } else if (error.code !== "unauthenticated") return null;
  else if (!isWithout(error)) {
    const description = error.message.replace(/["\\\n]/g, "'");
    parts.push('error="invalid_token"', `error_description="${description}"`);
  }
  parts.push(`resource_metadata="${resourceMetadata}"`);
  return `Bearer ${parts.join(", ")}`;
}

/** What a request without any credential is told. */
export const NO_CREDENTIAL = "No token provided";
/** The same, where a token is in the URL and cannot be taken from there. */
export const TOKEN_IN_URL =
  "No token provided: what is in the URL is not looked at here. Send it in a header, Authorization: Bearer <token>";

/** Whether a request was refused for having no credential, rather than for the one it has. */
export function isWithout({ code, message }: GatewayError): boolean {
  const without = message === NO_CREDENTIAL || message === TOKEN_IN_URL;
  return code === "unauthenticated" && without;
}

function factsOf({ message, data }: GatewayError): Record<string, unknown> {
  const { reason, code } = data ?? {};
  if (reason === "missing_scope") {
    return { detail: { code: reason, required: data!["required"], message } };
  }
  return typeof code === "string"
    ? { detail: { message, ...data } }
    : { ...data, detail: message };
}

/** Who has hung up is no fault of ours, whatever was cut off by it. */
export function explain(thrown: unknown, { signal }: Request): unknown {
  const cut = thrown instanceof Error && thrown.name === "AbortError";
  return cut && signal.aborted ? hungUp() : thrown;
}

/** Refusals with a status that only HTTP has, by their own code. */
const ownStatus: Record<string, number> = {
  // Nobody gets it; in logs and metrics it stands for this since nginx.
  hung_up: 499,
  version_mismatch: 412,
  precondition_required: 428,
};

/** A failure that is expected to pass says so with 503 and `Retry-After`. */
export function statusOf(error: GatewayError): number {
  const passes = error.retryAfterMs !== undefined;
  const own = ownStatus[String(error.data?.["code"])];
  const status = own ?? httpStatus[error.code];
  return passes && status >= 500 ? 503 : status;
}

export function addRetryAfter(response: Response, error: GatewayError): void {
  if (error.retryAfterMs === undefined) return;
  response.headers.set(
    "retry-after",
    String(Math.max(1, Math.ceil(error.retryAfterMs / 1000))),
  );
}

/**
 * The path of a request, without its query. `/mcp&integrationKey=gmail` is a published spelling of
 * `/mcp?integrationKey=gmail`, so an ampersand ends it too.
 */
export function pathOf(request: Request): string {
  const { url } = request;
  const start = url.indexOf("/", url.indexOf("://") + 3);
  if (start < 0) return "/";
  const end = url.slice(start).search(/[?#&]/);
  return end < 0 ? url.slice(start) : url.slice(start, start + end);
}

/** Of the line of a request. Who is limited is logged once a minute; a line for each request would fill the disk. */
function levelOf(status: number): "error" | "info" | "debug" {
  if (status >= 500) return "error";
  return status === 429 ? "debug" : "info";
}
