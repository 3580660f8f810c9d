import type {
  JSONRPCMessage,
  JSONRPCRequest,
  Transport,
} from "@modelcontextprotocol/client";
import { GatewayError } from "../../core/errors.ts";
import type { LogLevel } from "../../core/source.ts";
import type { Upstream, UpstreamAbout } from "../../core/upstream.ts";
import { failure, rpcFailure, sessionLost } from "./failure.ts";
import type { Wire } from "./wire.ts";

export type Params = Record<string, unknown>;
export type Answer =
  { result: Params } | { error: { code: number; message: string } };

/** What a server says of its own accord, beside its answers. */
export type Incoming = {
  /** It asks for something, and waits for one `reply`. */
  request(
    asked: { method: string; params: Params },
    reply: (answer: Answer) => void,
  ): void;
  notification(method: string, params: Params): void;
};

export type RequestOptions = {
  /** Aborted: the server is told, and the request rejects with the reason. */
  signal: AbortSignal;
  /** In the stateless era: `Mcp-Param-…`. */
  headers?: Record<string, string>;
  /** What comes on the stream of this request. */
  on?: Incoming;
  /** In the stateless era: what the caller's client can do, and which log messages it wants. */
  capabilities?: Record<string, unknown>;
  logLevel?: LogLevel | null;
};

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
  /** False once it is of no use any more. */
  isOpen(): boolean;
  /** False once what the server says by itself is not heard any more. */
  hears(): boolean;
  close(): void;
};

export type ConnectionOptions = {
  upstream: Upstream;
  wire: Wire;
  client: { name: string; version: string };
  /** What comes on no request's stream. */
  aside: Incoming;
  /** It has ended by itself. */
  closed: () => void;
  signal: AbortSignal;
  timeoutMs: number;
};

/** Whatever a client of ours may be able to do: a request that the caller's own client cannot answer is refused. */
const CAPABILITIES = {
  sampling: { tools: {}, context: {} },
  elicitation: { form: {}, url: {} },
  roots: {},
};

/** What one request may bring beside its answer before it counts as a flood. */
const MAX_NOTIFICATIONS = 20_000;

/** Makes the handshake of whatever era the server speaks. Throws GatewayError. */
export async function openConnection(
  options: ConnectionOptions,
): Promise<Connection> {
  const { upstream, wire, aside } = options;
  const { Client } = await import("@modelcontextprotocol/client");
  const client = new Client(options.client, {
    capabilities: CAPABILITIES,
    versionNegotiation: { mode: "auto" },
  });
  let fault: GatewayError | null = null;
  const main = await wire.transport({
    fault: (error) => {
      fault = error;
    },
  });
  try {
    await client.connect(main, {
      timeout: options.timeoutMs,
      signal: options.signal,
      ...(upstream.transport === "sse" ? { prior: { kind: "legacy" } } : {}),
    });
  } catch (error) {
    await main.close().catch(() => {});
    throw fault ?? handshakeFailure(upstream.name, error);
  }
  const stateless = client.getProtocolEra() === "modern";
  const protocolVersion = client.getNegotiatedProtocolVersion()!;
  const { name, version, title, icons } = client.getServerVersion() ?? {
    name: upstream.name,
    version: "",
    title: undefined,
    icons: undefined,
  };
  const about: UpstreamAbout = {
    era: stateless ? "stateless" : "sessions",
    protocolVersion,
    serverInfo: { name, version, ...(title ? { title } : {}) },
    capabilities: { ...client.getServerCapabilities() },
    instructions: client.getInstructions() ?? null,
    ...(icons === undefined ? {} : { icons }),
  };

  let open = true;
  let hearing = !stateless;
  let lastId = 1000;
  const pending = new Map<number, Waiting>();
  const end = (error: GatewayError) => {
    if (!open) return;
    open = false;
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
    leave();
    options.closed();
  };
  const leave = () => void main.close().catch(() => {});

  const shared = upstream.transport !== "streamable_http";
  // The handshake is over, and from here on what comes is passed on as it is.
  main.onmessage = (message) => {
    if (!open) return;
    if (!("method" in message)) return settle(pending, upstream.name, message);
    const { method, params = {} } = message as {
      method: string;
      params?: Params;
    };
    if ("id" in message) {
      return aside.request({ method, params }, replyOn(main, message));
    }
    const token = params["progressToken"];
    const caller =
      method === "notifications/progress" && typeof token === "number"
        ? pending.get(token)
        : undefined;
    (caller?.on ?? aside).notification(method, params);
  };
  main.onclose = () => end(failure(upstream.name, fault));
  main.onerror = (error) => {
    if (upstream.transport === "sse") return end(failure(upstream.name, error));
    if (/Maximum reconnection attempts/.test(error.message)) hearing = false;
  };

  /** On the one stream that everything goes over. */
  function requestShared(
    id: number,
    message: JSONRPCRequest,
    { signal, on }: RequestOptions,
  ): Promise<Params> {
    return new Promise<Params>((resolve, reject) => {
      const aborted = () => {
        pending.delete(id);
        void main.send(cancelled(id)).catch(() => {});
        reject(signal.reason as Error);
      };
      const over =
        <T>(settle: (value: T) => void) =>
        (value: T) => {
          signal.removeEventListener("abort", aborted);
          pending.delete(id);
          settle(value);
        };
      signal.addEventListener("abort", aborted);
      pending.set(id, { resolve: over(resolve), reject: over(reject), on });
      main.send(message).catch((error: unknown) => {
        pending.get(id)?.reject(fault ?? failure(upstream.name, error));
      });
    });
  }

  /** On a stream of its own: what comes on it belongs to this request and no other. */
  async function requestAlone(
    id: number,
    message: JSONRPCRequest,
    { signal, on, headers }: RequestOptions,
  ): Promise<Params> {
    let fault: GatewayError | null = null;
    const sessionId = (main as Transport).sessionId;
    const transport = await wire.transport({
      protocolVersion,
      ...(sessionId === undefined ? {} : { sessionId }),
      fault: (error) => {
        fault = error;
      },
    });
    const { promise, resolve, reject } = Promise.withResolvers<Params>();
    // It may reject before anybody waits.
    promise.catch(() => {});
    const own = new Map([[id, { resolve, reject }]]);
    let notifications = 0;
    transport.onmessage = (received) => {
      if (!("method" in received)) {
        settle(own, upstream.name, received);
        // The stream has one answer; another's is none of ours.
        return reject(failure(upstream.name, null, "invalid_response"));
      }
      const { method, params = {} } = received as {
        method: string;
        params?: Params;
      };
      if ("id" in received) {
        const reply = replyOn(transport, received);
        return on ? on.request({ method, params }, reply) : reply(NOBODY);
      }
      if (++notifications > MAX_NOTIFICATIONS)
        return reject(flooded(upstream.name));
      (on ?? aside).notification(method, params);
    };
    const aborted = () => reject(signal.reason as Error);
    signal.addEventListener("abort", aborted);
    try {
      signal.throwIfAborted();
      await transport.start();
      // A body that is hung up on ends here too.
      await Promise.race([
        promise,
        transport.send(message, {
          ...(headers && stateless ? { headers } : {}),
          onRequestStreamEnd: () =>
            reject(fault ?? failure(upstream.name, null)),
        }),
      ]);
      return await promise;
    } catch (error) {
      if (signal.aborted && !stateless) {
        await transport.send(cancelled(id)).catch(() => {});
      }
      if (signal.aborted) throw signal.reason;
      if (error instanceof GatewayError) throw error;
      if (fault) throw fault;
      throw postFailure(upstream.name, error, sessionId !== undefined);
    } finally {
      signal.removeEventListener("abort", aborted);
      await transport.close().catch(() => {});
    }
  }

  return {
    about,
    path: stateless ? "server_discover" : "initialize",
    isOpen: () => open,
    hears: () => open && hearing,
    async request(method, params, request) {
      if (!open) throw failure(upstream.name, fault);
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
        // The number of the request, which is what comes back with each report.
        ...(request.on ? { progressToken: id } : {}),
      };
      const sent =
        Object.keys(_meta).length > 0 ? { ...params, _meta } : params;
      const message = { jsonrpc: "2.0", id, method, params: sent } as const;
      return shared
        ? requestShared(id, message, request)
        : requestAlone(id, message, request);
    },
    close() {
      if (!open) return;
      const { terminateSession } = main as Partial<{
        terminateSession(): Promise<void>;
      }>;
      const leave = stateless ? undefined : terminateSession?.call(main);
      open = false;
      void Promise.resolve(leave)
        .catch(() => {})
        .finally(() => main.close().catch(() => {}));
    },
  };
}

