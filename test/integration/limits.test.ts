import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import type { Source } from "../../src/core/source.ts";
import type { Offer } from "../../src/core/tool.ts";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import { createRest } from "../support/absent-servers.ts";
import type { Rig } from "../support/app.ts";
import { WORKSPACE_KEY, openRig } from "../support/app.ts";
import type { Answer } from "../support/caller.ts";
import { call, initialize, listTools, messages } from "../support/caller.ts";
import type { FakeClock } from "../support/clock.ts";
import { fakeClock } from "../support/clock.ts";
import type { McpClientOptions } from "../support/mcp-clients.ts";
import { openMcpClient } from "../support/mcp-clients.ts";
import { openSocket } from "../support/socket.ts";
import { headersFor, request } from "../support/stateless.ts";

/** What one user may do, at whatever door, and that nobody else is slowed by it. */

const kinds: Record<string, McpClientOptions> = {
  "@modelcontextprotocol/sdk": { kind: "v1" },
  "@modelcontextprotocol/sdk, HTTP+SSE": { kind: "v1", sse: true },
  "@modelcontextprotocol/client, sessions": { kind: "legacy" },
  "@modelcontextprotocol/client, stateless": { kind: "stateless" },
};

const offer = (key: string): Offer => ({
  app: { ref: "lab", key: "lab", name: "Lab" },
  ref: key,
  key,
  name: key,
  tool: { inputSchema: { type: "object" } },
});

/** `lab_echo` answers at once; `lab_hold` when it is let go, and each says that it has begun. */
function lab() {
  let running = 0;
  let changed = () => {};
  const held = new Set<() => void>();
  const source: Source = {
    id: "lab",
    list: async () => ({ offers: ["echo", "hold"].map(offer), failed: [] }),
    async call({ subject }, { key }, _args, { signal }) {
      if (key === "hold") {
        running++;
        changed();
        await new Promise<void>((resolve, reject) => {
          held.add(resolve);
          signal.addEventListener("abort", () => reject(signal.reason));
        });
      }
      return { content: [{ type: "text", text: subject }] };
    },
  };
  return {
    source,
    /** Resolves when so many have begun, since the beginning. */
    async begun(count: number) {
      while (running < count) {
        await new Promise<void>((resolve) => (changed = resolve));
      }
      return running;
    },
    release() {
      for (const go of held) go();
      held.clear();
    },
  };
}

type Town = Rig & { clock: FakeClock; lab: ReturnType<typeof lab> };

async function openTown(env: Record<string, string>): Promise<Town> {
  const clock = fakeClock(Date.now());
  const there = lab();
  const rig = await openRig({ env, clock, sources: [there.source] });
  return { ...rig, clock, lab: there };
}

const PLAIN = { accept: "application/json" };
const hold = (id: number) => call("lab_hold", {}, id);
const ping = { jsonrpc: "2.0", id: 1, method: "ping" };

