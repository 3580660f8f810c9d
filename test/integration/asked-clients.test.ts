import { describe, expect, test } from "bun:test";
import { McpError } from "@modelcontextprotocol/sdk/types.js";
import { call, initialize, messages } from "../support/caller.ts";
import { openGateway } from "../support/gateway.ts";
import { openEvil } from "../support/servers/evil.ts";
import {
  openLegacyServer,
  openLegacySseServer,
} from "../support/servers/legacy-v1.ts";
import type { LegacyOptions } from "../support/servers/legacy-v1.ts";

/** What the client of a session says to the questions of a server with sessions, beside an answer. */

const kinds = [
  { kind: "its call's stream", open: openLegacyServer },
  {
    kind: "its session's stream",
    open: (options: LegacyOptions) =>
      openLegacyServer({ ...options, aside: true }),
  },
  { kind: "HTTP+SSE", open: openLegacySseServer, sse: true },
];

describe.each(kinds)("a server that asks over $kind", ({ open, sse }) => {
  async function openTown(options: LegacyOptions = {}) {
    const server = await open(options);
    const gateway = await openGateway({
      upstreams: [{ slug: "s", at: server.url, sse: sse ?? false }],
    });
    return {
      gateway,
      async [Symbol.asyncDispose]() {
        await gateway[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  }

  test("is told why its client refuses", async () => {
    await using town = await openTown();
    await using client = await town.gateway.client("ann", {
      kind: "v1",
      sample() {
        throw new McpError(-1, "User rejected sampling request");
      },
    });
    // The tool fails with what it was told.
    await expect(
      client.call("s_sample", { prompt: "p" }),
    ).rejects.toMatchObject({
      code: -1,
      message: expect.stringContaining("User rejected") as string,
    });
  });

  test("takes back what it does not wait for, and its call ends", async () => {
    await using town = await openTown({ patienceMs: 20 });
    const { gateway } = town;
    const { method, params } = initialize();
    const { headers } = await gateway.post("ann", {
      jsonrpc: "2.0",
      id: 0,
      method,
      params: { ...params, capabilities: { elicitation: {} } },
    });
    const session = { "mcp-session-id": headers.get("mcp-session-id")! };
    const answer = await gateway.start("ann", call("s_ask", {}), session);
    await answer.ended;
    const said = messages(answer.events);
    const asked = said.find((one) => one.method === "elicitation/create");
    const withdrawn = said.find(
      (one) => one.method === "notifications/cancelled",
    );
    expect(withdrawn.params.requestId).toBe(asked.id);
    const last = said.at(-1);
    expect(last.id).toBe(1);
    expect(last.error.message).toContain("timed out");
  });
});

test.each([
  ["elicitation/create", { message: "Your PIN?", requestedSchema: {} }],
  ["sampling/createMessage", { messages: [], maxTokens: 1 }],
  ["roots/list", {}],
])("nobody is asked %s that belongs to no call", async (method, params) => {
  await using evil = await openEvil();
  await using gateway = await openGateway({
    upstreams: [{ slug: "s", at: evil.url }],
  });
  const asked: unknown[] = [];
  await using client = await gateway.client("ann", {
    kind: "v1",
    elicit: (params) => (asked.push(params), { action: "accept" }),
    sample: (params) => (asked.push(params), "yes"),
    roots: [{ uri: "file:///home" }],
  });
  await client.text("s_good_one", {});
  while (!evil.requests.some((one) => one.method === "GET")) await Bun.sleep(1);
  evil.push({ id: "unasked", method, params });
  while (evil.answers.length === 0) await Bun.sleep(1);
  expect(evil.answers).toMatchObject([
    { id: "unasked", error: { code: -32601 } },
  ]);
  expect(asked).toEqual([]);
});

test("what was done at a URL is told to the clients that can open URLs, of that member", async () => {
  await using evil = await openEvil();
  await using gateway = await openGateway({
    upstreams: [{ slug: "s", at: evil.url }],
  });
  const options = { kind: "v1", path: "/mcp/s" } as const;
  const elicit = () => ({ action: "accept" }) as const;
  await using able = await gateway.client("ann", { ...options, elicit });
  await using unable = await gateway.client("ann", options);
  await using other = await gateway.client("bob", { ...options, elicit });
  const clients = [able, unable, other];
  for (const client of clients) {
    await client.toolNames();
    await client.watch("evil://good");
  }
  const heard = (name: string) => (one: { method: string }) =>
    one.method === `notifications/${name}`;
  // Once its stream is open, everything that comes on it comes in order.
  const push = (method: string, params: object) =>
    evil.push({ method: `notifications/${method}`, params });
  const listens = () =>
    evil.requests.filter(({ method }) => method === "GET").length;
  while (listens() < 2) await Bun.sleep(1);
  push("elicitation/complete", { elicitationId: "e-1" });
  push("resources/updated", { uri: "evil://good" });
  await able.until(heard("elicitation/complete"));
  for (const client of clients) await client.until(heard("resources/updated"));
  const told = clients.map((client) =>
    client.heard
      .filter(heard("elicitation/complete"))
      .map(({ params }) => params),
  );
  // Each member has a connection of their own, and the server told all of them.
  expect(told).toEqual([
    [{ elicitationId: "e-1" }],
    [],
    [{ elicitationId: "e-1" }],
  ]);
});
