import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { call, initialize, listTools } from "../support/caller.ts";
import type { Gateway } from "../support/gateway.ts";
import { openGateway } from "../support/gateway.ts";
import type { McpClientOptions } from "../support/mcp-clients.ts";
import type { LegacyServer } from "../support/servers/legacy-v1.ts";
import { openLegacyServer } from "../support/servers/legacy-v1.ts";
import { messagesOf } from "../support/servers/recording.ts";
import { openSocket } from "../support/socket.ts";
import { PREFIX, request } from "../support/stateless.ts";

/** What registered servers say and ask, told over a WebSocket. */

let server: LegacyServer;
let gateway: Gateway;
beforeAll(async () => {
  server = await openLegacyServer();
  gateway = await openGateway({
    upstreams: [{ slug: "s", at: server.url }],
  });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const client = (user: string, options: McpClientOptions = {}, path = "/ws") =>
  gateway.client(user, { ...options, kind: "v1", ws: true, path });
const socket = async (user: string, path = "/ws") =>
  openSocket(gateway.url + path, {
    headers: { authorization: `Bearer ${await gateway.tokenFor(user)}` },
  });
const cancelled = { jsonrpc: "2.0", method: "notifications/cancelled" };

describe("the official client over a WebSocket", () => {
  // Demanded: ws-both-ways
  test("is asked everything that a server asks, and the answers come back", async () => {
    await using ann = await client("ann", {
      elicit: ({ message }) => ({
        action: "accept",
        content: { answer: `${message} yes` },
      }),
      sample: ({ messages }) => `said ${messages[0].content.text}`,
      roots: [{ uri: "file:///home", name: "home" }],
    });
    const asked = await ann.text("s_ask", { message: "sure?", nonce: "n" });
    expect(JSON.parse(asked).content).toEqual({ answer: "sure? yes" });
    expect(await ann.text("s_sample", { prompt: "p" })).toBe("said p");
    expect(await ann.text("s_roots", {})).toContain("file:///home");
  });

  // Demanded: ws-both-ways
  test("hears progress, logs, changed lists and updated resources", async () => {
    await using ann = await client("ann");
    await ann.client.setLoggingLevel("debug");
    await ann.toolNames();
    const progress: unknown[] = [];
    await ann.text(
      "s_progress",
      { steps: 3, nonce: "w" },
      { progress: (at) => void progress.push(at.message) },
    );
    expect(progress).toEqual(["w 1", "w 2", "w 3"]);
    await ann.text("s_log", { nonce: "logged", level: "warning" });
    await ann.until(({ params }) => params?.data === "logged");
    const { resources } = await ann.client.listResources();
    const { uri } = resources[0]!;
    await ann.watch(uri);
    const updated = ({ method }: { method: string }) =>
      method.endsWith("resources/updated");
    // Until its server has been told that somebody listens.
    while (!ann.heard.some(updated)) {
      server.change({ uri });
      await Bun.sleep(5);
    }
    server.change({ list: "tools" });
    await ann.until(({ method }) => method.endsWith("tools/list_changed"));
    server.change({ list: "tools" });
  });

  test("cancels a call, and the server that runs it is told", async () => {
    await using ann = await client("ann", {
      elicit: () => new Promise(() => {}),
    });
    const controller = new AbortController();
    const running = ann.call(
      "s_ask",
      { message: "m", nonce: "never" },
      { signal: controller.signal },
    );
    while (!server.runs("never")) await Bun.sleep(1);
    controller.abort();
    await expect(running).rejects.toThrow();
    const told = () =>
      messagesOf(server.requests).some(
        ({ method }) => method === cancelled.method,
      );
    while (!told()) await Bun.sleep(1);
    expect((await ann.toolNames()).length).toBeGreaterThan(0);
  });

  test("sees one server alone at /ws/{slug}", async () => {
    await using ann = await client("ann", {}, "/ws/s");
    expect(await ann.toolNames()).toContain("ask");
    expect(await ann.text("progress", { steps: 1, nonce: "alone" })).toBe(
      "alone",
    );
  });
});

test("a session of everything is not one of a server alone", async () => {
  const all = await socket("ann");
  const { result } = await all.ask(initialize());
  const session = result._meta["membrane-mcp/sessionId"] as string;
  const alone = await socket("ann", `/ws/s?session=${session}`);
  expect((await alone.closed).code).toBe(4404);
  all.close();
});

test("a call without a session is cancelled when its connection goes", async () => {
  const told = (method: string) =>
    messagesOf(server.requests).filter((one) => one.method === method);
  const before = told(cancelled.method).length;
  const one = await socket("gone");
  one.send(call("s_ask_late", { gate: "gone", message: "m" }));
  const began = () =>
    told("tools/call").some(({ params }) => params.arguments.gate === "gone");
  while (!began()) await Bun.sleep(1);
  one.close();
  while (told(cancelled.method).length === before) await Bun.sleep(1);
});

test("a question is put to the socket that called alone, and nobody else can answer it", async () => {
  const open = async (user: string) => {
    const one = await socket(user);
    const { params, ...rest } = initialize();
    const capabilities = { elicitation: {} };
    await one.ask({ ...rest, params: { ...params, capabilities } });
    return one;
  };
  const [ann, other, bob] = [
    await open("ann"),
    await open("ann"),
    await open("bob"),
  ];
  ann.send(call("s_ask", { message: "who?", nonce: "q" }, "ask"));
  const asked = await ann.until(({ method }) => method?.startsWith("elicit"));
  expect(asked.params._meta["membrane-mcp/eventId"]).toBeString();
  // Somebody else's answer meets nobody.
  for (const wrong of [other, bob]) {
    wrong.send({
      jsonrpc: "2.0",
      id: asked.id,
      result: { action: "accept", content: { answer: "wrong" } },
    });
    await wrong.ask(listTools);
    expect(wrong.messages.some(({ method }) => method)).toBe(false);
  }
  ann.send({
    jsonrpc: "2.0",
    id: asked.id,
    result: { action: "accept", content: { answer: "right" } },
  });
  const answer = await ann.until(({ id }) => id === "ask");
  expect(answer.result.content[0].text).toContain("right");
  for (const one of [ann, other, bob]) one.close();
});

test("a stateless caller is asked in its answer, and answers with its next request", async () => {
  const one = await socket("ann");
  const params = {
    name: "s_ask",
    arguments: { message: "well?", nonce: "state" },
    _meta: { [`${PREFIX}clientCapabilities`]: { elicitation: { form: {} } } },
  };
  const first = await one.ask(request("tools/call", params, 1));
  expect(first.result.resultType).toBe("input_required");
  const { requestState, inputRequests } = first.result;
  const [key] = Object.keys(inputRequests as object);
  const inputResponses = {
    [key!]: { action: "accept", content: { answer: "so" } },
  };
  const again = { ...params, requestState, inputResponses };
  const second = await one.ask(request("tools/call", again, 2));
  expect(second.result.content[0].text).toContain("so");
  one.close();
});
