import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer as createTlsServer } from "node:https";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { GatewayError } from "../../src/core/errors.ts";
import type { OutboundOptions } from "../../src/core/runtime.ts";
import type { OutboundSettings } from "../../src/runtime/outbound.ts";
import { createOutbound } from "../../src/runtime/outbound.ts";
import { freePort } from "../support/port.ts";
import type { RawServer } from "../support/raw-server.ts";
import { flood, rawServer, until } from "../support/raw-server.ts";
import { seeded, spellIPv4 } from "../support/spellings.ts";

/** Only 127.0.0.2 may be reached. Whoever listens beside it must never hear of us. */

const HERE = "127.0.0.2";
const canaries: RawServer[] = [];
/** The port that the canaries have in common. */
let forbidden = 0;

beforeAll(async () => {
  canaries.push(await rawServer("127.0.0.1"));
  forbidden = canaries[0]!.port;
  for (const address of ["127.0.0.3", "::1"]) {
    canaries.push(await rawServer(address, () => {}, forbidden));
  }
});
afterAll(async () => {
  for (const canary of canaries) await canary[Symbol.asyncDispose]();
  expect(canaries.flatMap(({ accepted }) => accepted)).toEqual([]);
});

const outbound = (settings: Partial<OutboundSettings> = {}) =>
  createOutbound({
    allow: [`${HERE}/32`],
    userAgent: "membrane-mcp/test",
    ...settings,
  });
/** A resolver that has these names, and counts what it is asked. */
const resolver = (names: Record<string, readonly string[]>) => {
  const asked: string[] = [];
  return {
    asked,
    lookup: async (name: string) => {
      asked.push(name);
      const found = names[name];
      if (found) return found;
      throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
    },
  };
};

const rejection = (promise: Promise<unknown>): Promise<GatewayError> =>
  promise.then(
    () => {
      throw new Error("resolved");
    },
    (error) => error,
  );
/** The answer and its body, or what either of them throws. */
async function read(
  ask: ReturnType<typeof outbound>,
  url: string,
  options?: OutboundOptions,
): Promise<string> {
  return (await ask(url, options)).text();
}

