/**
 * Kills the executable again and again while clients work with it, and checks after each kill that nothing
 * it has acknowledged is lost, nothing is repeated, and order is kept. Every client keeps its own record of
 * what it was told; the server is then asked. KILLS (default 25), WRITERS (default 10), SEED. Ends with
 * `N passed, N failed`, counting checks.
 */
import { Database } from "bun:sqlite";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { WorldIntegration } from "../../src/demo/app.ts";
import { SECRET, WORKSPACE_KEY, openServer } from "../support/binary.ts";
import type { SseEvent } from "../support/caller.ts";
import { call, createCaller, listTools } from "../support/caller.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { temporaryDirectory } from "../support/directory.ts";

const kills = Number(process.env["KILLS"] ?? 25);
const writers = Number(process.env["WRITERS"] ?? 10);
const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
console.log(`${kills} kills, ${writers} writers, SEED=${seed}`);

let state = seed || 1;
/** From 0 to 1, the same for the same seed. */
const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
const pick = <T>(items: readonly T[]) =>
  items[Math.floor(random() * items.length)]!;

/** How often each piece of work was really done. */
const done = new Map<string, number>();
const app: WorldIntegration = {
  key: "app",
  name: "App",
  actions: [
    ...["one", "two", "three", "four"].map((key) => ({
      key,
      name: key,
      run: () => key,
    })),
    {
      key: "work",
      name: "Work",
      run: async (input: unknown) => {
        const { key, ms } = input as { key: string; ms: number };
        done.set(key, (done.get(key) ?? 0) + 1);
        if (ms > 0) await Bun.sleep(ms);
        return { key };
      },
    },
  ],
};
const optional = ["app_one", "app_two", "app_three", "app_four"];

const workspace = openWorkspace(
  {
    integrations: [app],
    connections: () => [{ key: "app", name: "App", integrationKey: "app" }],
  },
  { workspaceKey: WORKSPACE_KEY, secret: SECRET },
);
await using server = await openServer(workspace.url, {
  PROGRESS_INTERVAL: "20ms",
  RATE_LIMIT: "0",
});
const caller = createCaller(server.url, server.tokenFor);

let checks = 0;
const violations: string[] = [];
function check(fine: boolean, what: string, facts: unknown): void {
  checks++;
  if (fine) return;
  violations.push(what);
  console.log(`VIOLATION ${what}: ${JSON.stringify(facts)}`);
}

/** What a client knows of one call. */
type Call = {
  key: string;
  /** Its stream's events as they came; the first one is the priming event. */
  events: SseEvent[];
  answered: boolean;
};

/** What a client knows of one session. */
type Known = {
  id: string;
  chat: string;
  /** The tools that were enabled when that was last acknowledged; several while it is not known. */
  enabled: string[][];
  calls: Call[];
  /** Events of its own stream. */
  own: SseEvent[];
};

let stopping = false;
let work = 0;
let acknowledged = 0;
let interrupted = 0;

