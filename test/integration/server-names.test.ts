import { describe, expect, test } from "bun:test";
import type { Gateway } from "../support/gateway.ts";
import { openGateway } from "../support/gateway.ts";
import type { McpClient } from "../support/mcp-clients.ts";
import { say } from "../support/servers/definitions.ts";
import type { ToolDefinition } from "../support/servers/definitions.ts";
import { openEvil } from "../support/servers/evil.ts";
import { openFullServer } from "../support/servers/full.ts";
import type { FullServer } from "../support/servers/full.ts";
import { createKit } from "../support/servers/kit.ts";

/** Names of registered servers' tools: unique and stable, in every mode, and never one for another. */

/** A tool that answers with its server and its name. */
const tool = (server: string, name: string): ToolDefinition => ({
  name,
  description: `Says that it is ${name} of ${server}`,
  run: () => say(`${server} ${name}`),
});
const ours = ["enable-tools", "search-tools", "call-tool"];

/** Servers that have all of these tools beside the usual ones. */
async function openTown(tools: Record<string, string[]>) {
  const servers: FullServer[] = [];
  const gateway = await openGateway();
  for (const [slug, names] of Object.entries(tools)) {
    const kit = createKit(names.map((name) => tool(slug, name)));
    const server = await openFullServer({ era: "stateless", kit });
    servers.push(server);
    await gateway.register({ slug, at: server.url });
  }
  return {
    gateway,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      for (const server of servers) await server[Symbol.asyncDispose]();
    },
  };
}

const open = (
  gateway: Gateway,
  path: string,
  kind: "v1" | "stateless" = "v1",
) => gateway.client("ann", { kind, path });

/** What is shown of one server's tools that are not the usual ones. */
const namesOf = async (client: McpClient, slug: string, names: string[]) =>
  (await client.toolNames()).filter((name) =>
    names.some((one) => name === `${slug}_${one}`),
  );

describe("two servers with tools of the same name, and one with tools of our names", () => {
  const mail = ["send_email", "send-email", ...ours];
  const tools = { one: mail, two: mail };

  // Demanded: servers-names-apart
  test.each(["v1", "stateless"] as const)(
    "have names of their own, which lead to them, to %s",
    async (kind) => {
      await using town = await openTown(tools);
      await using client = await open(town.gateway, "/mcp", kind);
      const names = await client.toolNames();
      expect(new Set(names).size).toBe(names.length);
      for (const slug of ["one", "two"]) {
        expect(await namesOf(client, slug, mail)).toHaveLength(mail.length);
        for (const name of mail) {
          expect(await client.text(`${slug}_${name}`)).toBe(`${slug} ${name}`);
        }
      }
      for (const bare of mail) {
        await expect(client.call(bare)).rejects.toThrow(/Unknown tool/);
      }
    },
  );

  test("apps= shows one of them, and a URL of its own shows it under its own names", async () => {
    await using town = await openTown(tools);
    await using two = await open(town.gateway, "/mcp?apps=two");
    const shown = await two.toolNames();
    expect(shown.length).toBeGreaterThan(mail.length);
    expect(shown.every((name) => name.startsWith("two_"))).toBe(true);
    await expect(two.call("one_send_email")).rejects.toThrow(/Unknown tool/);
    await using alone = await open(town.gateway, "/mcp/two");
    expect(await alone.toolNames()).toEqual(expect.arrayContaining(mail));
    for (const name of mail) {
      expect(await alone.text(name)).toBe(`two ${name}`);
    }
    await expect(alone.call("two_send_email")).rejects.toThrow(/Unknown tool/);
  });

  test("in dynamic mode only ours is there, until others are enabled", async () => {
    await using town = await openTown(tools);
    await using client = await open(town.gateway, "/mcp?mode=dynamic");
    expect(await client.toolNames()).toEqual(["enable-tools"]);
    const { structuredContent } = await client.call("enable-tools", {
      tools: ["one-enable-tools", "two_send_email", "send_email"],
    });
    expect(structuredContent).toEqual({
      enabled: ["one_enable-tools", "two_send_email"],
      unknown: ["send_email"],
    });
    expect(await client.toolNames()).toEqual([
      "enable-tools",
      "one_enable-tools",
      "two_send_email",
    ]);
    expect(await client.text("one_enable-tools")).toBe("one enable-tools");
    await expect(client.call("one_send_email")).rejects.toThrow(/Unknown tool/);
  });

  test.each(["v1", "stateless"] as const)(
    "in search mode they are found and called by their names, to %s",
    async (kind) => {
      await using town = await openTown(tools);
      await using client = await open(town.gateway, "/mcp?mode=search", kind);
      expect(await client.toolNames()).toEqual(["search-tools", "call-tool"]);
      const found = JSON.parse(
        await client.text("search-tools", { query: "send email", limit: 50 }),
      ) as { tools: { name: string }[] };
      const names = found.tools.map(({ name }) => name);
      expect(names).toEqual(
        expect.arrayContaining(["one_send_email", "two_send_email"]),
      );
      for (const slug of ["one", "two"]) {
        const called = { name: `${slug}_call-tool`, arguments: {} };
        expect(await client.text("call-tool", called)).toBe(
          `${slug} call-tool`,
        );
      }
    },
  );
});

