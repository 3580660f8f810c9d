import type {
  Door,
  HttpMethod,
  StatusClass,
  Telemetry,
} from "../core/telemetry.ts";
import type { TraceContext } from "../core/trace.ts";
import { readTrace } from "../core/trace.ts";

/** What is told of each HTTP request: that it came, what came of it and how long that took. */
export type Observe = (request: Request) => {
  /** Where in a trace it stands: what caused it, or, when traces are exported, itself. */
  trace: TraceContext | null;
  /** `route`: the pattern of the path, not the path. */
  answered(
    status: number,
    ms: number,
    route: string | null,
    requestId: string,
  ): void;
};

export function createObservation(telemetry: Telemetry): Observe {
  return (request) => {
    const { headers } = request;
    const method = methods.get(request.method) ?? "other";
    const traceparent = headers.get("traceparent");
    const parent =
      traceparent === null
        ? null
        : readTrace(traceparent, headers.get("tracestate"));
    const span = telemetry.span(method, { kind: "server", parent });
    return {
      trace: span?.context ?? parent,
      answered(status, ms, route, requestId) {
        const door = doorOf(route);
        telemetry.count("httpRequests", {
          door,
          method,
          status: `${Math.floor(status / 100)}xx` as StatusClass,
        });
        telemetry.observe("httpRequest", ms, { door });
        span?.end({
          name: route === null ? method : `${method} ${route}`,
          error: status >= 500 ? String(status) : null,
          // OpenTelemetry semantic conventions, HTTP server spans; without the URL, which names people and servers.
          fields: {
            "http.request.method": method === "other" ? "_OTHER" : method,
            "http.response.status_code": status,
            "http.route": route ?? undefined,
            "membrane_mcp.request_id": requestId,
          },
        });
      },
    };
  };
}

const methods = new Map<string, HttpMethod>(
  (["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] as const).map(
    (method) => [method, method],
  ),
);

const doors: [RegExp, Door][] = [
  [/^\/mcp\/stream$/, "events"],
  [/^\/mcp(\/|$)/, "mcp"],
  [/^\/sse(\/|$)/, "sse"],
  [/^\/ws(\/|$)/, "ws"],
  [/^\/webhook\//, "webhook"],
  [/\/oauth\/|^\/\.well-known\//, "oauth"],
  [/^\/(api|servers|tools|webhooks|app-connections)(\/|$)/, "rest"],
  [/^\/health$/, "health"],
];
const known = new Map<string | null, Door>([[null, "other"]]);

/** As many as there are routes. */
function doorOf(route: string | null): Door {
  let door = known.get(route);
  if (door === undefined) {
    door = doors.find(([pattern]) => pattern.test(route!))?.[1] ?? "other";
    known.set(route, door);
  }
  return door;
}
