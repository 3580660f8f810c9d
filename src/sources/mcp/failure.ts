import { GatewayError } from "../../core/errors.ts";
import type { FailureClass } from "../../core/upstream.ts";

/** A server has forgotten the session; nothing was done. */
export function sessionLost(): GatewayError {
  return new GatewayError(
    "upstream_failed",
    "The server has forgotten its session.",
    { data: { reason: "session_lost", failureClass: "protocol" } },
  );
}

export function isSessionLost(error: unknown): boolean {
  return (
    error instanceof GatewayError && error.data?.["reason"] === "session_lost"
  );
}

/**
 * What went wrong on the way to a server, in words for who calls or registers it. What the server or the network
 * said of it is kept as the cause, for the log.
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
    { data: { failureClass }, cause: error },
  );
}

/** What a server has answered a request with. */
export function rpcFailure(
  name: string,
  error: { code?: unknown; message?: unknown; data?: unknown },
): GatewayError {
  const code = Number.isSafeInteger(error.code) ? Number(error.code) : -32603;
  const words = typeof error.message === "string" ? error.message : "";
  return new GatewayError(
    code === -32602 || code === -32601 ? "invalid" : "upstream_failed",
    words.slice(0, 2000) || `${name} has answered with an error.`,
    {
      rpc: { code, ...(error.data === undefined ? {} : { data: error.data }) },
      data: { failureClass: "protocol" },
    },
  );
}

/** Whether this says that the server is down, and not what it thinks of a request. */
export function isDown(error: unknown): boolean {
  if (!(error instanceof GatewayError)) return true;
  if (isRefusal(error)) return false;
  if (error.code === "timeout") return true;
  if (error.data?.["code"] === "upstream_unreachable") return false;
  return error.code === "upstream_failed" && error.rpc === undefined;
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