const ok = (body = "ok", headers = "") =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`;

describe("a destination that is not allowed", () => {
  // Demanded: outbound-public
  test("is refused with the same words whatever it is, and never connected to", async () => {
    const { lookup } = resolver({
      "private.test": ["127.0.0.1"],
      "mixed.test": [HERE, "127.0.0.3"],
      "six.test": ["::1"],
      "nothing.test": [],
    });
    const ask = outbound({ lookup });
    const errors = await Promise.all(
      [
        `http://127.0.0.1:${forbidden}/`,
        `http://2130706433:${forbidden}/`,
        `http://127.0.0.3:${forbidden}/`,
        `http://[::1]:${forbidden}/`,
        `http://[::ffff:127.0.0.1]:${forbidden}/`,
        `http://localhost:${forbidden}/`,
        `http://a.localhost:${forbidden}/`,
        `http://private.test:${forbidden}/`,
        `http://mixed.test:${forbidden}/`,
        `https://six.test:${forbidden}/`,
        `http://nothing.test:${forbidden}/`,
        `http://unknown.test:${forbidden}/`,
        `http://${HERE}:22/`,
        `http://user@${HERE}:${forbidden}/`,
        "file:///etc/passwd",
        "not a URL",
      ].map((url) => rejection(ask(url))),
    );
    for (const { code, message, data } of errors) {
      expect({ code, message, data }).toEqual({
        code: "invalid",
        message: errors[0]!.message,
        data: { reason: "blocked_destination" },
      });
    }
  });

  // Demanded: outbound-rebinding
  test("is not reached by a name that changes its address", async () => {
    let asked = 0;
    const ask = outbound({
      lookup: async () => [asked++ % 2 === 0 ? HERE : "127.0.0.1"],
    });
    await using server = await rawServer(
      HERE,
      (socket) => socket.end(`HTTP/1.1 200 OK\r\n\r\nhere`),
      forbidden,
    );
    const url = `http://flip.test:${forbidden}/`;
    for (let round = 1; round <= 3; round++) {
      expect(await read(ask, url)).toBe("here");
      expect((await rejection(ask(url))).data).toEqual({
        reason: "blocked_destination",
      });
      // Asked once for each connection.
      expect(asked).toBe(2 * round);
    }
    expect(server.accepted).toEqual([HERE, HERE, HERE]);
  });

  // Demanded: outbound-redirects
  test("is not reached by a redirect, whatever was asked", async () => {
    await using server = await rawServer(HERE, (socket, request) => {
      const to = /^\w+ \/(\S*)/.exec(request)![1]!;
      socket.write(
        `HTTP/1.1 307 Temporary Redirect\r\nLocation: ${decodeURIComponent(to)}\r\nContent-Length: 0\r\n\r\n`,
      );
    });
    const ask = outbound();
    for (const to of [
      `http://127.0.0.1:${forbidden}/`,
      `http://localhost:${forbidden}/`,
      "file:///etc/passwd",
      `https://${HERE}:${server.port}/`,
      `//127.0.0.3:${forbidden}/`,
    ]) {
      const response = await ask(
        `http://${HERE}:${server.port}/${encodeURIComponent(to)}`,
        { redirects: 3, headers: { "X-API-Key": "secret" } },
      );
      expect(response.status).toBe(307);
      expect(response.redirected).toBe(false);
    }
    expect(server.requests).toHaveLength(5);
  });

  // Demanded: outbound-public
  test("is what stands in a URL, however it is written", async () => {
    const random = seeded(127);
    const addresses = [1, 2, 3, 4, 5, 6, 7, 8].map((last) => `127.0.0.${last}`);
    const servers: RawServer[] = [];
    await using stack = new AsyncDisposableStack();
    const port = freePort();
    for (const address of addresses) {
      const server = await rawServer(
        address,
        (socket) => socket.write(ok()),
        port,
      );
      servers.push(stack.use(server));
    }
    const ask = createOutbound({
      allow: ["127.0.0.2", "127.0.0.4/30"],
      userAgent: "x",
    });
    for (let n = 0; n < 400; n++) {
      const last = 1 + random(8);
      const written = spellIPv4([127, 0, 0, last], random);
      const before = servers.map(({ requests }) => requests.length);
      const answer = await read(ask, `http://${written}:${port}/`).catch(
        (error: GatewayError) => error.code,
      );
      const allowed = last === 2 || (last >= 4 && last <= 7);
      expect([written, answer]).toEqual([written, allowed ? "ok" : "invalid"]);
      const heard = servers.flatMap(({ requests }, at) =>
        requests.slice(before[at]).map(() => at + 1),
      );
      expect([written, heard]).toEqual([written, allowed ? [last] : []]);
    }
    for (const last of [1, 3, 8]) {
      expect(servers[last - 1]!.accepted).toEqual([]);
    }
  });
});

describe("a name", () => {
  test("with several addresses is reached at one that answers", async () => {
    await using server = await rawServer(HERE, (socket) => socket.end(ok()));
    const { lookup } = resolver({ "many.test": ["127.0.0.9", HERE] });
    const ask = createOutbound({
      allow: ["127.0.0.9", HERE],
      userAgent: "x",
      lookup,
    });
    expect(await read(ask, `http://many.test:${server.port}/`)).toBe("ok");
  });

  test("that the operator has allowed is told apart from one that is down", async () => {
    const { lookup } = resolver({});
    const ask = createOutbound({
      allow: ["my-server"],
      userAgent: "x",
      lookup,
    });
    const error = await rejection(ask("http://my-server:8000/mcp"));
    expect(error.code).toBe("upstream_failed");
    expect(error.message).toContain("my-server");
  });

  test("keeps its connection, and no other name at the same address gets it", async () => {
    const { lookup, asked } = resolver({ "a.test": [HERE], "b.test": [HERE] });
    await using server = await rawServer(HERE, (socket, request) =>
      socket.write(ok(/host: (\S+)/i.exec(request)![1]!.split(":")[0]!)),
    );
    const ask = outbound({ lookup });
    for (const name of ["a.test", "a.test", "b.test", "a.test", "b.test"]) {
      expect(await read(ask, `http://${name}:${server.port}/`)).toBe(name);
    }
    expect(server.accepted).toHaveLength(2);
    expect(asked).toEqual(["a.test", "b.test"]);
  });

  test("gets a new connection when its server has closed the old one", async () => {
    await using server = await rawServer(HERE, (socket) => {
      socket.write(ok());
      setImmediate(() => socket.end());
    });
    const ask = outbound();
    for (let n = 1; n <= 3; n++) {
      expect(await read(ask, `http://${HERE}:${server.port}/`)).toBe("ok");
      await until(() => server.open === 0);
    }
    expect(server.accepted).toHaveLength(3);
  });
});

