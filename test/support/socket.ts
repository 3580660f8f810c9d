/** A WebSocket client by hand. */
export type SocketClient = {
  /** Every message that came, parsed. */
  messages: any[];
  protocol: string;
  send(message: unknown): void;
  /** The first message that matches, now or later; rejects when the socket closes first. */
  until(found: (message: any) => boolean): Promise<any>;
  /** Sends a request; its answer. */
  ask(message: { id: unknown; [member: string]: unknown }): Promise<any>;
  closed: Promise<{ code: number; reason: string }>;
  close(): void;
};

export type SocketOptions = {
  headers?: Record<string, string>;
  protocols?: string[];
  tls?: { rejectUnauthorized: boolean };
};

/** Connects; rejects when the server refuses. `url`: of the server, `http://…`. */
export async function openSocket(
  url: string,
  options: SocketOptions = {},
): Promise<SocketClient> {
  const socket = new WebSocket(url.replace(/^http/, "ws"), options as never);
  const messages: any[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const one of waiting) one();
  };
  let over: { code: number; reason: string } | null = null;
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.addEventListener("close", ({ code, reason }) => {
      over = { code, reason };
      resolve(over);
      wake();
    });
  });
  socket.addEventListener("message", ({ data }) => {
    messages.push(JSON.parse(data as string));
    wake();
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("close", ({ code, reason }) =>
      reject(new Error(`refused: ${code} ${reason}`)),
    );
  });
  const send = (message: unknown) =>
    socket.send(
      typeof message === "string" || message instanceof Uint8Array
        ? (message as string)
        : JSON.stringify(message),
    );
  const until: SocketClient["until"] = async (found) => {
    for (;;) {
      const match = messages.find(found);
      if (match) return match;
      if (over) {
        throw new Error(
          `The socket has closed: ${JSON.stringify({ ...over, messages })}`,
        );
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.add(resolve);
      await promise;
      waiting.delete(resolve);
    }
  };
  return {
    messages,
    protocol: socket.protocol,
    send,
    until,
    ask(message) {
      send(message);
      return until(({ id, method }) => id === message.id && !method);
    },
    closed,
    close: () => socket.close(),
  };
}

/** A handshake by hand: the head of the answer, and a connection that nobody reads from then on. */
export async function handshake(
  url: string,
  headers: Record<string, string> = {},
): Promise<{
  status: number;
  head: string;
  send(frame: Uint8Array): void;
  close(): void;
}> {
  const { hostname, port, pathname, search, host } = new URL(url);
  const answered = Promise.withResolvers<string>();
  let head = "";
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(connection, data) {
        head += data.toString("latin1");
        if (!head.includes("\r\n\r\n")) return;
        answered.resolve(head);
        connection.pause();
      },
      close: () => answered.resolve(head),
    },
  });
  const lines = Object.entries({
    Host: host,
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${pathname}${search} HTTP/1.1\r\n${lines.join("")}\r\n`);
  const text = await answered.promise;
  return {
    status: Number(text.split(" ")[1]),
    head: text,
    send: (frame) => void socket.write(frame),
    close: () => socket.terminate(),
  };
}

/** A masked text frame; the mask is zero, so the text is as it is. */
export function textFrame(text: string): Uint8Array {
  const bytes = Buffer.from(text);
  const short = bytes.length < 126;
  const head = Buffer.from(
    short
      ? [0x81, 0x80 | bytes.length]
      : [0x81, 0x80 | 126, bytes.length >> 8, bytes.length & 255],
  );
  return Buffer.concat([head, Buffer.alloc(4), bytes]);
}
