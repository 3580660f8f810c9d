import type {
  Counter,
  Gauge,
  Histogram,
  Registry,
  RegistryContentType,
} from "prom-client";
import type {
  Counters,
  Durations,
  Readings,
  Telemetry,
} from "../core/telemetry.ts";
import type { Clock } from "../core/runtime.ts";

/** Metrics in memory, and their text for Prometheus. */
export type Metrics = Pick<Telemetry, "count" | "observe" | "read"> & {
  scrape(accept: string | null): Promise<{ type: string; text: string }>;
  close(): void;
};

type Family<L> = {
  name: string;
  help: string;
  labels: readonly (keyof L & string)[];
  /** There from the start, so that the first of them is a rise. */
  zeros?: readonly L[];
};

const counters: { [N in keyof Counters]: Family<Counters[N]> } = {
  requests: {
    name: "mcp_requests_total",
    help: "JSON-RPC requests by how they ended.",
    labels: ["door", "method", "status"],
  },
  httpRequests: {
    name: "mcp_http_requests_total",
    help: "HTTP requests.",
    labels: ["door", "method", "status"],
  },
  toolCalls: {
    name: "mcp_tool_calls_total",
    help: "Tools called, over whatever door, by the kind of their source.",
    labels: ["source", "outcome"],
  },
  catalogFetches: {
    name: "mcp_catalog_fetches_total",
    help: "Times that a source was asked what it has for a user.",
    labels: ["source", "outcome"],
  },
  authFailures: {
    name: "mcp_auth_failures_total",
    help: "Requests whose credential was not accepted.",
    labels: ["reason"],
    zeros: [
      { reason: "missing" },
      { reason: "refused" },
      { reason: "limited" },
      { reason: "scope" },
      { reason: "unverified" },
    ],
  },
  limited: {
    name: "mcp_limited_total",
    help: "Requests that a limit turned away.",
    labels: ["limit"],
    zeros: [
      { limit: "user" },
      { limit: "all" },
      { limit: "server" },
      { limit: "calls" },
      { limit: "streams" },
    ],
  },
  webhookDeliveries: {
    name: "mcp_webhook_deliveries_total",
    help: "Attempts to deliver a webhook.",
    labels: ["outcome"],
    zeros: [
      { outcome: "delivered" },
      { outcome: "retried" },
      { outcome: "dead" },
    ],
  },
};

/** In seconds: from what is in memory to what waits for a model or a person. */
const BUCKETS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
  60,
];

const durations: { [N in keyof Durations]: Family<Durations[N]> } = {
  request: {
    name: "mcp_request_duration_seconds",
    help: "From a JSON-RPC request to its answer.",
    labels: ["door", "method"],
  },
  httpRequest: {
    name: "mcp_http_request_duration_seconds",
    help: "From an HTTP request to the head of its answer.",
    labels: ["door"],
  },
  toolCall: {
    name: "mcp_tool_call_duration_seconds",
    help: "How long sources take to run a tool.",
    labels: ["source"],
  },
  catalogFetch: {
    name: "mcp_catalog_fetch_duration_seconds",
    help: "How long sources take to say what they have for a user.",
    labels: ["source"],
  },
  webhookDelivery: {
    name: "mcp_webhook_delivery_duration_seconds",
    help: "How long receivers take to answer a webhook.",
    labels: [],
  },
};

const readings: {
  [N in keyof Readings]: Family<Readings[N]> & { kind: "gauge" | "counter" };
} = {
  connections: {
    kind: "gauge",
    name: "mcp_active_connections",
    help: "Open streams and sockets.",
    labels: ["kind"],
  },
  runningCalls: {
    kind: "gauge",
    name: "mcp_running_calls",
    help: "Requests that are being answered.",
    labels: [],
  },
  sessions: {
    kind: "gauge",
    name: "mcp_sessions",
    help: "Sessions in the database, and those of them in memory.",
    labels: ["where"],
  },
  events: {
    kind: "counter",
    name: "mcp_events_written_total",
    help: "Events of streams put on record.",
    labels: [],
  },
  servers: {
    kind: "gauge",
    name: "mcp_servers",
    help: "Registered MCP servers.",
    labels: ["state", "enabled"],
  },
  serversDown: {
    kind: "gauge",
    name: "mcp_servers_down",
    help: "Registered MCP servers that are left alone for a while because they do not answer.",
    labels: [],
  },
  eventsDropped: {
    kind: "counter",
    name: "mcp_events_dropped_total",
    help: "Events of streams that were not put on record, or removed before their time, for want of room.",
    labels: ["what"],
  },
  databaseBytes: {
    kind: "gauge",
    name: "mcp_database_bytes",
    help: "Size of the database and its write-ahead log.",
    labels: ["file"],
  },
  databaseUsed: {
    kind: "gauge",
    name: "mcp_database_used_bytes",
    help: "Of the database, what is in use.",
    labels: [],
  },
  databaseLimit: {
    kind: "gauge",
    name: "mcp_database_limit_bytes",
    help: "Size of the database beyond which nothing is stored; 0 for no limit.",
    labels: [],
  },
};

/** Between two looks at how late the event loop is, in ms. */
const LOOK_MS = 50;

