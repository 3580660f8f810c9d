import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Source } from "../../src/core/source.ts";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize, listTools, messages } from "../support/caller.ts";
import { fakeServers } from "../support/fake-servers.ts";
import { connectModern, headersFor, request } from "../support/stateless.ts";
import type { Params } from "../support/stateless.ts";

/** `/mcp/{slug}`: the same door to one registered server, under that server's own names. */

const LONG = `very.long/${"x".repeat(118)}`;

const fakes = fakeServers([
  {
    slug: "hub",
    name: "The Hub",
    tools: [
      "enable-tools",
      "search-tools",
      "call-tool",
      "git.commit/push",
      LONG,
      "echo",
    ],
    prompts: ["greet.me"],
    resources: ["same://one", "hub://only"],
    templates: ["hub://{id}"],
  },
  {
    slug: "lab",
    tools: ["echo"],
    prompts: ["greet.me"],
    resources: ["same://one"],
  },
  { slug: "secret", members: ["bob"], tools: ["echo"] },
]);

/** An app of another source that has the key of a server. */
const other: Source = {
  id: "other",
  list: async () => ({
    offers: [
      {
        app: { ref: "ref-hub", key: "hub", name: "Hub, the app" },
        ref: "of-the-app",
        key: "of-the-app",
        name: "of-the-app",
        tool: { inputSchema: { type: "object" } },
      },
    ],
    failed: [],
  }),
  call: async () => ({ content: [{ type: "text", text: "the app" }] }),
};

let rig: Rig;
beforeAll(async () => {
  rig = await openRig({ sources: [other, fakes.source] });
});
afterAll(() => rig[Symbol.asyncDispose]());

const PLAIN = { accept: "application/json" };
const HUB = "/mcp/hub";
const names = (body: any) =>
  body.result.tools.map(({ name }: { name: string }) => name) as string[];
const words = (body: any) => body.result.content[0].text as string;

const rpc = (method: string, params: Params = {}, id = 1) => ({
  jsonrpc: "2.0",
  id,
  method,
  params,
});
const plain = async (user: string, message: unknown, path = HUB) =>
  (await rig.post(user, message, PLAIN, path)).body;
const modern = (
  user: string,
  method: string,
  params: Params = {},
  path = HUB,
  headers: Record<string, string> = {},
) =>
  rig.post(
    user,
    request(method, params),
    {
      ...headersFor(method, (params["name"] ?? params["uri"]) as string),
      ...headers,
    },
    path,
  );

