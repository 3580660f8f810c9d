import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import type { Source, SourceChange } from "../../src/core/source.ts";
import { conformanceSource } from "../conformance/source.ts";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, messages } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";
import {
  PREFIX,
  connectModern,
  headersFor,
  request,
} from "../support/stateless.ts";
import type { Params } from "../support/stateless.ts";

/** What a source can have beside tools: prompts, resources, completions, logs, and questions to the caller. */

const clock = fakeClock(Date.now());
let tell: (change: SourceChange) => void = () => {};
const source: Source = {
  ...conformanceSource,
  onChange(listener) {
    conformanceSource.onChange!(listener);
    tell = listener;
  },
};
let rig: Rig;
beforeAll(async () => {
  rig = await openRig({ sources: [source], clock });
});
afterAll(() => rig[Symbol.asyncDispose]());

const ask = (
  user: string,
  method: string,
  params: Params = {},
  capabilities: Params = {},
  path?: string,
) =>
  rig.post(
    user,
    request(method, {
      ...params,
      _meta: { [`${PREFIX}clientCapabilities`]: capabilities },
    }),
    headersFor(method, (params["name"] ?? params["uri"]) as string | undefined),
    path,
  );
const tool = (name: string, more: Params = {}) => ({
  name,
  arguments: {},
  ...more,
});

/** The official client of sessions, with everything that it can do. */
async function connect(user: string) {
  const client = new Client(
    { name: "able", version: "1.0.0" },
    { capabilities: { elicitation: {}, sampling: {}, roots: {} } },
  );
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => ({
    action: "accept",
    content: { name: `${user} to ${params.message}`, response: user, ok: true },
  }));
  client.setRequestHandler(CreateMessageRequestSchema, () => ({
    model: "m",
    role: "assistant",
    content: { type: "text", text: `model of ${user}` },
  }));
  client.setRequestHandler(ListRootsRequestSchema, () => ({
    roots: [{ uri: `file:///${user}` }],
  }));
  await client.connect(
    new StreamableHTTPClientTransport(new URL(`${rig.url}/mcp`), {
      requestInit: {
        headers: { authorization: `Bearer ${await rig.tokenFor(user)}` },
      },
    }) as never,
  );
  return client;
}
const words = (result: any) => result.content[0].text as string;

describe("prompts and resources", () => {
  // Demanded: prompts, resources, completion
  test("are declared, listed and read in both eras", async () => {
    const legacy = await connect("ada");
    expect(legacy.getServerCapabilities()).toMatchObject({
      prompts: {},
      resources: { subscribe: true },
      completions: {},
      logging: {},
    });
    const modern = await connectModern(
      `${rig.url}/mcp`,
      await rig.tokenFor("ada"),
    );
    for (const client of [legacy, modern]) {
      const { prompts } = await client.listPrompts();
      expect(prompts.map(({ name }) => name)).toContain("test_simple_prompt");
      const prompt = await client.getPrompt({
        name: "test_prompt_with_arguments",
        arguments: { arg1: "x", arg2: "y" },
      });
      expect(prompt.messages[0]!.content).toMatchObject({
        text: "Prompt with arguments: arg1='x', arg2='y'",
      });
      const { resources } = await client.listResources();
      expect(resources.map(({ uri }) => uri)).toContain("test://static-text");
      const read = await client.readResource({
        uri: "test://template/42/data",
      });
      expect(read.contents[0]).toMatchObject({
        uri: "test://template/42/data",
      });
      const { completion } = await client.complete({
        ref: { type: "ref/prompt", name: "test_prompt_with_arguments" },
        argument: { name: "arg1", value: "be" },
      });
      expect(completion.values).toEqual(["be-completed"]);
      await client.close();
    }
  });

  // Demanded: resource-unknown
  test("keep to the apps of the URL", async () => {
    const path = "/mcp?apps=other";
    for (const [method, key] of [
      ["prompts/list", "prompts"],
      ["resources/list", "resources"],
      ["resources/templates/list", "resourceTemplates"],
    ] as const) {
      const { body } = await ask("ada", method, {}, {}, path);
      expect(body.result[key]).toEqual([]);
      expect(body.result).toMatchObject({ cacheScope: "private" });
    }
    const uri = "test://static-text";
    const { body } = await ask("ada", "resources/read", { uri }, {}, path);
    expect(body.error).toMatchObject({ code: -32602, data: { uri } });
    const prompt = { name: "test_simple_prompt" };
    const got = await ask("ada", "prompts/get", prompt, {}, path);
    expect(got.body.error.code).toBe(-32602);
  });

  test.each([
    ["test://no-such"],
    ["test://template/"],
    ["test://template//data"],
    ["x".repeat(5000)],
    ["test://template/{id}/data?"],
  ])("%j is no resource", async (uri) => {
    const { body } = await ask("ada", "resources/read", { uri });
    expect(body.error.code).toBe(-32602);
  });

  test("are empty lists while nobody has any: a server may be registered at any time", async () => {
    await using plain = await openRig();
    for (const [method, list] of [
      ["prompts/list", "prompts"],
      ["resources/list", "resources"],
      ["resources/templates/list", "resourceTemplates"],
    ] as const) {
      const { status, body } = await plain.post(
        "ada",
        request(method),
        headersFor(method),
      );
      expect([status, body.result[list]]).toEqual([200, []]);
    }
  });
});

