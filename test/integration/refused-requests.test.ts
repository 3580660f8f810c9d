import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  test,
} from "bun:test";
import { createRest } from "../support/absent-servers.ts";
import type { Gateway } from "../support/gateway.ts";
import { openGateway } from "../support/gateway.ts";
import { openFullServer } from "../support/servers/full.ts";
import type { FullServer } from "../support/servers/full.ts";
import { PREFIX, headersFor, request } from "../support/stateless.ts";

/**
 * A server that refuses how it was asked (MCP 2026-07-28, basic/index, "Error Codes": HeaderMismatch and
 * UnsupportedProtocolVersion) speaks of our request to it, and not of the caller's to us.
 */

const WORDS = "Mcp-Method does not match the body, words of the server";

let server: FullServer;
let front: Bun.Server<undefined>;
let gateway: Gateway;
/** The calls that are refused next, each with its code. */
let refusals: number[] = [];
let methods: string[] = [];

beforeAll(async () => {
  server = await openFullServer({ era: "stateless" });
  const origin = new URL(server.url).origin;
  front = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(asked) {
      const text = await asked.text();
      const { method, id = null } = text === "" ? {} : JSON.parse(text);
      methods.push(method);
      const code = method === "tools/call" ? refusals.shift() : undefined;
      if (code !== undefined) {
        const data =
          code === -32022
            ? { supported: ["2026-07-28"], requested: "2026-07-28" }
            : undefined;
        const error = { code, message: WORDS, ...(data ? { data } : {}) };
        return Response.json({ jsonrpc: "2.0", id, error }, { status: 400 });
      }
      const { pathname, search } = new URL(asked.url);
      const headers = new Headers(asked.headers);
      headers.delete("host");
      return fetch(origin + pathname + search, {
        method: asked.method,
        headers,
        ...(text === "" ? {} : { body: text }),
        signal: asked.signal,
      });
    },
  });
  gateway = await openGateway();
  const { pathname } = new URL(server.url);
  await gateway.register({
    slug: "picky",
    at: `http://127.0.0.1:${front.port}${pathname}`,
  });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await front.stop(true);
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  refusals = [];
  methods = [];
});

const TOOL = "picky_echo";
const ARGUMENTS = { words: "w" };

async function ask(era: "sessions" | "stateless") {
  const params = { name: TOOL, arguments: ARGUMENTS };
  if (era === "stateless") {
    const meta = { [`${PREFIX}clientCapabilities`]: {} };
    return gateway.post(
      "ann",
      request("tools/call", { ...params, _meta: meta }),
      headersFor("tools/call", TOOL),
    );
  }
  const session = await gateway.open("ann");
  return gateway.post(
    "ann",
    { jsonrpc: "2.0", id: 1, method: "tools/call", params },
    { "mcp-session-id": session },
  );
}

describe.each(["sessions", "stateless"] as const)("over %s", (era) => {
  // Demanded: servers-foreign-protocol-errors
  test.each([-32020, -32022])(
    "%d of a server is its failure, in our words, and no fault of the caller's",
    async (code) => {
      refusals = Array(9).fill(code);
      const { status, body, text } = await ask(era);
      expect(status).toBe(200);
      expect(body.error).toBeUndefined();
      expect(body.result).toMatchObject({
        isError: true,
        content: [{ text: expect.stringContaining("picky") }],
        _meta: { "membrane-mcp/error": { failureClass: "protocol" } },
      });
      expect(text).not.toContain(WORDS);
      expect(text).not.toContain(String(code));
    },
  );
});

test("over REST it is 502", async () => {
  refusals = [-32020];
  const rest = createRest(gateway.url);
  const answer = await rest(
    await gateway.tokenFor("ann"),
    `POST /tools/${TOOL}/call`,
    { params: ARGUMENTS },
  );
  expect([answer.status, answer.body.detail]).toMatchObject([
    502,
    { code: "upstream_protocol", failureClass: "protocol" },
  ]);
});

test("it does not make the server count as down", async () => {
  for (let calls = 0; calls < 7; calls++) {
    refusals = [-32020];
    await ask("sessions");
  }
  expect((await ask("sessions")).body.result.isError).toBeFalsy();
});

test("a server that has learned another revision is asked for it anew, and the call succeeds", async () => {
  await ask("sessions");
  methods = [];
  refusals = [-32022];
  expect((await ask("sessions")).body.result.isError).toBeFalsy();
  expect(methods.filter((method) => /call|discover/.test(method))).toEqual([
    "tools/call",
    "server/discover",
    "tools/call",
  ]);
});
