import type { Clock, Log } from "../core/runtime.ts";
import type { Telemetry } from "../core/telemetry.ts";
import { noTelemetry } from "../core/telemetry.ts";
import type { Metrics } from "./metrics.ts";
import type { OtlpOptions } from "./otlp.ts";
import type { Tracing } from "./tracing.ts";

/** Telemetry of this process. Tells nobody before it is open. */
export type ProcessTelemetry = Telemetry & {
  /** Loads what is needed of it: nothing when nothing is. */
  open(): Promise<void>;
  /** The metrics as they are now, in the form that an `Accept` asks for; null when there are none. */
  scrape: Metrics["scrape"] | null;
  /** Sends what is left. */
  close(): Promise<void>;
};

/** What is left of traces may hold up the end of the process for this long. */
const LAST_SPANS_MS = 2000;

/** `otlp`: where traces go; null for nowhere. */
export function createTelemetry(options: {
  metrics: boolean;
  otlp: OtlpOptions | null;
  clock: Clock;
  log: Log;
  version: string;
}): ProcessTelemetry {
  const { otlp, clock, log, version } = options;
  if (!options.metrics && otlp === null) {
    const nothing = async () => {};
    return { ...noTelemetry, open: nothing, scrape: null, close: nothing };
  }
  let metrics: Metrics | null = null;
  let tracing: Tracing | null = null;
  const reads: ((on: Metrics) => void)[] = [];
  return {
    count: (name, labels) => metrics?.count(name, labels),
    observe: (name, ms, labels) => metrics?.observe(name, ms, labels),
    read: (name, read) => void reads.push((on) => on.read(name, read)),
    span: (name, start) => tracing?.span(name, start) ?? null,
    async open() {
      if (options.metrics) {
        const { openMetrics } = await import("./metrics.ts");
        metrics = await openMetrics(clock, version);
        for (const read of reads) read(metrics);
      }
      if (otlp !== null) {
        const { openTracing } = await import("./tracing.ts");
        tracing = await openTracing(otlp, log, version);
      }
    },
    scrape: options.metrics ? async (accept) => metrics!.scrape(accept) : null,
    async close() {
      metrics?.close();
      await tracing?.close(LAST_SPANS_MS);
    },
  };
}