function expectLimited(answer: Answer, limit: string, id: unknown = null) {
  expect(answer.status).toBe(429);
  expect(answer.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
  expect(answer.body).toMatchObject({
    jsonrpc: "2.0",
    error: { code: -32000, data: { limit } },
    id,
  });
  expect(answer.body.error.data.retryAfterMs).toBeGreaterThan(0);
}

describe("requests of one user", () => {
  // Demanded: limits-doors
  test("beyond the burst are 429, and Retry-After is when the next one is answered", async () => {
    await using town = await openTown({
      RATE_LIMIT: "1",
      RATE_LIMIT_BURST: "2",
    });
    for (let n = 0; n < 2; n++) {
      expect((await town.post("ada", ping, PLAIN)).status).toBe(200);
    }
    town.clock.advance(200);
    const refused = await town.post("ada", ping, PLAIN);
    expectLimited(refused, "user");
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(refused.body.error.data.retryAfterMs).toBe(800);
    expect((await town.post("bob", ping, PLAIN)).status).toBe(200);
    town.clock.advance(799);
    expect((await town.post("ada", ping, PLAIN)).status).toBe(429);
    town.clock.advance(1);
    expect((await town.post("ada", ping, PLAIN)).status).toBe(200);
  });

  // Demanded: limits-doors
  test("are counted at every door, and nothing is done for one too many", async () => {
    await using town = await openTown({
      RATE_LIMIT: "1",
      RATE_LIMIT_BURST: "1",
    });
    const rest = createRest(town.url);
    const token = await town.tokenFor("ada");
    await town.post("ada", ping, PLAIN);
    const doors = [
      await town.post("ada", initialize()),
      await town.post("ada", call("lab_hold"), PLAIN),
      await town.post("ada", request("tools/list"), headersFor("tools/list")),
      await town.post("ada", listTools, PLAIN, "/mcp/nowhere"),
    ];
    for (const answer of doors) expectLimited(answer, "user");
    for (const path of ["/mcp", "/sse"]) {
      expect((await town.listen("ada", {}, path)).status).toBe(429);
    }
    for (const route of [
      "GET /servers",
      "GET /mcp/sessions",
      "POST /tools/lab_echo/call",
      "GET /mcp/stream",
      "GET /webhooks",
      `GET /api/v2/w/${WORKSPACE_KEY}/mcp-servers`,
      `GET /api/v2/w/${WORKSPACE_KEY}/audit`,
    ]) {
      const body = route.startsWith("POST") ? {} : undefined;
      const answer = await rest(token, route, body);
      expect([route, answer.status]).toEqual([route, 429]);
    }
    const { body } = await rest(token, "GET /servers");
    expect(body).toMatchObject({
      status: 429,
      code: "rate_limited",
      limit: "user",
    });
    town.clock.advance(1000);
    expect((await rest(token, "GET /mcp/sessions")).body).toEqual({});
    // Who has no credential learns that, and health is for everybody.
    expect((await fetch(`${town.url}/health`)).status).toBe(200);
    expect((await town.post(null, ping)).status).toBe(401);
  });

  test("are counted also when they are refused for their scope or workspace", async () => {
    await using town = await openTown({
      RATE_LIMIT: "1",
      RATE_LIMIT_BURST: "2",
      TOKEN_SCOPES: "apps:read",
    });
    const rest = createRest(town.url);
    const token = await town.tokenFor("ada");
    const own = `POST /api/v2/w/${WORKSPACE_KEY}/mcp-servers`;
    expect((await rest(token, own, {})).status).toBe(403);
    const other = "GET /api/v2/w/another/mcp-servers";
    expect((await rest(token, other)).status).toBe(404);
    for (const route of [own, other]) {
      const body = route === own ? {} : undefined;
      expect((await rest(token, route, body)).status).toBe(429);
    }
  });

  test("are counted one by one when they come in a batch", async () => {
    await using town = await openTown({
      RATE_LIMIT: "1",
      RATE_LIMIT_BURST: "5",
    });
    const opened = await town.post("ada", initialize("2025-03-26"));
    const session = {
      "mcp-session-id": opened.headers.get("mcp-session-id")!,
      ...PLAIN,
    };
    const batch = (size: number) =>
      Array.from({ length: size }, (_, id) => ({ ...ping, id }));
    const answer = await town.post("ada", batch(3), session);
    expect(answer.body).toHaveLength(3);
    expectLimited(await town.post("ada", batch(2), session), "user");
  });

  // Demanded: limits-doors
  test("are counted over a WebSocket whatever they are, also what is no message", async () => {
    await using town = await openTown({
      RATE_LIMIT: "1",
      RATE_LIMIT_BURST: "3",
    });
    const authorization = `Bearer ${await town.tokenFor("ada")}`;
    const socket = await openSocket(`${town.url}/ws`, {
      headers: { authorization },
    });
    const limited = { code: -32000, data: { limit: "user" } };
    for (const [message, answers] of [
      [{ jsonrpc: "2.0", method: "notifications/progress" }, 0],
      [{ jsonrpc: "2.0", id: 7, result: {} }, 0],
      ["no message", 1],
    ] as const) {
      // Three again.
      town.clock.advance(10_000);
      const before = socket.messages.length;
      for (let n = 0; n < 3; n++) socket.send(message);
      socket.send(message);
      const at = before + 3 * answers;
      await socket.until(() => socket.messages.length > at);
      expect(socket.messages[at]).toMatchObject({ error: limited, id: null });
    }
    socket.close();
  });

  test("are in the log with their user once a minute, and each with its reason for who debugs", async () => {
    await using town = await openTown({
      RATE_LIMIT: "1",
      RATE_LIMIT_BURST: "1",
      MAX_CALLS: "1",
      MAX_QUEUED_CALLS: "0",
    });
    for (let n = 0; n < 5; n++) await town.post("ada", ping, PLAIN);
    const refused = town.lines.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(4);
    for (const line of refused) {
      expect(line).toMatchObject({
        level: "debug",
        event: "request",
        user: "ada",
        reason: expect.stringContaining("RATE_LIMIT"),
      });
    }
    const limited = () =>
      town.lines.filter(({ event }) => event === "caller limited");
    expect(limited()).toHaveLength(1);
    expect(limited()[0]).toMatchObject({ user: "ada", limit: "user" });

    const held = town.post("bob", hold(1), PLAIN);
    await town.lab.begun(1);
    town.clock.advance(1000);
    expectLimited(await town.post("bob", hold(2), PLAIN), "calls", 2);
    expect(town.lines.findLast(({ status }) => status === 429)).toMatchObject({
      tool: "lab_hold",
      reason: expect.stringContaining("MAX_CALLS"),
    });
    town.lab.release();
    await held;
  });
});

describe.each(Object.entries(kinds))("with %s", (_, options) => {
  test("a client gets a clear error, and the same again later succeeds", async () => {
    await using town = await openTown({
      RATE_LIMIT: "10",
      RATE_LIMIT_BURST: "20",
    });
    const path = options.sse ? "/sse" : "/mcp";
    await using client = await openMcpClient(town.url + path, {
      ...options,
      token: await town.tokenFor("ada"),
    });
    let error: unknown;
    for (let n = 0; n < 20 && error === undefined; n++) {
      error = await client.text("lab_echo").then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    }
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).toContain("Too many requests");
    town.clock.advance(1000);
    expect(await client.text("lab_echo")).toBe("ada");
    expect(await client.toolNames()).toContain("lab_echo");
  });

  // Demanded: limits-calls
  test("calls at once wait for each other, one too many is refused, and others wait for none", async () => {
    await using town = await openTown({
      MAX_CALLS: "2",
      MAX_QUEUED_CALLS: "2",
    });
    const path = options.sse ? "/sse" : "/mcp";
    const connect = async (user: string) =>
      openMcpClient(town.url + path, {
        ...options,
        token: await town.tokenFor(user),
      });
    await using ada = await connect("ada");
    await using bob = await connect("bob");
    const running = [1, 2, 3, 4].map(() => ada.text("lab_hold"));
    await town.lab.begun(2);
    // The last of them is one too many, whichever that is; it does not wait for those that are held.
    const surplus = [ada.text("lab_hold"), ada.text("lab_hold")];
    const refused = await Promise.any(
      [...running, ...surplus].map((one) =>
        one.then(
          () => Promise.reject(new Error("It was answered.")),
          (error: unknown) => error as Error,
        ),
      ),
    );
    expect(refused.message).toContain("Too many calls at once");
    expect(await ada.toolNames()).toContain("lab_echo");
    expect(await bob.text("lab_echo")).toBe("bob");
    expect(await town.lab.begun(2)).toBe(2);
    town.lab.release();
    await town.lab.begun(4);
    town.lab.release();
    const answers = await Promise.allSettled([...running, ...surplus]);
    const answered = answers.filter(({ status }) => status === "fulfilled");
    expect(answered).toHaveLength(4);
    expect(await ada.text("lab_echo")).toBe("ada");
  });
});

