import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js";
import { ToolListChangedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize, listTools } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";
import type { SocketClient } from "../support/socket.ts";
import { handshake, openSocket, textFrame } from "../support/socket.ts";
import { request } from "../support/stateless.ts";

let rig: Rig;
const open: SocketClient[] = [];
beforeAll(async () => {
  rig = await openRig({ env: { PROGRESS_INTERVAL: "20ms", MAX_CALLS: "0" } });
});
afterAll(async () => {
  for (const socket of open) socket.close();
  await rig[Symbol.asyncDispose]();
});

const SESSION = "membrane-mcp/sessionId";
const EVENT = "membrane-mcp/eventId";
const initialized = { jsonrpc: "2.0", method: "notifications/initialized" };
const runs = () => rig.workspace.runCounts()["act_lab_hold"] ?? 0;

async function connect(user: string, query = "", at = rig) {
  const socket = await openSocket(`${at.url}/ws${query}`, {
    headers: { authorization: `Bearer ${await at.tokenFor(user)}` },
  });
  open.push(socket);
  return socket;
}

/** Connected and initialized, with its session and where it is. */
async function connectSession(user: string, query = "", at = rig) {
  const socket = await connect(user, query, at);
  const { result } = await socket.ask(initialize());
  socket.send(initialized);
  return {
    ...socket,
    session: result._meta[SESSION] as string,
    eventId: result._meta[EVENT] as string,
  };
}

const eventIdOf = (message: any): string =>
  (message.result ?? message.params)._meta[EVENT];

describe("without a session", () => {
  // Demanded: ws-plain
  test("a call is answered straight away, and nothing is kept", async () => {
    const socket = await connect("plain");
    const answer = await socket.ask(call("lab_echo", { x: 1 }));
    expect(answer.result.structuredContent).toEqual({ x: 1 });
    expect(eventIdOf(answer)).toBeUndefined();
    const list = await socket.ask(listTools);
    expect(list.result.tools.length).toBeGreaterThan(5);
    const chats = await fetch(`${rig.url}/mcp/sessions`, {
      headers: { authorization: `Bearer ${await rig.tokenFor("plain")}` },
    });
    expect(await chats.json()).toEqual({});
  });

  test("a slow call with progress does not hold up others, and can be cancelled", async () => {
    const socket = await connect("slow");
    const before = runs();
    socket.send(call("lab_hold", { gate: "ws" }, "slow", { progressToken: 7 }));
    await rig.workspace.entered("act_lab_hold", before + 1);
    const quick = await socket.ask(call("lab_echo", { x: 2 }, "quick"));
    expect(quick.result.structuredContent).toEqual({ x: 2 });
    await socket.until(({ params }) => params?.progressToken === 7);
    socket.send({
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId: "slow" },
    });
    expect((await socket.ask({ ...listTools, id: "after" })).id).toBe("after");
    expect(socket.messages.some(({ id }) => id === "slow")).toBe(false);
  });

  test("mode and apps of the URL count", async () => {
    const socket = await connect("views", "?mode=search");
    const { result } = await socket.ask(listTools);
    expect(result.tools.map(({ name }: any) => name)).toEqual([
      "search-tools",
      "call-tool",
    ]);
  });

  test("in dynamic mode a chat keeps what is enabled; without one it is searched", async () => {
    const names = async (socket: SocketClient, id: string) => {
      const { result } = await socket.ask({ ...listTools, id });
      return result.tools.map(({ name }: any) => name);
    };
    const query = "?mode=dynamic&chat=on-a-socket";
    const socket = await connect("dynamic", query);
    expect(await names(socket, "before")).toEqual(["enable-tools"]);
    const enable = call("enable-tools", { tools: ["lab_echo"] }, "enable");
    const { result } = await socket.ask(enable);
    expect(result.structuredContent.enabled).toEqual(["lab_echo"]);
    const after = ["enable-tools", "lab_echo"];
    expect(await names(socket, "after")).toEqual(after);
    const later = await connect("dynamic", "?chat=on-a-socket");
    expect(await names(later, "later")).toEqual(after);
    const alone = await connect("dynamic", "?mode=dynamic");
    const search = ["call-tool", "search-tools"];
    expect((await names(alone, "alone")).toSorted()).toEqual(search);
  });
});

