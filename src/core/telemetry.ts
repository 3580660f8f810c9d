import type { ErrorCode } from "./errors.ts";
import { asGatewayError } from "./errors.ts";
import type { TraceContext } from "./trace.ts";

/**
 * What is told to who operates this: how much of what happens, how long it takes, and what caused what. A label has one
 * of a few values that are known beforehand, so that no user, workspace, tool or server can be found in a metric.
 */

/** By which part of the product a request comes. */
export type Door =
  | "mcp"
  | "sse"
  | "ws"
  | "events"
  | "rest"
  | "webhook"
  | "oauth"
  | "health"
  | "other";

const rpcMethods = [
  "initialize",
  "ping",
  "server/discover",
  "tools/list",
  "tools/call",
  "prompts/list",
  "prompts/get",
  "resources/list",
  "resources/templates/list",
  "resources/read",
  "resources/subscribe",
  "resources/unsubscribe",
  "completion/complete",
  "logging/setLevel",
  "subscriptions/listen",
] as const;
export type RpcMethod = (typeof rpcMethods)[number] | "other";
const knownMethods: ReadonlySet<string> = new Set(rpcMethods);

/** The name of a JSON-RPC method as a label: what is not MCP's own could be anything. */
export function rpcMethod(name: string): RpcMethod {
  return knownMethods.has(name) ? (name as RpcMethod) : "other";
}

/**
 * How a request ended: `tool_error`: in a result that says so; `refused`: by us, for what the caller sent or may not;
 * `failed`: by a fault, ours or of somebody behind us.
 */
export type Ending = "ok" | "tool_error" | "refused" | "failed" | "cancelled";

const failures: ReadonlySet<ErrorCode> = new Set([
  "upstream_failed",
  "timeout",
  "internal",
]);

/** How a request ends that ends in this error. */
export function endingOf(code: ErrorCode): Ending {
  return failures.has(code) ? "failed" : "refused";
}

/** Why a credential was not accepted: none; a bad one; too many bad ones; too little scope; it could not be verified. */
export type Refusal =
  "missing" | "refused" | "limited" | "scope" | "unverified";

/** Counted one by one. */
export type Counters = {
  /** JSON-RPC requests. */
  requests: { door: Door; method: RpcMethod; status: Ending };
  httpRequests: { door: Door; method: HttpMethod; status: StatusClass };
  /** `source`: the id of the source, which the code gives it. */
  toolCalls: {
    source: string;
    outcome: "ok" | "tool_error" | "input_required" | "cancelled" | ErrorCode;
  };
  /** `partial`: without some of its apps; `refused`: the caller's credential was. */
  catalogFetches: {
    source: string;
    outcome: "ok" | "partial" | "refused" | "failed";
  };
  authFailures: { reason: Refusal };
  /** Requests that a limit turned away. */
  limited: { limit: "user" | "all" | "server" | "calls" | "streams" };
  /** `retried`: it will be tried again; `dead`: it will not. */
  webhookDeliveries: { outcome: "delivered" | "retried" | "dead" };
};

/** Measured, each with how often. */
export type Durations = {
  request: { door: Door; method: RpcMethod };
  httpRequest: { door: Door };
  toolCall: { source: string };
  catalogFetch: { source: string };
  webhookDelivery: Record<never, string>;
};

/** Read when somebody asks. */
export type Readings = {
  /** Open streams and sockets. */
  connections: { kind: string };
  runningCalls: Record<never, string>;
  sessions: { where: "memory" | "database" };
  /** Of sessions' streams, written since the start. */
  events: Record<never, string>;
  servers: { state: "ready" | "authorize" | "register"; enabled: string };
  /** Servers that count as down. */
  serversDown: Record<never, string>;
  /** `not_stored`: when the database was nearly full; `removed`: before their time, as a user had too many. */
  eventsDropped: { what: "not_stored" | "removed" };
  databaseBytes: { file: "database" | "wal" };
  /** Without what is free in it. */
  databaseUsed: Record<never, string>;
  /** Beyond which nothing is stored; 0 for no limit. */
  databaseLimit: Record<never, string>;
};

export type Reading<N extends keyof Readings> = {
  value: number;
  labels: Readings[N];
};

export type HttpMethod =
  "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS" | "other";
export type StatusClass = "1xx" | "2xx" | "3xx" | "4xx" | "5xx";

/** Never an argument, a result, a credential or a query string. */
export type SpanFields = Record<string, string | number | boolean | undefined>;

export type SpanStart = {
  kind: "server" | "client";
  /** What caused it; null begins a trace. */
  parent: TraceContext | null;
  /** What carried it, when that is of another trace, or of another part of this one. */
  link?: TraceContext | null;
  /** Asked for only when there is a span. */
  fields?: () => SpanFields;
};

/** Something that takes time, in a trace that is exported. */
export type Span = {
  /** What it causes names this as its parent. */
  context: TraceContext;
  /** Once. `error`: of what kind, when it failed. */
  end(outcome: {
    name?: string;
    error?: string | null;
    fields?: SpanFields;
  }): void;
};

export type Telemetry = {
  count<N extends keyof Counters>(name: N, labels: Counters[N]): void;
  observe<N extends keyof Durations>(
    name: N,
    ms: number,
    labels: Durations[N],
  ): void;
  /** Says how something is read. */
  read<N extends keyof Readings>(
    name: N,
    read: () => readonly Reading<N>[],
  ): void;
  /** Null when no traces are exported. */
  span(name: string, start: SpanStart): Span | null;
};

/** Tells nobody. */
export const noTelemetry: Telemetry = {
  count() {},
  observe() {},
  read() {},
  span: () => null,
};

/**
 * Asks somebody else something: `work` is given what to tell them of the trace that it is part of. `kindOf`: of what
 * kind a failure is.
 */
export async function within<T>(
  telemetry: Telemetry,
  name: string,
  parent: TraceContext | undefined,
  fields: () => SpanFields,
  work: (trace: TraceContext | undefined) => Promise<T>,
  kindOf: (thrown: unknown) => string = (thrown) => asGatewayError(thrown).code,
): Promise<T> {
  const span = telemetry.span(name, {
    kind: "client",
    parent: parent ?? null,
    fields,
  });
  if (span === null) return work(parent);
  try {
    const result = await work(span.context);
    span.end({});
    return result;
  } catch (thrown) {
    span.end({ error: kindOf(thrown) });
    throw thrown;
  }
}
