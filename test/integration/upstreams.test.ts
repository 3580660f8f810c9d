import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openMcpClient } from "../support/mcp-clients.ts";
import type { McpClient, McpClientOptions } from "../support/mcp-clients.ts";
import { openFullServer } from "../support/servers/full.ts";
import {
  openLegacyServer,
  openLegacySseServer,
} from "../support/servers/legacy-v1.ts";
import type { LegacyServer } from "../support/servers/legacy-v1.ts";
import {
  everythingCommand,
  openEverything,
} from "../support/servers/everything.ts";
import { messagesOf } from "../support/servers/recording.ts";

import { runs, stdioServer } from "../support/servers/stdio.ts";

/** The servers that other tests are made with do what they say, to the official clients. */

type Server = Omit<LegacyServer, "start" | "restart"> & {
  start(): void | Promise<void>;
};
type Case = {
  server: string;
  open(): Promise<Server>;
  client: McpClientOptions;
};

const cases: Case[] = [
  {
    server: "full, stateless",
    open: () => openFullServer(),
    client: { kind: "stateless" },
  },
  {
    server: "full, with sessions",
    open: () => openFullServer(),
    client: { kind: "legacy" },
  },
  {
    server: "full that knows only sessions",
    open: () => openFullServer({ era: "legacy" }),
    client: { kind: "auto" },
  },
  {
    server: "full that knows only 2026-07-28",
    open: () => openFullServer({ era: "stateless" }),
    client: { kind: "auto" },
  },
  {
    server: "of the older SDK",
    open: () => openLegacyServer(),
    client: { kind: "v1" },
  },
  {
    server: "of the older SDK to the newer client",
    open: () => openLegacyServer(),
    client: { kind: "auto" },
  },
  {
    server: "of HTTP+SSE",
    open: () => openLegacySseServer(),
    client: { kind: "v1", sse: true },
  },
  {
    server: "of HTTP+SSE to the newer client",
    open: () => openLegacySseServer(),
    client: { kind: "legacy", sse: true },
  },
];

describe.each(cases)("the server $server", (one) => {
  const { server: name, open, client: options } = one;
  let server: Server;
  let client: McpClient;
  const sessions = !/stateless|only 2026/.test(name);
  const answering: McpClientOptions = {
    ...options,
    token: "a-token",
    elicit: ({ mode, message }) =>
      mode === "url"
        ? { action: "accept" }
        : { action: "accept", content: { answer: `to ${message}` } },
    sample: ({ messages }) => `about ${messages[0].content.text}`,
    roots: [{ uri: "file:///home" }],
  };
  beforeAll(async () => {
    server = await open();
    client = await openMcpClient(server.url, answering);
  });
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  test("tells who asks, and repeats what is said", async () => {
    expect(await client.text("whoami")).toBe("Bearer a-token");
    expect(await client.text("echo", { a: [1] })).toBe('{"a":[1]}');
    expect((await client.text("big", { bytes: 100_000 })).length).toBe(100_000);
  });

  test("counts what runs", async () => {
    const nonce = crypto.randomUUID();
    expect(await client.text("count", { nonce })).toBe("1");
    expect(await client.text("count", { nonce })).toBe("2");
    expect(server.runs(nonce)).toBe(2);
  });

  test("reports the progress of each call to that call", async () => {
    const one = async (nonce: string) => {
      const heard: unknown[] = [];
      const text = await client.text(
        "progress",
        { steps: 3, nonce },
        { progress: ({ message }) => heard.push(message) },
      );
      // The official clients drop what comes together with the answer.
      const all = [1, 2, 3].map((step) => `${nonce} ${step}`);
      expect(heard).toEqual(all.slice(0, heard.length));
      return text;
    };
    expect(await Promise.all(["a", "b"].map(one))).toEqual(["a", "b"]);
  });

  test("asks the user, the model and for the roots", async () => {
    expect(JSON.parse(await client.text("ask", { message: "this" }))).toEqual({
      message: "this",
      action: "accept",
      content: { answer: "to this" },
    });
    expect(await client.text("two_questions", { nonce: "n" })).toBe(
      "to first of n to second of n",
    );
    expect(await client.text("ask_url")).toBe("accept");
    if (sessions) {
      await client.until(
        ({ method }) => method === "notifications/elicitation/complete",
      );
    }
    expect(await client.text("sample", { prompt: "life" })).toBe("about life");
    expect(await client.text("roots")).toBe('[{"uri":"file:///home"}]');
  });

  test("logs", async () => {
    const nonce = crypto.randomUUID();
    await client.text(
      "log",
      { nonce, level: "warning" },
      { logLevel: "warning" },
    );
    const { params } = await client.until(
      ({ method, params }) =>
        method === "notifications/message" && params.data === nonce,
    );
    expect(params).toMatchObject({ level: "warning", logger: "extras" });
  });

  test("tells of changed tools and resources", async () => {
    await client.watch("test://watched-resource");
    expect(await client.toolNames()).not.toContain("now_and_then");
    await client.text("change_tools");
    await client.until(
      ({ method }) => method === "notifications/tools/list_changed",
    );
    expect(await client.toolNames()).toContain("now_and_then");
    await client.text("touch", { uri: "test://static-text" });
    await client.text("touch", { uri: "test://watched-resource" });
    await client.until(
      ({ method }) => method === "notifications/resources/updated",
    );
    expect(
      client.heard
        .filter(({ method }) => method === "notifications/resources/updated")
        .map(({ params }) => params.uri),
    ).toEqual(["test://watched-resource"]);
  });

  test("has prompts, resources and completions", async () => {
    const { messages } = await client.client.getPrompt({
      name: "test_prompt_with_arguments",
      arguments: { arg1: "x", arg2: "y" },
    });
    expect(messages[0]!.content).toMatchObject({
      text: "Prompt with arguments: arg1='x', arg2='y'",
    });
    const { contents } = await client.client.readResource({
      uri: "test://template/7/data",
    });
    expect((contents[0] as { text: string }).text).toContain('"id":"7"');
    await expect(
      client.client.readResource({ uri: "test://nothing" }),
    ).rejects.toThrow();
    const { completion } = await client.client.complete({
      ref: { type: "ref/prompt", name: "test_prompt_with_arguments" },
      argument: { name: "arg1", value: "par" },
    });
    expect(completion.values).toEqual(["par-completed"]);
  });

  test("fails as a result, and as an error", async () => {
    expect(await client.call("fail", { message: "no" })).toMatchObject({
      isError: true,
      content: [{ type: "text", text: "no" }],
    });
    await expect(client.call("fail", { code: -32050 })).rejects.toMatchObject({
      code: -32050,
    });
  });

  test("notices a cancelled call, and holds one until its gate opens", async () => {
    const controller = new AbortController();
    const nonce = crypto.randomUUID();
    const call = client.call(
      "hold",
      { gate: nonce, nonce },
      { signal: controller.signal },
    );
    await server.held(nonce);
    controller.abort("enough");
    await expect(call).rejects.toThrow();
    while (!server.cancelled.includes(nonce)) await Bun.sleep(1);
    const second = client.text("hold", { gate: nonce });
    await server.held(nonce, 2);
    server.open(nonce);
    expect(await second).toBe(nonce);
  });

  test("records what it is sent", () => {
    const names = messagesOf(server.requests)
      .filter(({ method }) => method === "tools/call")
      .map(({ params }) => params.name);
    expect(names).toContain("two_questions");
    expect(server.requests[0]!.headers["authorization"]).toBe("Bearer a-token");
  });
});