describe("calls of one user", () => {
  const env = { MAX_CALLS: "1", MAX_QUEUED_CALLS: "1" };

  test("one too many is 429 with its id wherever there is one answer, and leaves nothing behind", async () => {
    await using town = await openTown(env);
    const rest = createRest(town.url);
    const token = await town.tokenFor("ada");
    const session = { "mcp-session-id": await town.open("ada") };
    const running = town.post("ada", hold(1), session);
    await town.lab.begun(1);
    const waiting = await town.start("ada", hold(2), session);
    expectLimited(await town.post("ada", hold(3), session), "calls", 3);
    expectLimited(await town.post("ada", hold(4), PLAIN), "calls", 4);
    const stateless = request("tools/call", { name: "lab_hold" }, 5);
    expectLimited(
      await town.post("ada", stateless, headersFor("tools/call", "lab_hold")),
      "calls",
      5,
    );
    const plain = await rest(token, "POST /tools/lab_hold/call", {});
    expect(plain.status).toBe(429);
    expect(plain.headers.get("retry-after")).toBe("1");
    expect(plain.headers.get("content-type")).toBe("application/problem+json");
    expect(plain.body).toMatchObject({ code: "rate_limited", limit: "calls" });
    town.lab.release();
    expect((await running).body.result.content[0].text).toBe("ada");
    await town.lab.begun(2);
    town.lab.release();
    await waiting.until(({ data }) => data?.includes('"id":2') ?? false);
    expect(await town.lab.begun(2)).toBe(2);
    const after = await town.post("ada", call("lab_echo", {}, 6), session);
    expect(after.body).toMatchObject({ id: 6, result: {} });
  });

  test("one too many in a batch is its own error, and the others are answered", async () => {
    await using town = await openTown(env);
    const opened = await town.post("ada", initialize("2025-03-26"));
    const session = { "mcp-session-id": opened.headers.get("mcp-session-id")! };
    const done = (id: number) => ({ jsonrpc: "2.0", id, method: "ping" });
    const batch = [hold(1), hold(2), hold(3), done(4)];
    for (const [times, headers] of [
      session,
      { ...session, ...PLAIN },
    ].entries()) {
      const answer = town.post("ada", batch, headers);
      for (const count of [1, 2]) {
        await town.lab.begun(2 * times + count);
        town.lab.release();
      }
      const { status, body, events } = await answer;
      expect(status).toBe(200);
      const all: any[] = events.length > 0 ? messages(events) : body;
      const byId = new Map(all.map((one) => [one.id, one]));
      expect(byId.get(1).result.content).toHaveLength(1);
      expect(byId.get(2).result.content).toHaveLength(1);
      expect(byId.get(3).error).toMatchObject({
        code: -32000,
        data: { limit: "calls" },
      });
      expect(byId.get(4).result).toEqual({});
    }
  });

  test("one that waits can be cancelled, and the next takes its place", async () => {
    await using town = await openTown(env);
    const session = { "mcp-session-id": await town.open("ada") };
    const running = town.post("ada", hold(1), session);
    await town.lab.begun(1);
    const waiting = await town.start("ada", hold(2), session);
    await town.post(
      "ada",
      {
        jsonrpc: "2.0",
        method: "notifications/cancelled",
        params: { requestId: 2 },
      },
      session,
    );
    await waiting.ended;
    const next = town.post("ada", call("lab_echo", {}, 3), session);
    town.lab.release();
    expect((await running).body.id).toBe(1);
    expect((await next).body.result.content[0].text).toBe("ada");
    expect(await town.lab.begun(1)).toBe(1);
  });
});

