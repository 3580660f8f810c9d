import { z } from "zod";
import { once } from "../../core/once.ts";

/**
 * What went wrong between us and Membrane, made from the status and the body of an answer only: the
 * errors of the HTTP library carry the caller's token.
 */
export class MembraneFailure extends Error {
  /** HTTP status, or null when there was no answer. */
  readonly status: number | null;
  /** Code of the connection's failure, such as ECONNREFUSED or ETIMEDOUT. */
  readonly code: string | null;
  /** Membrane's `type` and `key`. */
  readonly type: string | null;
  readonly key: string | null;
  readonly retryAfterMs: number | null;
  readonly actionRunId: string | null;
  /** Messages of the causes, outermost first. */
  readonly causes: readonly string[];

  constructor(facts: {
    message: string;
    status?: number | null;
    code?: string | null;
    body?: unknown;
    retryAfter?: unknown;
  }) {
    const body = readBody(facts.body);
    super(body?.message ?? facts.message);
    this.name = "MembraneFailure";
    this.status = facts.status ?? null;
    this.code = facts.code ?? null;
    this.type = body?.type ?? null;
    this.key = body?.key ?? null;
    this.retryAfterMs = readRetryAfter(facts.retryAfter);
    this.actionRunId = body ? findRunId(body) : null;
    this.causes = body ? causesOf(body) : [];
  }
}

type ErrorBody = z.infer<ReturnType<typeof errorBody>>;
const errorBody = once(() => {
  const optionalText = z.string().max(10_000).optional().catch(undefined);
  return z.object({
    message: z.string().min(1).max(10_000),
    type: optionalText,
    key: optionalText,
    actionRunId: optionalText,
    data: z.unknown().optional(),
    causedByError: z.unknown().optional(),
  });
});

function readBody(body: unknown): ErrorBody | null {
  const read = errorBody().safeParse(body);
  return read.success ? read.data : null;
}

function findRunId(body: ErrorBody): string | null {
  if (body.actionRunId !== undefined) return body.actionRunId;
  const inner = z.object({ actionRunId: z.string() }).safeParse(body.data);
  return inner.success ? inner.data.actionRunId : null;
}

function causesOf(body: ErrorBody): string[] {
  const messages: string[] = [];
  let at = readBody(body.causedByError);
  while (at && messages.length < 8) {
    messages.push(at.message);
    at = readBody(at.causedByError);
  }
  return messages;
}

/** Seconds, or a date (RFC 9110, section 10.2.3); dates are taken as a minute. */
function readRetryAfter(value: unknown): number | null {
  if (typeof value !== "string" || value === "") return null;
  const seconds = Number(value);
  if (Number.isFinite(seconds) && seconds >= 0) return seconds * 1000;
  return Number.isNaN(Date.parse(value)) ? null : 60_000;
}

/** True when the connection broke, nobody answered, or it said to come back. */
export function isPassing(error: MembraneFailure): boolean {
  return error.status === null
    ? error.code !== "ERR_CANCELED"
    : [429, 502, 503, 504].includes(error.status);
}

/** True when the credential itself was refused. */
export function isRefusal(error: MembraneFailure): boolean {
  return error.status === 401 || error.key === "not_authenticated";
}
