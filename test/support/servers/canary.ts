import type { Socket } from "node:net";
import { createServer } from "node:net";
import { freePort } from "../port.ts";

/** Listens where nobody has any business, and tells who came all the same. */
export type Canary = AsyncDisposable & {
  /** `http://<address>:<port>`, in the order of the addresses. */
  origins: string[];
  /** Every connection: to which origin, and the first line that was sent. */
  visits: { origin: string; line: string }[];
};

/** Loopback addresses, or paths of UNIX sockets. It answers politely, so that whoever comes goes on. */
export async function openCanary(
  addresses: string[] = ["127.0.0.1", "127.0.0.3"],
): Promise<Canary> {
  const visits: Canary["visits"] = [];
  const sockets = new Set<Socket>();
  const opened = await Promise.all(
    addresses.map(async (address) => {
      let origin = `unix:${address}`;
      const port = address.startsWith("/") ? null : freePort(address);
      const server = createServer((socket) => {
        sockets.add(socket);
        const visit = { origin, line: "" };
        visits.push(visit);
        socket.on("error", () => {});
        socket.on("close", () => sockets.delete(socket));
        socket.once("data", (bytes) => {
          visit.line = bytes.toString("latin1").split("\r\n")[0]!;
          socket.end(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
          );
        });
      });
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        if (port === null) server.listen(address, resolve);
        else server.listen(port, address, resolve);
      });
      if (port !== null) {
        const host = address.includes(":") ? `[${address}]` : address;
        origin = `http://${host}:${port}`;
      }
      return { origin, server };
    }),
  );
  return {
    origins: opened.map(({ origin }) => origin),
    visits,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(
        opened.map(
          ({ server }) =>
            new Promise<void>((resolve) => server.close(() => resolve())),
        ),
      );
    },
  };
}