describe("TLS", () => {
  const pem = (name: string) =>
    readFileSync(join(import.meta.dir, "../fixtures/tls", name), "utf8");
  const names: (string | false)[] = [];
  const server = createTlsServer(
    { cert: pem("server.pem"), key: pem("server.key") },
    (request, response) => {
      names.push(
        (request.socket as unknown as { servername: string | false })
          .servername,
      );
      response.end(String(request.socket.remotePort));
    },
  );
  let port = 0;
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, HERE, resolve));
    port = (server.address() as { port: number }).port;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const { lookup } = resolver({
    "a.test": [HERE],
    "b.test": [HERE],
    "c.test": [HERE],
  });

  test("is verified for the name, not for the address that is connected to", async () => {
    const ask = outbound({ lookup, ca: pem("authority.pem") });
    const a = await read(ask, `https://a.test:${port}/`);
    expect(await read(ask, `https://A.test.:${port}/`)).toBe(a);
    expect(await read(ask, `https://b.test:${port}/`)).not.toBe(a);
    expect(await read(ask, `https://${HERE}:${port}/`)).not.toBe(a);
    expect(names).toEqual(["a.test", "a.test", "b.test", false]);
    const error = await rejection(ask(`https://c.test:${port}/`));
    expect(error.code).toBe("upstream_failed");
    expect(error.data).toEqual({ reason: "certificate" });
  });

  test("of an unknown authority is refused", async () => {
    const error = await rejection(
      outbound({ lookup })(`https://a.test:${port}/`),
    );
    expect(error.data).toEqual({ reason: "certificate" });
  });

  test("that never begins ends with the time to connect", async () => {
    await using silent = await rawServer(HERE);
    const error = await rejection(
      outbound({ connectMs: 50 })(`https://${HERE}:${silent.port}/`),
    );
    expect(error.code).toBe("timeout");
    expect(error.message).toContain("did not accept a connection");
    await until(() => silent.open === 0);
  });
});