/** One client with a user of its own, working until the server goes away. */
function createWriter(n: number) {
  const user = `user-${n}`;
  const sessions: Known[] = [];
  const ended: string[] = [];
  /** Chat to session, as last acknowledged. A chat whose fate is unknown is left out. */
  const chats = new Map<string, string>();

  async function open(): Promise<void> {
    const chat = `chat-${Math.floor(random() * 1e9)}`;
    const id = await caller.open(
      user,
      { "x-chat-id": chat },
      "/mcp?mode=dynamic",
    );
    acknowledged++;
    sessions.push({ id, chat, enabled: [[]], calls: [], own: [] });
    chats.set(chat, id);
  }

  async function enable(known: Known): Promise<void> {
    const tools = ["app_work", ...optional.filter(() => random() < 0.5)].sort();
    known.enabled.push(tools);
    const { body } = await caller.post(user, call("enable-tools", { tools }), {
      "mcp-session-id": known.id,
    });
    if (body?.result?.content[0].text !== "Tools enabled")
      throw new Error("no answer");
    acknowledged++;
    known.enabled = [tools];
  }

  async function doWork(known: Known): Promise<void> {
    const key = `${user}-${++work}`;
    const record: Call = { key, events: [], answered: false };
    const ms = random() < 0.5 ? 0 : Math.floor(random() * 300);
    const stream = await caller.start(
      user,
      call("app_work", { key, ms }, key, { progressToken: key }),
      { "mcp-session-id": known.id },
    );
    if (stream.status !== 200) throw new Error(`status ${stream.status}`);
    record.events = stream.events;
    known.calls.push(record);
    await stream.ended;
    record.answered = stream.events.some(({ data }) =>
      data?.includes('"result"'),
    );
    if (!record.answered) throw new Error("cut");
    acknowledged++;
  }

  async function listen(known: Known): Promise<void> {
    const last = known.own.at(-1)?.id;
    const stream = await caller.listen(user, {
      "mcp-session-id": known.id,
      ...(last ? { "last-event-id": last } : {}),
    });
    if (stream.status !== 200) return stream.close();
    await stream.until(({ id }) => Boolean(id));
    await Promise.race([Bun.sleep(random() * 100), stream.ended]);
    stream.close();
    await stream.ended;
    known.own.push(
      ...stream.events.filter(({ data, id }) => id && (data || !last)),
    );
  }

  async function end(known: Known): Promise<void> {
    sessions.splice(sessions.indexOf(known), 1);
    chats.delete(known.chat);
    const response = await fetch(`${server.url}/mcp`, {
      method: "DELETE",
      headers: {
        authorization: `Bearer ${await server.tokenFor(user)}`,
        "mcp-session-id": known.id,
      },
    });
    if (response.status !== 200) throw new Error(`status ${response.status}`);
    acknowledged++;
    ended.push(known.id);
  }

  async function write(): Promise<void> {
    while (!stopping) {
      try {
        const known = pick(sessions);
        const dice = random();
        if (!known || dice < 0.1) await open();
        else if (dice < 0.3) await enable(known);
        else if (dice < 0.35 && sessions.length > 3) await end(known);
        else if (dice < 0.5) await listen(known);
        else if (known.enabled.length === 1 && known.enabled[0]!.length > 0)
          await doWork(known);
      } catch {
        // The server has gone, or is about to: what was not acknowledged is not known.
        await Bun.sleep(5);
      }
    }
  }

  async function verify(): Promise<void> {
    const authorization = `Bearer ${await server.tokenFor(user)}`;
    const listed = (await (
      await fetch(`${server.url}/mcp/sessions`, { headers: { authorization } })
    ).json()) as Record<string, string>;
    for (const [chat, id] of chats) {
      check(
        listed[chat] === id,
        "a chat leads to the session it was acknowledged with",
        { chat, id, listed: listed[chat] },
      );
    }
    check(
      new Set(Object.values(listed)).size === Object.keys(listed).length,
      "a chat has one session of its own",
      listed,
    );
    for (const id of ended) {
      const { status } = await caller.post(user, listTools, {
        "mcp-session-id": id,
      });
      check(status === 404, "an ended session stays ended", { id, status });
    }
    ended.length = 0;
    for (const known of sessions) await verifySession(known);
  }

  async function verifySession(known: Known): Promise<void> {
    const headers = { "mcp-session-id": known.id };
    const { status, body } = await caller.post(user, listTools, headers);
    check(status === 200, "a session goes on under its id", {
      id: known.id,
      status,
    });
    const names = (body?.result?.tools ?? [])
      .map(({ name }: { name: string }) => name)
      .filter((name: string) => name !== "enable-tools");
    const expected = known.enabled.map((tools) => tools.join());
    check(
      expected.includes(names.join()),
      "the enabled tools are those last acknowledged",
      { names, expected },
    );
    known.enabled = [names];

    for (const record of known.calls) {
      const replay = await replayed(record.events, headers);
      if (!replay) continue;
      const answers = replay.filter(({ data }) =>
        /"(result|error)":/.test(data!),
      );
      check(answers.length === 1, "a call ends with exactly one answer", {
        record,
        replay,
      });
      const [answer] = answers;
      const cut = answer?.data?.includes("interrupted") === true;
      if (cut) interrupted++;
      check(
        !(record.answered && cut),
        "an answer that was received is what is replayed",
        { record, replay },
      );
      check((done.get(record.key) ?? 0) <= 1, "a call is run at most once", {
        record,
        times: done.get(record.key),
      });
    }
    known.calls = [];
    if (known.own.length > 1) await replayed(known.own, headers);
    known.own = known.own.slice(-1);
  }

  /** Replays a stream from its first event on; what was received must come again, in place, and only then more. */
  async function replayed(events: SseEvent[], headers: Record<string, string>) {
    const first = events.find(({ id }) => id);
    if (!first) return null;
    let stream;
    do
      stream = await caller.listen(user, {
        ...headers,
        "last-event-id": first.id!,
      });
    while (stream.status === 409);
    const received = events.filter(({ data, id }) => data && id !== first.id);
    const own = events.some(({ data }) => data?.includes("list_changed"));
    if (own) {
      const last = received.at(-1)?.id;
      if (last) await stream.until(({ id }) => id === last).catch(() => {});
      stream.close();
    }
    const over = stream.ended.then(() => true);
    const inTime = await Promise.race([
      over,
      Bun.sleep(10_000).then(() => false),
    ]);
    check(inTime, "the stream of a call that is over ends", { first });
    stream.close();
    const again = stream.events.filter(({ data }) => data);
    check(
      received.every(
        (event, i) =>
          event.id === again[i]?.id && event.data === again[i]?.data,
      ),
      "what was received is replayed, the same and in the same order",
      { received, again },
    );
    const numbers = again.map(({ id }) => parseInt(id!.split("-")[1]!, 36));
    check(
      numbers.every((seq, i) => i === 0 || seq === numbers[i - 1]! + 1),
      "numbers rise without a gap",
      numbers,
    );
    return again;
  }

  return { write, verify };
}

