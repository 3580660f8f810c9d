import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { routes } from "../../src/http/routes.ts";
import type { Route } from "../../src/http/routes.ts";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize, listTools } from "../support/caller.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig({
    env: {
      ALLOWED_ORIGINS: "https://app.example",
      ALLOWED_HOSTS: "mcp.example",
      MAX_BODY_BYTES: "10000",
    },
  });
});
afterAll(() => rig[Symbol.asyncDispose]());

/** Bytes as they are; the status line, headers and body of the answer. */
async function raw(text: string): Promise<{ status: number; text: string }> {
  const port = Number(new URL(rig.url).port);
  const answer = await new Promise<string>((resolve, reject) => {
    let received = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    socket.on("data", (data) => {
      received += data;
      socket.end();
    });
    socket.on("close", () => resolve(received));
    socket.on("error", reject);
  });
  return { status: Number(answer.split(" ")[1] ?? 0), text: answer };
}

const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(rig.url + path, { headers });

describe("Host and Origin", () => {
  test.each([
    "Host: a b",
    "Host: x/public?y=",
    "Host: a@b",
    "Host:",
    "Host: localhost\r\nHost: evil.example",
    "X-No-Host: 1",
  ])("%j is a bad request", async (line) => {
    const { status, text } = await raw(
      `GET /health HTTP/1.1\r\n${line}\r\n\r\n`,
    );
    expect(status).toBe(400);
    expect(text).not.toContain("<html");
  });

  test.each([
    ["evil.example", 403],
    ["localhost.evil.example", 403],
    ["localhost", 200],
    ["127.0.0.1:1", 200],
    ["[::1]:3000", 200],
    ["MCP.example", 200],
  ])("Host %s is answered with %d", async (host, status) => {
    const answer = await raw(`GET /health HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(answer.status).toBe(status);
  });

  test.each([
    ["https://evil.example", 403],
    ["null", 403],
    ["http://app.example", 403],
    ["https://app.example.evil.example", 403],
    ["https://app.example:8443", 403],
    ["http://localhost:1", 403],
    ["https://app.example", 200],
  ])(
    "Origin %s is answered with %d on every route and opens no session",
    async (origin, status) => {
      expect((await get("/health", { origin })).status).toBe(status);
      const answer = await rig.post("ada", initialize(), { origin });
      expect(answer.status).toBe(status);
      expect(answer.headers.has("mcp-session-id")).toBe(status === 200);
      expect(answer.headers.get("access-control-allow-origin")).toBe(
        status === 200 ? origin : null,
      );
    },
  );

  // Demanded: origin
  test("a page that may call sees what it needs, and no other page may be told that it may", async () => {
    const preflight = (origin: string) =>
      fetch(`${rig.url}/mcp`, {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-headers": "authorization, mcp-session-id",
        },
      });
    const allowed = await preflight("https://app.example");
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get("access-control-allow-origin")).toBe(
      "https://app.example",
    );
    expect(allowed.headers.get("access-control-allow-headers")).toContain(
      "mcp-session-id",
    );
    expect(allowed.headers.get("access-control-allow-credentials")).toBeNull();
    expect(allowed.headers.get("vary")).toContain("Origin");
    const refused = await preflight("https://evil.example");
    expect(refused.status).toBe(403);
    expect(refused.headers.get("access-control-allow-origin")).toBeNull();
    const answer = await rig.post("ada", initialize(), {
      origin: "https://app.example",
    });
    const exposed = answer.headers.get("access-control-expose-headers") ?? "";
    for (const name of [
      "Mcp-Session-Id",
      "Mcp-Protocol-Version",
      "WWW-Authenticate",
      // Without it, a page could change no server and no webhook.
      "ETag",
    ]) {
      expect(exposed).toContain(name);
    }
  });
});

describe("bodies", () => {
  test.each([
    "text/plain",
    "",
    "application/json;charset=x,text/plain",
    "multipart/form-data",
  ])("Content-Type %j is 415", async (type) => {
    const answer = await rig.post("ada", initialize(), {
      "content-type": type,
    });
    expect(answer.status).toBe(415);
  });

  test("one that is compressed is 415, and says why", async () => {
    const token = await rig.tokenFor("ada");
    const post = (encoding: string, body: BodyInit) =>
      fetch(`${rig.url}/mcp`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${token}`,
          "content-type": "application/json",
          "content-encoding": encoding,
        },
        body,
      });
    const ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
    const refused = await post("gzip", Bun.gzipSync(ping));
    expect(refused.status).toBe(415);
    expect(refused.headers.get("accept-encoding")).toBe("identity");
    expect(await refused.text()).toContain("Content-Encoding");
    expect((await post("identity", ping)).status).toBe(200);
  });

  test("a parameter of application/json is fine", async () => {
    const answer = await rig.post("ada", initialize(), {
      "content-type": "application/json; charset=utf-8",
    });
    expect(answer.status).toBe(200);
  });

  test("one that is too large is 413, announced or not, and opens nothing", async () => {
    const big = JSON.stringify(call("lab_echo", { text: "x".repeat(20_000) }));
    expect((await rig.post("ada", big)).status).toBe(413);
    const chunked = await fetch(`${rig.url}/mcp`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${await rig.tokenFor("ada")}`,
      },
      body: new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(big));
          controller.close();
        },
      }),
    });
    expect(chunked.status).toBe(413);
  });

  test("a body that is not UTF-8 is a parse error, and the server goes on", async () => {
    const session = await rig.open("ada");
    const response = await fetch(`${rig.url}/mcp`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "mcp-session-id": session,
        authorization: `Bearer ${await rig.tokenFor("ada")}`,
      },
      body: new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
    });
    expect(response.status).toBe(400);
    expect((await get("/health")).status).toBe(200);
  });
});

describe("routes", () => {
  const open = [
    "/",
    "/health",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
  ];
  const closed = [
    "/mcp",
    "/mcp/sessions",
    "/sse",
    "/sse/messages",
    "/nothing",
    "/MCP",
    "//mcp",
    "/mcp/",
    "/%6dcp",
    "/x/../mcp",
    "/mcp;a=b",
    "/mcp%00",
    "/mcp&apps=lab",
    "/metrics",
    "/.env",
  ];

  test("without a credential only the public ones answer, whatever the method or spelling", async () => {
    for (const path of [...open, ...closed]) {
      for (const method of [
        "GET",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "HEAD",
        "TRACE",
      ]) {
        const { status } = await raw(
          `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
        );
        const fine =
          open.includes(path) && ["GET", "HEAD"].includes(method)
            ? [200]
            : [400, 401, 404, 405, 501];
        expect([method, path, fine.includes(status) || status]).toEqual([
          method,
          path,
          true,
        ]);
      }
    }
  });

  test("of all routes in the table these alone are public, and the others ask for a credential", async () => {
    const isPublic = (route: Route) => routes[route] === "public";
    const all = Object.keys(routes) as Route[];
    expect(all.filter(isPublic)).toEqual([
      "GET /",
      "GET /health",
      "GET /openapi.json",
      "GET /docs",
      "GET /docs/swagger-ui.js",
      "GET /docs/swagger-ui.css",
      "GET /docs/start.js",
      "GET /docs/licenses.txt",
      "GET /.well-known/oauth-protected-resource",
      "GET /.well-known/oauth-protected-resource/mcp",
      "GET /.well-known/oauth-protected-resource/mcp/:server",
      "GET /oauth/client.json",
      "GET /api/v2/w/:workspace/mcp-servers/:id/icon",
      "POST /webhook/mcp",
    ]);
    const answers = (route: Route) => {
      // An icon has a token; a link is good for what it says, and there is none here.
      if (route.endsWith("/icon")) return 404;
      if (routes[route] === "link") return 400;
      // Signed, or refused.
      if (route === "POST /webhook/mcp") return 401;
      return isPublic(route) ? 200 : 401;
    };
    for (const route of all) {
      const [method, path] = route.split(" ") as [string, string];
      const response = await fetch(rig.url + path.replaceAll(/:\w+/g, "any"), {
        method,
        ...(method === "POST"
          ? {
              headers: {
                "content-type":
                  routes[route] === "link"
                    ? "application/x-www-form-urlencoded"
                    : "application/json",
              },
              body: "{}",
            }
          : {}),
      });
      expect([route, response.status]).toEqual([route, answers(route)]);
    }
  });

  test("a method that a path does not take is 405, naming those that it does", async () => {
    const response = await fetch(`${rig.url}/mcp`, { method: "PUT" });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST, GET, DELETE, OPTIONS");
  });

  test("health says what works", async () => {
    const response = await get("/health");
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      status: "ok",
      version: "0.1.0",
      checks: { database: "ok" },
    });
  });

  // Demanded: request-id
  test("every answer has a request id that is in the log, and none is kept by a cache", async () => {
    for (const path of ["/", "/mcp", "/nothing"]) {
      const { headers } = await get(path);
      const id = headers.get("x-request-id");
      expect(rig.lines.find((line) => line["id"] === id)).toMatchObject({
        event: "request",
        path,
      });
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
    }
  });
});