describe("with a session", () => {
  test("it is the same session as on /mcp, and of nobody else", async () => {
    const { session } = await connectSession("ada", "?mode=search");
    const headers = { "mcp-session-id": session };
    const list = await rig.post("ada", listTools, headers);
    expect(list.body.result.tools).toHaveLength(2);
    expect((await rig.post("bob", listTools, headers)).status).toBe(404);
    const bob = await connect("bob", `?session=${session}`);
    const refused = await bob.closed;
    const never = await connect("bob", "?session=never");
    expect(refused).toEqual(await never.closed);
    expect(refused.code).toBe(4404);
    expect(bob.messages).toEqual(never.messages);
    expect(bob.messages[0].error.message).toBe("Session not found");
  });

  // Demanded: ws-session
  test("what was missed is replayed exactly, from any event on", async () => {
    const first = await connectSession("ada");
    for (let i = 0; i < 5; i++) await first.ask(call("lab_echo", { i }, i + 1));
    const said = first.messages.slice(1);
    const ids = [first.eventId, ...said.map(eventIdOf)];
    first.close();
    await first.closed;
    for (const [i, id] of ids.entries()) {
      const query = `?session=${first.session}&lastEventId=${id}`;
      const again = await connect("ada", query);
      const rest = said.slice(i);
      if (rest.length > 0) await again.until(({ id }) => id === 5);
      expect((await again.ask({ ...listTools, id: "l" })).id).toBe("l");
      expect(again.messages.slice(0, -1)).toEqual(rest);
      again.close();
      await again.closed;
    }
  });

  test("a call whose socket is cut goes on, runs once, and whoever comes back gets its answer", async () => {
    const first = await connectSession("ada");
    const before = runs();
    first.send(call("lab_hold", { gate: "cut" }, "held"));
    await rig.workspace.entered("act_lab_hold", before + 1);
    first.close();
    await first.closed;
    const again = await connect("ada", `?session=${first.session}`);
    rig.workspace.openGate("cut");
    const answer = await again.until(({ id }) => id === "held");
    expect(answer.result).toBeDefined();
    expect(runs()).toBe(before + 1);
    // It is initialized already.
    const { error } = await again.ask({ ...initialize(), id: "again" });
    expect(error.message).toContain("initialized already");
  });

  // Demanded: ws-closings
  test("a restart says so, and session, chat and what was missed are there afterwards", async () => {
    await using own = await openRig();
    const first = await connectSession("ada", "?chat=c1&mode=dynamic", own);
    const plain = await connect("ada", "", own);
    await first.ask(call("enable-tools", { tools: ["lab_echo"] }, 1));
    const { result } = await first.ask(call("lab_echo", { x: 1 }, 2));
    await own.restart();
    expect((await first.closed).code).toBe(1012);
    expect((await plain.closed).code).toBe(1012);
    const query = `?session=${first.session}&lastEventId=${first.eventId}`;
    const again = await connect("ada", query, own);
    const replayed = await again.until(({ id }) => id === 2);
    expect(replayed.result).toEqual(result);
    expect(again.messages.map(({ method, id }) => method ?? id)).toEqual([
      "notifications/tools/list_changed",
      1,
      2,
    ]);
    again.close();
    await again.closed;
    const chat = await connectSession("ada", "?chat=c1", own);
    expect(chat.session).toBe(first.session);
    const list = await chat.ask({ ...listTools, id: "list" });
    expect(list.result.tools.map(({ name }: any) => name)).toEqual([
      "enable-tools",
      "lab_echo",
    ]);
  });

  // Demanded: ws-closings
  test("a place that is not in this session is refused with a code of its own", async () => {
    const mine = await connectSession("ada");
    const other = await connectSession("ada");
    for (const id of [other.eventId, "x", `${mine.eventId}zz`]) {
      const query = `?session=${mine.session}&lastEventId=${id}`;
      expect((await (await connect("ada", query)).closed).code).toBe(4400);
    }
  });

  test("when it ends, its socket is closed", async () => {
    const { session, closed } = await connectSession("ada");
    await fetch(`${rig.url}/mcp`, {
      method: "DELETE",
      headers: {
        authorization: `Bearer ${await rig.tokenFor("ada")}`,
        "mcp-session-id": session,
      },
    });
    expect((await closed).code).toBe(4404);
  });

  test("a second socket does not take it over at once", async () => {
    await using own = await openRig({ clock: fakeClock(Date.now()) });
    const first = await connectSession("ada", "", own);
    const second = await connect("ada", `?session=${first.session}`, own);
    expect((await second.closed).code).toBe(4409);
    const { result } = await first.ask(call("lab_echo", { x: 1 }));
    expect(result.structuredContent).toEqual({ x: 1 });
  });

  test("the official client works over it: calls, progress, a list that changes, ping", async () => {
    const url = new URL(`${rig.url.replace("http", "ws")}/ws?mode=dynamic`);
    url.searchParams.set("token", await rig.tokenFor("sdk"));
    const client = new Client({ name: "test", version: "1.0.0" });
    const changed = Promise.withResolvers<void>();
    client.setNotificationHandler(ToolListChangedNotificationSchema, async () =>
      changed.resolve(),
    );
    await client.connect(new WebSocketClientTransport(url) as never);
    await client.ping();
    const enable = { tools: ["lab_echo", "lab_hold"] };
    await client.callTool({ name: "enable-tools", arguments: enable });
    await changed.promise;
    expect((await client.listTools()).tools).toHaveLength(3);
    const progress = Promise.withResolvers<void>();
    const held = client.callTool(
      { name: "lab_hold", arguments: { gate: "sdk" } },
      undefined,
      { onprogress: () => progress.resolve() },
    );
    await progress.promise;
    rig.workspace.openGate("sdk");
    expect((await held).isError).toBeFalsy();
    await client.close();
  });
});

