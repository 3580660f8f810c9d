import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import {
  StreamableHTTPClientTransport,
  StreamableHTTPError,
} from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type {
  JSONRPCMessage,
  JSONRPCRequest,
} from "@modelcontextprotocol/sdk/types.js";

export type BridgeOptions = {
  /** The server's `/mcp`, with what its query says. */
  url: string;
  token: string;
  /** Instead of the network. */
  fetch?: (request: Request) => Promise<Response>;
  /** For the person who reads the client's log. */
  warn: (event: string, fields: { reason: string }) => void;
};

/**
 * Carries MCP between standard input and output and a server on Streamable HTTP, until the input ends and what
 * was asked is answered. Nothing else is ever written to standard output.
 */
export async function bridgeStdio(options: BridgeOptions): Promise<void> {
  const local = new StdioServerTransport();
  const inputEnded = Promise.withResolvers<void>();
  process.stdin.once("end", inputEnded.resolve);
  process.stdin.once("close", inputEnded.resolve);

  // Requests of the client that are not answered yet.
  const pending = new Map<string | number, JSONRPCRequest>();
  let drained = () => {};
  let opening: JSONRPCRequest | null = null;
  let remote = connect();

  function connect(): StreamableHTTPClientTransport {
    const { fetch } = options;
    const transport = new StreamableHTTPClientTransport(new URL(options.url), {
      requestInit: { headers: { Authorization: `Bearer ${options.token}` } },
      reconnectionOptions: {
        initialReconnectionDelay: 1000,
        maxReconnectionDelay: 10_000,
        reconnectionDelayGrowFactor: 1.5,
        maxRetries: 20,
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

  function deliver(message: JSONRPCMessage): void {
    if ("id" in message && !("method" in message)) {
      if (opening && message.id === opening.id && "result" in message) {
        remote.setProtocolVersion(String(message.result["protocolVersion"]));
      }
      pending.delete(message.id!);
      if (pending.size === 0) drained();
    }
    void local.send(message);
  }

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
      if (gone && opening && message !== opening) {
        await reopen();
        return remote.send(message);
      }
      throw error;
    }
  }

  /** The server knows the session no more (it was idle for weeks, or ended): the client keeps its place in another. */
  async function reopen(): Promise<void> {
    const initialize = opening!;
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
  local.onmessage = (message) => {
    const request = "id" in message && "method" in message ? message : null;
    if (request) pending.set(request.id, request);
    const sent = opened
      .then(() => forward(message))
      .catch((error: unknown) => {
        const reason = explain(error);
        if (request && pending.has(request.id)) refuse(request, reason);
        else options.warn("message could not be sent", { reason });
      });
    if (request?.method === "initialize") {
      opening = request;
      opened = sent;
    }
  };
  local.onerror = (error) =>
    options.warn("standard input", { reason: error.message });

  await remote.start();
  await local.start();
  await inputEnded.promise;
  if (pending.size > 0) {
    await new Promise<void>((resolve) => (drained = resolve));
  }
  await remote.terminateSession().catch(() => {});
  await remote.close();
}

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
