import {
  afterAll,
  beforeAll,
  beforeEach,
  // Demanded: restart
  describe,
  expect,
  test,
} from "bun:test";
import type { DemoWorkspace } from "../../src/demo/workspace.ts";
import type { Server } from "../support/binary.ts";
import { SECRET, WORKSPACE_KEY, openServer } from "../support/binary.ts";
import type { Caller } from "../support/caller.ts";
import {
  call,
  createCaller,
  initialize,
  listTools,
  messages,
} from "../support/caller.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { oddWorld } from "../support/odd-world.ts";
import { headersFor, request } from "../support/stateless.ts";
import { openSocket } from "../support/socket.ts";

/** The executable, killed with SIGKILL and started again on the same directory. */

let workspace: DemoWorkspace;
let server: Server;
let caller: Caller;
beforeAll(async () => {
  workspace = openWorkspace(oddWorld({ bigActions: 5 }), {
    workspaceKey: WORKSPACE_KEY,
    secret: SECRET,
  });
  server = await openServer(workspace.url);
});
beforeEach(() => {
  caller = createCaller(server.url, server.tokenFor);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await workspace.close();
});

async function killAndStart() {
  await server.kill9();
  await server.start();
}

const names = (tools: { name: string }[]) => tools.map(({ name }) => name);

