import { GatewayError } from "../core/errors.ts";

/** The same words for every reason, so that nobody learns from them what there is on our side of the network. */
export function blocked(): GatewayError {
  return new GatewayError(
    "invalid",
    "This URL cannot be used. It has to be http or https, without user and fragment, on port 80, 443 or one above 1023 that is no other service's, and its host has to exist and to be public. The operator can allow other hosts with OUTBOUND_ALLOW.",
    { data: { reason: "blocked_destination" } },
  );
}

/** `data.reason` of what is thrown when a server cannot be reached, or does not answer as it should. */
type Reason = "unreachable" | "certificate" | "protocol" | "upstream_too_large";

/** `what`: the rest of the sentence that begins with the host. */
export function failed(
  host: string,
  reason: Reason,
  what: string,
  cause?: unknown,
): GatewayError {
  return new GatewayError("upstream_failed", `${host} ${what}`, {
    data: { reason },
    cause,
  });
}

/** What `node:http` has thrown, for the person who can fix it. */
export function explained(host: string, thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  // One for each address that was tried.
  const error = thrown instanceof AggregateError ? thrown.errors[0] : thrown;
  const { code = "" } = (error ?? {}) as { code?: string };
  if (/^ERR_(INVALID_CHAR|INVALID_HTTP_TOKEN|UNESCAPED)/.test(code)) {
    return new GatewayError(
      "invalid",
      `A request to ${host} has a header or a path that cannot be sent.`,
      { cause: thrown },
    );
  }
  if (/CERT|SELF_SIGNED|^UNABLE_TO|^ERR_TLS/.test(code)) {
    return failed(
      host,
      "certificate",
      `has a certificate that does not verify (${code}).`,
      thrown,
    );
  }
  if (/^(HPE_|Z_|ERR_BR|ERR__|EPROTO|ERR_SSL)/.test(code)) {
    return failed(
      host,
      "protocol",
      `does not answer as an HTTP server should (${code}).`,
      thrown,
    );
  }
  return failed(
    host,
    "unreachable",
    code === "ECONNRESET" ? "closed the connection." : "cannot be reached.",
    thrown,
  );
}