describe("a resource that changes", () => {
  // Demanded: resource-updates
  test("is told to the session that subscribed, until it unsubscribes, also after a restart", async () => {
    const client = await connect("ursula");
    const other = await connect("vera");
    const heard: string[] = [];
    const theirs: string[] = [];
    let arrived = Promise.withResolvers<void>();
    client.setNotificationHandler(
      ResourceUpdatedNotificationSchema,
      ({ params }) => {
        heard.push(params.uri);
        arrived.resolve();
      },
    );
    other.setNotificationHandler(
      ResourceUpdatedNotificationSchema,
      ({ params }) => void theirs.push(params.uri),
    );
    const uri = "test://watched-resource";
    await client.subscribeResource({ uri });
    while (heard.length === 0) {
      // Its stream may be opening still.
      tell({ who: null, uri });
      await Promise.race([arrived.promise, Bun.sleep(20)]);
    }
    expect(new Set(heard)).toEqual(new Set([uri]));
    await rig.restart();
    arrived = Promise.withResolvers();
    const before = heard.length;
    while (heard.length === before) {
      tell({ who: null, uri });
      await Promise.race([arrived.promise, Bun.sleep(50)]);
    }
    await client.unsubscribeResource({ uri });
    // What comes on a stream comes in order: before this, all that was told before.
    const next = "test://static-text";
    await client.subscribeResource({ uri: next });
    const times = (of: string) => heard.filter((one) => one === of).length;
    const tellNext = async () => {
      const before = times(next);
      tell({ who: null, uri: next });
      while (times(next) === before) {
        arrived = Promise.withResolvers();
        await arrived.promise;
      }
    };
    await tellNext();
    const after = times(uri);
    tell({ who: null, uri });
    await tellNext();
    expect(times(uri)).toBe(after);
    expect(theirs).toEqual([]);
    await client.close();
    await other.close();
  });

  test("is one of a hundred that a session can subscribe to, and a stateless caller can listen for", async () => {
    const session = await rig.open("ada");
    const subscribe = async (n: number) => {
      const { body } = await rig.post(
        "ada",
        {
          jsonrpc: "2.0",
          id: n,
          method: "resources/subscribe",
          params: { uri: `test://template/${n}/data` },
        },
        { "mcp-session-id": session },
      );
      return body.error?.code;
    };
    for (let n = 0; n < 100; n++) expect(await subscribe(n)).toBeUndefined();
    expect(await subscribe(5)).toBeUndefined();
    expect(await subscribe(100)).toBe(-32600);
    const uris = Array.from({ length: 101 }, (_, n) => `test://${n}`);
    const { status, body } = await ask("ada", "subscriptions/listen", {
      notifications: { resourceSubscriptions: uris },
    });
    expect([status, body.error.code]).toEqual([400, -32602]);
  });

  test("is told to who listens for it, and to nobody else", async () => {
    const listen = async (user: string, uris: string[]) => {
      const stream = await rig.start(
        user,
        request("subscriptions/listen", {
          notifications: {
            resourceSubscriptions: uris,
            promptsListChanged: true,
          },
        }),
        headersFor("subscriptions/listen"),
      );
      await stream.until(({ data }) => Boolean(data?.includes("acknowledged")));
      return stream;
    };
    const mine = await listen("ada", ["test://static-text"]);
    const other = await listen("ada", ["test://else"]);
    const theirs = await listen("bob", ["test://static-text"]);
    const who = { workspace: "wk-test", subject: "ada" };
    tell({ who, uri: "test://static-text" });
    await mine.until(({ data }) =>
      Boolean(data?.includes("resources/updated")),
    );
    const updates = (stream: typeof mine) =>
      messages(stream.events).filter(({ method }) =>
        method.endsWith("resources/updated"),
      ).length;
    expect([updates(mine), updates(other), updates(theirs)]).toEqual([1, 0, 0]);
    for (const stream of [mine, other, theirs]) stream.close();
  });
});