describe("after kill -9", () => {
  test("the official client goes on with the same session, tools and settings, without noticing", async () => {
    const { client, sessionId } = await caller.connect("ada", {
      path: "/mcp?mode=dynamic",
    });
    await client.callTool({
      name: "enable-tools",
      arguments: { tools: ["lab-echo", "lab_count"] },
    });
    const before = names((await client.listTools()).tools);
    const session = sessionId();
    await killAndStart();
    expect(names((await client.listTools()).tools)).toEqual(before);
    expect(before).toEqual(["enable-tools", "lab_count", "lab_echo"]);
    const result = await client.callTool({
      name: "lab_echo",
      arguments: { x: 1 },
    });
    expect(result.structuredContent).toEqual({ x: 1 });
    expect(sessionId()).toBe(session);
    await caller.close();
  });

  test("a stream that was cut is replayed exactly, from any event on", async () => {
    const session = await caller.open("ada");
    const headers = { "mcp-session-id": session };
    const whole = await caller.post(
      "ada",
      call("lab_echo", { nonce: 42 }),
      headers,
    );
    await killAndStart();
    const start = whole.events[0]!.id!;
    const replay = await caller.listen("ada", {
      ...headers,
      "last-event-id": start,
    });
    await replay.ended;
    expect(messages(replay.events)).toEqual(messages(whole.events));
    const over = await caller.listen("ada", {
      ...headers,
      "last-event-id": whole.events.at(-1)!.id!,
    });
    expect(over.status).toBe(204);
  });

  test("a call that was running ends with one error event, and is not run again", async () => {
    const session = await caller.open("ada");
    const runs = () => workspace.runCounts()["act_lab_hold"] ?? 0;
    const before = runs();
    const pending = caller.start(
      "ada",
      call("lab_hold", { gate: "never" }, "cut"),
      {
        "mcp-session-id": session,
      },
    );
    await workspace.entered("act_lab_hold", before + 1);
    const started = await pending;
    const first = await started.until(({ id }) => Boolean(id));
    await killAndStart();
    for (let attempt = 0; attempt < 2; attempt++) {
      const rest = await caller.listen("ada", {
        "mcp-session-id": session,
        "last-event-id": first.id!,
      });
      await rest.ended;
      const [answer, ...more] = messages(rest.events);
      expect(more).toEqual([]);
      expect(answer.id).toBe("cut");
      expect(answer.error.code).toBe(-32000);
      expect(answer.error.message).toContain("interrupted");
    }
    expect(runs()).toBe(before + 1);
  });

  test("chats are where they were, and what DELETE has ended stays ended", async () => {
    const kept = await caller.open("ada", { "x-chat-id": "kept" });
    const gone = await caller.open("ada", { "x-chat-id": "gone" });
    const authorization = `Bearer ${await server.tokenFor("ada")}`;
    await fetch(`${server.url}/mcp`, {
      method: "DELETE",
      headers: { authorization, "mcp-session-id": gone },
    });
    await killAndStart();
    const chats = await fetch(`${server.url}/mcp/sessions`, {
      headers: { authorization },
    });
    expect(await chats.json()).toEqual({ kept });
    const ended = await caller.post("ada", listTools, {
      "mcp-session-id": gone,
    });
    expect(ended.status).toBe(404);
    const again = await caller.post("ada", listTools, { "x-chat-id": "kept" });
    expect(again.status).toBe(200);
  });

  test("an EventSource that comes back has its session, and the answers it missed", async () => {
    const stream = await caller.listen("ada", {}, "/sse");
    const endpoint = await stream.until(({ event }) => event === "endpoint");
    const post = (path: string, message: unknown) =>
      fetch(server.url + path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(message),
      });
    await post(endpoint.data!, call("lab_echo", { n: 1 }, "one"));
    const one = await stream.until(({ data }) =>
      Boolean(data?.includes('"one"')),
    );
    await post(endpoint.data!, call("lab_echo", { n: 2 }, "two"));
    await stream.until(({ data }) => Boolean(data?.includes('"two"')));
    await killAndStart();
    const back = await caller.listen(
      "ada",
      { "last-event-id": one.id! },
      "/sse",
    );
    const anew = await back.until(({ event }) => event === "endpoint");
    const id = (data: string) => /sessionId=([^&]+)/.exec(data)![1];
    expect(id(anew.data!)).toBe(id(endpoint.data!));
    await back.until(({ data }) => Boolean(data?.includes('"two"')));
    await post(anew.data!, call("lab_echo", { n: 3 }, "three"));
    await back.until(({ data }) => Boolean(data?.includes('"three"')));
    const answers = messages(
      back.events.filter(({ event }) => event === "message"),
    );
    expect(answers.map(({ id }) => id)).toEqual(["two", "three"]);
    back.close();
  });

  // Demanded: ws-session
  test("a WebSocket that comes back has its session, the answers it missed, and the end of what was cut off", async () => {
    const headers = {
      authorization: `Bearer ${await server.tokenFor("ada")}`,
      "x-chat-id": "socket",
    };
    const connect = (query = "") =>
      openSocket(`${server.url}/ws${query}`, { headers });
    const first = await connect("?mode=dynamic");
    const { result } = await first.ask(initialize());
    const tools = ["lab_echo", "lab_hold"];
    await first.ask(call("enable-tools", { tools }, "enable"));
    const runs = () => workspace.runCounts()["act_lab_hold"] ?? 0;
    const before = runs();
    first.send(call("lab_hold", { gate: "never" }, "cut"));
    await workspace.entered("act_lab_hold", before + 1);
    await first.ask(call("lab_echo", { n: 1 }, "one"));
    const said = first.messages.slice(1);
    await killAndStart();
    expect((await first.closed).code).toBe(1006);
    const place = result._meta["membrane-mcp/eventId"] as string;
    const session = result._meta["membrane-mcp/sessionId"] as string;
    const again = await connect(`?session=${session}&lastEventId=${place}`);
    const cut = await again.until(({ id }) => id === "cut");
    expect(cut.error.code).toBe(-32000);
    expect(cut.error.message).toContain("interrupted");
    expect(again.messages).toEqual([...said, cut]);
    expect(runs()).toBe(before + 1);
    again.close();
    await again.closed;
    // By its chat alone, without a word of the session.
    const chat = await connect();
    const list = await chat.ask(listTools);
    expect(names(list.result.tools)).toEqual(["enable-tools", ...tools]);
    chat.close();
  });

  test("calls are on record, with a session or without: as interrupted, by whom, and not run again", async () => {
    const tool = "lab_hold";
    const hold = call(tool, { gate: "never" });
    const runs = () => workspace.runCounts()["act_lab_hold"] ?? 0;
    const before = runs();
    const json = { accept: "application/json" };
    const modern = {
      message: request("tools/call", hold.params),
      headers: headersFor("tools/call", tool),
    };
    const session = await caller.open("fay");
    const cut = [
      caller.post("fay", hold, { "mcp-session-id": session }),
      caller.post("fay", hold, json),
      caller.post("fay", modern.message, modern.headers),
      caller.post(
        "fay",
        { params: { gate: "never" } },
        {},
        `/tools/${tool}/call`,
      ),
    ].map((answer) =>
      answer.then(
        ({ status }) => status,
        () => "cut off",
      ),
    );
    await workspace.entered("act_lab_hold", before + 4);
    await killAndStart();
    expect(await Promise.all(cut)).toEqual(Array(4).fill("cut off"));
    // One that has ended is told once.
    await caller.post("fay", call("lab_echo"), json);
    await killAndStart();
    const answer = await fetch(
      `${server.url}/api/v2/w/${WORKSPACE_KEY}/audit?types=tool_executed`,
      { headers: { authorization: `Bearer ${await server.tokenFor("fay")}` } },
    );
    const { entries } = (await answer.json()) as { entries: any[] };
    const by = { method: "membrane", memberId: "fay", key: null };
    const fay = { memberId: "fay", by, requestId: expect.any(String) };
    const interrupted = { ...fay, tool, outcome: "interrupted" };
    const alone = { ...interrupted, app: "lab" };
    expect(entries).toMatchObject([
      { ...fay, tool: "lab_echo", outcome: "ok" },
      alone,
      alone,
      alone,
      { ...interrupted, session },
    ]);
    expect(runs()).toBe(before + 4);
  });

  test("a client hears that its tools changed while the server was down", async () => {
    const session = await caller.open("eve");
    await caller.post("eve", listTools, { "mcp-session-id": session });
    await server.kill9();
    workspace.world.putAction("eve", { integrationKey: "lab" }, {
      key: "brand-new",
      name: "Brand new",
      run: () => ({}),
    } as never);
    await server.start();
    const stream = await caller.listen("eve", { "mcp-session-id": session });
    await stream.until(({ data }) => Boolean(data?.includes("list_changed")));
    const { body } = await caller.post("eve", listTools, {
      "mcp-session-id": session,
    });
    expect(names(body.result.tools)).toContain("lab_brand-new");
    stream.close();
  });
});