// Demanded: limits-fair
test("requests to one app are limited for all users together, and who floods it keeps nobody out", async () => {
  await using town = await openTown({ RATE_LIMIT_SERVER: "4" });
  const echo = (user: string, id: number, headers = PLAIN) =>
    town.post(user, call("lab_echo", {}, id), headers);
  const answers = [];
  for (let id = 0; id < 6; id++) answers.push(await echo("ada", id));
  expect(answers.map(({ status }) => status)).toEqual([
    200, 200, 200, 200, 429, 429,
  ]);
  expectLimited(answers[4]!, "server", 4);
  expect(town.lines.findLast(({ status }) => status === 429)).toMatchObject({
    user: "ada",
    reason: expect.stringContaining("RATE_LIMIT_SERVER"),
  });
  expect(answers[4]!.body.error.message).toContain("Lab");
  expect((await echo("bob", 1)).body.result.content[0].text).toBe("bob");

  // On a stream that has begun it is the error alone.
  const session = await town.open("ada");
  const { status, body, events } = await town.post("ada", call("lab_echo"), {
    "mcp-session-id": session,
  });
  expect(status).toBe(200);
  expect(events.length).toBeGreaterThan(0);
  expect(body.error).toMatchObject({ code: -32000, data: { limit: "server" } });
  const stateless = await town.post(
    "ada",
    request("tools/call", { name: "lab_echo" }),
    headersFor("tools/call", "lab_echo"),
  );
  expectLimited(stateless, "server", 1);
  const rest = createRest(town.url);
  const plain = await rest(
    await town.tokenFor("ada"),
    "POST /tools/lab_echo/call",
    {},
  );
  expect([plain.status, plain.body.limit]).toEqual([429, "server"]);
  town.clock.advance(body.error.data.retryAfterMs + 1000);
  expect((await echo("ada", 1)).status).toBe(200);
});

