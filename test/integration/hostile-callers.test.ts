import { afterAll, beforeAll, expect, test } from "bun:test";
import { createRest } from "../support/absent-servers.ts";
import type { Rig } from "../support/app.ts";
import { WORKSPACE_KEY, openRig } from "../support/app.ts";
import { W1, openRestRig } from "../support/rest-rig.ts";

/** What members and servers do that is meant to harm the others. */

type Message = { id?: number; method: string; params: any };
const asked: Message[] = [];
const tools = ["echo", "connect-account"].map((name) => ({
  name,
  inputSchema: { type: "object" },
}));
/** A page of a list that has no end; each tool is small enough by itself. */
const largePage = () => ({
  tools: Array.from({ length: 20 }, (_, i) => ({
    ...tools[0],
    name: `large-${asked.length}-${i}`,
    description: "x".repeat(200_000),
  })),
  nextCursor: `${asked.length}`,
});
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    if (request.method !== "POST") return new Response(null, { status: 405 });
    const message = (await request.json()) as Message;
    asked.push(message);
    const { id, method, params } = message;
    if (id === undefined) return new Response(null, { status: 202 });
    const result: any = {
      initialize: {
        protocolVersion: "2025-11-25",
        capabilities: { tools: {} },
        serverInfo: { name: "small", version: "1" },
      },
      "tools/list": request.url.endsWith("/large") ? largePage() : { tools },
      "tools/call": { content: [{ type: "text", text: params?.name }] },
    }[method];
    return Response.json(
      result
        ? { jsonrpc: "2.0", id, result }
        : { jsonrpc: "2.0", id, error: { code: -32601, message: "no" } },
    );
  },
});
const at = `http://127.0.0.1:${server.port}/mcp`;

let rig: Rig;
let rest: (
  user: string,
  route: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<any>;
beforeAll(async () => {
  rig = await openRig({
    sources: [],
    env: { OUTBOUND_ALLOW: "127.0.0.1", TOKEN_SCOPES: "apps:admin" },
  });
  const ask = createRest(rig.url);
  rest = async (user, ...request) => ask(await rig.tokenFor(user), ...request);
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
  await server.stop(true);
});

const add = (name: string, more: object = {}) =>
  rest("ada", "POST /servers", { name, url: at, ...more });
const call = (user: string, name: string, tool: string) =>
  rest(user, `POST /servers/${name}/tools/${tool}/call`, {});

test("a server's own tool called connect-account is a tool like others", async () => {
  await add("own");
  const { body } = await call("ada", "own", "connect-account");
  expect(body.result.content[0].text).toBe("connect-account");
});

test("who has to connect first is offered that, under that name", async () => {
  const authentication = { type: "direct_auth" };
  const base = `/api/v2/w/${WORKSPACE_KEY}/mcp-servers`;
  const made = await rest("ada", `POST ${base}`, {
    name: "direct",
    url: at,
    authentication,
  });
  const { id } = made.body;
  await rest("ada", `POST ${base}/${id}/credentials`, { token: "t" });
  await rest("ada", `POST ${base}/${id}/enable`);
  const listed = await rest("bob", "POST /mcp", {
    jsonrpc: "2.0",
    id: 1,
    method: "tools/list",
  });
  const names = listed.body.result.tools.map((tool: any) => tool.name);
  expect(names).toContain("direct_connect-account");
  expect(names).not.toContain("direct_echo");
});

// Demanded: servers-federated
test.each([
  ["hop,".repeat(16), 200],
  ["hop,".repeat(17), 508],
  ["h".repeat(65), 400],
  ["a b", 400],
])("a way through gateways of %p is %d", async (via, status) => {
  const answer = await fetch(rig.url, { headers: { "mcp-gateway-via": via } });
  expect(answer.status).toBe(status);
});

test("of several who register the same name at once one does", async () => {
  const answers = await Promise.all([1, 2, 3, 4].map(() => add("Same Name")));
  expect(answers.map(({ status }) => status).toSorted()).toEqual([
    201, 409, 409, 409,
  ]);
  const found = await rest("ada", "GET /servers/Same%20Name");
  expect(found.body.slug).toBe("same-name");
});

test("of a list that is too large as much is kept as anybody can use", async () => {
  const before = asked.length;
  await rest("ada", "POST /servers", { name: "large", url: `${at}/large` });
  const listed = await rest(
    "ada",
    `GET /api/v2/w/${WORKSPACE_KEY}/mcp-servers`,
  );
  const { id } = listed.body.find((one: any) => one.slug === "large");
  const { text } = await rest(
    "ada",
    `GET /api/v2/w/${WORKSPACE_KEY}/mcp-servers/${id}/tools`,
  );
  expect(text.length).toBeWithin(3_000_000, 5_000_000);
  const pages = asked
    .slice(before)
    .filter(({ method }) => method === "tools/list");
  // Two each time that somebody looks, and no more.
  expect(pages.length).toBeWithin(2, 20);
});

test("who moves a server does not overwrite what somebody says while its members are disconnected", async () => {
  await using other = await openRestRig();
  const id = await other.add(
    "moving",
    {},
    { authentication: { type: "oauth" } },
  );
  const store = other.store();
  await store.edit(id, () => ({ state: "ready", setupStep: null }), 1);
  let meanwhile: Promise<unknown> | null = null;
  store.onChange(() => {
    meanwhile ??= store.edit(
      id,
      () => ({ authType: "bearer", sealedSecret: "theirs" }),
      2,
    );
  });
  const answer = await other.rest(
    "write:ada@w1",
    `PATCH ${W1}/${id}`,
    { url: "https://elsewhere.example/mcp" },
    { "if-match": "*" },
  );
  await meanwhile;
  expect([answer.status, answer.body.detail.code]).toEqual([
    412,
    "version_mismatch",
  ]);
  expect(other.stored(id)).toMatchObject({
    authType: "bearer",
    sealedSecret: "theirs",
  });
});