describe("requests of 2026-07-28", () => {
  test("are answered by themselves, beside a session", async () => {
    const socket = await connectSession("modern");
    const found = await socket.ask(request("server/discover", {}, "d"));
    expect(found.result.supportedVersions).toContain("2026-07-28");
    const params = { name: "lab_echo", arguments: { x: 3 } };
    const { result } = await socket.ask(request("tools/call", params, "c"));
    expect(result.resultType).toBe("complete");
    expect(result.structuredContent).toEqual({ x: 3 });
    const none = await socket.ask(request("ping", {}, "p"));
    expect(none.error.code).toBe(-32601);
  });

  test("a subscription hears of changes until it is cancelled", async () => {
    const socket = await connect("listener", "?chat=s&mode=dynamic");
    const listen = (id: string) =>
      request(
        "subscriptions/listen",
        { notifications: { toolsListChanged: true } },
        id,
      );
    const of = (id: string, method: string) => (message: any) =>
      message.method === method &&
      message.params._meta["io.modelcontextprotocol/subscriptionId"] === id;
    for (const id of ["kept", "dropped"]) {
      socket.send(listen(id));
      await socket.until(of(id, "notifications/subscriptions/acknowledged"));
    }
    socket.send({
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId: "dropped" },
    });
    const params = { name: "enable-tools", arguments: { tools: ["lab_echo"] } };
    await socket.ask(request("tools/call", params, "e"));
    const changed = "notifications/tools/list_changed";
    await socket.until(of("kept", changed));
    expect(socket.messages.some(of("dropped", changed))).toBe(false);
  });
});