// Demanded: limits-fair
test("all users together are limited, and who floods keeps nobody out", async () => {
  await using town = await openTown({ RATE_LIMIT_GLOBAL: "4" });
  const statuses = [];
  for (let n = 0; n < 6; n++) {
    statuses.push((await town.post("ada", ping, PLAIN)).status);
  }
  expect(statuses).toEqual([200, 200, 200, 200, 429, 429]);
  expectLimited(await town.post("ada", ping, PLAIN), "all");
  expect((await town.post("bob", ping, PLAIN)).status).toBe(200);
});

test("streams that one user has open are limited, and a closed one makes room", async () => {
  await using town = await openTown({ MAX_STREAMS: "2" });
  const listen = async (user: string) => {
    const session = { "mcp-session-id": await town.open(user) };
    return town.listen(user, session);
  };
  const [first] = [await listen("ada"), await listen("ada")];
  expect((await listen("ada")).status).toBe(429);
  const before = (await town.post("ada", ping, PLAIN)).status;
  expect(before).toBe(200);
  expect((await town.listen("ada", {}, "/sse")).status).toBe(429);
  expect((await listen("bob")).status).toBe(200);
  first!.close();
  await first!.ended;
  let status = 429;
  while (status === 429) ({ status } = await town.listen("ada", {}, "/sse"));
  expect(status).toBe(200);
});

