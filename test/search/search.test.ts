import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { buildToolIndex } from "../../src/store/sqlite/tool-index.ts";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, listTools } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";
import { tools } from "./corpus.ts";
import { quality, ranks } from "./rank.ts";

test("the fixed queries find what they are after, as well as when this was written", () => {
  const { recall, mrr } = quality(ranks());
  expect(recall).toBeGreaterThanOrEqual(0.87);
  expect(mrr).toBeGreaterThanOrEqual(0.79);
});

describe("the index", () => {
  const index = buildToolIndex(tools());
  const find = (query: string, apps: string[] | null = null) =>
    index.search(query, apps, 5);

  test.each([
    ["the words as they are", "send slack message"],
    ["other forms of the words", "sending messages on Slack"],
    ["capitals and punctuation", "SEND — Slack... message?!"],
    ["a letter too few", "send slak mesage"],
    ["two letters swapped", "send salck message"],
    ["words cut off", "send slac messag"],
  ])("finds by %s", (_, query) => {
    expect(find(query)[0]).toMatch(/^slack_send-/);
  });

  test("is limited to apps", () => {
    const found = find("create contact", ["hubspot"]);
    expect(found[0]).toBe("hubspot_create-contact");
    for (const name of found) expect(name).toStartWith("hubspot_");
    expect(find("create contact", [])).toEqual([]);
  });

  test.each([
    "",
    "   ",
    "the of and",
    '"',
    'AND OR NOT NEAR("a" "b")',
    "name:send -app:*",
    "{}()^*:+-",
    "😀 \u0000 \ud800",
    "x".repeat(1000),
    "word ".repeat(200),
    "'; DROP TABLE tools; --",
  ])("takes %j for words and nothing else", (query) => {
    const found = find(query);
    expect(Array.isArray(found)).toBe(true);
    expect(find("send slack message")[0]).toMatch(/^slack_send-/);
  });

  test("gives the same order every time", () => {
    const again = buildToolIndex(tools());
    for (const query of ["create", "list", "send message", "update contact"]) {
      expect(again.search(query, null, 20)).toEqual(
        index.search(query, null, 20),
      );
    }
  });
});

describe("mode search", () => {
  const clock = fakeClock(Date.now());
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig({ clock });
  });
  afterAll(() => rig[Symbol.asyncDispose]());
  const open = (user: string, path: string) => rig.open(user, {}, path);
  const names = async (session: string, user = "ada") => {
    const { body } = await rig.post(user, listTools, {
      "mcp-session-id": session,
    });
    return body.result.tools.map(({ name }: any) => name);
  };
  const run = async (
    session: string,
    tool: string,
    args: object,
    user = "ada",
  ) =>
    (await rig.post(user, call(tool, args), { "mcp-session-id": session }))
      .body;

  // Demanded: search
  test("shows two tools; what one finds, the other runs", async () => {
    const session = await open("ada", "/mcp?mode=search");
    expect(await names(session)).toEqual(["search-tools", "call-tool"]);
    const found = await run(session, "search-tools", { query: "echo" });
    const { tools: list } = found.result.structuredContent;
    const echo = list.find(({ name }: any) => name === "lab_echo");
    expect(echo).toMatchObject({ inputSchema: { type: "object" } });
    expect(JSON.parse(found.result.content[0].text)).toEqual({ tools: list });
    const result = await run(session, "call-tool", {
      name: "lab_echo",
      arguments: { a: 1 },
    });
    expect(result.result.structuredContent).toEqual({ a: 1 });
    // The list has not changed, and the tool itself is not shown.
    expect(await names(session)).toEqual(["search-tools", "call-tool"]);
    expect((await run(session, "lab_echo", {})).error.code).toBe(-32602);
  });

  test("keeps to the apps of the URL, in what is found and in what is run", async () => {
    const session = await open("ada", "/mcp?mode=search&apps=nothing");
    const found = await run(session, "search-tools", { query: "echo" });
    expect(found.result.structuredContent).toEqual({ tools: [] });
    const refused = await run(session, "call-tool", { name: "lab_echo" });
    expect(refused.error.code).toBe(-32602);
  });

  // Demanded: search
  test("finds what came, and no more what is gone; and never what is another's", async () => {
    const session = await open("ada", "/mcp?mode=search");
    const find = async (query: string, user: string, id: string) =>
      (
        await run(id, "search-tools", { query, limit: 20 }, user)
      ).result.structuredContent.tools.map(({ name }: any) => name);
    const theirs = await open("bob", "/mcp?mode=search");
    rig.workspace.world.putAction("ada", { connection: "lab" }, {
      key: "frobnicate",
      name: "Frobnicate",
      inputSchema: { type: "object" },
      run: () => 1,
    } as any);
    const until = async (expected: boolean) => {
      for (;;) {
        clock.advance(61_000);
        const found = await find("frobnicate", "ada", session);
        if (found.includes("lab_frobnicate") === expected) return;
      }
    };
    await until(true);
    expect(await find("frobnicate", "bob", theirs)).not.toContain(
      "lab_frobnicate",
    );
    const stolen = await run(
      theirs,
      "call-tool",
      { name: "lab_frobnicate" },
      "bob",
    );
    expect(stolen.error.code).toBe(-32602);
    rig.workspace.world.removeAction("ada", "frobnicate");
    await until(false);
  });

  test.each([
    [{}],
    [{ query: 1 }],
    [{ query: "x".repeat(1001) }],
    [{ query: "x", limit: 0 }],
    [{ query: "x", limit: 1.5 }],
  ])("search-tools refuses %j", async (args) => {
    const session = await open("ada", "/mcp?mode=search");
    expect((await run(session, "search-tools", args)).error.code).toBe(-32602);
  });

  // Demanded: auto
  test("auto is static for few tools, and search for many", async () => {
    await using few = await openRig({ env: { AUTO_STATIC_TOOLS: "1000" } });
    await using many = await openRig({ env: { AUTO_STATIC_TOOLS: "3" } });
    for (const [own, expected] of [
      [few, "lab_echo"],
      [many, "search-tools"],
    ] as const) {
      const session = await own.open("ada", {}, "/mcp?mode=auto");
      const { body } = await own.post("ada", listTools, {
        "mcp-session-id": session,
      });
      expect(body.result.tools.map(({ name }: any) => name)).toContain(
        expected,
      );
    }
  });
});
