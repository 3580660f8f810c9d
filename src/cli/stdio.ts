import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import {
  StreamableHTTPClientTransport,
  StreamableHTTPError,
} from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  LATEST_PROTOCOL_VERSION,
  SUPPORTED_PROTOCOL_VERSIONS,
} from "@modelcontextprotocol/sdk/types.js";
import type {
  JSONRPCMessage,
  JSONRPCRequest,
} from "@modelcontextprotocol/sdk/types.js";
import { credentialHeaders } from "./token.ts";

export type BridgeOptions = {
  /** The server's `/mcp`, with what its query says. */
  url: string;
  token: string;
  /** Instead of the network. */
  fetch?: (request: Request) => Promise<Response>;
  /** For the person who reads the client's log. */
  warn: (event: string, fields: { reason: string }) => void;
};

/** How long the answers may take that are due when the input ends. */
const LAST_ANSWERS_MS = 70_000;

/**
 * Carries MCP between standard input and output and a server on Streamable HTTP, until the input ends and what
 * was asked is answered. Nothing else is ever written to standard output.
 */
export async function bridgeStdio(options: BridgeOptions): Promise<void> {
  const local = new StdioServerTransport();
  const inputEnded = Promise.withResolvers<void>();
  process.stdin.once("end", inputEnded.resolve);
  process.stdin.once("close", inputEnded.resolve);
  // Nobody waits for answers any more.
  const stopped = Promise.withResolvers<void>();
  process.stdout.once("error", stopped.resolve);
  process.once("SIGTERM", stopped.resolve);
  process.once("SIGINT", stopped.resolve);

  // Requests of the client that are not answered yet.
  const pending = new Map<string | number, JSONRPCRequest>();
  let drained = () => {};
  let opening: JSONRPCRequest | null = null;
  let remote = connect();

  function connect(): StreamableHTTPClientTransport {
    const { fetch } = options;
    const transport = new StreamableHTTPClientTransport(new URL(options.url), {
      requestInit: { headers: credentialHeaders(options.token) },
      reconnectionOptions: {
        initialReconnectionDelay: 1000,
        maxReconnectionDelay: 10_000,
        reconnectionDelayGrowFactor: 1.5,
        maxRetries: Number.MAX_SAFE_INTEGER,
      },
      ...(fetch
        ? {
            fetch: async (url, init) =>
              asBytes(await fetch(new Request(url, init as RequestInit))),
          }
        : {}),
    });
    transport.onmessage = deliver;
    transport.onerror = (error) =>
      options.warn("connection", { reason: error.message });
    return transport;
  }

  function settle(id: string | number): void {
    pending.delete(id);
    if (pending.size === 0) drained();
  }

  function deliver(message: JSONRPCMessage): void {
    if ("id" in message && !("method" in message)) {
      if (opening && message.id === opening.id && "result" in message) {
        remote.setProtocolVersion(String(message.result["protocolVersion"]));
        message.result["protocolVersion"] = versionFor(opening);
      }
      settle(message.id!);
    }
    local.send(message).catch(stopped.resolve);
  }

  /** What the client is told: its own revision when that is one of sessions. */
  function versionFor({ params }: JSONRPCRequest): string {
    const asked = String(params?.["protocolVersion"]);
    return SUPPORTED_PROTOCOL_VERSIONS.includes(asked)
      ? asked
      : LATEST_PROTOCOL_VERSION;
  }

  /** The newest revision of sessions, whatever the client speaks: its streams resume when the connection is cut. */
  const renewed = (request: JSONRPCRequest): JSONRPCRequest => ({
    ...request,
    params: { ...request.params, protocolVersion: LATEST_PROTOCOL_VERSION },
  });

  /** Answers in the server's place. */
  function refuse(request: JSONRPCRequest, reason: string): void {
    deliver({
      jsonrpc: "2.0",
      id: request.id,
      error: { code: -32000, message: reason },
    });
  }

  async function forward(message: JSONRPCMessage): Promise<void> {
    try {
      await remote.send(message);
    } catch (error) {
      const gone = error instanceof StreamableHTTPError && error.code === 404;
      if (gone && opening && !isInitialize(message)) {
        // Once, for all that meet it.
        reopening ??= reopen().finally(() => (reopening = null));
        await reopening;
        return remote.send(message);
      }
      throw error;
    }
  }

  let reopening: Promise<void> | null = null;

  /** The server knows the session no more (it was idle for weeks, or ended): the client keeps its place in another. */
  async function reopen(): Promise<void> {
    const initialize = renewed(opening!);
    const next = connect();
    const opened = Promise.withResolvers<void>();
    next.onmessage = (message) => {
      if (!("result" in message) || message.id !== initialize.id) return;
      next.setProtocolVersion(String(message.result["protocolVersion"]));
      next.onmessage = deliver;
      opened.resolve();
    };
    await next.start();
    await next.send(initialize);
    await opened.promise;
    await next.send({ jsonrpc: "2.0", method: "notifications/initialized" });
    void remote.close();
    remote = next;
  }

  // What follows initialize needs the session that it opens.
  let opened: Promise<void> = Promise.resolve();
  local.onmessage = (received) => {
    let message = received;
    let request = "id" in message && "method" in message ? message : null;
    if (request) pending.set(request.id, request);
    if (request?.method === "initialize") {
      opening = request;
      message = request = renewed(request);
    }
    const sent = opened
      .then(() => forward(message))
      .catch((error: unknown) => {
        const reason = explain(error);
        if (request && pending.has(request.id)) refuse(request, reason);
        else options.warn("message could not be sent", { reason });
      });
    if (request?.method === "initialize") {
      opened = sent;
    }
    if ("method" in message && message.method === "notifications/cancelled") {
      // It will not be answered.
      settle(message.params?.["requestId"] as string | number);
    }
  };
  local.onerror = (error) =>
    options.warn("standard input", { reason: error.message });

  await remote.start();
  await local.start();
  await Promise.race([inputEnded.promise, stopped.promise]);
  if (pending.size > 0) {
    const answered = new Promise<void>((resolve) => (drained = resolve));
    const late = Bun.sleep(LAST_ANSWERS_MS);
    await Promise.race([answered, late, stopped.promise]);
  }
  await remote.terminateSession().catch(() => {});
  await remote.close();
}

const isInitialize = (message: JSONRPCMessage) =>
  "method" in message && message.method === "initialize";

/** As the network would bring it: our streams are of text, which Bun encodes when it serves them. */
function asBytes(response: Response): Response {
  const text = response.body as ReadableStream<string> | null;
  const isStream = response.headers
    .get("content-type")
    ?.startsWith("text/event-stream");
  return text && isStream
    ? new Response(text.pipeThrough(new TextEncoderStream()), response)
    : response;
}

function explain(error: unknown): string {
  if (error instanceof StreamableHTTPError && error.code === 401) {
    return "The server does not accept the token. Get a new one.";
  }
  if (error instanceof StreamableHTTPError) {
    return `The server refused the message with status ${error.code}.`;
  }
  return "The server cannot be reached.";
}