/** Of what is the protocol's own in `_meta`. */
export const OWN = "io.modelcontextprotocol/";

type Waiting = {
  resolve(result: Params): void;
  reject(error: unknown): void;
  on?: Incoming | undefined;
};

/** The answer for a request of a server that nobody is there to answer. */
export const NOBODY: Answer = {
  error: { code: -32601, message: "The client does not answer this." },
};

function settle(
  pending: ReadonlyMap<number, Waiting>,
  name: string,
  message: JSONRPCMessage,
): void {
  const { id, result, error } = message as {
    id?: unknown;
    result?: Params;
    error?: { code?: unknown };
  };
  const waiting = pending.get(id as number);
  if (error !== undefined) waiting?.reject(rpcFailure(name, error));
  else if (result !== undefined) waiting?.resolve(result);
}

function replyOn(transport: Transport, { id }: JSONRPCRequest) {
  return (answer: Answer) =>
    void transport
      .send({ jsonrpc: "2.0", id, ...answer } as JSONRPCMessage)
      // Whoever asked is gone.
      .catch(() => {});
}

function cancelled(requestId: number): JSONRPCMessage {
  return {
    jsonrpc: "2.0",
    method: "notifications/cancelled",
    params: { requestId, reason: "The caller does not wait any more." },
  };
}

function flooded(name: string): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `${name} sends more notifications than anybody could read, and was hung up on.`,
    { data: { reason: "flood", failureClass: "invalid_response" } },
  );
}

function handshakeFailure(name: string, error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const { code } = error as { code?: unknown };
  if (code === "REQUEST_TIMEOUT") {
    return new GatewayError("timeout", `${name} does not answer in time.`, {
      data: { failureClass: "transport" },
      cause: error,
    });
  }
  return failure(name, error, "protocol");
}

/** What a refused POST says. Some servers answer 400 when they do not know a session. */
function postFailure(
  name: string,
  error: unknown,
  inSession: boolean,
): GatewayError {
  const { status, data } = error as { status?: unknown; data?: Params };
  const text = data?.["text"];
  if (inSession && status === 400 && /session/i.test(String(text))) {
    return sessionLost();
  }
  try {
    const { error: rpc } = JSON.parse(String(text)) as { error?: Params };
    if (rpc) return rpcFailure(name, rpc);
  } catch {
    // Not JSON-RPC.
  }
  return typeof status === "number"
    ? new GatewayError(
        "upstream_failed",
        `${name} answers with HTTP ${status}.`,
        {
          data: { failureClass: "protocol", status },
          cause: error,
        },
      )
    : failure(name, error);
}
