import { describe, expect, test } from "bun:test";
import { fakeClock } from "../support/clock.ts";
import { WORKSPACE_KEY } from "../support/app.ts";
import type { Gateway } from "../support/gateway.ts";
import { openGateway } from "../support/gateway.ts";
import type { McpClient } from "../support/mcp-clients.ts";
import { openEvil } from "../support/servers/evil.ts";
import { openLegacyServer } from "../support/servers/legacy-v1.ts";
import { runs, stdioServer } from "../support/servers/stdio.ts";

/** Servers that are down or slow cost nobody who does not call them, and those who do an error at once. */

const listChanges = ({ heard }: McpClient) =>
  heard.filter(({ method }) => method.endsWith("tools/list_changed")).length;

/** What a call comes to when its server is back: somebody else's request may be the one that finds that out. */
async function whenBack(call: () => Promise<string>): Promise<string> {
  for (;;) {
    const said = await call().catch(({ message }: Error) => message);
    if (!said.includes("does not answer at present")) return said;
  }
}

/** An unruly server, and an orderly one that must not suffer. */
async function openTown(
  options: Parameters<typeof openGateway>[0] = {},
  sse = false,
) {
  const clock = fakeClock(Date.now());
  const evil = await openEvil();
  const good = await openLegacyServer();
  const gateway = await openGateway({
    clock,
    upstreams: [
      { slug: "evil", at: sse ? evil.sseUrl : evil.url, sse },
      { slug: "good", at: good.url },
    ],
    ...options,
  });
  const client = await gateway.client("ann", { kind: "v1" });
  return {
    clock,
    evil,
    gateway,
    client,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await gateway[Symbol.asyncDispose]();
      await good[Symbol.asyncDispose]();
      await evil[Symbol.asyncDispose]();
    },
  };
}

describe.each([{ sse: false }, { sse: true }])(
  "a server that is down (over SSE: $sse)",
  ({ sse }) => {
    // Demanded: servers-down
    test("is not asked any more after five failures, and now and then once whether it is back", async () => {
      await using town = await openTown({}, sse);
      const { client, evil, clock } = town;
      const call = () => client.text("evil_good_one", { words: "w" });
      await call();
      await evil.stop();
      for (let failures = 0; failures < 5; failures++) {
        await expect(call()).rejects.toThrow(/reach|broke|closed/);
      }
      await evil.start();
      const posts = () =>
        evil.requests.filter(({ method }) => method === "POST").length;
      const before = posts();
      for (let calls = 0; calls < 10; calls++) {
        await expect(call()).rejects.toThrow(
          /does not answer at present.*Try again in 15 s/,
        );
      }
      expect(posts()).toBe(before);
      expect(await client.text("good_echo", { a: 1 })).toBe('{"a":1}');
      clock.advance(15_000);
      expect(await whenBack(call)).toBe('{"words":"w"}');
      expect(await call()).toBe('{"words":"w"}');
    });

    test("keeps its list, marked as stale to who manages it, and nobody is told of a change", async () => {
      await using town = await openTown({}, sse);
      const { client, evil, gateway, clock } = town;
      const names = await client.toolNames();
      expect(names).toContain("evil_good_one");
      const path = `/${await gateway.id("evil")}/tools`;
      const listed = () => gateway.manage("GET", path, undefined, {}, "ann");
      expect(await listed()).toMatchObject({ stale: false });
      for (let round = 0; round < 3; round++) {
        await evil.stop();
        // Longer than a list is good for.
        clock.advance(120_000);
        gateway.tick();
        expect(await listed()).toMatchObject({
          stale: true,
          tools: [{ name: "good_one" }, { name: "good_two" }],
        });
        expect(await client.toolNames()).toEqual(names);
        await evil.start();
        clock.advance(600_000);
        gateway.tick();
        // One who has asked while it was down may have to ask once more.
        while ((await listed()).stale) await Bun.sleep(1);
        expect(await client.toolNames()).toEqual(names);
      }
      expect(listChanges(client)).toBe(0);
      await client.text("good_change_tools");
      while (listChanges(client) === 0) await Bun.sleep(1);
      expect(listChanges(client)).toBe(1);
    });
  },
);

test("a server that comes back is noticed for those who only listen", async () => {
  await using town = await openTown();
  const { client, evil, gateway, clock } = town;
  await client.toolNames();
  await evil.stop();
  for (let failures = 0; failures < 5; failures++) {
    await client.call("evil_good_one").catch(() => {});
  }
  evil.behave("rug-pull");
  await evil.start();
  // The first list after that is as before, the next is not.
  while (listChanges(client) === 0) {
    clock.advance(15_000);
    gateway.tick();
    await Bun.sleep(5);
    evil.push({ method: "notifications/tools/list_changed" });
  }
  const { tools } = await client.client.listTools();
  const { description } = tools.find(({ name }) => name === "evil_good_one")!;
  expect(description).toContain("sends it to us");
});

