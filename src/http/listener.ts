import type { Server, ServerWebSocket } from "bun";
import { cannotListen } from "../core/errors.ts";
import type { Peer, Socket } from "../core/exchange.ts";
import type { Log } from "../core/runtime.ts";
import type { Connection } from "./front.ts";
import type { HttpHandler } from "./server.ts";

/** A socket from which nothing comes for so long, not even the answer to a ping, is closed. */
const SOCKET_IDLE_SECONDS = 60;

/** Listens for requests and for what becomes a WebSocket. Throws `conflict` when the address cannot be had. */
export function openListener(options: {
  host: string;
  port: number;
  maxBodyBytes: number;
  http: HttpHandler;
  log: Log;
}): Server<Peer> {
  const { host, port, maxBodyBytes, http, log } = options;

  /** Answers what asks for another protocol; nothing, when it is spoken from now on. */
  async function upgraded(
    request: Request,
    connection: Connection,
    server: Server<Peer>,
  ): Promise<Response | undefined> {
    let peer: Peer | null = null;
    const handOver = (to: Peer) => void (peer = to);
    const response = await http(request, { ...connection, handOver });
    if (peer === null || response.status !== 101) return response;
    const { headers } = response;
    return server.upgrade(request, { headers, data: peer })
      ? undefined
      : Response.json({ error: "Bad Request" }, { status: 400 });
  }

  try {
    return Bun.serve({
      hostname: host,
      port,
      development: false,
      // On by default outside development: a second server would share the port unnoticed.
      reusePort: false,
      // The front door reads what is a little too large, and says so; Bun cuts the rest off.
      maxRequestBodySize: maxBodyBytes * 2,
      fetch(request, server) {
        const connection = {
          address: server.requestIP(request)?.address ?? null,
          setIdleTimeout: (seconds: number) => server.timeout(request, seconds),
        };
        return request.headers.get("upgrade") === null
          ? http(request, connection)
          : upgraded(request, connection, server);
      },
      websocket: {
        maxPayloadLength: maxBodyBytes,
        idleTimeout: SOCKET_IDLE_SECONDS,
        sendPings: false,
        perMessageDeflate: false,
        // The last resort: those who talk look themselves at what waits.
        backpressureLimit: 67_108_864,
        closeOnBackpressureLimit: true,
        open: (ws) => ws.data.opened(socketOf(ws)),
        message: (ws, data) =>
          ws.data.message(typeof data === "string" ? data : null),
        drain: (ws) => ws.data.drained(),
        close: (ws, code) => ws.data.closed(code),
      },
      error: (error) => {
        log.error("request failed", { reason: error.message });
        return Response.json({ error: "internal" }, { status: 500 });
      },
    });
  } catch (cause) {
    throw cannotListen(`on ${host}:${port}`, "PORT or HOST", cause);
  }
}

function socketOf(ws: ServerWebSocket<Peer>): Socket {
  return {
    send: (text) => void ws.sendText(text),
    behind: () => ws.getBufferedAmount(),
    ping: () => void ws.ping(),
    close: (code, reason) => ws.close(code, reason),
    cut: () => ws.terminate(),
  };
}
