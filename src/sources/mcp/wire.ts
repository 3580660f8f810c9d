import type { Transport } from "@modelcontextprotocol/client";
import { GatewayError } from "../../core/errors.ts";
import type { OutboundFetch } from "../../core/runtime.ts";
import type { Upstream, UpstreamAccess } from "../../core/upstream.ts";
import { VIA } from "../../core/upstream.ts";
import { failure, sessionLost } from "./failure.ts";
import { guarded } from "./guard.ts";

/** How requests to one server leave for one member. */
export type Wire = {
  /**
   * A transport of the SDK over it, not started. With `sessionId`: one that goes on in that session. `fault` is told what went
   * wrong, in our words, before the SDK says it in its own.
   */
  transport(options: {
    sessionId?: string;
    protocolVersion?: string;
    fault: (error: GatewayError) => void;
    /** Told what comes of each request for a stream of what the server says by itself. */
    listening?: (outcome: Listening) => void;
  }): Promise<Transport>;
};

/** `anew`: it listens; `resumed`: it goes on where it was cut off; `lost`: the session is gone; `refused`: there is none. */
export type Listening = "anew" | "resumed" | "lost" | "refused";

export type WireOptions = {
  upstream: Upstream;
  access: () => UpstreamAccess;
  outbound: OutboundFetch;
  /** The gateways that a request has come through, we among them. */
  via: () => readonly string[];
  /** Until a message is taken whose answer comes elsewhere, as over HTTP+SSE. */
  takenMs: number;
  /** Starts the process of a stdio server. */
  spawn: (
    upstream: Upstream,
    env: Record<string, string>,
    fault: (error: GatewayError) => void,
  ) => Transport;
};

/** Until a server begins to answer. A call has a deadline of its own, which is shorter unless somebody raised it. */
const FIRST_BYTE_MS = 600_000;
/** Of what is said beside an answer that comes elsewhere; nobody reads it. */
const MAX_ASIDE = 65_536;
/** Between two requests for the same stream, however often the server closes it. */
const LISTEN_AGAIN_MS = 1000;

export function createWire(options: WireOptions): Wire {
  const { upstream, outbound } = options;

  const fetchFor = (
    fault: (error: GatewayError) => void,
    listening: (outcome: Listening) => void = () => {},
  ) => {
    let lastListen: Promise<unknown> = Promise.resolve();
    return async (
      url: string | URL,
      init: RequestInit = {},
    ): Promise<Response> => {
      const own = Object.fromEntries(new Headers(init.headers));
      const { method = "GET" } = init;
      const listens = method === "GET" && upstream.transport !== "sse";
      if (listens) {
        await lastListen;
        lastListen = Bun.sleep(LISTEN_AGAIN_MS);
      }
      const elsewhere = method === "POST" && upstream.transport === "sse";
      const signal = init.signal ?? undefined;
      const send = async (credentials: Record<string, string>) =>
        outbound(String(url), {
          method,
          headers: { ...own, ...credentials, [VIA]: options.via().join(", ") },
          ...(typeof init.body === "string" ? { body: init.body } : {}),
          ...(signal ? { signal } : {}),
          timeoutMs: elsewhere ? options.takenMs : FIRST_BYTE_MS,
          maxBytes: elsewhere ? MAX_ASIDE : null,
        });
      const access = options.access();
      try {
        const headers = await access.headers();
        let response = await send(headers);
        const challenge = response.headers.get("www-authenticate");
        const { status } = response;
        const refused =
          status === 401 ||
          (status === 403 && /insufficient_scope/i.test(challenge ?? ""));
        if (refused) {
          await response.body?.cancel();
          await access.refused({ status, challenge, headers });
          response = await send(await access.headers());
          if (response.status === 401) {
            // Renewed, and refused all the same: throws what the member has to do.
            const again = response.headers.get("www-authenticate");
            await response.body?.cancel();
            const renewed = await access.headers();
            await access.refused({
              status: 401,
              challenge: again,
              headers: renewed,
            });
            throw new GatewayError(
              "upstream_failed",
              `${upstream.name} refuses a credential that has just been renewed.`,
              { data: { failureClass: "auth" } },
            );
          }
        }
        await check(upstream, response, {
          method,
          inSession: "mcp-session-id" in own || upstream.transport === "sse",
          // Older servers answer what they do not know with anything.
          probing: own["mcp-method"] === "server/discover",
        });
        if (listens) {
          listening(
            !response.ok
              ? "refused"
              : "last-event-id" in own
                ? "resumed"
                : "anew",
          );
        }
        return guarded(upstream.name, response, fault);
      } catch (error) {
        if (signal?.aborted !== true) {
          fault(failure(upstream.name, error));
          if (listens) listening(isSessionEnded(error) ? "lost" : "refused");
        }
        throw error;
      }
    };
  };

  return {
    async transport({ fault, listening, ...session }) {
      if (upstream.transport === "stdio") {
        return options.spawn(upstream, options.access().env(), fault);
      }
      const { SSEClientTransport, StreamableHTTPClientTransport } =
        await import("@modelcontextprotocol/client");
      const url = new URL(upstream.url);
      const fetch = fetchFor(fault, listening);
      return upstream.transport === "sse"
        ? new SSEClientTransport(url, {
            fetch,
            eventSourceInit: { fetch },
          })
        : (new StreamableHTTPClientTransport(url, {
            fetch,
            ...session,
          }) as Transport);
    },
  };
}

