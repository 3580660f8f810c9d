import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { supportedVersions } from "../../src/mcp/versions.ts";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { messages } from "../support/caller.ts";
import type { Listener } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";
import type { Params } from "../support/stateless.ts";
import {
  PREFIX,
  VERSION,
  connectModern,
  headersFor,
  request,
} from "../support/stateless.ts";

/** Revision 2026-07-28: each request says everything about itself. */

const MINUTE = 60_000;

const callTool = (name: string, args: Params = {}, meta: object = {}) =>
  request("tools/call", { name, arguments: args, _meta: meta });

describe("2026-07-28", () => {
  const clock = fakeClock(Date.now());
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig({ clock });
  });
  afterAll(() => rig[Symbol.asyncDispose]());

  const ask = (
    user: string,
    method: string,
    params: Params = {},
    more: { headers?: Record<string, string>; path?: string } = {},
  ) =>
    rig.post(
      user,
      request(method, params),
      {
        ...headersFor(method, params["name"] as string | undefined),
        ...more.headers,
      },
      more.path,
    );
  const listed = async (
    user: string,
    path = "/mcp",
    headers: Record<string, string> = {},
  ) => {
    const { body } = await ask(user, "tools/list", {}, { path, headers });
    return body.result.tools.map(({ name }: any) => name) as string[];
  };

  // Demanded: discover
  test("is discovered, with what it can and who it is", async () => {
    const { status, headers, body } = await ask("ada", "server/discover");
    expect(status).toBe(200);
    expect(headers.get("mcp-session-id")).toBeNull();
    expect(body.result).toMatchObject({
      resultType: "complete",
      supportedVersions,
      capabilities: { tools: { listChanged: true } },
      cacheScope: "private",
      _meta: { [`${PREFIX}serverInfo`]: { name: "membrane-mcp" } },
    });
    expect(body.result.ttlMs).toBeGreaterThan(0);
    expect(supportedVersions).toEqual([
      "2026-07-28",
      "2025-11-25",
      "2025-06-18",
      "2025-03-26",
      "2024-11-05",
    ]);
  });

  // Demanded: caching
  test("lists the same tools as a session, in the same order, for as long as they are good", async () => {
    const session = await rig.open("ada");
    const legacy = await rig.post(
      "ada",
      { jsonrpc: "2.0", id: 1, method: "tools/list" },
      { "mcp-session-id": session },
    );
    const { body } = await ask("ada", "tools/list");
    expect(body.result.tools).toEqual(legacy.body.result.tools);
    expect(body.result).toMatchObject({
      resultType: "complete",
      cacheScope: "private",
    });
    expect(body.result.ttlMs).toBeLessThanOrEqual(MINUTE);
    clock.advance(MINUTE / 2);
    const later = await ask("ada", "tools/list");
    expect(later.body.result.ttlMs).toBeLessThanOrEqual(
      body.result.ttlMs - MINUTE / 2,
    );
    expect(await listed("ada", "/mcp?apps=lab")).toEqual(
      legacy.body.result.tools
        .map(({ name }: any) => name)
        .filter((name: string) => name.startsWith("lab_")),
    );
  });

  // Demanded: result-type
  test("runs a tool, and answers with one JSON body", async () => {
    const { headers, body } = await ask("ada", "tools/call", {
      name: "lab_echo",
      arguments: { a: [1, null] },
    });
    expect(headers.get("content-type")).toContain("application/json");
    expect(body.result).toMatchObject({
      resultType: "complete",
      structuredContent: { a: [1, null] },
      _meta: { [`${PREFIX}serverInfo`]: { name: "membrane-mcp" } },
    });
  });

  // Demanded: no-get
  test("leaves no session behind, and minds none", async () => {
    const { headers } = await ask(
      "ada",
      "tools/list",
      {},
      {
        headers: { "mcp-session-id": "nonsense", "last-event-id": "nonsense" },
      },
    );
    expect(headers.get("mcp-session-id")).toBeNull();
    for (const method of ["GET", "DELETE"]) {
      const response = await fetch(`${rig.url}/mcp`, {
        method,
        headers: {
          authorization: `Bearer ${await rig.tokenFor("ada")}`,
          accept: "text/event-stream",
          "mcp-protocol-version": VERSION,
        },
      });
      expect([method, response.status, response.headers.get("allow")]).toEqual([
        method,
        405,
        "POST, OPTIONS",
      ]);
    }
  });

  // Demanded: meta-required, header-mismatch, method-404
  describe("refuses", () => {
    const good = request("tools/list");
    const meta = good.params._meta as Params;
    const without = (key: string) => {
      const { [`${PREFIX}${key}`]: _, ...rest } = meta;
      return { ...good, params: { _meta: rest } };
    };
    const listHeaders = headersFor("tools/list");
    const call = callTool("lab_echo");
    const cases: [string, unknown, Record<string, string>, number, number][] = [
      ["no _meta", { ...good, params: {} }, listHeaders, 400, -32602],
      [
        "no version in _meta",
        without("protocolVersion"),
        listHeaders,
        400,
        -32602,
      ],
      [
        "no capabilities",
        without("clientCapabilities"),
        listHeaders,
        400,
        -32602,
      ],
      ["no version header", good, { "mcp-method": "tools/list" }, 400, -32020],
      [
        "another version in the header",
        good,
        { ...listHeaders, "mcp-protocol-version": "2025-11-25" },
        400,
        -32020,
      ],
      [
        "no method header",
        good,
        { "mcp-protocol-version": VERSION },
        400,
        -32020,
      ],
      [
        "another method in the header",
        good,
        headersFor("tools/call", "x"),
        400,
        -32020,
      ],
      [
        "a method header in capitals",
        good,
        headersFor("TOOLS/LIST"),
        400,
        -32020,
      ],
      ["no name header", call, headersFor("tools/call"), 400, -32020],
      [
        "another name in the header",
        call,
        headersFor("tools/call", "lab_whoami"),
        400,
        -32020,
      ],
      [
        "a name in broken Base64",
        call,
        headersFor("tools/call", "=?base64?bGFi*Vjobw==?="),
        400,
        -32020,
      ],
      [
        "a method that is not",
        request("no/such"),
        headersFor("no/such"),
        404,
        -32601,
      ],
      ...["initialize", "ping", "logging/setLevel", "resources/subscribe"].map(
        (method): [string, unknown, Record<string, string>, number, number] => [
          `${method}, which this revision has no more`,
          request(method),
          headersFor(method),
          404,
          -32601,
        ],
      ),
      ["a batch", [good], listHeaders, 400, -32600],
      [
        "listening to nothing said",
        request("subscriptions/listen"),
        headersFor("subscriptions/listen"),
        400,
        -32602,
      ],
    ];
    test.each(cases)("%s", async (_name, message, headers, status, code) => {
      const answer = await rig.post("ada", message, headers);
      expect([answer.status, answer.body.error.code]).toEqual([status, code]);
      if (!Array.isArray(message)) expect(answer.body.id).toBe(1);
    });

    // Demanded: unsupported-version
    test("a revision that it does not speak, and says which it does", async () => {
      const asked = request("server/discover", {
        _meta: { [`${PREFIX}protocolVersion`]: "2099-01-01" },
      });
      const { status, body } = await rig.post("ada", asked, {
        ...headersFor("server/discover"),
        "mcp-protocol-version": "2099-01-01",
      });
      expect([status, body.error]).toEqual([
        400,
        {
          code: -32022,
          message: "Unsupported protocol version",
          data: { supported: supportedVersions, requested: "2099-01-01" },
        },
      ]);
    });

    test("an unknown tool with an error in a response of 200", async () => {
      const { status, body } = await ask("ada", "tools/call", {
        name: "no_such",
      });
      expect([status, body.error.code]).toEqual([200, -32602]);
    });
  });

  // Demanded: name-base64
  test("takes a name in Base64", async () => {
    const name = `=?base64?${Buffer.from("lab_echo").toString("base64")}?=`;
    const { body } = await rig.post(
      "ada",
      callTool("lab_echo", { a: 1 }),
      headersFor("tools/call", name),
    );
    expect(body.result.structuredContent).toEqual({ a: 1 });
  });

  test("two keys that differ in case are two: the message is what it says exactly", async () => {
    const text = JSON.stringify(request("tools/list")).replace(
      '"method"',
      '"Method":"tools/call","method"',
    );
    const { body } = await rig.post("ada", text, headersFor("tools/list"));
    expect(body.result.tools.length).toBeGreaterThan(0);
  });

  test("a call that asked for progress hears of it on a stream, which ends with the answer", async () => {
    await using slow = await openRig({ env: { PROGRESS_INTERVAL: "20ms" } });
    const stream = await slow.start(
      "ada",
      callTool("lab_slow", { ms: 200 }, { progressToken: "p" }),
      headersFor("tools/call", "lab_slow"),
    );
    await stream.ended;
    const said = messages(stream.events);
    expect(said.length).toBeGreaterThan(1);
    for (const { method, params } of said.slice(0, -1)) {
      expect([method, params.progressToken]).toEqual([
        "notifications/progress",
        "p",
      ]);
    }
    expect(said.at(-1)).toMatchObject({
      id: 1,
      result: { resultType: "complete" },
    });
    expect(stream.events.some(({ id }) => id)).toBe(false);
  });

  test("a call that takes long is answered on a stream, also when nobody asked for progress", async () => {
    await using slow = await openRig({ env: { PROGRESS_INTERVAL: "20ms" } });
    const { headers, body } = await slow.post(
      "ada",
      callTool("lab_slow", { ms: 300 }),
      headersFor("tools/call", "lab_slow"),
    );
    expect(headers.get("content-type")).toBe("text/event-stream");
    expect(body.result.resultType).toBe("complete");
  });

  // Demanded: close-cancels
  describe("closing the connection cancels the call", () => {
    test("also when it closes before the call has begun", async () => {
      await using asking = await openRig({ introspect: true });
      const before = () =>
        asking.workspace.requests.filter(({ path }) => path.includes("/run"))
          .length;
      for (let wait = 0; wait < 4; wait++) {
        const body = JSON.stringify(callTool("lab_hold", { gate: "g" }));
        const token = await asking.tokenFor(`user-${wait}`);
        const { port } = new URL(asking.url);
        const socket = await Bun.connect({
          hostname: "127.0.0.1",
          port: Number(port),
          socket: { data() {} },
        });
        socket.write(
          [
            "POST /mcp HTTP/1.1",
            `Host: 127.0.0.1:${port}`,
            `Authorization: Bearer ${token}`,
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            `MCP-Protocol-Version: ${VERSION}`,
            "Mcp-Method: tools/call",
            "Mcp-Name: lab_hold",
            `Content-Length: ${body.length}`,
            "",
            body,
          ].join("\r\n"),
        );
        socket.flush();
        await Bun.sleep(wait);
        socket.terminate();
      }
      // Whatever has begun all the same ends; nothing goes on for nobody.
      const running = () =>
        asking.workspace.requests.filter(
          ({ path, aborted }) => path.includes("/run") && !aborted,
        ).length;
      await asking.post(
        "after",
        callTool("lab_echo", {}),
        headersFor("tools/call", "lab_echo"),
      );
      while (running() > 1) await Bun.sleep(5);
      expect(before()).toBeGreaterThanOrEqual(1);
    });

    for (const meta of [{}, { progressToken: 1 }]) {
      test(
        meta.progressToken ? "on a stream" : "before any answer",
        async () => {
          await using slow = await openRig({
            env: { PROGRESS_INTERVAL: "20ms" },
          });
          const runs = () =>
            slow.workspace.requests.filter(({ path }) => path.includes("/run"));
          const controller = new AbortController();
          const call = fetch(`${slow.url}/mcp`, {
            method: "POST",
            signal: controller.signal,
            headers: {
              "content-type": "application/json",
              accept: "application/json, text/event-stream",
              authorization: `Bearer ${await slow.tokenFor("ada")}`,
              ...headersFor("tools/call", "lab_slow"),
            },
            body: JSON.stringify(callTool("lab_slow", { ms: 60_000 }, meta)),
          });
          call.catch(() => {});
          while (runs().length === 0) await Bun.sleep(5);
          if (meta.progressToken) await call;
          controller.abort();
          while (!runs().some(({ aborted }: any) => aborted))
            await Bun.sleep(5);
        },
      );
    }
  });

  describe("subscriptions/listen", () => {
    const listen = async (
      user: string,
      notifications: object,
      headers: Record<string, string> = {},
    ): Promise<Listener> => {
      const stream = await rig.start(
        user,
        request("subscriptions/listen", { notifications }, "sub"),
        { ...headersFor("subscriptions/listen"), ...headers },
      );
      await stream.until(({ data }) => Boolean(data?.includes("acknowledged")));
      return stream;
    };
    const isChange = ({ data }: { data?: string }) =>
      Boolean(data?.includes("tools/list_changed"));

    // Demanded: listen-acknowledged, listen-filtered
    test("acknowledges what it can tell of, and tells of changes to who asked", async () => {
      await listed("dora");
      const mine = await listen("dora", {
        toolsListChanged: true,
        promptsListChanged: true,
        resourceSubscriptions: ["file:///x"],
      });
      const other = await listen("dora", {});
      await listed("emil");
      const theirs = await listen("emil", { toolsListChanged: true });
      expect(messages(mine.events)[0].params).toEqual({
        _meta: { [`${PREFIX}subscriptionId`]: "sub" },
        notifications: {
          toolsListChanged: true,
          promptsListChanged: true,
          resourceSubscriptions: ["file:///x"],
        },
      });
      expect(messages(other.events)[0].params.notifications).toEqual({});
      rig.workspace.world.putAction("dora", { connection: "lab" }, {
        key: "more",
        name: "More",
        inputSchema: { type: "object" },
        run: () => 1,
      } as any);
      clock.advance(MINUTE + 1);
      await listed("dora");
      const change = await mine.until(isChange);
      expect(JSON.parse(change.data!).params._meta).toEqual({
        [`${PREFIX}subscriptionId`]: "sub",
      });
      expect(await listed("dora")).toContain("lab_more");
      expect(messages(other.events)).toHaveLength(1);
      expect(messages(theirs.events)).toHaveLength(1);
      for (const stream of [mine, other, theirs]) stream.close();
    });

    test("tells of what a chat enables, to those of that chat", async () => {
      const path = "/mcp?mode=dynamic";
      const of = (chat: string) => ({ "x-chat-id": chat });
      expect(await listed("fay", path, of("one"))).toEqual(["enable-tools"]);
      await listed("fay", path, of("two"));
      const one = await listen("fay", { toolsListChanged: true }, of("one"));
      const two = await listen("fay", { toolsListChanged: true }, of("two"));
      const { body } = await ask(
        "fay",
        "tools/call",
        { name: "enable-tools", arguments: { tools: ["lab-echo", "nope"] } },
        { headers: of("one"), path },
      );
      expect(body.result.structuredContent).toEqual({
        enabled: ["lab_echo"],
        unknown: ["nope"],
      });
      await one.until(isChange);
      expect(messages(two.events)).toHaveLength(1);
      expect(await listed("fay", path, of("one"))).toEqual([
        "enable-tools",
        "lab_echo",
      ]);
      expect(await listed("fay", path, of("two"))).toEqual(["enable-tools"]);
      one.close();
      two.close();
    });

    test("of a chat's session hears of what a stateless client enables, on the stream of the session", async () => {
      const headers = { "x-chat-id": "both" };
      const path = "/mcp?mode=dynamic";
      const session = await rig.open("ivy", headers, path);
      const stream = await rig.listen("ivy", { "mcp-session-id": session });
      await ask(
        "ivy",
        "tools/call",
        { name: "enable-tools", arguments: { tools: ["lab_echo"] } },
        { headers, path },
      );
      await stream.until(isChange);
      const { body } = await rig.post(
        "ivy",
        { jsonrpc: "2.0", id: 1, method: "tools/list" },
        { "mcp-session-id": session },
      );
      expect(body.result.tools.map(({ name }: any) => name)).toEqual([
        "enable-tools",
        "lab_echo",
      ]);
      stream.close();
    });

    test("of both eras hear of a chat whose mode has changed, or that has ended", async () => {
      const headers = { "x-chat-id": "changing" };
      const session = await rig.open("jo", headers, "/mcp?mode=static");
      await rig.post(
        "jo",
        { jsonrpc: "2.0", id: 1, method: "tools/list" },
        { "mcp-session-id": session },
      );
      const own = await rig.listen("jo", { "mcp-session-id": session });
      const stateless = await listen("jo", { toolsListChanged: true }, headers);
      const told = (stream: Listener) =>
        messages(stream.events).filter(({ method }) =>
          method?.endsWith("list_changed"),
        ).length;
      // By a stateless request.
      expect(await listed("jo", "/mcp?mode=search", headers)).toHaveLength(2);
      await own.until(isChange);
      await stateless.until(() => told(stateless) === 1);
      // By the other era.
      await rig.open("jo", headers, "/mcp?mode=static");
      await stateless.until(() => told(stateless) === 2);
      await rig.open("jo", headers, "/mcp?mode=dynamic");
      await stateless.until(() => told(stateless) === 3);
      // And by its end, after which it is a chat like any other.
      const ended = await fetch(`${rig.url}/mcp`, {
        method: "DELETE",
        headers: {
          authorization: `Bearer ${await rig.tokenFor("jo")}`,
          "mcp-session-id": session,
        },
      });
      expect(ended.status).toBe(200);
      await stateless.until(() => told(stateless) === 4);
      own.close();
      stateless.close();
    });

    test("are a hundred for one user at most", async () => {
      const streams: Listener[] = [];
      for (let n = 0; n < 100; n++) streams.push(await listen("kim", {}));
      const { status, body } = await ask("kim", "subscriptions/listen", {
        notifications: {},
      });
      expect([status, body.error.code]).toEqual([429, -32000]);
      const theirs = await listen("lou", {});
      for (const stream of [...streams, theirs]) stream.close();
    });

    test("beats, looks for changes by itself, and ends when its token does", async () => {
      const own = fakeClock(Date.now());
      await using beating = await openRig({ clock: own });
      const token = await beating.tokenFor("ada", { ttlSeconds: 1000 });
      const response = await fetch(`${beating.url}/mcp`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          authorization: `Bearer ${token}`,
          ...headersFor("subscriptions/listen"),
        },
        body: JSON.stringify(
          request("subscriptions/listen", {
            notifications: { toolsListChanged: true },
          }),
        ),
      });
      let text = "";
      let ended = false;
      const reading = (async () => {
        for await (const chunk of response.body!.pipeThrough(
          new TextDecoderStream(),
        )) {
          text += chunk;
        }
        ended = true;
      })();
      const until = async (found: () => boolean, act: () => void) => {
        while (!found()) {
          act();
          await Bun.sleep(5);
        }
      };
      await until(
        () => text.includes(": heartbeat"),
        () => beating.tick(),
      );
      // The list that it began with has been loaded by now, or is told as new.
      const told = () => text.split("tools/list_changed").length - 1;
      beating.workspace.world.putAction("ada", { connection: "lab" }, {
        key: "unasked",
        name: "Unasked",
        inputSchema: { type: "object" },
        run: () => 1,
      } as any);
      const before = told();
      own.advance(301_000);
      await until(
        () => told() > before,
        () => beating.tick(),
      );
      own.advance(1_000_000);
      await until(
        () => ended,
        () => beating.tick(),
      );
      await reading;
      expect(text).toContain('"resultType":"complete"');
    });

    // Demanded: listen-graceful
    test("ends with an answer when the server stops", async () => {
      await using own = await openRig();
      const stream = await own.start(
        "ada",
        request("subscriptions/listen", { notifications: {} }, 7),
        headersFor("subscriptions/listen"),
      );
      await stream.until(({ data }) => Boolean(data?.includes("acknowledged")));
      await own.restart();
      await stream.ended;
      expect(messages(stream.events).at(-1)).toMatchObject({
        id: 7,
        result: {
          resultType: "complete",
          _meta: { [`${PREFIX}subscriptionId`]: 7 },
        },
      });
    });
  });

  test.each([
    ["before any answer", false],
    ["on a stream", true],
  ])(
    "a call that is still running when the server has to stop ends in an error (%s)",
    async (_, streamed) => {
      await using own = await openRig({
        env: {
          PROGRESS_INTERVAL: streamed ? "20ms" : "1h",
          DRAIN_TIMEOUT: "50ms",
        },
      });
      const stream = own.start(
        "ada",
        callTool(
          "lab_hold",
          { gate: "never" },
          streamed ? { progressToken: 1 } : {},
        ),
        headersFor("tools/call", "lab_hold"),
      );
      await own.workspace.when(({ path }) => path.includes("/run"));
      if (streamed) await (await stream).until(() => true);
      await own.restart();
      const { status, events, ended, text } = await stream;
      await ended;
      const error = streamed
        ? messages(events).at(-1).error
        : JSON.parse(text()).error;
      expect([status, error.code]).toEqual([streamed ? 200 : 503, -32000]);
      expect(error.message).toContain("outcome is unknown");
    },
  );

  // Demanded: list-stateless
  test("without a chat, dynamic mode has a list that never changes", async () => {
    const path = "/mcp?mode=dynamic";
    expect(await listed("ada", path)).toEqual(["search-tools", "call-tool"]);
    const { body } = await ask(
      "ada",
      "tools/call",
      { name: "enable-tools", arguments: { tools: ["lab_echo"] } },
      { path },
    );
    expect(body.error.code).toBe(-32602);
    expect(await listed("ada", path)).toEqual(["search-tools", "call-tool"]);
  });

  test("a user's chat is not another's", async () => {
    const path = "/mcp?mode=dynamic";
    const headers = { "x-chat-id": "same" };
    const enabling = {
      name: "enable-tools",
      arguments: { tools: ["lab_echo"] },
    };
    await ask("gil", "tools/call", enabling, { path, headers });
    expect(await listed("gil", path, headers)).toHaveLength(2);
    expect(await listed("hal", path, headers)).toEqual(["enable-tools"]);
  });

  test("needs a token like everyone", async () => {
    const { status } = await rig.post(
      null,
      request("tools/list"),
      headersFor("tools/list"),
    );
    expect(status).toBe(401);
  });

  // Demanded: both-eras
  test.each([
    ["legacy" as const, "2025-11-25"],
    ["auto" as const, VERSION],
    [{ pin: VERSION }, VERSION],
  ])("the official client in mode %j speaks %s", async (mode, version) => {
    const token = await rig.tokenFor("ada");
    const client = await connectModern(`${rig.url}/mcp`, token, { mode });
    expect(client.getNegotiatedProtocolVersion()).toBe(version);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toContain("lab_echo");
    const result = await client.callTool({
      name: "lab_echo",
      arguments: { hello: "there" },
    });
    expect(result.structuredContent).toEqual({ hello: "there" });
    await client.close();
  });
});
