import { describe, expect, test } from "bun:test";
import { createRest } from "../support/absent-servers.ts";
import { WORKSPACE_KEY } from "../support/app.ts";
import { fakeClock } from "../support/clock.ts";
import { openGateway } from "../support/gateway.ts";
import { openEvil } from "../support/servers/evil.ts";
import { openLegacyServer } from "../support/servers/legacy-v1.ts";

/**
 * A member who has never seen the list of a server that is down: what they ask of it is not unknown, it cannot be
 * known.
 */

async function openTown() {
  const clock = fakeClock(Date.now());
  const evil = await openEvil();
  const good = await openLegacyServer();
  const gateway = await openGateway({
    clock,
    upstreams: [
      { slug: "evil", at: evil.url },
      { slug: "good", at: good.url },
    ],
  });
  const ann = await gateway.client("ann", { kind: "v1" });
  await ann.toolNames();
  await evil.stop();
  for (let failures = 0; failures < 5; failures++) {
    await ann.call("evil_good_one").catch(() => {});
  }
  const rest = createRest(gateway.url);
  return {
    clock,
    evil,
    gateway,
    rest: async (route: string, body?: object) =>
      rest(await gateway.tokenFor("bob"), route, body),
    posts: () => evil.requests.filter(({ method }) => method === "POST").length,
    async [Symbol.asyncDispose]() {
      await ann[Symbol.asyncDispose]();
      await gateway[Symbol.asyncDispose]();
      await good[Symbol.asyncDispose]();
      await evil[Symbol.asyncDispose]();
    },
  };
}

const WHY = /evil does not answer at present/;

describe("to a member who has no list of a server that counts as down", () => {
  // Demanded: servers-down
  test.each(["/mcp", "/mcp?mode=search", "/mcp/evil"])(
    "a call over %s says that it does not answer",
    async (path) => {
      await using town = await openTown();
      const before = town.posts();
      await using bob = await town.gateway.client("bob", { kind: "v1", path });
      const name = path === "/mcp/evil" ? "good_one" : "evil_good_one";
      const asked = path.includes("search")
        ? bob.text("call-tool", { name, arguments: {} })
        : bob.text(name);
      await expect(asked).rejects.toThrow(WHY);
      await expect(asked).rejects.toThrow(/Try again in 15 s/);
      expect(town.posts()).toBe(before);
    },
  );

  test("a prompt and a resource of it, too", async () => {
    await using town = await openTown();
    await using bob = await town.gateway.client("bob", { kind: "v1" });
    await expect(
      bob.client.getPrompt({ name: "evil_ask", arguments: {} }),
    ).rejects.toThrow(WHY);
    await expect(
      bob.client.readResource({ uri: "evil://of-nobody" }),
    ).rejects.toThrow(WHY);
  });

  test("what is of no server is unknown, and so is what another one does not have", async () => {
    await using town = await openTown();
    await using bob = await town.gateway.client("bob", { kind: "v1" });
    for (const name of ["good_nothing", "nothing", "evilish_good_one"]) {
      await expect(bob.call(name)).rejects.toThrow(`Unknown tool: ${name}`);
    }
    await using shown = await town.gateway.client("bob", {
      kind: "v1",
      path: "/mcp?apps=good",
    });
    await expect(shown.call("evil_good_one")).rejects.toThrow("Unknown tool");
    await expect(
      shown.client.readResource({ uri: "evil://of-nobody" }),
    ).rejects.toThrow("Resource not found");
  });

  test("REST says so, and when to come back for a call", async () => {
    await using town = await openTown();
    const id = await town.gateway.id("evil");
    const base = `/api/v2/w/${WORKSPACE_KEY}/mcp-servers/${id}`;
    for (const route of [
      "POST /tools/evil_good_one/call",
      "POST /servers/evil/tools/good_one/call",
    ]) {
      const { status, headers, body } = await town.rest(route, { params: {} });
      expect([route, status, body.detail]).toMatchObject([
        route,
        503,
        {
          code: "upstream_unreachable",
          message: expect.stringMatching(WHY),
        },
      ]);
      expect(Number(headers.get("retry-after"))).toBe(15);
    }
    for (const list of ["tools", "prompts", "resources"]) {
      const { status, body } = await town.rest(`GET ${base}/${list}`);
      expect([list, status, body.detail.code]).toEqual([
        list,
        502,
        "upstream_unreachable",
      ]);
    }
  });

  test("it is tried again for who asks for it, and works when it is back", async () => {
    await using town = await openTown();
    await using bob = await town.gateway.client("bob", { kind: "v1" });
    await expect(bob.text("evil_good_one")).rejects.toThrow(WHY);
    await town.evil.start();
    town.clock.advance(15_000);
    const words = { words: "w" };
    let answer: string | null = null;
    while (answer === null) {
      answer = await bob.text("evil_good_one", words).catch(() => null);
    }
    expect(answer).toBe('{"words":"w"}');
  });
});

test("a call of a server whose list is on its way is to be tried again soon, and works then", async () => {
  await using evil = await openEvil();
  await using gateway = await openGateway({
    upstreams: [{ slug: "evil", at: evil.url }],
    times: { soon: 20 },
  });
  const listed = Promise.withResolvers<void>();
  evil.behave("hang", { on: ["tools/list"], until: listed.promise });
  const call = async () =>
    createRest(gateway.url)(
      await gateway.tokenFor("bob"),
      "POST /servers/evil/tools/good_one/call",
      { params: {} },
    );
  const { status, headers, body } = await call();
  expect([status, headers.get("retry-after")]).toEqual([503, "2"]);
  expect(body.detail).toMatchObject({
    code: "upstream_timeout",
    message: expect.stringContaining("evil does not answer in time"),
  });
  listed.resolve();
  while ((await call()).status !== 200) await Bun.sleep(1);
});
