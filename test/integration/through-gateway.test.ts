import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Gateway } from "../support/gateway.ts";
import { openGateway } from "../support/gateway.ts";
import type { McpClient, McpClientOptions } from "../support/mcp-clients.ts";
import { openUpstreams } from "../support/servers/upstreams.ts";
import type { Upstreams } from "../support/servers/upstreams.ts";

/** What a registered server does reaches the caller who is meant, whatever the two of them speak. */

const callers = [
  { caller: "a session of the older SDK", kind: "v1" },
  { caller: "a session of the newer SDK", kind: "legacy" },
  { caller: "a stateless client", kind: "stateless" },
] as const;

let upstreams: Upstreams;
let gateway: Gateway;
beforeAll(async () => {
  upstreams = await openUpstreams();
  gateway = await openGateway({ upstreams: upstreams.registrations });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstreams[Symbol.asyncDispose]();
});

const slugs = ["stateless", "keeping", "older", "aside", "sse", "stdio"];
const rows = slugs.flatMap((slug) =>
  callers.map((caller) => ({ slug, ...caller })),
);

describe.each(rows)("the server $slug, to $caller", ({ slug, kind }) => {
  const user = `${slug}-${kind}`;
  const ofSessions = kind !== "stateless";
  const name = (tool: string) => `${slug}_${tool}`;
  const asked: any[] = [];
  const able: McpClientOptions = {
    kind,
    elicit(params) {
      asked.push(params);
      return params.mode === "url"
        ? { action: "accept" }
        : { action: "accept", content: { answer: `to ${params.message}` } };
    },
    sample: ({ messages }) => `about ${messages[0].content.text}`,
    roots: [{ uri: "file:///home", name: user }],
  };
  const open = (options: McpClientOptions = able) =>
    gateway.client(user, { ...options, path: `/mcp?apps=${slug}` });
  let client: McpClient;
  const text = (tool: string, args = {}, options = {}) =>
    client.text(name(tool), args, options);
  beforeAll(async () => {
    client = await open();
  });
  afterAll(() => client[Symbol.asyncDispose]());

  // Demanded: servers-in-catalogue
  test("tools: lists, results, errors as results and as errors", async () => {
    const names = await client.toolNames();
    expect(names).toContain(name("echo"));
    expect(names.every((one) => one.startsWith(`${slug}_`))).toBe(true);
    expect(await text("echo", { a: [1, null] })).toBe('{"a":[1,null]}');
    expect((await text("big", { bytes: 300_000 })).length).toBe(300_000);
    const { content } = await client.call(name("test_multiple_content_types"));
    expect(content.map(({ type }) => type)).toEqual([
      "text",
      "image",
      "resource",
    ]);
    expect(await client.call(name("fail"), { message: "no" })).toMatchObject({
      isError: true,
      content: [{ type: "text", text: "no" }],
    });
    await expect(
      client.call(name("fail"), { code: -32050, message: "really" }),
    ).rejects.toMatchObject({
      code: -32050,
      message: expect.stringContaining("really") as string,
    });
  });

  test("progress: every step, to the call that asked for it", async () => {
    const one = async (nonce: string) => {
      const heard: unknown[] = [];
      const answer = await text(
        "progress",
        { steps: 3, nonce },
        { progress: (step: unknown) => heard.push(step) },
      );
      return [answer, heard];
    };
    const steps = (nonce: string) =>
      [1, 2, 3].map((progress) => ({
        progress,
        total: 3,
        message: `${nonce} ${progress}`,
      }));
    expect(await Promise.all(["a", "b", "c"].map(one))).toEqual(
      ["a", "b", "c"].map((nonce) => [nonce, steps(nonce)]),
    );
  });

  test("logging: from the level on that was asked for", async () => {
    if (ofSessions) await client.client.setLoggingLevel("warning");
    const [low, high] = [crypto.randomUUID(), crypto.randomUUID()];
    const logLevel = "warning";
    await text("log", { nonce: low, level: "info" }, { logLevel });
    await text("log", { nonce: high, level: "error" }, { logLevel });
    const { params } = await client.until(
      ({ method, params }) =>
        method === "notifications/message" && params.data === high,
    );
    expect(params).toMatchObject({ level: "error", logger: "extras" });
    expect(JSON.stringify(client.heard)).not.toContain(low);
  });

  // Demanded: servers-in-catalogue
  test("prompts, resources, templates and completions", async () => {
    const { prompts } = await client.client.listPrompts();
    const prompt = name("test_prompt_with_arguments");
    expect(prompts.map((one) => one.name)).toContain(prompt);
    const { messages } = await client.client.getPrompt({
      name: prompt,
      arguments: { arg1: "x", arg2: "y" },
    });
    expect(messages[0]!.content).toMatchObject({
      text: "Prompt with arguments: arg1='x', arg2='y'",
    });
    const { resources } = await client.client.listResources();
    expect(resources.map(({ uri }) => uri)).toContain("test://static-binary");
    const binary = await client.client.readResource({
      uri: "test://static-binary",
    });
    expect(binary.contents[0]).toMatchObject({ mimeType: "image/png" });
    const { resourceTemplates } = await client.client.listResourceTemplates();
    const [{ uriTemplate } = { uriTemplate: "" }] = resourceTemplates;
    expect(uriTemplate).toBe("test://template/{id}/data");
    const made = await client.client.readResource({
      uri: "test://template/7/data",
    });
    expect(JSON.stringify(made.contents)).toContain('\\"id\\":\\"7\\"');
    await expect(
      client.client.readResource({ uri: "test://template/7/other" }),
    ).rejects.toThrow(/not found/);
    for (const ref of [
      { type: "ref/prompt", name: prompt },
      { type: "ref/resource", uri: uriTemplate },
    ] as const) {
      const { completion } = await client.client.complete({
        ref,
        argument: { name: "arg1", value: "par" },
      });
      expect(completion.values).toEqual(["par-completed"]);
    }
  });

  test("cancellation reaches the server, and the next call is answered", async () => {
    const controller = new AbortController();
    const nonce = crypto.randomUUID();
    const call = client.call(
      name("hold"),
      { gate: nonce, nonce },
      { signal: controller.signal },
    );
    await text("held", { gate: nonce });
    controller.abort("enough");
    await expect(call).rejects.toThrow();
    expect(await text("was_cancelled", { nonce })).toBe("cancelled");
    expect(await text("echo", { nonce })).toContain(nonce);
  });

  test("elicitation: a form, and two forms one after the other", async () => {
    const answered = JSON.parse(await text("ask", { message: "this" })) as {};
    expect(answered).toEqual({
      message: "this",
      action: "accept",
      content: { answer: "to this" },
    });
    expect(asked.at(-1)).toMatchObject({
      message: "this",
      requestedSchema: { type: "object", required: ["answer"] },
    });
    expect(await text("two_questions", { nonce: "n" })).toBe(
      "to first of n to second of n",
    );
  });

  test("elicitation: declined and cancelled are said as they are", async () => {
    for (const action of ["decline", "cancel"] as const) {
      await using other = await open({ kind, elicit: () => ({ action }) });
      const answer = await other.text(name("ask"), { message: "m" });
      expect(JSON.parse(answer)).toEqual({ message: "m", action });
    }
  });

  test("elicitation: a URL, with its message and address", async () => {
    expect(await text("ask_url", { url: "https://example.com/x" })).toBe(
      "accept",
    );
    expect(asked.at(-1)).toMatchObject({
      mode: "url",
      message: "Open this",
      url: "https://example.com/x",
    });
    // Neither a stateless server nor a stateless client has such a notification.
    if (!ofSessions || slug === "stateless") return;
    const { elicitationId } = asked.at(-1);
    const done = await client.until(
      ({ method }) => method === "notifications/elicitation/complete",
    );
    expect(done.params).toEqual({ elicitationId });
  });

  test("sampling, and roots", async () => {
    expect(await text("sample", { prompt: "life" })).toBe("about life");
    expect(JSON.parse(await text("roots"))).toEqual([
      { uri: "file:///home", name: user },
    ]);
  });

  test("progress and logs before and after a question belong to its call", async () => {
    if (ofSessions) await client.client.setLoggingLevel("warning");
    const nonce = crypto.randomUUID();
    const steps: unknown[] = [];
    const answer = await text(
      "work_and_ask",
      { nonce },
      {
        logLevel: "warning",
        progress: ({ message }: { message?: string }) => steps.push(message),
      },
    );
    expect(answer).toBe(`${nonce}: to work of ${nonce}`);
    // The newer client adds a step of its own for each question.
    const own = steps.filter((step) => String(step).startsWith(nonce));
    expect(own).toEqual([`${nonce} 1`, `${nonce} 2`]);
    const logs = client.heard.filter(({ params }) => params?.data === nonce);
    expect(logs).toHaveLength(2);
  });

  test("a prompt may ask too", async () => {
    await using other = await open({
      kind,
      elicit: () => ({ action: "accept", content: { context: "the sea" } }),
    });
    const { messages } = await other.client.getPrompt({
      name: name("test_input_required_result_prompt"),
    });
    expect(messages[0]!.content).toMatchObject({
      text: "Use the following context: the sea",
    });
  });

  test("a URL that is needed first is an error with the URL (-32042), or in words to who has no such error", async () => {
    const url = "https://example.com/first";
    const call = client.call(name("needs_url"), { url });
    if (ofSessions) {
      await expect(call).rejects.toMatchObject({
        code: -32042,
        data: { elicitations: [{ mode: "url", url }] },
      });
    } else {
      const { isError, content } = await call;
      expect(isError).toBe(true);
      expect(JSON.stringify(content)).toContain(url);
    }
  });

  test("a client that can do nothing is asked nothing, and the call ends", async () => {
    await using plain = await open({ kind });
    for (const tool of ["ask", "sample", "roots"]) {
      const outcome = await plain
        .call(name(tool), { message: "m", prompt: "p" })
        .catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toHaveProperty("code");
      else expect(outcome).toMatchObject({ isError: true });
    }
    expect(await plain.text(name("echo"), { still: 1 })).toBe('{"still":1}');
  });

  test("changes of lists are told, and are there when they are told", async () => {
    await client.watch();
    const has = async () =>
      (await client.toolNames()).includes(name("now_and_then"));
    const before = await has();
    const told = client.heard.length;
    await text("change_tools");
    await client.until(
      (one) =>
        client.heard.indexOf(one) >= told &&
        one.method === "notifications/tools/list_changed",
    );
    expect(await has()).toBe(!before);
  });

  test("an update of a resource is told to who has subscribed to it", async () => {
    await client.watch("test://watched-resource");
    const updates = () =>
      client.heard.filter(
        ({ method }) => method === "notifications/resources/updated",
      );
    // It takes a moment until the server knows of the subscription.
    while (updates().length === 0) {
      await text("touch", { uri: "test://static-text" });
      await text("touch", { uri: "test://watched-resource" });
    }
    expect(new Set(updates().map(({ params }) => params.uri))).toEqual(
      new Set(["test://watched-resource"]),
    );
  });
});