describe.each(cases.filter(({ server }) => !/SDK to|SSE to/.test(server)))(
  "the server $server",
  ({ server: name, open, client: options }) => {
    test("can die and come back on its port", async () => {
      await using server = await open();
      {
        await using client = await openMcpClient(server.url, options);
        await client.text("count", { nonce: "n" });
        await server.stop();
        await expect(client.text("count", { nonce: "n" })).rejects.toThrow();
      }
      await server.start();
      await using client = await openMcpClient(server.url, options);
      expect(await client.text("count", { nonce: "n" })).toBe("2");
    });

    test("can forget its sessions", async () => {
      await using server = await open();
      await using client = await openMcpClient(server.url, options);
      await client.text("whoami");
      const hasSessions = !/stateless|only 2026/.test(name);
      expect(server.sessions()).toHaveLength(hasSessions ? 1 : 0);
      await server.forgetSessions();
      expect(server.sessions()).toEqual([]);
      if (!hasSessions) return;
      await expect(client.text("whoami")).rejects.toThrow(/404|[Ss]ession/);
      await using second = await openMcpClient(server.url, options);
      await second.text("whoami");
      expect(server.sessions()).toHaveLength(1);
    });
  },
);

describe.each([
  { era: "legacy", kind: "v1" },
  { era: "legacy", kind: "auto" },
  { era: "both", kind: "stateless" },
  { era: "both", kind: "v1" },
  { era: "stateless", kind: "auto" },
] as const)("the $era server over stdio, to a client $kind", (one) => {
  const open = (env?: Record<string, string>) =>
    openMcpClient(stdioServer(one.era, env), {
      kind: one.kind,
      elicit: ({ message }) => ({
        action: "accept",
        content: { answer: `to ${message}` },
      }),
    });

  test("has the tools of the others, and a process", async () => {
    await using client = await open({ COLOUR: "green" });
    expect(await client.text("env", { name: "COLOUR" })).toBe("green");
    expect(await client.text("two_questions", { nonce: "n" })).toBe(
      "to first of n to second of n",
    );
    expect(await client.text("whoami")).toBe("nobody");
    const held = client.text("hold", { gate: "g" });
    await client.text("open", { gate: "g" });
    expect(await held).toBe("g");
    expect(runs(Number(await client.text("pid")))).toBe(true);
  });

  test("can crash, and leave a child behind", async () => {
    await using client = await open();
    const child = Number(await client.text("spawn_child"));
    const pid = Number(await client.text("pid"));
    await expect(client.text("crash")).rejects.toThrow();
    while (runs(pid)) await Bun.sleep(1);
    expect(runs(child)).toBe(true);
    process.kill(child);
  });
});

describe("the everything server", () => {
  test.each([
    { mode: "streamableHttp", kind: "auto" },
    { mode: "streamableHttp", kind: "v1" },
    { mode: "sse", kind: "v1" },
  ] as const)("answers over $mode to a client $kind", async (one) => {
    await using server = await openEverything(one.mode);
    await using client = await openMcpClient(server.url, {
      kind: one.kind,
      sse: one.mode === "sse",
    });
    expect(await client.text("echo", { message: "hello" })).toContain("hello");
  });

  test("answers over stdio", async () => {
    await using client = await openMcpClient(everythingCommand);
    expect(await client.text("echo", { message: "hello" })).toContain("hello");
  });
});
