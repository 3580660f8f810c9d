import type { Socket } from "node:net";
import { createServer } from "node:net";
import { freePort } from "./port.ts";

/** A server that says whatever a test wants it to. */
export type RawServer = AsyncDisposable & {
  port: number;
  /** Where each connection came in, in their order. */
  accepted: string[];
  /** What each request was, in their order: its head as it came. */
  requests: string[];
  /** Connections that are open now. */
  open: number;
};

/** `answer` is called with each request, once its head is complete. */
export async function rawServer(
  hostname: string,
  answer: (socket: Socket, request: string) => void = () => {},
  port = freePort(hostname),
): Promise<RawServer> {
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    server.accepted.push(socket.localAddress!);
    server.open++;
    let text = "";
    socket
      .on("error", () => {})
      .on("close", () => {
        sockets.delete(socket);
        server.open--;
      })
      .on("data", (chunk) => {
        text += chunk.toString("latin1");
        if (!text.includes("\r\n\r\n")) return;
        const request = text;
        text = "";
        server.requests.push(request);
        answer(socket, request);
      });
  });
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject).listen(port, hostname, resolve);
  });
  const server: RawServer = {
    port,
    accepted: [],
    requests: [],
    open: 0,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
  return server;
}

/** As much as the other side takes, without end. */
export function flood(socket: Socket, chunk: string | Uint8Array): void {
  const write = () => {
    while (!socket.destroyed && socket.write(chunk));
    if (!socket.destroyed) socket.once("drain", write);
  };
  write();
}

/** Waits for what can be seen from outside. */
export async function until(seen: () => boolean): Promise<void> {
  while (!seen()) await new Promise((resolve) => setTimeout(resolve, 2));
}
