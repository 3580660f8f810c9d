import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import { freePort } from "../port.ts";
import type { Memory } from "./extras.ts";
import type { Change } from "./kit.ts";
import { createKit } from "./kit.ts";
import type { Guard } from "./listener.ts";
import { openListener } from "./listener.ts";
import { parseBody } from "./recording.ts";
import type { RecordedRequest } from "./recording.ts";
import { createSessions } from "./sessions.ts";
import type { Manner } from "./with-v1.ts";
import { buildV1 } from "./with-v1.ts";

/** A server of `@modelcontextprotocol/sdk` 1.x. */
export type LegacyServer = AsyncDisposable &
  Memory & {
    /** Its MCP endpoint; of HTTP+SSE, the URL of the stream. */
    url: string;
    requests: RecordedRequest[];
    /** Ids of the sessions that are open. */
    sessions(): string[];
    /** Ends every session; whoever comes back with one is answered 404. */
    forgetSessions(): Promise<void>;
    /** Changes a list or a resource, and tells everybody who listens. */
    change(change: Change): void;
    /** Dies: no session is left. `start` brings it back on the same port. */
    stop(): Promise<void>;
    start(): Promise<void>;
    restart(): Promise<void>;
  };

export type LegacyOptions = Manner & {
  /** What a session that is not known is answered: 404 unless said. */
  unknown?: number;
  /** "legacy" */
  name?: string;
  instructions?: string;
  guard?: Guard;
};

const aboutOf = ({ name = "legacy", instructions }: LegacyOptions) => ({
  name,
  ...(instructions === undefined ? {} : { instructions }),
});

/** Streamable HTTP with sessions. */
export async function openLegacyServer(
  options: LegacyOptions = {},
): Promise<LegacyServer> {
  const kit = createKit();
  const sessions = createSessions(async (settings) => {
    const transport = new WebStandardStreamableHTTPServerTransport(settings);
    await buildV1(kit, aboutOf(options), options).connect(transport as never);
    return transport;
  }, options.unknown);
  const listener = openListener(async (request, recorded) => {
    const refused = options.guard?.(recorded.headers) ?? null;
    if (refused) return new Response(null, refused);
    return new URL(request.url).pathname === "/mcp"
      ? sessions.fetch(request, recorded)
      : new Response(null, { status: 404 });
  });
  const stop = async () => {
    await sessions.forget();
    await listener.stop();
  };
  return {
    ...kit.memory,
    url: `${listener.origin}/mcp`,
    requests: listener.requests,
    sessions: sessions.ids,
    forgetSessions: sessions.forget,
    change: kit.change,
    stop,
    start: async () => listener.start(),
    async restart() {
      await stop();
      listener.start();
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** HTTP+SSE of revision 2024-11-05. */
export async function openLegacySseServer(
  options: LegacyOptions = {},
): Promise<LegacyServer> {
  const kit = createKit();
  const requests: RecordedRequest[] = [];
  const sessions = new Map<string, SSEServerTransport>();

  async function answer(
    req: IncomingMessage,
    res: ServerResponse,
  ): Promise<void> {
    const { pathname, searchParams } = new URL(req.url!, "http://localhost");
    const headers = Object.fromEntries(
      Object.entries(req.headers).map(([name, value]) => [name, String(value)]),
    );
    const chunks: Uint8Array[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = parseBody(
      Buffer.concat(chunks).toString(),
      headers["content-type"] ?? "",
    );
    requests.push({ method: req.method!, path: req.url!, headers, body });
    const refused = options.guard?.(headers) ?? null;
    if (refused) {
      res.writeHead(refused.status, refused.headers).end();
    } else if (req.method === "GET" && pathname === "/sse") {
      const transport = new SSEServerTransport("/messages", res);
      const id = transport.sessionId;
      sessions.set(id, transport);
      const server = buildV1(kit, aboutOf(options), options);
      const { onclose } = server;
      server.onclose = () => {
        sessions.delete(id);
        onclose?.();
      };
      await server.connect(transport);
    } else if (req.method === "POST" && pathname === "/messages") {
      const transport = sessions.get(searchParams.get("sessionId") ?? "");
      if (transport) await transport.handlePostMessage(req, res, body);
      else res.writeHead(options.unknown ?? 404).end("Session not found");
    } else {
      res.writeHead(404).end();
    }
  }

  const listen = async (port: number) => {
    const listener = createServer((req, res) => void answer(req, res));
    await new Promise<void>((resolve) =>
      listener.listen(port, "127.0.0.1", resolve),
    );
    return listener;
  };
  const port = freePort();
  let listener: Awaited<ReturnType<typeof listen>> | null = await listen(port);

  const forgetSessions = async () => {
    for (const transport of sessions.values()) await transport.close();
    sessions.clear();
  };
  const stop = async () => {
    await forgetSessions();
    const closing = listener;
    listener = null;
    if (!closing) return;
    closing.closeAllConnections();
    await new Promise((resolve) => closing.close(resolve));
  };
  const start = async () => {
    listener ??= await listen(port);
  };
  return {
    ...kit.memory,
    url: `http://127.0.0.1:${port}/sse`,
    requests,
    sessions: () => [...sessions.keys()],
    forgetSessions,
    change: kit.change,
    stop,
    start,
    async restart() {
      await stop();
      await start();
    },
    [Symbol.asyncDispose]: stop,
  };
}