/** The files as the kill has left them, opened apart so that the server recovers them by itself. */
function checkIntegrity(dataDir: string): void {
  using copy = temporaryDirectory();
  mkdirSync(copy.path, { recursive: true });
  for (const suffix of ["", "-wal"]) {
    const file = join(dataDir, `membrane-mcp.db${suffix}`);
    if (existsSync(file)) copyFileSync(file, join(copy.path, `c.db${suffix}`));
  }
  using db = new Database(join(copy.path, "c.db"));
  const integrity = db.query("PRAGMA integrity_check").get() as {
    integrity_check: string;
  };
  check(
    integrity.integrity_check === "ok",
    "the database is intact",
    integrity,
  );
  check(
    db.query("PRAGMA foreign_key_check").all().length === 0,
    "references hold",
    null,
  );
}

const clients = Array.from({ length: writers }, (_, n) => createWriter(n));
const startedAt = performance.now();
for (let kill = 1; kill <= kills; kill++) {
  stopping = false;
  const working = Promise.all(clients.map((client) => client.write()));
  await Bun.sleep(100 + random() * 500);
  await server.kill9();
  stopping = true;
  await working;
  checkIntegrity(server.dataDir);
  await server.start();
  await Promise.all(clients.map((client) => client.verify()));
}
await caller.close();
await workspace.close();
console.log(
  `${kills} kills in ${Math.round((performance.now() - startedAt) / 1000)} s: ${acknowledged} acknowledged changes and calls, ${interrupted} calls interrupted, ${done.size} pieces of work, none done twice: ${[...done.values()].every((times) => times === 1)}`,
);
console.log(
  `${checks - violations.length} passed, ${violations.length} failed`,
);
process.exitCode = violations.length === 0 && acknowledged > 0 ? 0 : 1;