describe("who may connect", () => {
  const at = (path = "/ws") => rig.url + path;
  const protocols = (...names: string[]) => ({
    "Sec-WebSocket-Protocol": names.join(", "),
  });

  test("a credential comes in a header, the query or a subprotocol, and never goes back", async () => {
    const token = await rig.tokenFor("ada");
    const rows = [
      [{ Authorization: `Bearer ${token}` }, "", ""],
      [{}, `?token=${token}`, ""],
      [protocols("mcp"), `?token=${token}`, "mcp"],
      [protocols(`bearer.${token}`, "mcp"), "", "mcp"],
      [protocols("mcp", `bearer.${token}`), "", "mcp"],
      [protocols(`bearer.${token}`), "", ""],
      [protocols("other", `bearer.${token}`), "", ""],
    ] as [Record<string, string>, string, string][];
    for (const [headers, query, chosen] of rows) {
      const answer = await handshake(at(`/ws${query}`), headers);
      answer.close();
      expect(answer.status).toBe(101);
      expect(answer.head).not.toContain(token);
      const [, protocol = ""] =
        /sec-websocket-protocol: *(.*)\r/i.exec(answer.head) ?? [];
      expect(protocol).toBe(chosen);
    }
    expect(JSON.stringify(rig.lines)).not.toContain(token);
  });

  // Demanded: ws-verified
  test("whoever may not is told before anything is opened", async () => {
    const token = await rig.tokenFor("ada");
    const bearer = { Authorization: `Bearer ${token}` };
    const expired = await rig.tokenFor("ada", { ttlSeconds: -100 });
    const rows = [
      [401, "/ws", {}],
      [401, "/ws", { Authorization: "Bearer x.y.z" }],
      [401, "/ws", protocols("mcp", "bearer.x.y.z")],
      [401, `/ws?token=${expired}`, {}],
      [400, `/ws?token=${token}`, bearer],
      [400, "/ws", { ...bearer, ...protocols(`bearer.${token}`) }],
      [400, "/ws", protocols(`bearer.${token}`, "bearer.x")],
      [403, "/ws", { ...bearer, Origin: "https://evil.example" }],
      [403, "/ws", { ...bearer, Origin: "null" }],
      [403, "/ws", { ...bearer, Host: "evil.example" }],
      [400, "/ws?mode=none", bearer],
      [404, "/ws/nothing", bearer],
      [426, "/ws", { ...bearer, Upgrade: "h2c" }],
      [404, "/ws/a/b", bearer],
    ] as [number, string, Record<string, string>][];
    for (const [status, path, headers] of rows) {
      const answer = await handshake(at(path), headers);
      answer.close();
      expect([path, headers, answer.status]).toEqual([path, headers, status]);
    }
    const own = await handshake(at(), { ...bearer, Origin: rig.url });
    own.close();
    expect(own.status).toBe(101);
  });

  test("a token in the query can be switched off", async () => {
    await using strict = await openRig({ env: { TOKEN_IN_QUERY: "false" } });
    const token = await strict.tokenFor("ada");
    const { status } = await handshake(`${strict.url}/ws?token=${token}`);
    expect(status).toBe(401);
  });

  // Demanded: ws-verified
  test("when the credential ends, so does the socket, silent or not", async () => {
    let good = true;
    await using own = await openRig({
      authenticator: {
        verify: async (_, address) => {
          if (!good) {
            const { GatewayError } = await import("../../src/core/errors.ts");
            throw new GatewayError("unauthenticated", `ended ${address}`);
          }
          return {
            workspace: "w",
            subject: "ada",
            name: null,
            method: "membrane",
            scope: null,
            token: "t",
            expiresAt: null,
          };
        },
      },
    });
    const plain = await connect("ada", "", own);
    const busy = await connect("ada", "", own);
    const session = await connectSession("ada", "", own);
    good = false;
    busy.send(listTools);
    expect((await busy.closed).code).toBe(4401);
    expect(busy.messages).toEqual([]);
    own.tick();
    expect((await plain.closed).code).toBe(4401);
    expect((await session.closed).code).toBe(4401);
  });
});

