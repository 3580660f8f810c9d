import type { Socket } from "bun";

/** One keep-alive HTTP/1.1 connection that has one request in flight at a time, with as little work as possible. */
export type Connection = {
  /** Resolves with the whole answer: head and body as text, chunk sizes included. */
  send(request: string): Promise<string>;
  close(): void;
};

export async function connect(port: number): Promise<Connection> {
  let received = "";
  let resolve: (text: string) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const decoder = new TextDecoder();
  const socket: Socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_socket, chunk) {
        received += decoder.decode(chunk, { stream: true });
        if (!isWhole(received)) return;
        const text = received;
        received = "";
        resolve(text);
      },
      close: () => reject(new Error("The connection was closed.")),
      error: (_socket, error) => reject(error),
    },
  });
  return {
    send: (request) =>
      new Promise((done, failed) => {
        resolve = done;
        reject = failed;
        socket.write(request);
      }),
    close: () => socket.terminate(),
  };
}

function isWhole(text: string): boolean {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0) return false;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, head));
  if (length) {
    return Buffer.byteLength(text) >= head + 4 + Number(length[1]);
  }
  if (/\r\ntransfer-encoding: *chunked/i.test(text.slice(0, head))) {
    return text.endsWith("0\r\n\r\n");
  }
  return true;
}
