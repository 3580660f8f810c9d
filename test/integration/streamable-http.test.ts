import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize, listTools, messages } from "../support/caller.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const NOT_FOUND =
  '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Session not found"},"id":null}';

describe("Streamable HTTP", () => {
  test("the official client lists every tool of the odd world and gets its results", async () => {
    const { client } = await rig.connect("ada");
    const { tools } = await client.listTools();
    const names = tools.map(({ name }) => name);
    expect(names).toEqual([...names].sort());
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    expect(names).toContain("lab_echo");
    expect(names.filter((name) => name.startsWith("big_"))).toHaveLength(30);
    const result = await client.callTool({
      name: "lab_echo",
      arguments: { a: [1, "2"], __proto__x: null },
    });
    expect(result.structuredContent).toEqual({ a: [1, "2"], __proto__x: null });
    expect(result._meta?.["membrane/actionRunId"]).toMatch(/^run_/);
  });

  test.each([
    ["lab_output-null", "No output"],
    ["lab_output-absent", "No output"],
    ["lab_output-zero", "0"],
    ["lab_output-false", "false"],
    ["lab_output-empty-text", '""'],
    ["lab_output-empty-list", "[]"],
  ])("%s answers %s", async (name, text) => {
    const session = await rig.open("ada");
    const { body } = await rig.post("ada", call(name), {
      "mcp-session-id": session,
    });
    expect(body.result).toMatchObject({ content: [{ type: "text", text }] });
    expect(body.result.isError).toBeUndefined();
  });

  // Demanded: tool-errors
  test("a failed run is a result that says why, with its cause and its number, and nothing secret", async () => {
    const session = await rig.open("ada");
    const { body } = await rig.post("ada", call("lab_fail-action-run"), {
      "mcp-session-id": session,
    });
    expect(body.error).toBeUndefined();
    expect(body.result.isError).toBe(true);
    expect(body.result.content[0].text).toContain("Cause: ");
    expect(body.result.content[0].text).toMatch(/Action run: run_/);
  });

  test.each(["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])(
    "initialize agrees on revision %s",
    async (version) => {
      const { body, headers } = await rig.post("ada", initialize(version));
      expect(body.result.protocolVersion).toBe(version);
      expect(body.result.capabilities).toEqual({
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        completions: {},
        logging: {},
      });
      expect(headers.get("mcp-session-id")).toMatch(/^[0-9a-f]{32}$/);
    },
  );

  // Demanded: initialize-negotiates
  test("an unknown revision is answered with the newest of ours", async () => {
    const { body } = await rig.post("ada", initialize("1999-01-01"));
    expect(body.result.protocolVersion).toBe("2025-11-25");
  });

  // Demanded: session-unknown-404
  test("an unknown session and somebody else's are the same 404, to the byte", async () => {
    const session = await rig.open("ada");
    for (const id of ["f".repeat(32), session, "x", "' OR 1=1 --"]) {
      for (const message of [
        listTools,
        call("lab_echo"),
        { jsonrpc: "2.0", method: "x" },
      ]) {
        const answer = await rig.post("bob", message, { "mcp-session-id": id });
        expect([answer.status, answer.text]).toEqual([404, NOT_FOUND]);
      }
    }
    expect(
      (await rig.post("ada", listTools, { "mcp-session-id": session })).status,
    ).toBe(200);
  });

  // Demanded: session-id-assigned
  test("a session id that a client chose is never adopted", async () => {
    const answer = await rig.post("ada", initialize(), {
      "mcp-session-id": "a".repeat(32),
    });
    expect([answer.status, answer.text]).toEqual([404, NOT_FOUND]);
    const session = await rig.open("ada");
    const again = await rig.post("ada", initialize(), {
      "mcp-session-id": session,
    });
    expect(again.status).toBe(400);
  });

  // Demanded: session-delete
  test("DELETE ends a session for good", async () => {
    const session = await rig.open("ada");
    const headers = {
      "mcp-session-id": session,
      authorization: `Bearer ${await rig.tokenFor("ada")}`,
    };
    const remove = () => fetch(`${rig.url}/mcp`, { method: "DELETE", headers });
    expect((await remove()).status).toBe(200);
    expect((await remove()).status).toBe(404);
    const { status } = await rig.post("ada", listTools, {
      "mcp-session-id": session,
    });
    expect(status).toBe(404);
  });

  // Demanded: stream-primed, retry
  test("a call is a stream that begins with a priming event, from 2025-11-25 on", async () => {
    for (const [version, primed] of [
      ["2025-11-25", true],
      ["2025-06-18", false],
    ] as const) {
      const opened = await rig.post("ada", initialize(version));
      const session = opened.headers.get("mcp-session-id")!;
      const { events, headers } = await rig.post(
        "ada",
        call("lab_echo", { x: 1 }),
        {
          "mcp-session-id": session,
        },
      );
      expect(headers.get("content-type")).toBe("text/event-stream");
      expect(events[0]?.retry).toBe("3000");
      expect(events[0]?.data).toBe(primed ? "" : undefined);
      expect(messages(events)).toHaveLength(1);
      expect(events.at(-1)?.id).toMatch(/-1$/);
    }
  });

  test.each([
    ["text/html", 406],
    ["text/event-stream", 406],
    ["application/json", 200],
    ["*/*", 200],
    ["application/json, text/event-stream", 200],
  ])("Accept: %s is %d", async (accept, status) => {
    const session = await rig.open("ada");
    const answer = await rig.post("ada", call("lab_echo", { x: 1 }), {
      accept,
      "mcp-session-id": session,
    });
    expect(answer.status).toBe(status);
    if (status === 200)
      expect(answer.body.result.structuredContent).toEqual({ x: 1 });
  });

  // Demanded: session-required-400
  test("a plain caller is served without a session, and one that expects streams has to have one", async () => {
    const plain = await rig.post("ada", call("lab_echo", { x: 1 }), {
      accept: "*/*",
    });
    expect(plain.body.result.structuredContent).toEqual({ x: 1 });
    expect(plain.headers.get("mcp-session-id")).toBeNull();
    expect((await rig.post("ada", listTools)).status).toBe(400);
  });

  // Demanded: batches-one-revision, ping
  test("batches exist in 2025-03-26 only", async () => {
    const batch = [
      { jsonrpc: "2.0", method: "notifications/initialized" },
      call("lab_echo", { n: 1 }, "a"),
      { jsonrpc: "2.0", id: "b", method: "ping" },
      call("lab_slow", { ms: 20 }, "c"),
      { jsonrpc: "2.0", id: "d", method: "nope" },
    ];
    const old = (await rig.post("ada", initialize("2025-03-26"))).headers.get(
      "mcp-session-id",
    )!;
    const { events } = await rig.post("ada", batch, { "mcp-session-id": old });
    const answers = messages(events);
    expect(answers.map(({ id }) => id).sort()).toEqual(["a", "b", "c", "d"]);
    expect(answers.find(({ id }) => id === "d").error.code).toBe(-32601);
    const json = await rig.post("ada", batch, {
      "mcp-session-id": old,
      accept: "application/json",
    });
    expect(json.body.map(({ id }: { id: string }) => id)).toEqual([
      "a",
      "b",
      "c",
      "d",
    ]);
    const modern = await rig.open("ada");
    const refused = await rig.post("ada", batch, { "mcp-session-id": modern });
    expect([refused.status, refused.body.error.code]).toEqual([400, -32600]);
  });

  test.each([
    ["{", 400, -32700],
    ['{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}', 400, -32600],
    ["[]", 400, -32600],
    ["[".repeat(100), 400, -32600],
    ['{"jsonrpc":"2.0","id":1,"Method":"ping"}', 400, -32600],
  ])("%s is refused", async (text, status, code) => {
    const session = await rig.open("ada");
    const answer = await rig.post("ada", text, { "mcp-session-id": session });
    expect([answer.status, answer.body.error.code]).toEqual([status, code]);
  });

  test.each([
    [{ jsonrpc: "2.0", id: 1, method: "nope" }, -32601],
    [call("nope_tool"), -32602],
    [call("constructor"), -32602],
    [{ jsonrpc: "2.0", id: 1, method: "tools/call", params: {} }, -32602],
    [
      { jsonrpc: "2.0", id: 1, method: "tools/list", params: { cursor: "x" } },
      -32602,
    ],
  ])("%j is a JSON-RPC error", async (message, code) => {
    const session = await rig.open("ada");
    const answer = await rig.post("ada", message, {
      "mcp-session-id": session,
    });
    expect([answer.status, answer.body.id, answer.body.error.code]).toEqual([
      200,
      1,
      code,
    ]);
  });

  // Demanded: post-202
  test("notifications and responses are accepted without an answer", async () => {
    const session = await rig.open("ada");
    for (const message of [
      { jsonrpc: "2.0", method: "notifications/initialized" },
      { jsonrpc: "2.0", id: 7, result: {} },
    ]) {
      const answer = await rig.post("ada", message, {
        "mcp-session-id": session,
      });
      expect([answer.status, answer.text]).toEqual([202, ""]);
    }
  });

  // Demanded: protocol-version-header
  test("an MCP-Protocol-Version that nobody speaks is refused, naming those that are", async () => {
    const session = await rig.open("ada");
    const answer = await rig.post("ada", listTools, {
      "mcp-session-id": session,
      "mcp-protocol-version": "1999-01-01",
    });
    expect(answer.status).toBe(400);
    expect(answer.body.error.data.supported).toContain("2025-11-25");
  });

  test("requests that are refused leave no session behind", async () => {
    const before = (await rig.post("eve", initialize())).headers.get(
      "mcp-session-id",
    );
    const bad = [
      ["{", {}],
      [initialize(), { accept: "text/html" }],
      [initialize(), { "content-type": "text/plain" }],
      [{ ...initialize(), params: {} }, {}],
      [[initialize()], {}],
    ] as const;
    for (const [message, headers] of bad) {
      const answer = await rig.post("eve", message, headers);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.headers.get("mcp-session-id")).toBeNull();
    }
    expect(before).not.toBeNull();
  });

  // Demanded: tools-paged
  test("the pages of a long list add up to the list", async () => {
    await using small = await openRig({ env: { TOOLS_PAGE_SIZE: "7" } });
    const all = (await rig.post("ada", listTools, { accept: "*/*" })).body
      .result.tools;
    const paged = [];
    let cursor: string | undefined;
    do {
      const { body } = await small.post(
        "ada",
        { ...listTools, params: cursor ? { cursor } : {} },
        { accept: "*/*" },
      );
      expect(body.result.tools.length).toBeLessThanOrEqual(7);
      paged.push(...body.result.tools);
      cursor = body.result.nextCursor;
    } while (cursor);
    expect(paged.map(({ name }) => name)).toEqual(
      all.map(({ name }: { name: string }) => name),
    );
  });

  test("answers never mix, though every caller uses the same id", async () => {
    const users = Array.from({ length: 20 }, (_, i) => `user-${i}`);
    const sessions = await Promise.all(users.map((user) => rig.open(user)));
    const answers = await Promise.all(
      users.flatMap((user, i) =>
        Array.from({ length: 10 }, async (_, n) => {
          const nonce = `${user}-${n}`;
          const { body } = await rig.post(user, call("lab_echo", { nonce }), {
            "mcp-session-id": sessions[i]!,
          });
          return [nonce, body.result.structuredContent.nonce];
        }),
      ),
    );
    for (const [sent, received] of answers) expect(received).toBe(sent);
    expect(answers).toHaveLength(200);
  });
});