describe("a request", () => {
  test("is what its caller says, but for what is the connection's", async () => {
    await using server = await rawServer(HERE, (socket) => socket.end(ok()));
    await read(outbound(), `http://${HERE}:${server.port}/mcp?a=%20b`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "X-Own": "1",
        Host: "127.0.0.1",
        "Content-Length": "9999",
        "Transfer-Encoding": "chunked",
        Connection: "upgrade",
        Upgrade: "websocket",
        Expect: "100-continue",
      },
      body: '{"ü":1}',
    });
    const [head, body] = server.requests[0]!.split("\r\n\r\n");
    const [line, ...headers] = head!.split("\r\n");
    expect(line).toBe("POST /mcp?a=%20b HTTP/1.1");
    expect(headers.map((header) => header.toLowerCase()).sort()).toEqual(
      [
        "accept: */*",
        "accept-encoding: gzip, br",
        "connection: keep-alive",
        "content-length: 8",
        "content-type: application/json",
        `host: ${HERE}:${server.port}`,
        "user-agent: membrane-mcp/test",
        "x-own: 1",
      ].sort(),
    );
    expect(Buffer.from(body!, "latin1").toString()).toBe('{"ü":1}');
  });

  test("with a header that would be two is not sent", async () => {
    await using server = await rawServer(HERE, (socket) => socket.end(ok()));
    const error = await rejection(
      outbound()(`http://${HERE}:${server.port}/`, {
        headers: { "X-Key": "secret\r\nX-Other: 1" },
      }),
    );
    expect(error.code).toBe("invalid");
    expect(error.message).not.toContain("secret");
    expect(server.requests).toEqual([]);
  });

  // Demanded: outbound-redirects
  test("follows redirects of its origin when asked to, without what may be a credential", async () => {
    await using server = await rawServer(HERE, (socket, request) => {
      const left = Number(/\/(\d+)/.exec(request)![1]);
      socket.write(
        left === 0
          ? ok("there")
          : `HTTP/1.1 302 Found\r\nLocation: /${left - 1}#part\r\nContent-Length: 4\r\n\r\nbody`,
      );
    });
    const url = (left: number) => `http://${HERE}:${server.port}/${left}`;
    const headers = {
      Accept: "application/json",
      "MCP-Protocol-Version": "2025-11-25",
      Authorization: "Bearer secret",
      Cookie: "secret=1",
      "X-API-Key": "secret",
    };
    const ask = outbound();
    const response = await ask(url(2), { redirects: 2, headers });
    expect(await response.text()).toBe("there");
    expect(response.url).toBe(url(0));
    expect(response.redirected).toBe(true);
    const [first, second, third] = server.requests;
    expect(first).toContain("secret");
    for (const request of [second!, third!]) {
      expect(request).not.toContain("secret");
      expect(request).toContain("application/json");
      expect(request).toContain("2025-11-25");
    }
    expect((await ask(url(3), { redirects: 2 })).status).toBe(302);
    expect((await ask(url(1))).status).toBe(302);
    const posted = await ask(url(1), {
      method: "POST",
      body: "secret",
      redirects: 2,
    });
    expect(posted.status).toBe(302);
    expect(server.requests).toHaveLength(8);
  });

  test("is cut by its caller before it is sent, while it waits, and while it is read", async () => {
    await using server = await rawServer(HERE, (socket, request) => {
      if (request.startsWith("GET /silent")) return;
      socket.write("HTTP/1.1 200 OK\r\n\r\npart");
    });
    const ask = outbound();
    const url = `http://${HERE}:${server.port}`;
    const reason = new Error("not wanted any more");

    const early = rejection(
      ask(`${url}/silent`, { signal: AbortSignal.abort(reason) }),
    );
    expect((await early) as unknown).toBe(reason);
    expect(server.accepted).toEqual([]);

    const waiting = new AbortController();
    const silent = rejection(ask(`${url}/silent`, { signal: waiting.signal }));
    await until(() => server.requests.length === 1);
    waiting.abort(reason);
    expect((await silent) as unknown).toBe(reason);
    await until(() => server.open === 0);

    const reading = new AbortController();
    const response = await ask(`${url}/part`, {
      signal: reading.signal,
      maxBytes: null,
    });
    const reader = response.body!.getReader();
    expect((await reader.read()).value).toHaveLength(4);
    const rest = rejection(reader.read());
    reading.abort(reason);
    expect((await rest) as unknown).toBe(reason);
    await until(() => server.open === 0);
  });
});