describe("one server alone", () => {
  // Demanded: servers-alone
  test("has its own names, to the letter, and nobody else's, in both eras", async () => {
    const own = [
      "call-tool",
      "echo",
      "enable-tools",
      "git.commit/push",
      "search-tools",
      LONG,
    ];
    const legacy = await rig.connect("ada", { path: HUB });
    const stateless = await connectModern(
      rig.url + HUB,
      await rig.tokenFor("ada"),
    );
    for (const client of [legacy.client, stateless]) {
      const { tools } = await client.listTools();
      expect(tools.map(({ name }) => name)).toEqual(own);
      const { prompts } = await client.listPrompts();
      expect(prompts.map(({ name }) => name)).toEqual(["greet.me"]);
      const { resources } = await client.listResources();
      expect(resources.map(({ uri }) => uri)).toEqual([
        "same://one",
        "hub://only",
      ]);
      const { resourceTemplates } = await client.listResourceTemplates();
      expect(resourceTemplates.map(({ uriTemplate }) => uriTemplate)).toEqual([
        "hub://{id}",
      ]);
      for (const name of ["git.commit/push", LONG]) {
        const result: any = await client.callTool({
          name,
          arguments: { a: 1 },
        });
        expect(words({ result })).toBe(`hub ran ${name} with {"a":1}`);
      }
      const prompt = await client.getPrompt({ name: "greet.me" });
      expect(prompt.messages[0]!.content).toMatchObject({
        text: "hub says greet.me",
      });
      const { completion } = await client.complete({
        ref: { type: "ref/prompt", name: "greet.me" },
        argument: { name: "who", value: "x" },
      });
      expect(completion.values).toEqual(["hub greet.me"]);
    }
    await legacy.close();
    await stateless.close();
    for (const name of [
      "hub_echo",
      "lab_echo",
      "hub_of-the-app",
      "of-the-app",
    ]) {
      expect((await plain("ada", call(name))).error.code).toBe(-32602);
    }
    expect(
      (await plain("ada", rpc("prompts/get", { name: "hub_greet-me" }))).error
        .code,
    ).toBe(-32602);
  });

  test("has every URI that it is asked for, listed or not", async () => {
    for (const uri of ["same://one", "hub://7", "never://listed"]) {
      const body = await plain("ada", rpc("resources/read", { uri }));
      expect(body.result.contents[0].text).toBe(`hub has ${uri}`);
    }
    const body = await plain(
      "ada",
      rpc("resources/read", { uri: "same://one" }),
      "/mcp/lab",
    );
    expect(body.result.contents[0].text).toBe("lab has same://one");
  });

  test("cannot be narrowed by apps=", async () => {
    const all = names(await plain("ada", listTools));
    expect(names(await plain("ada", listTools, `${HUB}?apps=lab`))).toEqual(
      all,
    );
    const chat = { ...PLAIN, "x-chat-id": "narrow" };
    await rig.post(
      "ada",
      initialize(),
      { "x-chat-id": "narrow" },
      `${HUB}?apps=lab`,
    );
    const { body } = await rig.post("ada", listTools, chat, HUB);
    expect(names(body)).toEqual(all);
  });

  test("is shown in every mode, where our own tools win over its namesakes", async () => {
    const dynamic = `${HUB}?mode=dynamic`;
    const session = { "mcp-session-id": await rig.open("ada", {}, dynamic) };
    const list = async () =>
      names((await rig.post("ada", listTools, session, HUB)).body);
    expect(await list()).toEqual(["enable-tools"]);
    const enable = await rig.post(
      "ada",
      call("enable-tools", {
        tools: ["git.commit/push", "enable_tools", "hub_echo", "search_tools"],
      }),
      session,
      HUB,
    );
    expect(enable.body.result.structuredContent).toEqual({
      enabled: ["git.commit/push", "search-tools"],
      unknown: ["enable_tools", "hub_echo"],
    });
    expect(await list()).toEqual([
      "enable-tools",
      "git.commit/push",
      "search-tools",
    ]);
    const ran = await rig.post("ada", call("search-tools", {}), session, HUB);
    expect(words(ran.body)).toBe("hub ran search-tools with {}");

    const search = `${HUB}?mode=search`;
    expect(names(await plain("ada", listTools, search))).toEqual([
      "search-tools",
      "call-tool",
    ]);
    const found = await plain(
      "ada",
      call("search-tools", { query: "push a commit" }),
      search,
    );
    expect(found.result.structuredContent.tools[0].name).toBe(
      "git.commit/push",
    );
    for (const name of ["git.commit/push", "call-tool"]) {
      const body = await plain(
        "ada",
        call("call-tool", { name, arguments: { b: 2 } }),
        search,
      );
      expect(words(body)).toBe(`hub ran ${name} with {"b":2}`);
    }
    const theirs = await plain(
      "ada",
      call("call-tool", { name: "hub_of-the-app" }),
      search,
    );
    expect(theirs.error.code).toBe(-32602);
  });

  test("is found by a search among its own tools alone", async () => {
    const body = await plain(
      "ada",
      call("search-tools", { query: "echo", limit: 20 }),
      "/mcp/lab?mode=search",
    );
    expect(
      body.result.structuredContent.tools.map(({ name }: any) => name),
    ).toEqual(["echo"]);
  });
});

