import type { Socket } from "bun";

/**
 * A proxy on loopback that adds a line to the head of every request and passes every other byte on as it is: the
 * suite cannot send a token, and what it sends in headers is what it tests.
 */
export function addAuthorization(
  token: string,
  target: URL,
): Disposable & { url: string } {
  type Side = {
    other: Promise<Socket<unknown>>;
    /** Of a head that has not come whole. */
    head: Buffer<ArrayBufferLike>;
    /** Of the body that is being passed on, bytes to come. */
    left: number;
  };
  const line = `\r\nAuthorization: Bearer ${token}`;

  const listener = Bun.listen<Side>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        const other = Bun.connect({
          hostname: target.hostname,
          port: Number(target.port),
          socket: {
            data: (_server, chunk) => void write(socket, Buffer.from(chunk)),
            close: () => void socket.end(),
            drain: (server) => flush(server),
            error: () => void socket.end(),
          },
        });
        socket.data = { other, head: Buffer.alloc(0), left: 0 };
      },
      async data(socket, chunk) {
        const side = socket.data;
        const server = await side.other;
        let rest: Buffer<ArrayBufferLike> = Buffer.from(chunk);
        while (rest.length > 0) {
          if (side.left > 0) {
            const body = rest.subarray(0, side.left);
            side.left -= body.length;
            rest = rest.subarray(body.length);
            write(server, body);
            continue;
          }
          side.head = Buffer.concat([side.head, rest]);
          rest = Buffer.alloc(0);
          const end = side.head.indexOf("\r\n\r\n");
          if (end < 0) break;
          const head = side.head.subarray(0, end).toString("latin1");
          rest = side.head.subarray(end + 4);
          side.head = Buffer.alloc(0);
          if (/^transfer-encoding:/im.test(head)) {
            throw new Error("A chunked body cannot be passed on.");
          }
          side.left = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
          const first = head.indexOf("\r\n");
          const more = head.slice(0, first) + line + head.slice(first);
          write(server, Buffer.from(`${more}\r\n\r\n`, "latin1"));
        }
      },
      drain: (socket) => flush(socket),
      close: (socket) => void socket.data.other.then((server) => server.end()),
    },
  });

  const queues = new WeakMap<object, Buffer[]>();
  function write(socket: Socket<any>, bytes: Buffer): void {
    const queue = queues.get(socket) ?? [];
    queues.set(socket, queue);
    queue.push(bytes);
    flush(socket);
  }
  function flush(socket: Socket<any>): void {
    const queue = queues.get(socket) ?? [];
    for (let next = queue[0]; next; next = queue[0]) {
      const written = socket.write(next);
      if (written < next.length) {
        queue[0] = next.subarray(Math.max(0, written));
        return;
      }
      queue.shift();
    }
  }

  return {
    url: `http://127.0.0.1:${listener.port}${target.pathname}`,
    [Symbol.dispose]: () => listener.stop(true),
  };
}
