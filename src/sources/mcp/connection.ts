import type { Transport } from "@modelcontextprotocol/client";
import { GatewayError } from "../../core/errors.ts";
import type { Upstream, UpstreamAbout } from "../../core/upstream.ts";
import { writeTrace } from "../../core/trace.ts";
import { brokeOff, closed, failure } from "./failure.ts";
import { createOwnStreams } from "./own-stream.ts";
import type { Incoming, Params, RequestOptions } from "./rpc.ts";
import { OWN, replyOn } from "./rpc.ts";
import type { SharedStream } from "./shared-stream.ts";
import { createSharedStream } from "./shared-stream.ts";
import type { Wire } from "./wire.ts";

/** One session with a server, or, in the stateless era, what was learned of it. */
export type Connection = {
  about: UpstreamAbout;
  /** How the handshake was made. */
  path: "server_discover" | "initialize";
  /** Resolves with the result as it was sent. Throws what the server answers (`rpc`), or how it failed. */
  request(
    method: string,
    params: Params,
    options: RequestOptions,
  ): Promise<Params>;
  /**
   * Ends the session. Where all requests share a stream those that are under way end too; others go on until they are
   * aborted.
   */
  close(): void;
};

export type ConnectionOptions = {
  upstream: Upstream;
  wire: Wire;
  client: { name: string; version: string };
  /** What comes on no request's stream. */
  aside: Incoming;
  /** It has ended by itself, or is of no use any more. */
  ended: () => void;
  /** What the server said by itself was not heard for a while. */
  missed: () => void;
  signal: AbortSignal;
  timeoutMs: number;
};

/** Whatever a client of ours may be able to do: a request that the caller's own client cannot answer is refused. */
const CAPABILITIES = {
  sampling: { tools: {}, context: {} },
  elicitation: { form: {}, url: {} },
  roots: {},
};

/** How long the first request waits until what the server says by itself can be heard. */
const LISTEN_MS = 500;
/** How long a server may take to be told that we leave. */
const LEAVE_MS = 5000;

/** Makes the handshake of whatever era the server speaks. Throws GatewayError. */
export async function openConnection(
  options: ConnectionOptions,
): Promise<Connection> {
  const { upstream, wire, aside } = options;
  const { name } = upstream;
  const { Client } = await import("@modelcontextprotocol/client");
  const client = new Client(options.client, {
    capabilities: CAPABILITIES,
    versionNegotiation: { mode: "auto" },
  });
  let fault: GatewayError | null = null;
  let open = true;
  let shared: SharedStream | null = null;
  const listening = Promise.withResolvers<void>();
  let listened = false;
  const main = await wire.transport({
    fault: (error) => {
      fault = error;
    },
    listening(outcome) {
      if (outcome === "lost") end(brokeOff(name, fault));
      else if (outcome === "anew" && listened) options.missed();
      listened ||= outcome !== "refused";
      listening.resolve();
    },
  });
  const leave = () => void main.close().catch(() => {});
  function end(error: GatewayError): void {
    if (!open) return;
    open = false;
    shared?.end(error);
    leave();
    options.ended();
  }
  const limit = AbortSignal.any([
    options.signal,
    AbortSignal.timeout(options.timeoutMs),
  ]);
  try {
    await client.connect(main, {
      timeout: options.timeoutMs,
      signal: limit,
      ...(upstream.transport === "sse" ? { prior: { kind: "legacy" } } : {}),
    });
  } catch (error) {
    await main.close().catch(() => {});
    if (options.signal.aborted) throw options.signal.reason;
    throw limit.aborted
      ? tooSlow(name, error)
      : (fault ?? handshakeFailure(name, error));
  }
  fault = null;
  const stateless = client.getProtocolEra() === "modern";
  const protocolVersion = client.getNegotiatedProtocolVersion()!;
  const {
    name: serverName,
    version,
    title,
    icons,
  } = client.getServerVersion() ?? {
    name,
    version: "",
    title: undefined,
    icons: undefined,
  };
  const about: UpstreamAbout = {
    era: stateless ? "stateless" : "sessions",
    protocolVersion,
    serverInfo: { name: serverName, version, ...(title ? { title } : {}) },
    capabilities: { ...client.getServerCapabilities() },
    instructions: client.getInstructions() ?? null,
    ...(icons === undefined ? {} : { icons }),
  };

  if (upstream.transport !== "streamable_http") {
    shared = createSharedStream(name, main);
  }
  const send =
    shared?.send ??
    createOwnStreams({
      name,
      wire,
      // The id is known when the handshake is over.
      session: () => sessionOf(main),
      protocolVersion,
      stateless,
      aside,
    });
  // The handshake is over, and from here on what comes is passed on as it is.
  main.onmessage = (message) => {
    if (!open) return;
    if (shared?.take(message) || !("method" in message)) return;
    const { method, params = {} } = message as {
      method: string;
      params?: Params;
    };
    if ("id" in message) {
      aside.request({ method, params }, replyOn(main, message));
    } else aside.notification(method, params);
  };
  main.onclose = () => end(brokeOff(name, fault));
  main.onerror = (error) => {
    if (upstream.transport === "sse") {
      // Of one request, whose sender is told.
      if (error instanceof GatewayError) return;
      return end(brokeOff(name, error));
    }
    if (/Maximum reconnection attempts/.test(error.message)) {
      end(brokeOff(name, fault ?? error));
    }
  };
  if (!stateless && !shared) {
    await Promise.race([listening.promise, Bun.sleep(LISTEN_MS)]);
  }

  let lastId = 1000;
  return {
    about,
    path: stateless ? "server_discover" : "initialize",
    async request(method, params, request) {
      if (!open) throw failure(name, fault);
      const id = ++lastId;
      const { capabilities = {}, logLevel = null } = request;
      const _meta = {
        // MCP 2026-07-28, basic/index, "General fields".
        ...(stateless
          ? {
              [`${OWN}protocolVersion`]: protocolVersion,
              [`${OWN}clientInfo`]: options.client,
              [`${OWN}clientCapabilities`]: capabilities,
              ...(logLevel === null ? {} : { [`${OWN}logLevel`]: logLevel }),
            }
          : {}),
        ...writeTrace(request.trace),
        // The number of the request, which is what comes back with each report.
        ...(request.on ? { progressToken: id } : {}),
      };
      const sent =
        Object.keys(_meta).length > 0 ? { ...params, _meta } : params;
      const message = { jsonrpc: "2.0", id, method, params: sent } as const;
      return send(message, request);
    },
    close() {
      if (!open) return;
      open = false;
      shared?.end(closed(name));
      const { terminateSession } = main as Partial<{
        terminateSession(): Promise<void>;
      }>;
      const told = stateless ? undefined : terminateSession?.call(main);
      void Promise.race([told, Bun.sleep(told ? LEAVE_MS : 0)])
        .catch(() => {})
        .finally(leave);
    },
  };
}

const sessionOf = (main: Transport): string | undefined => main.sessionId;

function handshakeFailure(name: string, error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const { code } = error as { code?: unknown };
  return code === "REQUEST_TIMEOUT"
    ? tooSlow(name, error)
    : failure(name, error, "protocol");
}

/** For a server that has taken longer than it may. */
export function tooSlow(name: string, cause: unknown): GatewayError {
  return new GatewayError("timeout", `${name} does not answer in time.`, {
    data: { failureClass: "transport" },
    cause,
  });
}
