import type { Socket } from "node:net";
import { createServer } from "node:http";
import type { IncomingHttpHeaders, ServerResponse } from "node:http";

/** What a receiver of webhooks was sent. */
export type Received = {
  headers: IncomingHttpHeaders;
  path: string;
  /** As it came. */
  body: string;
  json: any;
};

/** A receiver of webhooks, on a socket. */
export type Receiver = AsyncDisposable & {
  url: string;
  received: Received[];
  /** What is done with each request; answers 200 unless it is set. */
  answer: (response: ServerResponse, request: Received, n: number) => void;
  /** Waits until so many have come. */
  until(count: number): Promise<Received[]>;
  /** Bytes that have been taken from us by those who asked. */
  sent(): number;
};

export async function openReceiver(port = 0): Promise<Receiver> {
  const sockets = new Set<Socket>();
  let more = Promise.withResolvers<void>();
  let gone = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request
      .on("data", (chunk: Buffer) => chunks.push(chunk))
      .on("end", () => {
        const body = Buffer.concat(chunks).toString();
        const one = {
          headers: request.headers,
          path: request.url!,
          body,
          json: JSON.parse(body),
        };
        receiver.received.push(one);
        receiver.answer(response, one, receiver.received.length);
        more.resolve();
        more = Promise.withResolvers();
      });
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket
      .on("error", () => {})
      .on("close", () => {
        gone += socket.bytesWritten;
        sockets.delete(socket);
      });
  });
  await new Promise<void>((resolve) => {
    server.listen(port, "127.0.0.1", resolve);
  });
  const receiver: Receiver = {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}/hook`,
    received: [],
    answer: (response) => response.writeHead(200).end("ok"),
    async until(count) {
      while (receiver.received.length < count) await more.promise;
      return receiver.received;
    },
    sent: () =>
      [...sockets].reduce((sum, { bytesWritten }) => sum + bytesWritten, gone),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return receiver;
}

/** Answers with this status and nothing else. */
export const status =
  (code: number, headers: Record<string, string> = {}): Receiver["answer"] =>
  (response) =>
    void response.writeHead(code, headers).end();