describe("the URL of a server", () => {
  test("that is somebody else's answers like one that never was, for every method", async () => {
    const session = await rig.open("bob", {}, "/mcp/secret");
    const answers = async (path: string) => {
      const post = await rig.post("ada", listTools, PLAIN, path);
      const stateless = await modern("ada", "tools/list", {}, path);
      const rest = [];
      for (const method of ["GET", "DELETE"]) {
        const response = await fetch(rig.url + path, {
          method,
          headers: {
            accept: "text/event-stream",
            authorization: `Bearer ${await rig.tokenFor("ada")}`,
            "mcp-session-id": session,
          },
        });
        rest.push(response.status, await response.text());
      }
      return [
        post.status,
        post.text,
        stateless.status,
        stateless.text,
        ...rest,
      ];
    };
    const foreign = await answers("/mcp/secret");
    for (const path of [
      "/mcp/nothing",
      "/mcp/HUB",
      "/mcp/messages",
      "/mcp/hub%00",
      "/mcp/ref-hub",
    ]) {
      expect(await answers(path)).toEqual(foreign);
    }
    expect(foreign.filter((part) => typeof part === "number")).toEqual([
      404, 404, 404, 404,
    ]);
    for (const text of foreign.filter((part) => typeof part === "string")) {
      expect(text).toContain("there is no MCP server of this name");
    }
    expect(JSON.parse(foreign[1] as string)).toMatchObject({
      jsonrpc: "2.0",
      id: 2,
      error: { code: -32600, message: expect.stringContaining("/mcp/") },
    });
  });

  test("leaves /mcp/sessions what it is", async () => {
    const headers = { authorization: `Bearer ${await rig.tokenFor("zoe")}` };
    const get = await fetch(`${rig.url}/mcp/sessions`, { headers });
    expect([get.status, await get.json()]).toEqual([200, {}]);
    const post = await rig.post("zoe", listTools, PLAIN, "/mcp/sessions");
    expect([post.status, post.headers.get("allow")]).toEqual([
      405,
      "GET, OPTIONS",
    ]);
    const put = await fetch(`${rig.url}/mcp/hub`, { method: "PUT", headers });
    expect([put.status, put.headers.get("allow")]).toEqual([
      405,
      "POST, GET, DELETE, OPTIONS",
    ]);
  });

  test("has metadata of its own, named by its challenge, whether there is such a server or not", async () => {
    for (const [path, resource] of [
      ["/mcp/hub", "/mcp/hub"],
      ["/mcp/nothing", "/mcp/nothing"],
      ["/mcp/sessions", "/mcp"],
      ["/mcp/No%20Slug", "/mcp"],
      ["/mcp", "/mcp"],
    ] as const) {
      const refused = await fetch(rig.url + path, {
        method: path === "/mcp/sessions" ? "GET" : "DELETE",
      });
      expect(refused.status).toBe(401);
      const [, metadata] = /resource_metadata="([^"]+)"/.exec(
        refused.headers.get("www-authenticate")!,
      )!;
      expect(metadata).toBe(
        `${rig.url}/.well-known/oauth-protected-resource${resource}`,
      );
      const found = await fetch(metadata!);
      expect(((await found.json()) as any).resource).toBe(rig.url + resource);
    }
    const none = await fetch(
      `${rig.url}/.well-known/oauth-protected-resource/mcp/No`,
    );
    expect(none.status).toBe(404);
  });

  test("may carry the token and the chat", async () => {
    const token = await rig.tokenFor("ada");
    const { body } = await rig.post(
      null,
      listTools,
      PLAIN,
      `${HUB}?token=${token}&chat=in-url`,
    );
    expect(names(body)).toContain("git.commit/push");
    const { status } = await rig.post(
      null,
      listTools,
      PLAIN,
      `${HUB}?token=wrong`,
    );
    expect(status).toBe(401);
  });
});

describe("a session", () => {
  test("belongs to the URL that it was opened with: with another it is unknown", async () => {
    const one = await rig.open("ada", {}, HUB);
    const all = await rig.open("ada");
    const sse = await rig.listen("ada", {}, "/sse");
    await sse.until(({ event }) => event === "endpoint");
    for (const [session, good, bad] of [
      [one, [HUB], ["/mcp", "/mcp/lab"]],
      [all, ["/mcp"], [HUB, "/mcp/lab"]],
    ] as [string, string[], string[]][]) {
      const headers = { "mcp-session-id": session };
      for (const path of bad) {
        const { status, body } = await rig.post(
          "ada",
          listTools,
          headers,
          path,
        );
        expect([path, status, body.error.message]).toEqual([
          path,
          404,
          "Session not found",
        ]);
        for (const method of ["GET", "DELETE"]) {
          const response = await fetch(rig.url + path, {
            method,
            headers: {
              accept: "text/event-stream",
              authorization: `Bearer ${await rig.tokenFor("ada")}`,
              ...headers,
            },
          });
          expect([path, method, response.status]).toEqual([path, method, 404]);
        }
      }
      for (const path of good) {
        expect((await rig.post("ada", listTools, headers, path)).status).toBe(
          200,
        );
      }
    }
    const { status } = await rig.post(
      "ada",
      listTools,
      {},
      `/sse/messages?sessionId=${one}`,
    );
    expect(status).toBe(404);
    sse.close();
  });

  test("goes on after a restart, and its calls can be resumed", async () => {
    const session = { "mcp-session-id": await rig.open("ada", {}, HUB) };
    const { events } = await rig.post(
      "ada",
      call("echo", { n: 1 }),
      session,
      HUB,
    );
    await rig.restart();
    const { body } = await rig.post("ada", listTools, session, HUB);
    expect(names(body)).toContain("git.commit/push");
    const replay = await rig.listen(
      "ada",
      { ...session, "last-event-id": events[0]!.id! },
      HUB,
    );
    await replay.ended;
    expect(words(messages(replay.events).at(-1))).toBe(
      'hub ran echo with {"n":1}',
    );
  });
});