describe("a session's client is asked", () => {
  // Demanded: elicitation, sampling, roots
  test("what its source wants to know: the user, the model, the host", async () => {
    const client = await connect("ada");
    const run = async (name: string) =>
      words(await client.callTool({ name, arguments: { prompt: "p" } }));
    expect(await run("test_input_required_result_elicitation")).toBe(
      "Hello, ada to What is your name?!",
    );
    expect(await run("test_sampling")).toBe("LLM response: model of ada");
    expect(await run("test_input_required_result_list_roots")).toBe(
      "Roots: file:///ada",
    );
    expect(await run("test_input_required_result_multi_round")).toContain(
      "name ada to What is your name?",
    );
    await client.close();
  });

  test("and each user answers for itself, many at once", async () => {
    const clients = await Promise.all(
      ["ada", "bob", "cyd"].map(
        async (user) => [user, await connect(user)] as const,
      ),
    );
    await Promise.all(
      clients.flatMap(([user, client]) =>
        Array.from({ length: 20 }, async () => {
          const result = await client.callTool({
            name: "test_input_required_result_multiple_inputs",
            arguments: {},
          });
          expect(words(result)).toBe(
            `model of ${user} ${user} to What is your name?, 1 roots`,
          );
        }),
      ),
    );
    for (const [, client] of clients) await client.close();
  });

  // Demanded: capabilities-respected
  test("over HTTP+SSE too", async () => {
    const session = await rig.connect("ada", { sse: true });
    const result: any = await session.client.callTool({
      name: "test_elicitation",
      arguments: { message: "m" },
    });
    // This client has declared nothing of the kind.
    expect(result.isError).toBe(true);
    expect(words(result)).toContain("elicitation");
    await session.close();
  });

  test("an answer by somebody else, or for another question, is none", async () => {
    const session = await rig.open("ada");
    const theirs = await rig.open("bob");
    const init = {
      jsonrpc: "2.0",
      id: 1,
      method: "initialize",
      params: {
        protocolVersion: "2025-11-25",
        capabilities: { elicitation: {} },
        clientInfo: { name: "t", version: "1" },
      },
    };
    const opened = await rig.post("ada", init);
    const mine = opened.headers.get("mcp-session-id")!;
    const stream = await rig.start(
      "ada",
      call("test_input_required_result_elicitation", {}, "asking"),
      { "mcp-session-id": mine },
    );
    const asked = await stream.until(({ data }) =>
      Boolean(data?.includes("elicitation/create")),
    );
    const { id } = JSON.parse(asked.data!);
    const answer = (name: string) => ({
      jsonrpc: "2.0",
      id,
      result: { action: "accept", content: { name } },
    });
    for (const [user, other] of [
      ["ada", session],
      ["bob", theirs],
    ] as const) {
      const { status } = await rig.post(user, answer("wrong"), {
        "mcp-session-id": other,
      });
      expect(status).toBe(202);
    }
    await rig.post("ada", answer("right"), { "mcp-session-id": mine });
    await stream.ended;
    expect(words(messages(stream.events).at(-1).result)).toBe("Hello, right!");
  });

  test("and a refusal is a result that says so", async () => {
    const client = await connect("ada");
    client.setRequestHandler(CreateMessageRequestSchema, () => {
      throw new Error("not today");
    });
    const result: any = await client.callTool({
      name: "test_sampling",
      arguments: { prompt: "p" },
    });
    expect(result.isError).toBe(true);
    expect(words(result)).toContain("not today");
    await client.close();
  });

  test("and the first refusal of several questions ends the call, whatever is said after it", async () => {
    const opened = await rig.post("ada", {
      jsonrpc: "2.0",
      id: 1,
      method: "initialize",
      params: {
        protocolVersion: "2025-11-25",
        capabilities: { elicitation: {}, sampling: {}, roots: {} },
        clientInfo: { name: "t", version: "1" },
      },
    });
    const headers = {
      "mcp-session-id": opened.headers.get("mcp-session-id")!,
    };
    const stream = await rig.start(
      "ada",
      call("test_input_required_result_multiple_inputs", {}, "several"),
      headers,
    );
    await stream.until(() => messages(stream.events).length === 3);
    const [first, ...others] = messages(stream.events);
    const say = (id: string, answer: object) =>
      rig.post("ada", { jsonrpc: "2.0", id, ...answer }, headers);
    await say(first.id, { error: "a text where an object belongs" });
    await stream.ended;
    const { result } = messages(stream.events).at(-1);
    expect(result.isError).toBe(true);
    expect(words(result)).toContain("a text where an object belongs");
    for (const { id } of others) {
      expect((await say(id, { result: {} })).status).toBe(202);
    }
  });

  test("a caller without a stream cannot be", async () => {
    const { body } = await rig.post(
      "ada",
      call("test_sampling", { prompt: "p" }),
      { accept: "application/json" },
    );
    expect(body.result.isError).toBe(true);
  });
});