describe("an answer", () => {
  test("comes piece by piece as it is sent, also when it is packed", async () => {
    for (const packed of [false, true]) {
      const pieces: ReadableStreamDefaultController<Uint8Array>[] = [];
      using server = Bun.serve({
        hostname: HERE,
        port: 0,
        idleTimeout: 0,
        fetch: () => {
          const events = new ReadableStream<Uint8Array>({
            start: (controller) => void pieces.push(controller),
          });
          const headers = { "content-type": "text/event-stream" };
          return packed
            ? new Response(events.pipeThrough(flushingGzip()), {
                headers: { ...headers, "content-encoding": "gzip" },
              })
            : new Response(events, { headers });
        },
      });
      const asked = outbound()(`http://${HERE}:${server.port}/`, {
        maxBytes: null,
      });
      await until(() => pieces.length === 1);
      const send = (text: string) =>
        pieces[0]!.enqueue(new TextEncoder().encode(text));
      send(": open\n\n");
      const response = await asked;
      expect(response.headers.get("content-type")).toBe("text/event-stream");
      expect(response.headers.has("content-encoding")).toBe(false);
      const reader = response.body!.getReader();
      const next = async () =>
        new TextDecoder().decode((await reader.read()).value);
      expect(await next()).toBe(": open\n\n");
      for (let n = 0; n < 3; n++) {
        send(`data: ${n}\n\n`);
        expect(await next()).toBe(`data: ${n}\n\n`);
      }
      await reader.cancel();
    }
  });

  test("waits for its reader, and not in memory", async () => {
    let sent = 0;
    await using server = await rawServer(HERE, (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      const chunk = Buffer.alloc(65_536, "x");
      const write = () => {
        while (!socket.destroyed) {
          sent += chunk.length;
          if (!socket.write(chunk)) return void socket.once("drain", write);
        }
      };
      write();
    });
    await using other = await rawServer(HERE, (socket) => socket.write(ok()));
    const ask = outbound();
    const response = await ask(`http://${HERE}:${server.port}/`, {
      maxBytes: null,
    });
    // What the machine's buffers take, and no more.
    for (let n = 0; n < 200; n++) {
      await read(ask, `http://${HERE}:${other.port}/`);
      expect(sent).toBeLessThan(16 * 1024 * 1024);
    }
    await response.body!.cancel();
    await until(() => server.open === 0);
  });

  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024), { level: 9 });
  // Demanded: outbound-bounded
  test.each<[string, (socket: Parameters<typeof flood>[0]) => void]>([
    [
      "without end",
      (socket) => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        flood(socket, Buffer.alloc(65_536, "x"));
      },
    ],
    [
      "that unpacks to a thousand times its size",
      (socket) => {
        socket.write(
          `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${bomb.length + 1}\r\n\r\n`,
        );
        socket.write(bomb);
      },
    ],
    [
      "in one line without end",
      (socket) => {
        socket.write(
          "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ",
        );
        flood(socket, Buffer.alloc(65_536, "x"));
      },
    ],
  ])("%s is cut off at its limit", async (_what, answer) => {
    await using server = await rawServer(HERE, answer);
    const response = await outbound()(`http://${HERE}:${server.port}/`, {
      maxBytes: 100_000,
    });
    let bytes = 0;
    const error = await rejection(
      (async () => {
        for await (const chunk of response.body!) bytes += chunk.length;
      })(),
    );
    expect(error.code).toBe("upstream_failed");
    expect(error.data).toEqual({ reason: "upstream_too_large" });
    expect(bytes).toBeLessThanOrEqual(100_000);
    await until(() => server.open === 0);
  });

  test("of exactly the limit is whole", async () => {
    await using server = await rawServer(HERE, (socket) =>
      socket.write(ok("12345")),
    );
    const url = `http://${HERE}:${server.port}/`;
    expect(await read(outbound(), url, { maxBytes: 5 })).toBe("12345");
    const error = await rejection(read(outbound(), url, { maxBytes: 4 }));
    expect(error.data).toEqual({ reason: "upstream_too_large" });
  });

  // Demanded: servers-misbehave
  test("that does not come, and one that drips, end with their time", async () => {
    await using server = await rawServer(HERE, (socket, request) => {
      if (request.startsWith("GET /silent")) return;
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      const drip = setInterval(() => socket.write("x"), 5);
      socket.on("close", () => clearInterval(drip));
    });
    const url = `http://${HERE}:${server.port}`;
    const ask = outbound({ bodyMs: 100 });
    const silent = await rejection(ask(`${url}/silent`, { timeoutMs: 50 }));
    expect(silent.code).toBe("timeout");
    const dripping = await rejection(read(ask, `${url}/drip`));
    expect(dripping.code).toBe("timeout");
    // Not read at all: nobody has to remember it.
    await ask(`${url}/drip`);
    await until(() => server.open === 0);
  });

  test.each<[string, (socket: Parameters<typeof flood>[0]) => void]>([
    ["is not HTTP", (socket) => socket.end("hello")],
    ["is nothing", (socket) => socket.end()],
    ["breaks off", (socket) => socket.end(ok("whole").slice(0, -2))],
    [
      "has two lengths",
      (socket) =>
        socket.end(
          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        ),
    ],
    [
      "has two framings",
      (socket) =>
        socket.end(
          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
    ],
    [
      "has headers without end",
      (socket) => {
        socket.write("HTTP/1.1 200 OK\r\n");
        flood(socket, "X-A: b\r\n".repeat(1000));
      },
    ],
    [
      "has one header without end",
      (socket) => {
        socket.write("HTTP/1.1 200 OK\r\nX-A: ");
        flood(socket, Buffer.alloc(65_536, "x"));
      },
    ],
    [
      "never comes after its announcements",
      (socket) => flood(socket, "HTTP/1.1 100 Continue\r\n\r\n".repeat(100)),
    ],
    [
      "never comes after its hints",
      (socket) =>
        flood(socket, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(99)),
    ],
    [
      "changes the protocol",
      (socket) =>
        socket.write(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi",
        ),
    ],
    [
      "has a status of its own",
      (socket) => socket.write("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"),
    ],
    [
      "is in an encoding that was not asked for",
      (socket) => socket.write(ok("x", "Content-Encoding: zstd\r\n")),
    ],
    [
      "is not in the encoding it says",
      (socket) =>
        socket.write(
          "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99\r\n\r\nhello",
        ),
    ],
    [
      "is not in the other encoding it says",
      (socket) =>
        socket.write(
          "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 99\r\n\r\nhello hello hello he",
        ),
    ],
  ])("that %s is a failure of the server", async (_what, answer) => {
    await using server = await rawServer(HERE, answer);
    const error = await rejection(
      read(outbound(), `http://${HERE}:${server.port}/`),
    );
    expect(error.code).toBe("upstream_failed");
    expect(error.message).toStartWith(HERE);
    expect(error.data?.["reason"]).toBeOneOf(["protocol", "unreachable"]);
    await until(() => server.open === 0);
  });

  test("that brings another with it does not answer the next request", async () => {
    await using server = await rawServer(HERE, (socket) =>
      socket.write(ok("first") + ok("evil")),
    );
    const ask = outbound();
    for (let n = 0; n < 3; n++) {
      expect(await read(ask, `http://${HERE}:${server.port}/`)).toBe("first");
    }
  });

  test("without a body has none", async () => {
    await using server = await rawServer(HERE, (socket, request) =>
      socket.write(
        request.startsWith("HEAD")
          ? "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
          : `HTTP/1.1 ${/\/(\d+)/.exec(request)![1]} X\r\nContent-Length: 0\r\n\r\n`,
      ),
    );
    const ask = outbound();
    const url = `http://${HERE}:${server.port}`;
    for (const status of [204, 205, 304]) {
      const response = await ask(`${url}/${status}`);
      expect([response.status, response.body]).toEqual([status, null]);
    }
    const head = await ask(`${url}/x`, { method: "HEAD" });
    expect(head.headers.get("content-length")).toBe("99");
    expect(head.body).toBeNull();
    expect(await read(ask, `${url}/202`)).toBe("");
  });
});