describe("garbage and floods", () => {
  test("what is no message gets an error, and the socket lives", async () => {
    const socket = await connect("garbage");
    const rows = [
      ["{", -32700],
      ["", -32700],
      ["[]", -32600],
      ["[".repeat(200), -32600],
      ['{"id":1}', -32600],
      ['{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600],
      [JSON.stringify([listTools]), -32600],
    ] as const;
    for (const [i, [text, code]] of rows.entries()) {
      socket.send(text);
      const { id } = await socket.ask({ ...listTools, id: `alive ${i}` });
      expect(id).toBe(`alive ${i}`);
      expect([text, socket.messages[i * 2].error.code]).toEqual([text, code]);
    }
    // Answers to what was never asked, and notifications that nobody knows.
    socket.send({ jsonrpc: "2.0", id: "x", result: {} });
    socket.send({ jsonrpc: "2.0", method: "notifications/none" });
    expect((await socket.ask({ ...listTools, id: "end" })).id).toBe("end");
  });

  // Demanded: ws-closings
  test("a binary frame and one that is too large close it", async () => {
    const binary = await connect("garbage");
    binary.send(new Uint8Array([1, 2, 3]));
    expect((await binary.closed).code).toBe(1003);
    await using small = await openRig({ env: { MAX_BODY_BYTES: "65536" } });
    const large = await connect("garbage", "", small);
    large.send("x".repeat(70_000));
    expect((await large.closed).code).toBe(1009);
  });

  test("more calls at once than are allowed are refused, and the others are answered", async () => {
    const socket = await connect("flood");
    const before = runs();
    for (let i = 0; i < 130; i++) {
      socket.send(call("lab_hold", { gate: "flood" }, i));
    }
    const refused = await socket.until(({ error }) => error);
    expect(refused.error.code).toBe(-32000);
    await rig.workspace.entered("act_lab_hold", before + 1);
    rig.workspace.openGate("flood");
    for (let i = 0; i < 130; i++) await socket.until(({ id }) => id === i);
    const answers = socket.messages.filter(({ result }) => result);
    expect(answers).toHaveLength(128);
    expect((await socket.ask({ ...listTools, id: "l" })).result).toBeDefined();
  });

  test("a user has at most a hundred, and another again when one has closed", async () => {
    const mine = [];
    for (let i = 0; i < 100; i++) mine.push(await connect("many"));
    const headers = { Authorization: `Bearer ${await rig.tokenFor("many")}` };
    const refused = await handshake(`${rig.url}/ws`, headers);
    expect(refused.status).toBe(429);
    expect(refused.head.toLowerCase()).toContain("retry-after: ");
    await connect("another");
    mine[0]!.close();
    await mine[0]!.closed;
    const again = await connect("many");
    expect((await again.ask(listTools)).result).toBeDefined();
    for (const socket of mine) socket.close();
  });

  test("a user has at most a hundred also when they all come at once", async () => {
    const known = Promise.withResolvers<void>();
    let asked = 0;
    await using at = await openRig({
      sources: [],
      authenticator: {
        async verify(token) {
          asked++;
          await known.promise;
          return {
            workspace: "w1",
            subject: token,
            name: null,
            method: "membrane",
            scope: null,
            token,
            expiresAt: null,
          };
        },
      },
    });
    const headers = { authorization: "Bearer ada" };
    const all = Array.from({ length: 120 }, () =>
      openSocket(`${at.url}/ws`, { headers }),
    );
    while (asked < 120) await Bun.sleep(1);
    known.resolve();
    const met = await Promise.allSettled(all);
    const sockets = met.flatMap((one) =>
      one.status === "fulfilled" ? [one.value] : [],
    );
    const answered = await Promise.allSettled(
      sockets.map((socket) => socket.ask({ ...listTools, id: 1 })),
    );
    const alive = answered.filter(({ status }) => status === "fulfilled");
    expect(alive).toHaveLength(100);
    for (const socket of sockets) socket.close();
  });

  // Demanded: ws-back-pressure
  test("one that asks and asks and reads nothing is closed, and is not answered more than its network holds", async () => {
    const { session, eventId, ...first } = await connectSession("stalled");
    first.close();
    await first.closed;
    const token = await rig.tokenFor("stalled");
    const query = `?token=${token}&session=${session}`;
    const stalled = await handshake(`${rig.url}/ws${query}`);
    expect(stalled.status).toBe(101);
    const lines = (event: string) =>
      rig.lines.filter(
        (line) => line.event === event && line["user"] === "stalled",
      );
    const closed = () => lines("socket closed").length > 1;
    for (let i = 0; !closed(); i++) {
      stalled.send(textFrame(JSON.stringify({ ...listTools, id: i })));
      await Bun.sleep(0);
    }
    expect(lines("socket closed").at(-1)!["code"]).toBe(1013);
    stalled.close();
    const again = await connect(
      "stalled",
      `?session=${session}&lastEventId=${eventId}`,
    );
    expect((await again.ask(listTools)).result).toBeDefined();
  });

  // Demanded: ws-alive
  test("one is pinged at every heartbeat, so that it is known to be there", async () => {
    const headers = { authorization: `Bearer ${await rig.tokenFor("silent")}` };
    const socket = new WebSocket(`${rig.url}/ws`, { headers } as never);
    let pings = 0;
    const pinged = Promise.withResolvers<void>();
    socket.addEventListener("ping" as never, () => {
      if (++pings === 2) pinged.resolve();
    });
    await new Promise((resolve) => socket.addEventListener("open", resolve));
    rig.tick();
    rig.tick();
    await pinged.promise;
    socket.close();
  });

  // Demanded: ws-back-pressure, ws-alive
  test("one that takes nothing for a minute is cut off, silent ones are not", async () => {
    const clock = fakeClock(Date.now());
    await using own = await openRig({ clock });
    const token = await own.tokenFor("stalled", { ttlSeconds: 100_000 });
    const headers = { Authorization: `Bearer ${token}` };
    const silent = await openSocket(`${own.url}/ws`, { headers });
    const stalled = await handshake(`${own.url}/ws`, headers);
    const cuts = () =>
      own.lines.filter(({ event }) => event === "socket cut off");
    for (let i = 0; cuts().length === 0; i++) {
      stalled.send(textFrame(JSON.stringify({ ...listTools, id: i })));
      if (i % 100 === 99) {
        clock.advance(61_000);
        own.tick();
      }
      await Bun.sleep(1);
    }
    expect(cuts()).toHaveLength(1);
    expect((await silent.ask(listTools)).result).toBeDefined();
    silent.close();
    stalled.close();
  });
});
