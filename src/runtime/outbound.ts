import type { IncomingMessage } from "node:http";
import { GatewayError, asGatewayError } from "../core/errors.ts";
import type { OutboundCheck, OutboundFetch } from "../core/runtime.ts";
import type { Exchange } from "./answer.ts";
import type { Destination } from "./destination.ts";
import { blocked } from "./outbound-errors.ts";

export type OutboundSettings = {
  /** Networks, addresses, host names and `*.` with a domain that may be reached although they are not public. */
  allow: readonly string[];
  userAgent: string;
  /** All addresses of a name. By default those that the system's resolver has. */
  lookup?: (name: string) => Promise<readonly string[]>;
  /** Certificates of authorities in PEM, trusted in place of the machine's. */
  ca?: string;
  /** For the resolver, the connection and TLS together, in ms. */
  connectMs?: number;
  /** For the whole body of an answer that has a limit, in ms from its headers. */
  bodyMs?: number;
};

const HEADERS_MS = 30_000;
const BODY_MS = 120_000;
const MAX_BYTES = 8 * 1024 * 1024;

/** Ours to say, or of the connection. */
const ownHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** What is sent on to where a redirect leads: nothing that could be a credential. */
const harmlessHeaders: ReadonlySet<string> = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "mcp-protocol-version",
  "user-agent",
]);

const redirectStatuses: ReadonlySet<number> = new Set([
  301, 302, 303, 307, 308,
]);

/**
 * Asks for nothing before its first request, which loads what it needs. Headers of the connection and `Host` are not
 * taken from the caller. Bodies are unpacked (gzip, br). Proxies that the environment names are not used: they would
 * connect to wherever they like.
 */
export function createOutbound(settings: OutboundSettings): OutboundFetch {
  let opening: ReturnType<typeof open> | null = null;

  return async (text, options = {}) => {
    const {
      method = "GET",
      body,
      signal,
      timeoutMs = HEADERS_MS,
      maxBytes = MAX_BYTES,
      redirects = 0,
      secure = false,
    } = options;
    const { destinations, ask, toResponse } = await (opening ??=
      open(settings));
    signal?.throwIfAborted();
    const first = destinations.find(text, secure);
    if (!first) throw blocked();
    let destination = first;
    const { host } = first;

    const cutter = new AbortController();
    const cut = (reason: unknown) => {
      over();
      cutter.abort(reason);
    };
    const cutLate = (ms: number, message: string) =>
      setTimeout(() => cut(new GatewayError("timeout", message)), ms);
    const onAbort = () => cut(signal!.reason);
    let timer = cutLate(
      timeoutMs,
      `${host} did not answer within ${timeoutMs} ms.`,
    );
    signal?.addEventListener("abort", onAbort);
    const over = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    const exchange: Exchange = { host, cut: cutter.signal, over };

    try {
      let headers: Record<string, string> = {
        accept: "*/*",
        "accept-encoding": "gzip, br",
        "user-agent": settings.userAgent,
        ...selected(options.headers ?? {}, (name) => !ownHeaders.has(name)),
      };
      for (let hops = 0; ; hops++) {
        const message = await ask(
          destination,
          { method, headers, body },
          exchange,
        );
        const to: URL | null =
          method === "GET" && hops < redirects
            ? redirectOf(message, destination.url)
            : null;
        const next: Destination | null =
          to && destinations.find(to.href, secure);
        if (!next) {
          clearTimeout(timer);
          if (maxBytes !== null) {
            timer = cutLate(
              settings.bodyMs ?? BODY_MS,
              `${host} did not finish its answer in time.`,
            );
          }
          return toResponse(message, exchange, {
            url: destination.url.href,
            redirected: hops > 0,
            bodiless: method === "HEAD",
            maxBytes,
          });
        }
        message.destroy();
        destination = next;
        headers = selected(headers, (name) => harmlessHeaders.has(name));
      }
    } catch (error) {
      cut(error);
      throw error;
    }
  };
}

/** The same rules, without a connection. */
export function createOutboundCheck(settings: OutboundSettings): OutboundCheck {
  return async (text, { secure = false } = {}) => {
    const { createDestinations } = await import("./destination.ts");
    const { createResolver } = await import("./connections.ts");
    const destinations = createDestinations(settings.allow);
    const destination = destinations.find(text, secure);
    if (!destination) throw blocked();
    await createResolver(
      settings,
      destinations,
    )(destination).catch((error: unknown) => {
      if (asGatewayError(error).code !== "upstream_failed") throw error;
    });
  };
}

async function open(settings: OutboundSettings) {
  const { createDestinations } = await import("./destination.ts");
  const { createConnections } = await import("./connections.ts");
  const { toResponse } = await import("./answer.ts");
  const destinations = createDestinations(settings.allow);
  return {
    destinations,
    ask: createConnections(settings, destinations),
    toResponse,
  };
}

/** Those that are wanted, their names in lower case. */
function selected(
  headers: Record<string, string>,
  wanted: (name: string) => boolean,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      .map(([name, value]) => [name.toLowerCase(), value] as const)
      .filter(([name]) => wanted(name)),
  );
}

/** Where the answer leads within the same origin. */
function redirectOf(message: IncomingMessage, from: URL): URL | null {
  const { location } = message.headers;
  if (!redirectStatuses.has(message.statusCode!) || !location) return null;
  const to = URL.parse(location, from);
  if (to?.origin !== from.origin) return null;
  to.hash = "";
  return to;
}
