import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ToolListChangedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize, listTools, messages } from "../support/caller.ts";

/** What of the catalogue a session shows, and what its URL can say of it. */

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

async function names(path: string): Promise<string[]> {
  const session = await rig.open("ada", {}, path);
  const { body } = await rig.post(
    "ada",
    listTools,
    { "mcp-session-id": session },
    path,
  );
  return body.result.tools.map(({ name }: { name: string }) => name);
}

const apps = (list: string[]) =>
  new Set(list.map((name) => name.slice(0, name.indexOf("_"))));

describe("static mode", () => {
  // Demanded: static-default
  test("is the default", async () => {
    expect(await names("/mcp")).toEqual(await names("/mcp?mode=static"));
  });

  test.each([
    ["/mcp?apps=lab", ["lab"]],
    ["/mcp?apps=lab,%20big%20,", ["lab", "big"]],
    ["/mcp?integrationKey=big", ["big"]],
    ["/mcp&integrationKey=big", ["big"]],
    ["/mcp&integrationKey=big&mode=static", ["big"]],
    ["/mcp?apps=nobody-has-this", []],
    ["/mcp?apps=", []],
  ])("%s shows the apps %j", async (path, expected) => {
    expect(apps(await names(path))).toEqual(new Set(expected));
  });

  // Demanded: apps
  test("both accounts of an app belong to it", async () => {
    const shown = await names("/mcp?apps=mail");
    const prefixes = apps(shown);
    expect(prefixes.size).toBe(2);
    expect(prefixes).toContain("mail");
    for (const prefix of prefixes) expect(prefix).toMatch(/^mail(-|$)/);
  });

  // Demanded: unknown-tool
  test("what is not shown cannot be called", async () => {
    const session = await rig.open("ada", {}, "/mcp?apps=big");
    const before = rig.workspace.runCounts()["act_lab_echo"];
    const { body } = await rig.post("ada", call("lab_echo"), {
      "mcp-session-id": session,
    });
    expect(body.error).toEqual({
      code: -32602,
      message: "Unknown tool: lab_echo",
    });
    expect(rig.workspace.runCounts()["act_lab_echo"]).toBe(before);
  });

  test("has no enable-tools", async () => {
    const session = await rig.open("ada");
    const { body } = await rig.post(
      "ada",
      call("enable-tools", { tools: ["lab_echo"] }),
      { "mcp-session-id": session },
    );
    expect(body.error.code).toBe(-32602);
  });
});

test("an unknown mode is 400 and names the valid ones", async () => {
  for (const path of ["/mcp?mode=turbo", "/sse?mode=STATIC", "/mcp?mode="]) {
    const answer = path.startsWith("/sse")
      ? await fetch(rig.url + path, {
          headers: {
            authorization: `Bearer ${await rig.tokenFor("ada")}`,
            accept: "text/event-stream",
          },
        })
      : await rig.post("ada", initialize(), {}, path);
    expect(answer.status).toBe(400);
    const text =
      typeof answer.text === "string" ? answer.text : await answer.text();
    expect(text).toContain("static, dynamic");
  }
});

