import type { FetchLike } from "@modelcontextprotocol/client";
import { GatewayError } from "../../core/errors.ts";
import type { OutboundFetch } from "../../core/runtime.ts";

/** For a whole answer: less than after what a refresh counts as cut off. */
const TIMEOUT_MS = 15_000;
/** Metadata and tokens are small. */
const MAX_BYTES = 65_536;

/** The SDK's idea of a fetch, over the outbound guard. Only GET is redirected, by the SDK, within its origin. */
export function oauthFetch(
  outbound: OutboundFetch,
  timeoutMs = TIMEOUT_MS,
): FetchLike {
  return async (target, init) => {
    const url = String(target);
    const method = init?.method ?? "GET";
    const body = init?.body;
    const response = await outbound(url, {
      method,
      headers: Object.fromEntries(new Headers(init?.headers)),
      signal: AbortSignal.timeout(timeoutMs),
      maxBytes: MAX_BYTES,
      ...(body === undefined || body === null ? {} : { body: String(body) }),
    });
    if (method !== "GET" && response.status >= 300 && response.status < 400) {
      await response.body?.cancel();
      throw new GatewayError(
        "upstream_failed",
        `${new URL(url).host} redirects a ${method} request, which is not followed.`,
      );
    }
    return response;
  };
}

/** The same, and what it was last asked and answered. */
export function recording(fetchFn: FetchLike): {
  fetch: FetchLike;
  last(): { url: string; status: number; json: boolean } | null;
} {
  let last: { url: string; status: number; json: boolean } | null = null;
  return {
    async fetch(target, init) {
      const response = await fetchFn(target, init);
      const type = response.headers.get("content-type") ?? "";
      last = {
        url: String(target),
        status: response.status,
        json: /[/+]json\b/i.test(type),
      };
      return response;
    },
    last: () => last,
  };
}

/**
 * What reading `field` from `near` threw, for those who read our errors: what is blocked names the field, and nothing
 * of what the other side wrote is shown or kept, since it may be a secret of ours.
 */
export function fieldError(
  thrown: unknown,
  field: string,
  near: string,
): GatewayError {
  const host = URL.parse(near)?.host ?? "the server";
  if (thrown instanceof GatewayError) {
    if (thrown.code !== "invalid") return thrown;
    return new GatewayError(
      "upstream_failed",
      `The ${field} of ${host} may not be reached.`,
      { data: { reason: "blocked_destination", field } },
    );
  }
  const name = thrown instanceof Error ? thrown.name : "";
  if (name === "TimeoutError") {
    return new GatewayError(
      "timeout",
      `The ${field} of ${host} did not answer in time.`,
    );
  }
  return name === "IssuerMismatchError"
    ? failed("issuer_mismatch", `The ${field} of ${host} is of another issuer.`)
    : failed(
        "invalid_response",
        `The ${field} of ${host} did not answer as it should.`,
      );
}

function failed(reason: string, message: string): GatewayError {
  return new GatewayError("upstream_failed", message, { data: { reason } });
}