describe("SIGTERM", () => {
  test("lets a running call finish, closes streams for their clients to come back, and exits with 0", async () => {
    const session = await caller.open("ada");
    const idle = await caller.listen("ada", { "mcp-session-id": session });
    await idle.until(({ retry }) => Boolean(retry));
    const before = workspace.runCounts()["act_lab_hold"] ?? 0;
    const running = caller.start("ada", call("lab_hold", { gate: "drain" }), {
      "mcp-session-id": session,
    });
    await workspace.entered("act_lab_hold", before + 1);
    const { exited, kill, printed } = server.run();
    kill("SIGTERM");
    await printed('"event":"stopping"');
    workspace.openGate("drain");
    const answer = await (
      await running
    ).until(({ data }) => Boolean(data?.includes('"result"')));
    expect(JSON.parse(answer.data!).id).toBe(1);
    await idle.ended;
    expect(await exited).toBe(0);
    await server.start();
    const { status } = await caller.post("ada", listTools, {
      "mcp-session-id": session,
    });
    expect(status).toBe(200);
  });

  test("that comes by two ways at once, as Ctrl-C does through a script, is one", async () => {
    const before = workspace.runCounts()["act_lab_hold"] ?? 0;
    const running = caller.post("ada", call("lab_hold", { gate: "twice" }), {
      accept: "application/json",
    });
    await workspace.entered("act_lab_hold", before + 1);
    const { exited, kill, printed } = server.run();
    kill("SIGINT");
    kill("SIGTERM");
    await printed('"event":"stopping"');
    workspace.openGate("twice");
    expect((await running).body.result.structuredContent).toEqual({
      released: "twice",
    });
    expect(await exited).toBe(0);
    await server.start();
  });

  test("lets answers that are no streams finish too", async () => {
    const before = workspace.runCounts()["act_lab_hold"] ?? 0;
    const plain = Array.from({ length: 5 }, (_, i) =>
      caller.post("ada", call("lab_hold", { gate: "plain" }, i), {
        accept: "application/json",
      }),
    );
    await workspace.entered("act_lab_hold", before + 5);
    const { exited, kill, printed } = server.run();
    kill("SIGTERM");
    await printed('"event":"stopping"');
    workspace.openGate("plain");
    for (const [i, answer] of (await Promise.all(plain)).entries()) {
      expect(answer.body).toMatchObject({
        id: i,
        result: { structuredContent: { released: "plain" } },
      });
    }
    expect(await exited).toBe(0);
    await server.start();
  });

  test("lets calls over WebSockets finish, begins no other, and says that it restarts", async () => {
    const headers = { authorization: `Bearer ${await server.tokenFor("ada")}` };
    const sockets = [];
    const before = workspace.runCounts()["act_lab_hold"] ?? 0;
    for (const withSession of [true, false]) {
      const socket = await openSocket(`${server.url}/ws`, { headers });
      if (withSession) await socket.ask(initialize());
      socket.send(call("lab_hold", { gate: "sockets" }, "held"));
      sockets.push(socket);
    }
    await workspace.entered("act_lab_hold", before + 2);
    const { exited, kill, printed } = server.run();
    kill("SIGTERM");
    await printed('"event":"stopping"');
    for (const socket of sockets) {
      const { error } = await socket.ask({ ...listTools, id: "late" });
      expect(error).toMatchObject({ code: -32000 });
      expect(error.message).toContain("restarting");
    }
    workspace.openGate("sockets");
    for (const socket of sockets) {
      const { result } = await socket.until(({ id }) => id === "held");
      expect(result.structuredContent).toEqual({ released: "sockets" });
      expect((await socket.closed).code).toBe(1012);
    }
    expect(await exited).toBe(0);
    await server.start();
  });

  test("twice does not wait for a call, which is answered as interrupted", async () => {
    const session = await caller.open("ada");
    const before = workspace.runCounts()["act_lab_hold"] ?? 0;
    const running = await caller.start(
      "ada",
      call("lab_hold", { gate: "stuck" }),
      {
        "mcp-session-id": session,
      },
    );
    await workspace.entered("act_lab_hold", before + 1);
    const first = await running.until(({ id }) => Boolean(id));
    const { exited, kill, printed } = server.run();
    kill("SIGTERM");
    await printed('"event":"stopping"');
    // As somebody does who has waited long enough; the first may come too soon to be another.
    const again = setInterval(() => kill("SIGTERM"), 50);
    expect(await exited).not.toBe(0);
    clearInterval(again);
    await server.start();
    const rest = await caller.listen("ada", {
      "mcp-session-id": session,
      "last-event-id": first.id!,
    });
    await rest.ended;
    expect(messages(rest.events).map(({ error }) => error?.code)).toEqual([
      -32000,
    ]);
  });
});