/** Throws for answers that say something of the way and not of the request. */
async function check(
  upstream: Upstream,
  response: Response,
  of: { method: string; inSession: boolean; probing: boolean },
): Promise<void> {
  const { method, inSession, probing } = of;
  const { status } = response;
  if (status >= 300 && status < 400) {
    await response.body?.cancel();
    throw new GatewayError(
      "upstream_failed",
      `${upstream.name} sends its requests elsewhere (HTTP ${status}). Register the URL that it really has.`,
      { data: { failureClass: "transport", reason: "redirect" } },
    );
  }
  if (status === 508) {
    await response.body?.cancel();
    throw new GatewayError(
      "upstream_failed",
      `${upstream.name} leads back to this gateway: its requests would go in a circle. Remove one of the two registrations.`,
      { data: { failureClass: "transport", reason: "loop" } },
    );
  }
  if (inSession && status === 404) {
    await response.body?.cancel();
    // What was asked for in it before may have been done.
    throw method === "POST" ? sessionLost() : sessionEnded(upstream);
  }
  const ofMessage = upstream.transport === "sse" && method === "POST";
  if (ofMessage && status === 400) {
    const text = await guarded(upstream.name, response, () => {}).text();
    if (/session/i.test(text)) throw sessionLost();
  }
  const refused = ofMessage && !response.ok;
  if (!probing && (status === 429 || status >= 500 || refused)) {
    const seconds = Number(response.headers.get("retry-after"));
    if (!response.bodyUsed) await response.body?.cancel();
    throw new GatewayError(
      status === 429 ? "rate_limited" : "upstream_failed",
      status === 429
        ? `${upstream.name} takes no more requests at present.`
        : `${upstream.name} answers with HTTP ${status}.`,
      {
        ...(seconds > 0
          ? { retryAfterMs: Math.min(seconds, 3600) * 1000 }
          : {}),
        data: { failureClass: "transport", status },
      },
    );
  }
}

function sessionEnded({ name }: Upstream): GatewayError {
  return new GatewayError("upstream_failed", `${name} has ended its session.`, {
    data: { failureClass: "protocol", reason: "session_ended" },
  });
}

function isSessionEnded(error: unknown): boolean {
  return (
    error instanceof GatewayError && error.data?.["reason"] === "session_ended"
  );
}