test("a slow server does not hold up the list, and its tools come when it has said them", async () => {
  await using town = await openTown({ upstreams: [], times: { soon: 100 } });
  const { client, evil, gateway } = town;
  await using quick = await openLegacyServer();
  await gateway.register({ slug: "quick", at: quick.url });
  await gateway.register({ slug: "slow", at: evil.url });
  const said = Promise.withResolvers<void>();
  evil.behave("hang", { on: ["tools/list"], until: said.promise });
  await using late = await gateway.client("bob", { kind: "v1" });
  /** What is listed as soon as this is, each time that something has changed. */
  const listed = async (tool: string) => {
    for (;;) {
      const changes = listChanges(late);
      const names = await late.toolNames();
      if (names.includes(tool)) return names;
      while (listChanges(late) === changes) await Bun.sleep(1);
    }
  };
  // Quick is who is quicker than the machine.
  expect(await listed("quick_echo")).not.toContain("slow_good_one");
  said.resolve();
  expect(await listed("slow_good_one")).toContain("quick_echo");
  await client.toolNames();
});

test("a program that crashes ends its call with an error, and is started again for the next", async () => {
  await using gateway = await openGateway({
    upstreams: [{ slug: "s", at: stdioServer() }],
  });
  await using client = await gateway.client("ann", { kind: "v1" });
  const pid = Number(await client.text("s_pid"));
  const held = client.text("s_hold", { gate: "g" });
  await client.text("s_held", { gate: "g" });
  const calls = await Promise.allSettled([held, client.text("s_crash")]);
  for (const call of calls) {
    expect(call.status).toBe("rejected");
    const { reason } = call as PromiseRejectedResult;
    expect(String(reason)).toMatch(/took effect is unknown/);
  }
  expect(runs(pid)).toBe(false);
  const next = Number(await client.text("s_pid"));
  expect(runs(next)).toBe(true);
  expect(next).not.toBe(pid);
});

describe("the journal", () => {
  /** Waits until it has so many entries of these types, and returns those. */
  async function entriesOf(gateway: Gateway, types: string, count: number) {
    const stream = await gateway.listen(
      "ann",
      {},
      `/mcp/stream?types=${types}`,
    );
    const read = async () => {
      const response = await fetch(
        `${gateway.url}/api/v2/w/${WORKSPACE_KEY}/audit?types=${types}`,
        {
          headers: {
            authorization: `Bearer ${await gateway.tokenFor("ann")}`,
          },
        },
      );
      const { entries } = (await response.json()) as { entries: any[] };
      return entries.toReversed();
    };
    let entries = await read();
    for (let seen = 0; entries.length < count; entries = await read()) {
      const known = seen;
      await stream.until(
        () => stream.events.filter(({ data }) => data).length > known,
      );
      seen++;
    }
    stream.close();
    return entries;
  }

  test("says once that a server in use is down, and once that it is back, also after a test has found the same", async () => {
    await using town = await openTown();
    const { client, evil, gateway, clock } = town;
    const call = () => client.text("evil_good_one", { words: "w" });
    const types = "server_failed,server_healed";
    const id = await gateway.id("evil");
    const server = () => gateway.manage("GET", `/${id}`);
    await call();
    const { version, lastError } = await server();
    expect(lastError).toBeNull();
    await evil.stop();
    for (let failures = 0; failures < 4; failures++) {
      await expect(call()).rejects.toThrow();
    }
    expect(await entriesOf(gateway, types, 0)).toEqual([]);
    await expect(call()).rejects.toThrow();
    expect(await entriesOf(gateway, types, 1)).toMatchObject([
      {
        event: "server_failed",
        memberId: null,
        by: null,
        server: "evil",
        serverId: id,
        code: "upstream_down",
      },
    ]);
    expect((await server()).lastError).toMatchObject({ code: "upstream_down" });
    expect((await server()).version).toBe(version);
    await gateway.manage("POST", `/${id}/test`);
    await expect(call()).rejects.toThrow();
    await evil.start();
    clock.advance(15_000);
    await whenBack(call);
    await call();
    const entries = await entriesOf(gateway, types, 2);
    expect(entries.map(({ event }) => event)).toEqual([
      "server_failed",
      "server_healed",
    ]);
    expect((await server()).lastError).toBeNull();
  });

  test("says that a member's tools have changed when they have, and not when they were listed again", async () => {
    await using town = await openTown();
    const { client, gateway, clock } = town;
    const stream = await gateway.listen(
      "ann",
      {},
      "/mcp/stream?types=catalog_changed",
    );
    const ofTools = () =>
      stream.events
        .filter(({ data }) => data)
        .map(({ data }) => JSON.parse(data!))
        .filter(({ changed }) => changed.includes("tools"));
    const before = (await client.toolNames()).length;
    for (let times = 0; times < 3; times++) {
      clock.advance(120_000);
      await client.toolNames();
    }
    await client.text("good_change_tools");
    await stream.until(() => ofTools().length > 0);
    expect(ofTools()).toMatchObject([
      {
        event: "catalog_changed",
        memberId: "ann",
        by: null,
        tools: before + 1,
      },
    ]);
    stream.close();
  });
});
