import type { Socket } from "node:net";
import { createServer } from "node:net";
import { freePort } from "../port.ts";
import { parseBody } from "./recording.ts";
import type { RecordedRequest } from "./recording.ts";

/** What a server sends, byte for byte: nothing is checked, added or counted. */
export type RawResponse = {
  /** Resolves when there is room for more; false when the client has gone. */
  write(bytes: string | Uint8Array): Promise<boolean>;
  end(): void;
  /** Cuts the connection off. */
  destroy(): void;
  /** Resolves when the connection has ended, from whichever side. */
  closed: Promise<void>;
};

export type RawHttp = AsyncDisposable & {
  /** `http://<hostname>:<port>` */
  origin: string;
  requests: RecordedRequest[];
  /** Connections that are open now. */
  connections(): number;
  /** Bytes that were handed to the network so far. */
  sent(): number;
  stop(): Promise<void>;
  start(): Promise<void>;
};

/** An HTTP server that can lie, since it writes its answers itself. One request for each connection. */
export async function openRawHttp(options: {
  hostname?: string;
  /** Told of every connection; true: it is left alone, and never read. */
  ignore?(): boolean;
  answer(request: RecordedRequest, response: RawResponse): Promise<void>;
}): Promise<RawHttp> {
  const { hostname = "127.0.0.1", ignore = () => false, answer } = options;
  const requests: RecordedRequest[] = [];
  const sockets = new Set<Socket>();
  let sent = 0;

  function accept(socket: Socket): void {
    sockets.add(socket);
    const closed = new Promise<void>((resolve) =>
      socket.once("close", () => resolve()),
    );
    void closed.then(() => sockets.delete(socket));
    // A client that goes away is no news here.
    socket.on("error", () => {});
    if (ignore()) {
      socket.pause();
      return;
    }
    let bytes: Buffer = Buffer.alloc(0);
    const read = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const request = parseRequest(bytes);
      if (!request) return;
      socket.off("data", read);
      // What comes after it is read, or its end would never be noticed.
      socket.resume();
      requests.push(request);
      void answer(request, {
        closed,
        end: () => void socket.end(),
        destroy: () => void socket.destroy(),
        async write(bytes) {
          if (socket.destroyed || socket.writableEnded) return false;
          sent += Buffer.byteLength(bytes);
          if (!socket.write(bytes)) {
            await Promise.race([
              closed,
              new Promise<void>((resolve) => socket.once("drain", resolve)),
            ]);
          }
          return !socket.destroyed;
        },
      });
    };
    socket.on("data", read);
  }

  const listen = async (port: number) => {
    const server = createServer(accept);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, hostname, resolve);
    });
    return server;
  };
  const port = freePort(hostname);
  let server: Awaited<ReturnType<typeof listen>> | null = await listen(port);

  // One after the other: who goes down while coming up stays down.
  let last: Promise<void> = Promise.resolve();
  const inTurn = (step: () => Promise<void>) => () => (last = last.then(step));
  const stop = inTurn(async () => {
    const closing = server;
    server = null;
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) =>
      closing ? closing.close(() => resolve()) : resolve(),
    );
  });
  return {
    origin: `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`,
    requests,
    connections: () => sockets.size,
    sent: () => sent,
    stop,
    start: inTurn(async () => {
      server ??= await listen(port);
    }),
    [Symbol.asyncDispose]: stop,
  };
}

/** Null while it has not come whole. */
function parseRequest(bytes: Buffer): RecordedRequest | null {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const [line = "", ...lines] = bytes
    .subarray(0, end)
    .toString("latin1")
    .split("\r\n");
  const headers: Record<string, string> = {};
  for (const text of lines) {
    const colon = text.indexOf(":");
    headers[text.slice(0, colon).toLowerCase()] = text.slice(colon + 1).trim();
  }
  const rest = bytes.subarray(end + 4);
  const body =
    headers["transfer-encoding"] === "chunked"
      ? parseChunks(rest)
      : rest.length >= Number(headers["content-length"] ?? 0)
        ? rest
        : null;
  if (!body) return null;
  const [method = "", path = ""] = line.split(" ");
  return {
    method,
    path,
    headers,
    body: parseBody(body.toString(), headers["content-type"] ?? ""),
  };
}

function parseChunks(bytes: Buffer): Buffer | null {
  const chunks: Buffer[] = [];
  for (let at = 0; ;) {
    const end = bytes.indexOf("\r\n", at);
    if (end < 0) return null;
    const size = Number.parseInt(bytes.toString("latin1", at, end), 16);
    if (size === 0) return Buffer.concat(chunks);
    const next = end + 2 + size + 2;
    if (bytes.length < next) return null;
    chunks.push(bytes.subarray(end + 2, end + 2 + size));
    at = next;
  }
}

/** The head of an answer; what is in the headers is not looked at. */
export function head(status: number, headers: Record<string, string>): string {
  const lines = Object.entries(headers).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return [
    `HTTP/1.1 ${status} Status`,
    "connection: close",
    ...lines,
    "",
    "",
  ].join("\r\n");
}
