import type { SpanExporter } from "@opentelemetry/sdk-trace";
import type { Log } from "../core/runtime.ts";
import type { SpanFields, Telemetry } from "../core/telemetry.ts";
import type { TraceContext } from "../core/trace.ts";
import type { OtlpOptions } from "./otlp.ts";
import { readPairs } from "./otlp.ts";

/** Spans on their way to the operator's collector. */
export type Tracing = Pick<Telemetry, "span"> & {
  /** Sends what is left, for at most this long. */
  close(limitMs: number): Promise<void>;
};

/** A collector that takes longer has lost what it was sent. */
const EXPORT_MS = 5000;
/** Attributes are names and numbers. */
const MAX_TEXT = 256;

/** Loads what exporting takes. A collector that does not answer costs the spans, and a line in the log. */
export async function openTracing(
  options: OtlpOptions,
  log: Log,
  version: string,
): Promise<Tracing> {
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] =
    await Promise.all([
      import("@opentelemetry/api"),
      import("@opentelemetry/sdk-trace"),
      import("@opentelemetry/exporter-trace-otlp-proto"),
      import("@opentelemetry/resources"),
    ]);
  const exporter = new OTLPTraceExporter({
    url: `${options.endpoint}/v1/traces`,
    headers: readPairs(options.headers) ?? {},
    timeoutMillis: EXPORT_MS,
  });
  const root = {
    always_on: () => new sdk.AlwaysOnSampler(),
    always_off: () => new sdk.AlwaysOffSampler(),
    traceidratio: () => new sdk.TraceIdRatioBasedSampler(options.samplerArg),
  };
  type Root = keyof typeof root;
  const [, based, kind] = /^(parentbased_)?(.*)$/.exec(options.sampler)!;
  const sampler = root[kind as Root]();
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({
      "service.version": version,
      ...readPairs(options.resourceAttributes),
      "service.name": options.serviceName,
    }),
    sampler: based ? new sdk.ParentBasedSampler({ root: sampler }) : sampler,
    spanLimits: { attributeValueLengthLimit: MAX_TEXT },
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter: complainingOnce(exporter, log),
        exportTimeoutMillis: EXPORT_MS,
      }),
    ],
  });
  const tracer = provider.getTracer("membrane-mcp", version);
  const kinds = {
    server: api.SpanKind.SERVER,
    client: api.SpanKind.CLIENT,
  };

  const toSpanContext = ({
    traceId,
    spanId,
    sampled,
    state,
  }: TraceContext) => ({
    traceId,
    spanId,
    traceFlags: sampled ? api.TraceFlags.SAMPLED : api.TraceFlags.NONE,
    isRemote: true,
    ...(state === "" ? {} : { traceState: api.createTraceState(state) }),
  });

  return {
    span(name, { kind, parent, link, fields }) {
      const linked = link && link.spanId !== parent?.spanId ? [link] : [];
      const span = tracer.startSpan(
        name,
        {
          kind: kinds[kind],
          attributes: said(fields?.()),
          links: linked.map((one) => ({ context: toSpanContext(one) })),
        },
        parent
          ? api.trace.setSpanContext(api.ROOT_CONTEXT, toSpanContext(parent))
          : api.ROOT_CONTEXT,
      );
      const { traceId, spanId, traceFlags } = span.spanContext();
      return {
        context: {
          traceId,
          spanId,
          sampled: (traceFlags & api.TraceFlags.SAMPLED) !== 0,
          state: parent?.state ?? "",
        },
        end({ name: better, error, fields: more }) {
          if (better !== undefined) span.updateName(better);
          span.setAttributes(said(more));
          if (error) {
            span.setAttribute("error.type", error);
            span.setStatus({ code: api.SpanStatusCode.ERROR });
          }
          span.end();
        },
      };
    },
    async close(limitMs) {
      let timer: Timer | undefined;
      const limit = new Promise((resolve) => {
        timer = setTimeout(resolve, limitMs);
      });
      await Promise.race([provider.shutdown().catch(() => {}), limit]);
      clearTimeout(timer);
    },
  };
}

function said(
  fields: SpanFields = {},
): Record<string, string | number | boolean> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Record<string, string | number | boolean>;
}

/** Says in the log when a collector begins to fail, and when it is there again; its failures are no error of anybody's request. */
function complainingOnce(exporter: SpanExporter, log: Log): SpanExporter {
  let failing = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = result.error !== undefined || result.code !== 0;
        if (failed && !failing) {
          // The message may repeat what the collector says; a code does not.
          const { code } = (result.error ?? {}) as { code?: unknown };
          log.warn("traces could not be exported", {
            reason: code === undefined ? "refused" : String(code),
          });
        } else if (!failed && failing) log.info("traces are exported again");
        failing = failed;
        done({ code: result.code });
      });
    },
    forceFlush: async () => exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  };
}
