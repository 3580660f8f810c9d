import { GatewayError } from "../../core/errors.ts";

/** Which URLs of an authorization server are used at all. Where they lead is checked by the outbound guard. */

/**
 * `text` as a URL, or `upstream_failed` naming `field`. Only https, without credentials or a fragment; plain http, and
 * addresses and names of this machine or network, only within the origin of `near`, which has been reached already.
 */
export function endpoint(text: string, field: string, near: string): string {
  const url = URL.parse(text);
  const within = url?.origin === URL.parse(near)?.origin;
  if (isPlain(url) && (within || isPublic(url))) return text;
  throw refusedField(field, near);
}

/** An authorization server that a registered server names: https, or on this machine. */
export function authorizationServerUrl(text: string, near: string): string {
  const url = URL.parse(text);
  if (isPlain(url) && (url.protocol === "https:" || isLoopback(url.hostname))) {
    return text;
  }
  throw refusedField("authorization_servers", near);
}

/** `resource_metadata` of a challenge: on the server's own origin, and without dots that climb; else null. */
export function resourceMetadataUrl(
  text: string | null,
  server: string,
): string | null {
  if (
    text === null ||
    /([/\\]|%2f|%5c)(\.|%2e){1,2}([/\\?#]|%2f|%5c|$)/i.test(text)
  ) {
    return null;
  }
  const url = URL.parse(text);
  const same = url !== null && url.origin === new URL(server).origin;
  return same && url.username === "" && url.password === "" ? url.href : null;
}

/** The server's own name as a resource (RFC 8707): without query and fragment, and without a slash for a path. */
export function canonicalResource(server: string): string {
  const url = new URL(server);
  return url.pathname === "/" ? url.origin : url.origin + url.pathname;
}

export function refusedField(field: string, near: string): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `The ${field} that ${URL.parse(near)?.host ?? "the server"} names may not be used: https is required, and nothing private.`,
    { data: { reason: "blocked_destination", field } },
  );
}

function isLoopback(host: string): boolean {
  return /^(localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(host);
}

/** For HTTP, and without what has no place in the URL of an endpoint. */
function isPlain(url: URL | null): url is URL {
  return (
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.username === "" &&
    url.password === "" &&
    url.hash === ""
  );
}

/** Over TLS, at no address, and at no name that only this machine or network knows. */
function isPublic({ protocol, hostname }: URL): boolean {
  return (
    protocol === "https:" &&
    !hostname.startsWith("[") &&
    !/^[\d.]+$/.test(hostname) &&
    !isLoopback(hostname.replace(/\.$/, ""))
  );
}