describe("sessions of one user", () => {
  const env = { MAX_SESSIONS: "3" };
  const status = async (town: Town, user: string, session: string) =>
    (await town.post(user, ping, { "mcp-session-id": session, ...PLAIN }))
      .status;

  test("beyond the limit, those that were not seen for longest end", async () => {
    await using town = await openTown(env);
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) {
      ids.push(await town.open("ada"));
      town.clock.advance(1000);
    }
    const bobs = await town.open("bob");
    const newest = await town.open("ada");
    await town.retain();
    expect(await status(town, "ada", ids[0]!)).toBe(404);
    for (const id of [ids[1]!, ids[2]!, newest]) {
      expect(await status(town, "ada", id)).toBe(200);
    }
    expect(await status(town, "bob", bobs)).toBe(200);
    expect(
      town.lines.find(({ event }) => event === "too many sessions"),
    ).toMatchObject({ user: "ada", sessions: 1, limit: 3 });
  });

  test("one that somebody listens to, or that has a call running, is not among them", async () => {
    await using town = await openTown(env);
    const listening = await town.open("ada");
    const stream = await town.listen("ada", { "mcp-session-id": listening });
    const calling = await town.open("ada");
    const running = await town.start("ada", hold(1), {
      "mcp-session-id": calling,
    });
    await town.lab.begun(1);
    town.clock.advance(1000);
    const ids: string[] = [];
    for (let n = 0; n < 4; n++) {
      ids.push(await town.open("ada"));
      town.clock.advance(1000);
    }
    await town.retain();
    expect(await status(town, "ada", listening)).toBe(200);
    expect(await status(town, "ada", calling)).toBe(200);
    expect(await status(town, "ada", ids[0]!)).toBe(404);
    expect(await status(town, "ada", ids[3]!)).toBe(200);
    town.lab.release();
    await running.ended;
    stream.close();
  });
});

describe("sessions of one workspace", () => {
  const env = { MAX_SESSIONS_WORKSPACE: "12" };
  const alive = async (town: Town, user: string, sessions: string[]) => {
    const found = await Promise.all(
      sessions.map((session) =>
        town.post(user, ping, { "mcp-session-id": session, ...PLAIN }),
      ),
    );
    return sessions.filter((_, i) => found[i]!.status === 200);
  };

  // Demanded: workspace-sessions
  test("beyond the limit, those of whoever has most end, the oldest first, and nobody else's", async () => {
    await using town = await openTown(env);
    const open = async (user: string, n: number) => {
      const ids: string[] = [];
      for (let i = 0; i < n; i++) {
        ids.push(await town.open(user));
        town.clock.advance(1000);
      }
      return ids;
    };
    const [anns, bobs] = [await open("ann", 2), await open("bob", 3)];
    const mallorys = await open("mallory", 40);
    await town.retain();
    expect(await alive(town, "ann", anns)).toEqual(anns);
    expect(await alive(town, "bob", bobs)).toEqual(bobs);
    expect(await alive(town, "mallory", mallorys)).toEqual(mallorys.slice(-7));
    expect(
      town.lines.findLast(({ event }) => event === "too many sessions"),
    ).toMatchObject({ workspace: WORKSPACE_KEY, limit: 12 });
  });

  test("one that is listened to stays, and the next oldest of theirs ends", async () => {
    await using town = await openTown(env);
    const ids: string[] = [await town.open("mallory")];
    const stream = await town.listen("mallory", {
      "mcp-session-id": ids[0]!,
    });
    for (let i = 0; i < 20; i++) {
      town.clock.advance(1000);
      ids.push(await town.open("mallory"));
    }
    await town.retain();
    expect(await alive(town, "mallory", ids)).toEqual([
      ids[0]!,
      ...ids.slice(-11),
    ]);
    stream.close();
  });
});

// Demanded: workspace-sessions
test("chats that somebody begins without a session are no way around it", async () => {
  await using town = await openTown({ MAX_SESSIONS_WORKSPACE: "5" });
  const begin = (user: string, chat: string) =>
    town.post(
      user,
      request("tools/list"),
      { ...headersFor("tools/list"), "x-chat-id": chat },
      "/mcp?mode=dynamic",
    );
  await begin("ann", "hers");
  for (let i = 0; i < 20; i++) {
    town.clock.advance(1000);
    expect((await begin("mallory", `chat ${i}`)).status).toBe(200);
  }
  await town.retain();
  using db = new Database(databaseFile(town.directory));
  expect(
    db
      .query("SELECT subject, chat FROM chats ORDER BY last_seen_at")
      .values()
      .map(([subject, chat]) => `${subject}: ${chat}`),
  ).toEqual([
    "ann: hers",
    ...[16, 17, 18, 19].map((i) => `mallory: chat ${i}`),
  ]);
});
