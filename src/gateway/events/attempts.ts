import { GatewayError } from "../../core/errors.ts";
import type { Clock, OutboundFetch } from "../../core/runtime.ts";
import type { SpanFields, Telemetry } from "../../core/telemetry.ts";
import { readTrace, writeTrace } from "../../core/trace.ts";
import type { Attempt, Webhook } from "../../core/webhook.ts";
import { sign } from "./signatures.ts";

/** One message to one webhook, as it is sent. */
export type Message = {
  id: string;
  body: string;
  /** Of what it tells of. */
  traceparent: string | null;
  /** Attempts before this one. */
  attempts: number;
};

/** How it went, and after what time the receiver wants to be asked again. */
export type Tried = Attempt & { retryAfterMs: number | null };

/** Sends a message once. Never throws but for the reason that `signal` was aborted with. */
export type Send = (
  webhook: Webhook,
  message: Message,
  signal: AbortSignal,
) => Promise<Tried>;

/** For all of one attempt. */
const TIMEOUT_MS = 15_000;
/** Of an answer, which nobody reads: as much as lets most connections be used again. */
const MAX_ANSWER = 4096;
const MAX_RETRY_AFTER_MS = 24 * 3_600_000;

export function createSend(wiring: {
  outbound: OutboundFetch;
  secretsOf: (webhook: Webhook) => readonly Uint8Array[];
  clock: Clock;
  telemetry: Telemetry;
}): Send {
  const { outbound, secretsOf, clock, telemetry } = wiring;

  async function post(
    webhook: Webhook,
    { id, body, traceparent }: Message,
    signal: AbortSignal,
  ): Promise<Pick<Tried, "status" | "error" | "retryAfterMs">> {
    const at = Math.floor(clock.now() / 1000);
    const response = await outbound(webhook.url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...sign({ id, at, body }, secretsOf(webhook)),
        ...(traceparent === null ? {} : { traceparent }),
      },
      body,
      signal,
      timeoutMs: TIMEOUT_MS,
      maxBytes: null,
      secure: true,
    });
    const { status, headers } = response;
    await drain(response).catch(() => {});
    return {
      status,
      error: errorOf(status),
      retryAfterMs: readRetryAfter(headers.get("retry-after"), clock.now()),
    };
  }

  async function attempt(
    webhook: Webhook,
    message: Message,
    signal: AbortSignal,
  ): Promise<Tried> {
    const startedAt = clock.monotonic();
    const begun = { at: clock.now(), status: null, retryAfterMs: null };
    const deadline = new AbortController();
    const timer = setTimeout(
      () => deadline.abort(new GatewayError("timeout", "It took too long.")),
      TIMEOUT_MS,
    );
    const elapsed = () => Math.round(clock.monotonic() - startedAt);
    try {
      const both = AbortSignal.any([signal, deadline.signal]);
      const answer = await post(webhook, message, both);
      return { ...begun, ...answer, ms: elapsed() };
    } catch (error) {
      signal.throwIfAborted();
      return { ...begun, ms: elapsed(), error: kindOf(error) };
    } finally {
      clearTimeout(timer);
    }
  }

  return async (webhook, message, signal) => {
    const span = telemetry.span("POST", {
      kind: "client",
      parent: readTrace(message.traceparent, null),
      fields: () => fieldsOf(webhook, message),
    });
    if (span === null) return attempt(webhook, message, signal);
    const { traceparent = null } = writeTrace(span.context);
    let tried: Tried | null = null;
    try {
      tried = await attempt(webhook, { ...message, traceparent }, signal);
      return tried;
    } finally {
      const { status, error } = tried ?? { status: null, error: "cancelled" };
      span.end({
        error: error && String(status ?? error),
        fields: { "http.response.status_code": status ?? undefined },
      });
    }
  };
}

function fieldsOf({ url }: Webhook, { attempts }: Message): SpanFields {
  return {
    "http.request.method": "POST",
    "http.request.resend_count": attempts || undefined,
    "server.address": URL.parse(url)?.hostname,
    "peer.service": "webhook",
  };
}

function errorOf(status: number): string | null {
  if (status >= 200 && status < 300) return null;
  return status >= 300 && status < 400 ? "redirect" : "status";
}

/** A word that says what to look for, and nothing of what there is on our side of the network. */
function kindOf(error: unknown): string {
  if (!(error instanceof GatewayError)) return "internal";
  if (error.code === "timeout") return "timeout";
  const reason = error.data?.["reason"];
  return typeof reason === "string" ? reason : error.code;
}

/** Reads a little, then hangs up. */
async function drain({ body }: Response): Promise<void> {
  if (!body) return;
  const reader = body.getReader();
  for (let bytes = 0; bytes <= MAX_ANSWER;) {
    const { done, value } = await reader.read();
    if (done) return;
    bytes += value.length;
  }
  await reader.cancel();
}

/** Seconds or a date (RFC 9110 §10.2.3); null for neither. */
export function readRetryAfter(
  header: string | null,
  now: number,
): number | null {
  if (header === null) return null;
  const ms = /^\d+$/.test(header.trim())
    ? Number(header) * 1000
    : Date.parse(header) - now;
  return ms > 0 ? Math.min(ms, MAX_RETRY_AFTER_MS) : null;
}