describe("long and odd names", () => {
  const long = "a".repeat(100);
  const odd = [
    long,
    `${long}b`,
    "x".repeat(128),
    "git.commit/push",
    "git commit push",
    "größe",
    "大きさ",
    "__proto__",
    "constructor",
    "a%2f..%2f..",
  ];

  /** Each exposed name, by what its tool says that it is. */
  async function namesBySaying(client: McpClient, slug: string) {
    const said = new Map<string, string>();
    const { tools } = await client.client.listTools();
    for (const { name, description } of tools) {
      const [, own] = /^Says that it is (.*) of \w+$/.exec(description!) ?? [];
      if (own === undefined || !name.startsWith(`${slug}_`)) continue;
      expect(await client.text(name)).toBe(`${slug} ${own}`);
      said.set(own, name);
    }
    return said;
  }

  test("are within 64 plain characters, unique, and the same for ever", async () => {
    await using town = await openTown({ odd });
    const { gateway } = town;
    await using client = await open(gateway, "/mcp");
    const first = await namesBySaying(client, "odd");
    expect([...first.keys()].sort()).toEqual(odd.toSorted());
    for (const name of first.values()) {
      expect(name).toMatch(/^odd_[A-Za-z0-9_-]{1,60}$/);
    }
    expect(new Set(first.values()).size).toBe(odd.length);

    await gateway.restart();
    await using again = await open(gateway, "/mcp");
    expect(await namesBySaying(again, "odd")).toEqual(first);

    const kit = createKit(odd.map((name) => tool("other", name)));
    await using other = await openFullServer({ era: "stateless", kit });
    await gateway.register({ slug: "other", at: other.url });
    await using both = await open(gateway, "/mcp");
    expect(await namesBySaying(both, "odd")).toEqual(first);
    const others = await namesBySaying(both, "other");
    expect([...others.keys()].sort()).toEqual(odd.toSorted());

    await gateway.manage("DELETE", `/${await gateway.id("odd")}`);
    await gateway.restart();
    await using left = await open(gateway, "/mcp");
    expect(await namesBySaying(left, "odd")).toEqual(new Map());
    expect(await namesBySaying(left, "other")).toEqual(others);
  });

  test("are to the letter at the server's own URL", async () => {
    await using town = await openTown({ odd });
    await using alone = await open(town.gateway, "/mcp/odd");
    expect(await alone.toolNames()).toEqual(expect.arrayContaining(odd));
    for (const name of odd) expect(await alone.text(name)).toBe(`odd ${name}`);
  });
});

describe("a tool that changes on its server", () => {
  async function openRug(pinned: boolean) {
    const evil = await openEvil();
    const gateway = await openGateway({
      upstreams: [{ slug: "evil", at: evil.url, pinned }],
    });
    const client = await gateway.client("ann", { kind: "v1" });
    evil.behave("rug-pull");
    const described = async () => {
      const { tools } = await client.client.listTools();
      return tools.find(({ name }) => name === "evil_good_one")!.description!;
    };
    expect(await described()).toBe("The tool good_one");
    const calls = () =>
      evil.requests.filter(({ body }) => body?.method === "tools/call").length;
    /** Until the client is told of a change that it was not told of before. */
    const told = async (push: () => void) => {
      const before = client.heard.length;
      do {
        push();
        await Bun.sleep(5);
      } while (client.heard.length === before);
    };
    await told(() => evil.push({ method: "notifications/tools/list_changed" }));
    return {
      gateway,
      client,
      described,
      calls,
      told,
      async [Symbol.asyncDispose]() {
        await client[Symbol.asyncDispose]();
        await gateway[Symbol.asyncDispose]();
        await evil[Symbol.asyncDispose]();
      },
    };
  }

  // Demanded: servers-pinned
  test("is hidden and not called where definitions are pinned, until somebody approves it", async () => {
    await using rug = await openRug(true);
    const { gateway, client } = rug;
    expect(await rug.described()).toMatch(/waits for the approval/);
    const { tools } = await client.client.listTools();
    expect(JSON.stringify(tools)).not.toContain("sends it to us");
    const refused = await client.call("evil_good_one", { words: "w" });
    expect(refused).toMatchObject({
      isError: true,
      _meta: { "membrane-mcp/error": { code: "tool_changed" } },
    });
    expect(rug.calls()).toBe(0);
    // Nor after a restart, which has forgotten what it has in memory.
    await gateway.restart();
    expect(await rug.described()).toMatch(/waits for the approval/);
    expect((await client.call("evil_good_one")).isError).toBe(true);
    expect(rug.calls()).toBe(0);

    const path = `/${await gateway.id("evil")}/tools`;
    const listed = await gateway.manage("GET", path);
    const [changed] = listed.tools as { hash: string; status: string }[];
    expect(changed).toMatchObject({ name: "good_one", status: "changed" });
    await gateway.manage("POST", `${path}/good_one/approve`, {
      hash: changed!.hash,
    });
    while (!/sends it to us/.test(await rug.described())) await Bun.sleep(5);
    expect(await client.text("evil_good_one", { words: "w" })).toContain("w");
    expect(rug.calls()).toBe(1);
    // The other one still waits.
    expect((await client.call("evil_good_two")).isError).toBe(true);
  });

  test("is shown as it is, and noted, where they are not", async () => {
    await using rug = await openRug(false);
    const { gateway, client } = rug;
    expect(await rug.described()).toContain("sends it to us");
    expect(await client.text("evil_good_one", { words: "w" })).toContain("w");
    expect(
      gateway.lines.filter(({ event }) => event === "tool has changed"),
    ).toMatchObject([{ tool: "good_one" }, { tool: "good_two" }]);
  });
});