/** Loads what metrics take. */
export async function openMetrics(
  clock: Clock,
  version: string,
): Promise<Metrics> {
  const prometheus = await import("prom-client");
  // The same metrics in both forms that a scraper can ask for.
  const text = new prometheus.Registry();
  const open = new prometheus.Registry<RegistryContentType>();
  open.setContentType(prometheus.Registry.OPENMETRICS_CONTENT_TYPE);
  const registers = [text, open as Registry];

  const made = <T>(families: Record<string, T>, make: (family: T) => unknown) =>
    Object.fromEntries(
      Object.entries(families).map(([key, family]) => [key, make(family)]),
    );
  const counted = made(counters, (family) => {
    const { name, help, labels } = family;
    const counter = new prometheus.Counter({
      name,
      help,
      labelNames: labels,
      registers,
    });
    for (const zero of family.zeros ?? []) counter.inc(zero, 0);
    return counter;
  }) as Record<keyof Counters, Counter>;
  const measured = made(
    durations,
    ({ name, help, labels }) =>
      new prometheus.Histogram({
        name,
        help,
        labelNames: labels,
        buckets: BUCKETS,
        registers,
      }),
  ) as Record<keyof Durations, Histogram>;

  /** A metric whose values are read when it is scraped. */
  const reading: ReadMetric = (kind, family, read) => {
    const { name, help, labels: labelNames } = family;
    const options = { name, help, labelNames, registers };
    return kind === "counter"
      ? new prometheus.Counter({
          ...options,
          collect(this: Counter) {
            this.reset();
            for (const { value, labels } of read()) this.inc(labels, value);
          },
        })
      : new prometheus.Gauge({
          ...options,
          collect(this: Gauge) {
            this.reset();
            for (const { value, labels } of read()) this.set(labels, value);
          },
        });
  };

  const loop = process
    .getBuiltinModule("node:perf_hooks")
    .monitorEventLoopDelay({ resolution: LOOK_MS });
  loop.enable();
  readProcess(reading, loop, { clock, version });

  /** The scrape before: while one form is written, the other cannot be. */
  let before: Promise<unknown> = Promise.resolve();

  return {
    count: (name, labels) => counted[name].inc(labels),
    observe: (name, ms, labels) => measured[name].observe(labels, ms / 1000),
    read: (name, read) =>
      void reading(readings[name].kind, readings[name], read),
    scrape(accept) {
      const wanted = accept?.includes("application/openmetrics-text")
        ? open
        : text;
      const scraped = before.then(async () => {
        const body = await written(wanted);
        // What is said of it is of the time since the last time.
        loop.reset();
        return { type: wanted.contentType, text: body };
      });
      before = scraped.catch(() => {});
      return scraped;
    },
    close: () => void loop.disable(),
  };
}

/** prom-client takes `_total` off the names of counters for OpenMetrics, and for good. */
async function written(registry: {
  metrics(): Promise<string>;
  getMetricsAsArray(): { name: string }[];
}): Promise<string> {
  const names = registry
    .getMetricsAsArray()
    .map((metric) => [metric, metric.name] as const);
  try {
    return await registry.metrics();
  } finally {
    for (const [metric, name] of names) metric.name = name;
  }
}

type ReadMetric = (
  kind: "gauge" | "counter",
  family: { name: string; help: string; labels: readonly string[] },
  read: () => readonly { value: number; labels: Record<string, string> }[],
) => unknown;

/** What is known of every process. */
function readProcess(
  reading: ReadMetric,
  loop: { mean: number; max: number; percentile(of: number): number },
  { clock, version }: { clock: Clock; version: string },
): void {
  const one = (value: number) => [{ value, labels: {} }];
  const startedAt = clock.now() / 1000 - process.uptime();
  // Nothing was seen since the last time: the library says NaN then.
  const seconds = (nanoseconds: number) =>
    Number.isFinite(nanoseconds) ? nanoseconds / 1e9 : 0;
  reading(
    "gauge",
    {
      name: "mcp_build_info",
      help: "Versions of what runs.",
      labels: ["version", "bun"],
    },
    () => [{ value: 1, labels: { version, bun: Bun.version } }],
  );
  reading(
    "gauge",
    {
      name: "mcp_event_loop_delay_seconds",
      help: "How late the event loop was since the last scrape.",
      labels: ["stat"],
    },
    () => [
      { value: seconds(loop.mean), labels: { stat: "mean" } },
      { value: seconds(loop.percentile(99)), labels: { stat: "p99" } },
      { value: seconds(loop.max), labels: { stat: "max" } },
    ],
  );
  reading(
    "counter",
    {
      name: "process_cpu_seconds_total",
      help: "Processor time used.",
      labels: [],
    },
    () => {
      const { user, system } = process.cpuUsage();
      return one((user + system) / 1e6);
    },
  );
  reading(
    "gauge",
    {
      name: "process_resident_memory_bytes",
      help: "Memory in use.",
      labels: [],
    },
    () => one(process.memoryUsage.rss()),
  );
  reading(
    "gauge",
    {
      name: "process_start_time_seconds",
      help: "When the process was started, in Unix time.",
      labels: [],
    },
    () => one(startedAt),
  );
}