describe("dynamic mode", () => {
  // Demanded: dynamic
  test("begins with enable-tools alone, and shows what it enabled", async () => {
    const { client } = await rig.connect("ada", { path: "/mcp?mode=dynamic" });
    const changed = Promise.withResolvers<void>();
    client.setNotificationHandler(ToolListChangedNotificationSchema, () =>
      changed.resolve(),
    );
    const { tools } = await client.listTools();
    expect(tools).toHaveLength(1);
    expect(tools[0]).toMatchObject({
      name: "enable-tools",
      description: "Enable a list of tools for the session",
      inputSchema: { required: ["tools"] },
    });
    const result = await client.callTool({
      name: "enable-tools",
      arguments: { tools: ["lab_echo", "lab_output-zero", "no_such-tool"] },
    });
    expect(result).toMatchObject({
      content: [{ type: "text", text: "Tools enabled" }],
      structuredContent: {
        enabled: ["lab_echo", "lab_output-zero"],
        unknown: ["no_such-tool"],
      },
    });
    await changed.promise;
    const after = await client.listTools();
    expect(after.tools.map(({ name }) => name)).toEqual([
      "enable-tools",
      "lab_echo",
      "lab_output-zero",
    ]);
    const echoed = await client.callTool({
      name: "lab_echo",
      arguments: { a: 1 },
    });
    expect(echoed.structuredContent).toEqual({ a: 1 });
  });

  // Demanded: hyphens
  test("- and _ are alike in the names it takes, and it replaces the set", async () => {
    const path = "/mcp?mode=dynamic";
    const session = await rig.open("ada", {}, path);
    const headers = { "mcp-session-id": session };
    const enable = async (tools: unknown) =>
      (await rig.post("ada", call("enable-tools", { tools }), headers)).body;
    expect(
      (await enable(["lab-echo", "lab_echo"])).result.structuredContent,
    ).toEqual({
      enabled: ["lab_echo"],
      unknown: [],
    });
    expect(
      (await enable(["lab_output_zero"])).result.structuredContent,
    ).toEqual({
      enabled: ["lab_output-zero"],
      unknown: [],
    });
    const { body } = await rig.post("ada", listTools, headers);
    expect(
      body.result.tools.map((tool: { name: string }) => tool.name),
    ).toEqual(["enable-tools", "lab_output-zero"]);
    const hidden = await rig.post("ada", call("lab_echo"), headers);
    expect(hidden.body.error.code).toBe(-32602);
  });

  test.each([[{}], [{ tools: "lab_echo" }], [{ tools: [1] }]])(
    "enable-tools with %j is invalid and changes nothing",
    async (args) => {
      const path = "/mcp?mode=dynamic";
      const headers = { "mcp-session-id": await rig.open("ada", {}, path) };
      await rig.post(
        "ada",
        call("enable-tools", { tools: ["lab_echo"] }),
        headers,
      );
      const { body } = await rig.post(
        "ada",
        call("enable-tools", args),
        headers,
      );
      expect(body.error.code).toBe(-32602);
      const list = await rig.post("ada", listTools, headers);
      expect(list.body.result.tools).toHaveLength(2);
    },
  );

  test("enables only what `apps` shows", async () => {
    const path = "/mcp?mode=dynamic&apps=big";
    const headers = { "mcp-session-id": await rig.open("ada", {}, path) };
    const { body } = await rig.post(
      "ada",
      call("enable-tools", { tools: ["lab_echo", "big_item-0000"] }),
      headers,
    );
    expect(body.result.structuredContent).toEqual({
      enabled: ["big_item-0000"],
      unknown: ["lab_echo"],
    });
  });

  test("list_changed goes to the session that enabled, and to no other", async () => {
    const path = "/mcp?mode=dynamic";
    const mine = await rig.open("ada", {}, path);
    const other = await rig.open("ada", {}, path);
    const [listening, elsewhere] = await Promise.all([
      rig.listen("ada", { "mcp-session-id": mine }),
      rig.listen("ada", { "mcp-session-id": other }),
    ]);
    const { events } = await rig.post(
      "ada",
      call("enable-tools", { tools: ["lab_echo"] }),
      { "mcp-session-id": mine },
    );
    // It goes to the one stream that is meant for it, not to both.
    expect(messages(events)).toHaveLength(1);
    await listening.until(({ data }) =>
      Boolean(data?.includes("notifications/tools/list_changed")),
    );
    // What the other session hears next is its own, so nothing came before it.
    await rig.post("ada", call("enable-tools", { tools: [] }), {
      "mcp-session-id": other,
    });
    await elsewhere.until(({ data }) => Boolean(data));
    expect(messages(elsewhere.events)).toHaveLength(1);
  });

  test("a plain caller has nothing to keep a choice in, and is told so", async () => {
    const { body } = await rig.post(
      "ada",
      call("enable-tools", { tools: ["lab_echo"] }),
      { accept: "application/json" },
      "/mcp?mode=dynamic",
    );
    expect(body.error.code).toBe(-32602);
    expect(body.error.message).toContain("Send initialize first");
  });
});