test("three hundred open streams leave room for one more request", async () => {
  let open = 0;
  using server = Bun.serve({
    hostname: HERE,
    port: 0,
    idleTimeout: 0,
    fetch(request) {
      if (request.url.endsWith("/one")) return new Response("one");
      open++;
      return new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(": open\n\n"),
        }),
      );
    },
  });
  const ask = outbound();
  const url = `http://${HERE}:${server.port}`;
  const streams = await Promise.all(
    Array.from({ length: 300 }, () => ask(url, { maxBytes: null })),
  );
  expect(open).toBe(300);
  expect(await read(ask, `${url}/one`)).toBe("one");
  expect(await (await fetch(`${url}/one`)).text()).toBe("one");
  await Promise.all(streams.map((stream) => stream.body!.cancel()));
});

/** Packs each piece so that it can be unpacked at once. */
function flushingGzip(): ReadableWritablePair<Uint8Array, Uint8Array> {
  const { createGzip, constants } = process.getBuiltinModule("node:zlib");
  const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH });
  return {
    readable: new ReadableStream({
      start(controller) {
        gzip.on("data", (chunk: Uint8Array) => controller.enqueue(chunk));
        gzip.on("end", () => controller.close());
      },
    }),
    writable: new WritableStream({
      write: (chunk) => void gzip.write(chunk),
      close: () => void gzip.end(),
    }),
  };
}
