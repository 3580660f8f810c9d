import { describe, expect, test } from "bun:test";
import type { Gateway } from "../support/gateway.ts";
import { openGateway } from "../support/gateway.ts";
import type { McpClient } from "../support/mcp-clients.ts";
import { openFullServer } from "../support/servers/full.ts";
import {
  openLegacyServer,
  openLegacySseServer,
} from "../support/servers/legacy-v1.ts";
import type { LegacyServer } from "../support/servers/legacy-v1.ts";

/** A registered server that dies, restarts or forgets heals by itself, and its callers' sessions do not notice. */

type Server = Omit<LegacyServer, "start" | "restart"> & {
  start(): void | Promise<void>;
  restart(): void | Promise<void>;
};
const kinds: { kind: string; open(): Promise<Server>; sse?: boolean }[] = [
  {
    kind: "a stateless server",
    open: () => openFullServer({ era: "stateless" }),
  },
  {
    kind: "one with sessions",
    open: () => openFullServer({ era: "legacy" }),
  },
  { kind: "one of the older SDK", open: () => openLegacyServer() },
  {
    kind: "one that answers 400 for a session",
    open: () => openLegacyServer({ unknown: 400 }),
  },
  { kind: "one of HTTP+SSE", open: () => openLegacySseServer(), sse: true },
  {
    kind: "one of HTTP+SSE that answers 400 for a session",
    open: () => openLegacySseServer({ unknown: 400 }),
    sse: true,
  },
];

type Town = { gateway: Gateway; server: Server; client: McpClient };
const listChanges = ({ heard }: McpClient) =>
  heard.filter(({ method }) => method.endsWith("tools/list_changed")).length;

describe.each(kinds)("$kind", ({ open, sse = false }) => {
  async function openTown(): Promise<Town & AsyncDisposable> {
    const server = await open();
    const gateway = await openGateway({
      upstreams: [{ slug: "s", at: server.url, sse }],
    });
    const client = await gateway.client("ann", { kind: "v1" });
    expect(await client.toolNames()).toContain("s_echo");
    return {
      gateway,
      server,
      client,
      async [Symbol.asyncDispose]() {
        await client[Symbol.asyncDispose]();
        await gateway[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  }
  const once = async ({ client, server }: Town) => {
    const nonce = crypto.randomUUID();
    expect(await client.text("s_count", { nonce })).toBe("1");
    expect(server.runs(nonce)).toBe(1);
  };

  test("may forget its sessions: the next calls work, each once", async () => {
    await using town = await openTown();
    for (let round = 0; round < 3; round++) {
      await once(town);
      await town.server.forgetSessions();
      await Promise.all([1, 2, 3, 4].map(() => once(town)));
    }
    expect(await town.client.toolNames()).toContain("s_echo");
  });

  test("may restart: the next calls work, each once", async () => {
    await using town = await openTown();
    for (let round = 0; round < 3; round++) {
      await once(town);
      await town.server.restart();
      await Promise.all([1, 2, 3, 4].map(() => once(town)));
    }
  });

  test.each([
    { when: "before it says anything", progress: false },
    { when: "after it has said something", progress: true },
  ])(
    "may die in the middle of a call, $when: it ends with an error and is not run again",
    async (one) => {
      await using town = await openTown();
      const { client, server } = town;
      const nonce = crypto.randomUUID();
      const said = Promise.withResolvers<void>();
      const call = client.text(
        "s_hold",
        { gate: "g", nonce },
        one.progress ? { progress: () => said.resolve() } : {},
      );
      await (one.progress ? said.promise : server.held("g"));
      await server.restart();
      await expect(call).rejects.toThrow(/took effect is unknown/);
      await once(town);
      expect(server.runs(nonce)).toBe(1);
    },
  );

  test("may be gone for a while: its list stays, its calls fail with an error, and all is well when it is back", async () => {
    await using town = await openTown();
    const { client, server, gateway } = town;
    const session = client.sessionId();
    const names = await client.toolNames();
    await server.stop();
    await expect(client.text("s_echo")).rejects.toThrow(/reach|broke|closed/);
    await gateway.restart();
    expect(await client.toolNames()).toEqual(names);
    await expect(client.text("s_echo")).rejects.toThrow(/reach|broke|closed/);
    await server.start();
    await once(town);
    expect(await client.toolNames()).toEqual(names);
    expect(client.sessionId()).toBe(session);
    expect(listChanges(client)).toBe(0);
  });

  test("may change while it is away: that is told once, and nothing else is", async () => {
    await using town = await openTown();
    const { client, server, gateway } = town;
    await client.watch("test://watched-resource");
    await server.restart();
    await server.stop();
    server.change({ list: "tools" });
    await server.start();
    while (listChanges(client) === 0) {
      gateway.tick();
      await Bun.sleep(5);
    }
    expect(await client.toolNames()).toContain("s_now_and_then");
    // What it tells from now on is heard again.
    const updates = () =>
      client.heard.filter(({ method }) => method.endsWith("/updated")).length;
    const before = updates();
    while (updates() === before) {
      gateway.tick();
      server.change({ uri: "test://watched-resource" });
      await Bun.sleep(5);
    }
    expect(listChanges(client)).toBe(1);
  });
});