describe("a stateless caller gets the questions", () => {
  const able = { elicitation: {}, sampling: {}, roots: {} };
  const state = async (user: string, name: string) => {
    const { body } = await ask(user, "tools/call", tool(name), able);
    expect(body.result.resultType).toBe("input_required");
    return body.result.requestState as string;
  };
  const confirmed = {
    inputResponses: { confirm: { action: "accept", content: { ok: true } } },
  };
  const NAME = "test_input_required_result_request_state";
  const answer = (
    user: string,
    name: string,
    requestState: string,
    more = {},
  ) =>
    ask(
      user,
      "tools/call",
      tool(name, { ...confirmed, requestState, ...more }),
      able,
    );

  // Demanded: input-required
  test("and its state is good for the same caller and request, as often as it likes", async () => {
    const requestState = await state("ada", NAME);
    expect(requestState).not.toContain("state");
    for (let n = 0; n < 2; n++) {
      const { body } = await answer("ada", NAME, requestState);
      expect(words(body.result)).toBe("state-ok");
    }
  });

  // Demanded: request-state
  test("for nobody else, for nothing else, not for ever, and not when it was touched", async () => {
    const requestState = await state("ada", NAME);
    const refused = async (result: ReturnType<typeof answer>) => {
      const { body } = await result;
      expect(body.error).toMatchObject({
        code: -32602,
        message: expect.stringContaining("requestState"),
      });
    };
    await refused(answer("bob", NAME, requestState));
    await refused(
      answer("ada", "test_input_required_result_tampered_state", requestState),
    );
    await refused(answer("ada", NAME, requestState, { arguments: { x: 1 } }));
    const flipped = requestState.startsWith("A") ? "B" : "A";
    await refused(answer("ada", NAME, flipped + requestState.slice(1)));
    await refused(answer("ada", NAME, ""));
    await refused(answer("ada", NAME, "x".repeat(10_000)));
    await rig.restart();
    const { body } = await answer("ada", NAME, requestState);
    expect(words(body.result)).toBe("state-ok");
    clock.advance(3_600_001);
    await refused(answer("ada", NAME, requestState));
  });

  // Demanded: missing-capability
  test("and what it cannot be asked is named", async () => {
    const { status, body } = await ask(
      "ada",
      "tools/call",
      tool("test_missing_capability"),
    );
    expect([status, body.error.code, body.error.data]).toEqual([
      400,
      -32021,
      { requiredCapabilities: { sampling: {} } },
    ]);
  });
});