describe("the log", () => {
  test("has one line for each request, with what an operator looks for", async () => {
    const session = await rig.open("ada", { "x-chat-id": "log" });
    const { headers } = await rig.post(
      "ada",
      call("lab_echo", { secret: "argument" }),
      {
        "mcp-session-id": session,
      },
    );
    const id = headers.get("x-request-id");
    const lines = rig.lines.filter((line) => line["id"] === id);
    expect(lines).toEqual([
      expect.objectContaining({
        method: "POST",
        path: "/mcp",
        status: 200,
        user: "ada",
        session,
        chat: "log",
        rpc: "tools/call",
        tool: "lab_echo",
      }),
    ]);
    expect(typeof lines[0]!["ms"]).toBe("number");
    expect(JSON.stringify(rig.lines)).not.toContain("argument");
  });

  test("and the database never hold a token, wherever it was given", async () => {
    const token = await rig.tokenFor("sentinel");
    const session = await rig.open(token);
    await rig.post(token, listTools, { "mcp-session-id": session });
    await rig.post(token, call("lab_fail-action-run"), {
      "mcp-session-id": session,
    });
    await rig.post(null, initialize(), {}, `/mcp?token=${token}`);
    await rig.post(null, "{", {}, `/mcp?token=${token}`);
    await rig.post(null, initialize(), {}, `/mcp?token=${token}x`);
    await rig.post(null, initialize(), {}, `/nothing?token=${token}`);
    const sse = await rig.listen(token, {}, "/sse");
    const { data } = await sse.until(({ event }) => event === "endpoint");
    expect(data).not.toContain("token");
    const signature = token.split(".")[2]!;
    expect(JSON.stringify(rig.lines)).not.toContain(signature);
    const grep = Bun.spawnSync([
      "grep",
      "-rac",
      "-e",
      signature,
      rig.directory,
    ]);
    for (const line of grep.stdout.toString().trim().split("\n"))
      expect(line).toEndWith(":0");
  });
});
