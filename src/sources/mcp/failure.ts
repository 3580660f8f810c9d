import { GatewayError } from "../../core/errors.ts";
import type { FailureClass } from "../../core/upstream.ts";

/** A server has forgotten the session of a request that was sent to it; nothing was done. */
export function sessionLost(): GatewayError {
  return new GatewayError(
    "upstream_failed",
    "The server has forgotten its session.",
    { data: { reason: "session_lost", failureClass: "protocol" } },
  );
}

/** For a server that does so again at once. */
function sessionsLost(name: string): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `${name} forgets each session as soon as it is opened.`,
    { data: { failureClass: "protocol" } },
  );
}

/** True when the request can be sent again over another connection: nothing was done. */
export function isSessionLost(error: unknown): boolean {
  const reason = reasonOf(error);
  return reason === "session_lost" || reason === "version_refused";
}

/** What to throw when the other connection has met the same. */
export function lostAgain(name: string, error: unknown): unknown {
  return reasonOf(error) === "session_lost" ? sessionsLost(name) : error;
}

function reasonOf(error: unknown): unknown {
  return error instanceof GatewayError ? error.data?.["reason"] : undefined;
}

/** A foreign error for the log, without its message: that of the SDK repeats what the server said, credentials and all. */
export function wordless(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof GatewayError) return error;
  const { name, cause, code } = error as Error & { code?: unknown };
  return Object.assign(
    new Error(
      "(not logged)",
      cause === undefined ? {} : { cause: wordless(cause) },
    ),
    { name, ...(code === undefined ? {} : { code }) },
  );
}

/**
 * What went wrong on the way to a server, in words for who calls or registers it. What kind of error it was is kept
 * as the cause, for the log.
 */
export function failure(
  name: string,
  error: unknown,
  failureClass: FailureClass = "transport",
): GatewayError {
  if (error instanceof GatewayError) return error;
  return new GatewayError(
    "upstream_failed",
    failureClass === "transport"
      ? `${name} cannot be reached, or broke off the connection.`
      : `${name} does not answer as an MCP server does.`,
    { data: { failureClass }, cause: wordless(error) },
  );
}

/** For a request that was sent, when there will be no answer any more; with what was wrong with the answer, if it was that. */
export function brokeOff(name: string, cause?: unknown): GatewayError {
  if (
    cause instanceof GatewayError &&
    cause.data?.["failureClass"] === "invalid_response"
  ) {
    return cause;
  }
  return new GatewayError(
    "upstream_failed",
    `${name} broke off the connection before it had answered. Whether the request took effect is unknown.`,
    { data: { failureClass: "transport", reason: "broke_off" }, cause },
  );
}

/** True when the connection was there: what was sent over it may have arrived. */
export function wasReset(error: unknown): boolean {
  if (!(error instanceof GatewayError)) return false;
  const { code } = (error.cause ?? {}) as { code?: unknown };
  const cutOff = error.data?.["reason"] === "unreachable" && !error.cause;
  return cutOff || code === "ECONNRESET";
}

/** For what is under way when we close a connection ourselves. */
export function closed(name: string): GatewayError {
  return new GatewayError(
    "conflict",
    `The connection to ${name} was closed, because the server was changed or this one is stopping. Whether what was under way took effect is unknown.`,
    { data: { reason: "closed" } },
  );
}

/**
 * Errors of MCP 2026-07-28 (basic/index, "Error Codes") that are about how we have put a request: HeaderMismatch and
 * UnsupportedProtocolVersion. Passed on they would be about the caller's.
 */
const ownFaults: ReadonlyMap<number, string> = new Map([
  [-32020, "headers_refused"],
  [-32022, "version_refused"],
]);

function refusedRequest(name: string, reason: string): GatewayError {
  return new GatewayError(
    "upstream_failed",
    reason === "version_refused"
      ? `${name} does not speak the revision of MCP any more that was agreed on with it.`
      : `${name} does not accept the headers of a request. It may have changed the tool, or not follow the specification.`,
    { data: { code: "upstream_protocol", failureClass: "protocol", reason } },
  );
}

/** What a server has answered a request with. */
export function rpcFailure(
  name: string,
  error: { code?: unknown; message?: unknown; data?: unknown },
): GatewayError {
  const code = Number.isSafeInteger(error.code) ? Number(error.code) : -32603;
  const words = typeof error.message === "string" ? error.message : "";
  const reason = ownFaults.get(code);
  if (reason !== undefined) return refusedRequest(name, reason);
  return new GatewayError(
    code === -32602 || code === -32601 ? "invalid" : "upstream_failed",
    words.slice(0, 2000) || `${name} has answered with an error.`,
    {
      rpc: { code, ...(error.data === undefined ? {} : { data: error.data }) },
      data: { failureClass: "protocol" },
    },
  );
}

/** Whether this says that the server is down, and not what it thinks of a request, or who has sent it. */
export function isDown(error: unknown): boolean {
  if (!(error instanceof GatewayError)) return true;
  if (isRefusal(error) || isOwnFault(error)) return false;
  if (error.code === "timeout") return true;
  if (error.data?.["code"] === "upstream_unreachable") return false;
  if (isLoop(error)) return false;
  return error.code === "upstream_failed" && error.rpc === undefined;
}

/** True when the server itself has answered, though not as was wished. */
export function hasAnswered(error: unknown): boolean {
  return (
    error instanceof GatewayError &&
    (error.rpc !== undefined || isOwnFault(error))
  );
}

const isOwnFault = (error: GatewayError) =>
  ownFaults.values().some((reason) => reason === reasonOf(error));

/** True for a request that has come back to a gateway which it had come through. */
export function isLoop(error: unknown): boolean {
  return error instanceof GatewayError && error.data?.["reason"] === "loop";
}

/** Too much at once for us, in an answer to what one caller has asked. */
const tooMuch: ReadonlySet<unknown> = new Set([
  "upstream_too_large",
  "upstream_too_deep",
  "flood",
]);

/** True for what is between the server and who has sent the request: others may fare better, so it is not down for them. */
function isRefusal({ data = {} }: GatewayError): boolean {
  const { status, failureClass, reason } = data;
  const refused = Number(status) >= 400 && Number(status) < 500;
  return refused || failureClass === "auth" || tooMuch.has(reason);
}