describe("logs", () => {
  // Demanded: logging
  test("come at the level that a session has set, also after a restart", async () => {
    const client = await connect("ada");
    const heard: unknown[] = [];
    client.setNotificationHandler(
      LoggingMessageNotificationSchema,
      ({ params }) => void heard.push(params.data),
    );
    const run = () =>
      client.callTool({ name: "test_logging_tool", arguments: {} });
    await run();
    await client.setLoggingLevel("warning");
    await run();
    expect(heard).toEqual([]);
    await client.setLoggingLevel("debug");
    await run();
    expect(heard).toEqual(["logged"]);
    await rig.restart();
    await run();
    expect(heard).toEqual(["logged", "logged"]);
    await client.close();
  });

  // Demanded: log-level
  test("come to a stateless caller at the level that its request names", async () => {
    for (const [level, expected] of [
      ["debug", 1],
      ["info", 1],
      ["notice", 0],
      ["error", 0],
      ["nonsense", 0],
    ] as const) {
      const answer = await rig.post(
        "ada",
        request("tools/call", {
          ...tool("test_logging_tool"),
          _meta: { [`${PREFIX}logLevel`]: level },
        }),
        headersFor("tools/call", "test_logging_tool"),
      );
      const logs = messages(answer.events).filter(
        ({ method }) => method === "notifications/message",
      );
      expect([level, logs.length]).toEqual([level, expected]);
    }
  });

  test.each([[{}], [{ level: "loud" }]])(
    "setLevel refuses %j",
    async (params) => {
      const session = await rig.open("ada");
      const { body } = await rig.post(
        "ada",
        { jsonrpc: "2.0", id: 1, method: "logging/setLevel", params },
        { "mcp-session-id": session },
      );
      expect(body.error.code).toBe(-32602);
    },
  );
});

// Demanded: param-headers
describe("what a source may do to its callers", () => {
  const app = { ref: "x", key: "x", name: "X" };
  const offer = (key: string) => ({
    app,
    ref: key,
    key,
    name: key,
    tool: { inputSchema: { type: "object" as const } },
  });
  const resource = (ref: string) => ({
    app: { ...app, ref, key: ref },
    resource: { uri: "x://same", name: ref },
  });
  const odd: Source = {
    id: "odd",
    logs: true,
    list: async () => ({
      offers: ["loud", "pretends", "asks-nothing", "asks"].map(offer),
      resources: ["a", "b"].map(resource),
      failed: [],
    }),
    async call(_principal, { key }, _args, context) {
      if (key === "asks-nothing") return { resultType: "input_required" };
      if (key === "asks") {
        return {
          resultType: "input_required",
          inputRequests: {
            form: { method: "elicitation/create", params: { mode: "form" } },
            url: { method: "elicitation/create", params: { mode: "url" } },
            model: {
              method: "sampling/createMessage",
              params: { tools: [{ name: "t" }] },
            },
          },
        };
      }
      if (key === "loud") {
        for (let n = 0; n < 500; n++) context.log("info", n);
      }
      return {
        content: [],
        resultType: "other",
        ttlMs: 7,
        cacheScope: "public",
      } as never;
    },
    readResource: async (_principal, uri) =>
      ({ contents: [{ uri, text: "t" }], resultType: "x", ttlMs: 9 }) as never,
  };
  const open = () => openRig({ sources: [odd], env: { TOOLS_PAGE_SIZE: "1" } });
  const run = (
    own: Rig,
    name: string,
    meta: Params = {},
    capabilities: Params = {},
  ) =>
    own.post(
      "ada",
      request("tools/call", {
        name,
        _meta: { [`${PREFIX}clientCapabilities`]: capabilities, ...meta },
      }),
      headersFor("tools/call", name),
    );

  test("of many messages at once fifty come, and then the answer", async () => {
    await using own = await open();
    const { events } = await run(own, "x_loud", {
      [`${PREFIX}logLevel`]: "debug",
    });
    const said = messages(events);
    expect(said).toHaveLength(51);
    expect(said.at(-1).result.resultType).toBe("complete");
  });

  test("what kind of result it is, and for how long, is not its to say", async () => {
    await using own = await open();
    for (const [method, params] of [
      ["tools/call", { name: "x_pretends" }],
      ["resources/read", { uri: "x://same" }],
    ] as [string, Params][]) {
      const { text } = await own.post(
        "ada",
        request(method, params),
        headersFor(method, String(params["name"] ?? params["uri"])),
      );
      expect(text.split('"resultType"')).toHaveLength(2);
      expect(JSON.parse(text).result.resultType).toBe("complete");
      expect(text.split('"ttlMs"').length).toBeLessThanOrEqual(2);
      expect(text).not.toContain("public");
    }
  });

  test("a question about nothing is its fault", async () => {
    await using own = await open();
    const { body } = await run(own, "x_asks-nothing");
    expect(body.result.isError).toBe(true);
  });

  test("all that a client would have to be able to do is named", async () => {
    await using own = await open();
    const { body } = await run(
      own,
      "x_asks",
      {},
      {
        elicitation: { url: {} },
        sampling: {},
      },
    );
    expect(body.error).toMatchObject({
      code: -32021,
      data: {
        requiredCapabilities: {
          elicitation: { form: {} },
          sampling: { tools: {} },
        },
      },
    });
    const none = await run(own, "x_asks");
    expect(none.body.error.data.requiredCapabilities).toEqual({
      elicitation: { url: {} },
      sampling: { tools: {} },
    });
  });

  test("pages end, also when two apps have the same resource", async () => {
    await using own = await open();
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const { body } = await own.post(
        "ada",
        request("resources/list", cursor === undefined ? {} : { cursor }),
        headersFor("resources/list"),
      );
      seen.push(...body.result.resources.map(({ uri }: any) => uri));
      cursor = body.result.nextCursor;
    } while (cursor !== undefined && seen.length < 10);
    expect(seen).toEqual(["x://same"]);
  });
});