describe("a chat", () => {
  test("with one server is another than that of the same id with all, or with another server", async () => {
    const chat = { "x-chat-id": "same" };
    const [hub, all, lab] = [
      await rig.open("cyd", chat, `${HUB}?mode=dynamic`),
      await rig.open("cyd", chat, "/mcp"),
      await rig.open("cyd", chat, "/mcp/lab"),
    ];
    expect(new Set([all, hub, lab]).size).toBe(3);
    await rig.post("cyd", call("enable-tools", { tools: ["echo"] }), chat, HUB);
    const seen = async (path: string) => {
      const { body } = await modern("cyd", "tools/list", {}, path, chat);
      return names(body);
    };
    expect(await seen(HUB)).toEqual(["enable-tools", "echo"]);
    expect(await seen("/mcp/lab")).toEqual(["echo"]);
    expect(await seen("/mcp")).toContain("hub_of-the-app");
    await rig.restart();
    expect(await rig.open("cyd", chat, HUB)).toBe(hub);
    expect(await seen(HUB)).toEqual(["enable-tools", "echo"]);
    const listed = await fetch(`${rig.url}/mcp/sessions`, {
      headers: { authorization: `Bearer ${await rig.tokenFor("cyd")}` },
    });
    expect(await listed.json()).toEqual({ same: all });
    // Ending one leaves the others.
    const ended = await fetch(rig.url + HUB, {
      method: "DELETE",
      headers: {
        authorization: `Bearer ${await rig.tokenFor("cyd")}`,
        ...chat,
      },
    });
    expect(ended.status).toBe(200);
    expect(await rig.open("cyd", chat, "/mcp")).toBe(all);
    expect(await rig.open("cyd", chat, HUB)).not.toBe(hub);
  });

  test("keeps what a stateless caller enables for its own URL", async () => {
    const chat = { "x-chat-id": "stateless" };
    const path = "/mcp/hub?mode=dynamic";
    await modern(
      "dan",
      "tools/call",
      { name: "enable-tools", arguments: { tools: ["echo"] } },
      path,
      chat,
    );
    const listed = async (at: string) =>
      names((await modern("dan", "tools/list", {}, at, chat)).body);
    expect(await listed(HUB)).toEqual(["enable-tools", "echo"]);
    expect(await listed("/mcp/lab?mode=dynamic")).toEqual(["enable-tools"]);
  });
});

describe("two servers with the same URI", () => {
  test("on /mcp the first has it, and the other is reached by apps= and by its own URL", async () => {
    const read = async (path: string) => {
      const body = await plain(
        "ada",
        rpc("resources/read", { uri: "same://one" }),
        path,
      );
      return body.result.contents[0].text;
    };
    expect(await read("/mcp")).toBe("hub has same://one");
    expect(await read("/mcp?apps=lab")).toBe("lab has same://one");
    expect(await read("/mcp/lab")).toBe("lab has same://one");
    const listed = async (path: string) => {
      const body = await plain("ada", rpc("resources/list"), path);
      return body.result.resources.map(({ name }: any) => name);
    };
    expect(await listed("/mcp")).toEqual(["hub same://one", "hub hub://only"]);
    expect(await listed("/mcp?apps=lab")).toEqual(["lab same://one"]);
  });
});
