/** Where in a distributed trace something happens (W3C Trace Context). */
export type TraceContext = {
  /** 32 hexadecimal digits. */
  traceId: string;
  /** The span that caused it; 16 hexadecimal digits. */
  spanId: string;
  /** Whether it is recorded, as the one before us said. */
  sampled: boolean;
  /** What others want to find again, passed on as it came; empty for nothing. */
  state: string;
};

const PARENT =
  /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const NOTHING = /^0+$/;

/**
 * Reads what a request carries, in headers or in `_meta` (MCP 2026-07-28, basic/index, "OpenTelemetry trace context").
 * Null when there is none, or it is not well-formed: such a one is ignored, and its `tracestate` with it. A `tracestate`
 * that is not well-formed costs only itself.
 */
export function readTrace(
  traceparent: unknown,
  tracestate: unknown,
): TraceContext | null {
  if (typeof traceparent !== "string" || traceparent.length > 512) return null;
  const match = PARENT.exec(traceparent);
  if (!match) return null;
  const [, version, traceId, spanId, flags, more] = match;
  // A later version may say more; what the first says is where it was.
  if (version === "ff" || (version === "00" && more !== undefined)) return null;
  if (NOTHING.test(traceId!) || NOTHING.test(spanId!)) return null;
  return {
    traceId: traceId!,
    spanId: spanId!,
    sampled: (parseInt(flags!, 16) & 1) === 1,
    state: typeof tracestate === "string" ? readState(tracestate) : "",
  };
}

/** `traceparent` and `tracestate`, as headers and `_meta` have them; nothing without a trace. Baggage is not passed on. */
export function writeTrace(trace: TraceContext | null | undefined): {
  traceparent?: string;
  tracestate?: string;
} {
  if (!trace) return {};
  const { traceId, spanId, sampled, state } = trace;
  return {
    traceparent: `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`,
    ...(state === "" ? {} : { tracestate: state }),
  };
}

const MAX_MEMBERS = 32;
/** What everybody passes on; what is longer goes first when it is more. */
const MAX_STATE = 512;
const LONG_MEMBER = 128;
const MEMBER =
  /^([a-z0-9][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])$/;

function readState(text: string): string {
  if (text.length > 32_768) return "";
  const members = text
    .split(",")
    .map((member) => member.replace(/^[ \t]+|[ \t]+$/g, ""))
    .filter((member) => member !== "");
  const keys = new Set(members.map((member) => MEMBER.exec(member)?.[1]));
  const wrong = keys.has(undefined) || keys.size < members.length;
  if (wrong || members.length > MAX_MEMBERS) return "";
  const size = () => members.join(",").length;
  for (let i = members.length - 1; i >= 0 && size() > MAX_STATE; i--) {
    if (members[i]!.length > LONG_MEMBER) members.splice(i, 1);
  }
  while (size() > MAX_STATE) members.pop();
  return members.join(",");
}