test.each(["logging/setLevel", "resources/subscribe"])(
  "%s needs a session to keep it with",
  async (method) => {
    const { body } = await rig.post(
      "ada",
      {
        jsonrpc: "2.0",
        id: 1,
        method,
        params: { level: "debug", uri: "test://static-text" },
      },
      { accept: "application/json" },
    );
    expect(body.error).toMatchObject({
      code: -32602,
      message: expect.stringContaining("initialize"),
    });
  },
);

describe("Mcp-Param headers", () => {
  const send = (headers: Record<string, string>, args: Params) =>
    rig.post(
      "ada",
      request("tools/call", { name: "test_x_mcp_header", arguments: args }),
      { ...headersFor("tools/call", "test_x_mcp_header"), ...headers },
    );
  const base64 = (text: string) =>
    `=?base64?${Buffer.from(text).toString("base64")}?=`;

  test.each([
    [{ "mcp-param-region": "eu" }, { region: "eu" }],
    [{ "mcp-param-region": base64("Zürich") }, { region: "Zürich" }],
    [{}, {}],
    [{}, { region: null }],
    [{ "mcp-param-other": "x" }, {}],
  ] as [Record<string, string>, Params][])(
    "%j and %j agree",
    async (headers, args) => {
      const { status, body } = await send(headers, args);
      expect([status, body.error]).toEqual([200, undefined]);
    },
  );

  test.each([
    [{}, { region: "eu" }],
    [{ "mcp-param-region": "us" }, { region: "eu" }],
    [{ "mcp-param-region": "EU" }, { region: "eu" }],
    [{ "mcp-param-region": "eu" }, {}],
    [{ "mcp-param-region": "=?base64?x?=" }, { region: "eu" }],
    [{ "mcp-param-region": base64("us") }, { region: "eu" }],
  ] as [Record<string, string>, Params][])(
    "%j and %j do not",
    async (headers, args) => {
      const { status, body } = await send(headers, args);
      expect([status, body.error.code]).toEqual([400, -32020]);
    },
  );
});

// Demanded: gone-tool-said
test("what a source does not want, and what has gone, is said", async () => {
  await using dynamic = await openRig({ clock });
  const session = await dynamic.open("ada", {}, "/mcp?mode=dynamic");
  const headers = { "mcp-session-id": session };
  await dynamic.post(
    "ada",
    call("enable-tools", { tools: ["lab_echo"] }),
    headers,
  );
  dynamic.workspace.world.removeAction("ada", "echo");
  for (;;) {
    clock.advance(61_000);
    const { body } = await dynamic.post("ada", call("lab_echo"), headers);
    if (!body.error) continue;
    expect(body.error.message).toContain("do not offer it any more");
    break;
  }
});
