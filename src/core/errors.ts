/**
 * The one error of the house. Every door has a table from {@link ErrorCode} to what it
 * answers, each `satisfies Record<ErrorCode, …>`: a new code does not compile until every
 * door has an answer to it.
 */
export type ErrorCode =
  /** The caller sent something that can never work as sent. */
  | "invalid"
  /** No credential, or one that does not verify. */
  | "unauthenticated"
  /** Verified, but not allowed. */
  | "forbidden"
  /** Unknown, or somebody else's: the two are never told apart. */
  | "not_found"
  /** The state of the thing does not permit it at present. */
  | "conflict"
  /** Too much, too fast; `retryAfterMs` says when to come back. */
  | "rate_limited"
  /** The user has to (re)connect an app before this can work. */
  | "needs_authorization"
  /** Membrane or another server failed or refused. */
  | "upstream_failed"
  /** A deadline passed. What the other side did in the meantime is unknown. */
  | "timeout"
  /** Ours. With `retryAfterMs` it is expected to pass (disk full, shutting down). */
  | "internal";

export type ErrorDetails = {
  /** Milliseconds after which a retry can make sense. */
  retryAfterMs?: number;
  /** Facts for the caller; shown as they are, so never a secret. */
  data?: Record<string, unknown>;
  /**
   * The JSON-RPC error that another MCP server has answered with; MCP callers get it as it is. Never one about how we
   * have asked.
   */
  rpc?: { code: number; data?: unknown };
  /** What was caught. Logged, never shown. */
  cause?: unknown;
};

/** `message` is a sentence for the person who can fix it, and is shown to callers. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;
  readonly data: Record<string, unknown> | undefined;
  readonly rpc: { code: number; data?: unknown } | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(
      message,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.name = "GatewayError";
    this.code = code;
    this.retryAfterMs = details.retryAfterMs;
    this.data = details.data;
    this.rpc = details.rpc;
  }
}

/** Anything that was thrown, as a GatewayError. A foreign error is `internal`, its text kept as the cause only. */
export function asGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError(
    "internal",
    "Something went wrong on our side. The request id finds it in the server's log.",
    {
      cause: thrown,
    },
  );
}

/** A caller who has left before the answer: no fault of ours. */
export const hungUp = (): GatewayError =>
  new GatewayError("conflict", "The caller has hung up.", {
    data: { code: "hung_up" },
  });

/** `where`: after "Cannot listen"; `settings`: the names of those that say where. */
export function cannotListen(
  where: string,
  settings: string,
  cause: unknown,
): GatewayError {
  const { code, message } = cause as Error & { code?: string };
  const reason =
    code === "EADDRINUSE" ? "another process listens there" : message;
  return new GatewayError(
    "conflict",
    `Cannot listen ${where}: ${reason}. Set ${settings}.`,
    { cause },
  );
}

/**
 * What the log says about an error: message, code and the chain of causes. Never properties, which may hold secrets,
 * nor what another MCP server has answered a caller: it may repeat a credential or arguments.
 */
export function describeError(thrown: unknown): string {
  const parts: string[] = [];
  let at: unknown = thrown;
  for (let depth = 0; at !== undefined && depth < 5; depth++) {
    if (!(at instanceof Error)) {
      parts.push(typeof at === "string" ? at : typeof at);
      break;
    }
    const code =
      "code" in at && typeof at.code === "string" ? ` [${at.code}]` : "";
    const rpc = at instanceof GatewayError ? at.rpc : undefined;
    parts.push(
      `${at.name}${code}: ${rpc ? `The server answered with the error ${rpc.code}.` : at.message}`,
    );
    at = at.cause;
  }
  return parts.join(" ← ").slice(0, MAX_TEXT);
}

/** A message may repeat what somebody has sent. */
const MAX_TEXT = 1000;
