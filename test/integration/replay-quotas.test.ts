import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import type { StreamRef } from "../../src/core/event.ts";
import { entryOf, BY_ITSELF } from "../../src/core/journal.ts";
import type { Store } from "../../src/core/store.ts";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import { openSqlite } from "../../src/store/sqlite/sqlite.ts";
import type { Rig } from "../support/app.ts";
import { openRig } from "../support/app.ts";
import { call, messages } from "../support/caller.ts";
import { fakeVault } from "../support/absent-servers.ts";
import { fakeClock } from "../support/clock.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { openSession } from "../support/openings.ts";
import { bounds } from "../support/journal-bounds.ts";

/** What somebody's events may take, beside everybody else's. */

const KB = 1024;
const MB = 1024 * KB;
const aTenth = "x".repeat(100 * KB);

async function openStore(
  quotas: { user?: number; database?: number } = {},
  sessionBytes = MB,
) {
  const directory = temporaryDirectory();
  const clock = fakeClock();
  const store = openSqlite({
    directory: directory.path,
    clock,
    sessionCache: 10,
    caps: { events: 100_000, bytes: sessionBytes },
    quotas: { user: 0, database: 0, ...quotas },
    vault: fakeVault,
  });
  const { events } = store;
  return {
    clock,
    store,
    events,
    session: (subject: string, workspace = "w") =>
      openSession(store, { subject, workspace }),
    /** One call with its answer. */
    async call({ sessionPk }: StreamRef, answer: string): Promise<StreamRef> {
      const streamId = events.nextStream();
      const call = { sessionPk, streamId, callId: streamId, requestId: "1" };
      await events.record(call, () => ({ messages: [answer], answered: true }));
      return call;
    },
    async curb(): Promise<number> {
      let removed = 0;
      for (;;) {
        const part = await events.curb();
        removed += part.removed;
        if (!part.more) return removed;
      }
    },
    async [Symbol.asyncDispose]() {
      await store.close();
      directory[Symbol.dispose]();
    },
  };
}
const bytesOf = (store: Store, sessions: StreamRef[]) =>
  sessions
    .flatMap((session) => store.events.read(session, 0, 1_000_000))
    .reduce((sum, { data }) => sum + Buffer.byteLength(data), 0);

const TOKEN = "a-token.for-scrapers";
async function dropped({ url }: Rig, what: string): Promise<number> {
  const headers = { authorization: `Bearer ${TOKEN}` };
  const text = await (await fetch(`${url}/metrics`, { headers })).text();
  expect(text).toContain("mcp_database_limit_bytes ");
  const line = `mcp_events_dropped_total{what="${what}"} `;
  return parseInt(text.slice(text.indexOf(line) + line.length));
}

describe("what a user's events take", () => {
  // Demanded: replay-quota
  test("is bounded over all of their sessions: a flood costs the flooder's oldest, and others' replay is whole", async () => {
    await using rig = await openStore({ user: 3 * MB });
    const ada = await rig.session("ada");
    const elsewhere = await rig.session("mallory", "another workspace");
    const answers = [
      await rig.call(ada, "ada's answer"),
      await rig.call(elsewhere, "the other's answer"),
    ];
    await rig.events.append(ada, "ada's notification");
    const flooded = await Promise.all(
      Array.from({ length: 20 }, () => rig.session("mallory")),
    );
    const modest = await rig.session("mallory");
    await rig.events.append(modest, "of a session that takes little");
    for (const session of flooded) {
      await Promise.all(
        Array.from({ length: 9 }, () => rig.events.append(session, aTenth)),
      );
    }
    expect(bytesOf(rig.store, flooded)).toBe(180 * 100 * KB);
    rig.clock.advance(60_000);
    const fresh = await rig.call(modest, "the last answer");
    const removed = await rig.curb();
    const left = bytesOf(rig.store, flooded);
    // Of each session that was flooded the newest.
    expect(left).toBe(20 * 100 * KB);
    expect(removed).toBe(180 * 100 * KB - left);
    const read = (ref: StreamRef) =>
      rig.events.read(ref, 0, 10).map(({ data }) => data);
    expect([ada, ...answers, modest, fresh].map(read)).toEqual([
      ["ada's notification"],
      ["ada's answer"],
      ["the other's answer"],
      ["of a session that takes little"],
      ["the last answer"],
    ]);
    // What is next has its own number all the same.
    expect(await rig.events.append(flooded[0]!, "next")).toBe(10);
    expect(rig.events.dropped()).toMatchObject({ notStored: 0 });
    expect(rig.events.dropped().removed).toBeGreaterThan(100);
  });

  test("may be four times as much for half a minute, as nobody may have read it yet", async () => {
    await using rig = await openStore({ user: MB }, 100 * MB);
    const [one, two] = [await rig.session("ada"), await rig.session("ben")];
    const calls: StreamRef[] = [];
    for (let i = 0; i < 30; i++) calls.push(await rig.call(one, aTenth));
    for (let i = 0; i < 60; i++) await rig.call(two, aTenth);
    expect(await rig.curb()).toBeGreaterThan(4 * MB);
    for (const call of calls) {
      expect(rig.events.read(call, 0, 1)).toHaveLength(1);
    }
  });

  test("is looked at again when half as much has been written", async () => {
    await using rig = await openStore({ user: MB });
    const sessions = [await rig.session("ada"), await rig.session("ada")];
    const write = async (n: number) => {
      for (let i = 0; i < n; i++) {
        await rig.events.append(sessions[i % 2]!, aTenth);
      }
      rig.clock.advance(60_000);
    };
    await write(9);
    expect(await rig.curb()).toBe(0);
    await write(3);
    expect(await rig.curb()).toBe(0);
    await write(3);
    expect(await rig.curb()).toBeGreaterThanOrEqual(5 * 100 * KB);
  });
});

describe("a database that is nearly as large as it may be", () => {
  // Demanded: storage-high-water
  test("takes no more notifications that say only how something goes, and every answer", async () => {
    await using rig = await openStore({ database: 20 * MB }, 100 * MB);
    const [ada, mallory] = [
      await rig.session("ada"),
      await rig.session("mallory"),
    ];
    const kept = await rig.call(ada, "ada's");
    expect(await rig.events.append(mallory, "progress", true)).toBe(1);
    // A million of these, and the database is no larger.
    let stored = 1;
    for (let i = 0; i < 100; i++) {
      const sent = await Promise.all(
        Array.from({ length: 10 }, () =>
          rig.events.append(mallory, aTenth.slice(0, 40 * KB), true),
        ),
      );
      stored += sent.filter((seq) => seq !== null).length;
    }
    expect(stored).toBeGreaterThan(400);
    expect(stored).toBeLessThan(520);
    expect(rig.events.dropped().notStored).toBe(1001 - stored);
    const answer = await rig.call(mallory, "an answer");
    expect(await rig.events.append(ada, "list_changed")).toBe(1);
    rig.clock.advance(60_000);
    expect(await rig.curb()).toBeGreaterThan(0);
    expect(await rig.events.append(mallory, "progress", true)).not.toBeNull();
    for (const ref of [kept, answer]) {
      expect(rig.events.read(ref, 0, 1)).toHaveLength(1);
    }
  });

  // Demanded: storage-bounded
  test("refuses what is beyond it as a full disk does, keeps what is stored, and has room again without a restart", async () => {
    await using rig = await openStore({ database: 10 * MB }, 100 * MB);
    const [ada, mallory] = [
      await rig.session("ada"),
      await rig.session("mallory"),
    ];
    const kept = await rig.call(ada, "ada's");
    const calls: StreamRef[] = [];
    const flood = async () => {
      for (;;) calls.push(await rig.call(mallory, aTenth));
    };
    expect(await flood().catch((error: unknown) => error)).toMatchObject({
      code: "internal",
      retryAfterMs: 5000,
      data: { reason: "storage_unavailable" },
    });
    expect(calls.length).toBeGreaterThan(80);
    expect(rig.store.size().used).toBeLessThanOrEqual(10 * MB);
    expect(rig.events.read(calls.at(-1)!, 0, 1)).toHaveLength(1);
    rig.clock.advance(60_000);
    await rig.curb();
    await rig.store.journal.prune(bounds({ before: Infinity }), 100);
    const next = await rig.call(mallory, aTenth);
    for (const ref of [kept, next]) {
      expect(rig.events.read(ref, 0, 1)).toHaveLength(1);
    }
  });

  test("is full of entries of the journal, and has room again once they may be forgotten", async () => {
    await using rig = await openStore({ database: 4 * MB });
    const { journal } = rig.store;
    const entry = entryOf(
      { workspace: "w", subject: "mallory" },
      "tool_executed",
      { result: "x".repeat(3000) },
      BY_ITSELF,
    );
    const flood = async () => {
      for (let i = 0; ; i++) {
        await journal.append([
          { ...entry, subject: `member ${i} ${"x".repeat(200)}` },
        ]);
      }
    };
    expect(await flood().catch((error: unknown) => error)).toMatchObject({
      code: "internal",
    });
    // Who is about to do something hears it before.
    await expect(journal.begin(entry)).rejects.toThrow("cannot store anything");
    expect(() => rig.store.check()).toThrow("full");
    const few = bounds({ most: 100 });
    // What makes room is not refused with what is written beside it.
    const [pruned, refused] = await Promise.allSettled([
      journal.prune(few, 100),
      journal.append(Array.from({ length: 2000 }, () => entry)),
    ]);
    expect([pruned.status, refused.status]).toEqual(["fulfilled", "rejected"]);
    while ((await journal.prune(few, 100)).more);
    await journal.end(await journal.begin(entry), []);
    await journal.append([entry]);
    expect(rig.store.size().used).toBeLessThan(3 * MB);
  });

  const openIn = (directory: string, database: number) =>
    openSqlite({
      directory,
      clock: fakeClock(),
      sessionCache: 10,
      caps: { events: 1000, bytes: MB },
      quotas: { user: 0, database },
      vault: fakeVault,
    });

  test("is no smaller than what a crash has cut off takes: with that the server starts", async () => {
    using directory = temporaryDirectory();
    const before = openIn(directory.path, 0);
    const session = await openSession(before, { subject: "ada" });
    const cut = entryOf(
      { workspace: "w", subject: "ada" },
      "tool_executed",
      { tool: "x".repeat(100) },
      BY_ITSELF,
    );
    const { events } = before;
    const running = Array.from({ length: 500 }, (_, n) => {
      const streamId = events.nextStream();
      const requestId = String(n);
      const call = { ...session, streamId, callId: streamId, requestId };
      return events.record({ ...call, ifCut: cut }, () => ({
        messages: [],
        answered: false,
      }));
    });
    await Promise.all(running);
    await Promise.all(running.map(() => before.journal.begin(cut)));
    const used = before.size().used;
    await before.close();
    await using store = openIn(directory.path, used);
    expect(await store.events.interrupt(() => "cut")).toBe(500);
    expect(await store.journal.interrupt()).toBe(500);
    expect(store.journal.readOn(0, 10_000).slice(-1000)).toHaveLength(1000);
  });

  test("can be made smaller when it is larger than it may be from the start", async () => {
    using directory = temporaryDirectory();
    const open = (database: number) => openIn(directory.path, database);
    const before = open(0);
    await before.journal.append(
      Array.from({ length: 30_000 }, (_, n) =>
        entryOf(
          { workspace: "w", subject: `member ${n}` },
          "tool_executed",
          { result: "x".repeat(700) },
          BY_ITSELF,
        ),
      ),
    );
    await before.close();
    await using store = open(4 * MB);
    expect(store.size().used).toBeGreaterThan(20 * MB);
    const few = bounds({ most: 1000 });
    while ((await store.journal.prune(few, 1000)).more);
    expect(store.size().used).toBeLessThan(4 * MB);
  });
});

test("what was undone with somebody else's refused call takes nothing of what one may keep", async () => {
  await using rig = await openStore({}, 8 * MB);
  const [ada, mallory] = [
    await rig.session("ada"),
    await rig.session("mallory"),
  ];
  await rig.store.sessions.end(mallory.sessionPk);
  for (let n = 0; n < 50; n++) {
    rig.clock.advance(1000);
    const [kept, refused] = await Promise.allSettled([
      rig.events.append(ada, aTenth),
      rig.call(mallory, "nothing"),
    ]);
    expect([kept.status, refused.status]).toEqual(["fulfilled", "rejected"]);
  }
  expect(rig.events.read(ada, 0, 100)).toHaveLength(50);
});

test("over HTTP, one who floods loses what others' sessions replay to the letter, and metrics say so", async () => {
  const clock = fakeClock(Date.now());
  const env = {
    USER_MAX_BYTES: String(2 * MB),
    METRICS_TOKEN: TOKEN,
  };
  await using rig = await openRig({ env, clock });
  const echo = async (user: string, session: string, words: string) => {
    const headers = { "mcp-session-id": session };
    const { events } = await rig.post(
      user,
      call("lab_echo", { words }),
      headers,
    );
    return events;
  };
  const mine = await rig.open("ada");
  const before = await echo("ada", mine, "ada's words");
  const floods: { session: string; id: string }[] = [];
  for (let i = 0; i < 6; i++) {
    const session = await rig.open("mallory");
    for (let j = 0; j < 10; j++) {
      const [first] = await echo("mallory", session, aTenth);
      floods.push({ session, id: first!.id! });
    }
  }
  clock.advance(60_000);
  await rig.retain();
  const replay = async (user: string, session: string, id: string) => {
    const headers = { "mcp-session-id": session, "last-event-id": id };
    const stream = await rig.listen(user, headers);
    await stream.ended;
    return stream;
  };
  const { status, events } = await replay("ada", mine, before[0]!.id!);
  expect(status).toBe(200);
  expect(messages(events)).toEqual(messages(before));
  const [oldest, newest] = [floods[0]!, floods.at(-1)!];
  expect((await replay("mallory", oldest.session, oldest.id)).status).toBe(400);
  expect((await replay("mallory", newest.session, newest.id)).status).toBe(200);
  expect(await dropped(rig, "removed")).toBeGreaterThan(20);
});

// Demanded: storage-high-water
test("over HTTP, a call in a database that is nearly full is told of no progress, and answered", async () => {
  const env = {
    DATABASE_MAX_BYTES: String(4 * MB),
    JOURNAL_MAX_BYTES: String(MB),
    PROGRESS_INTERVAL: "10ms",
    METRICS_TOKEN: TOKEN,
  };
  // Nothing grows old meanwhile.
  const clock = fakeClock(Date.now());
  await using rig = await openRig({ env, clock });
  const [adas, mallorys] = [await rig.open("ada"), await rig.open("mallory")];
  const held = call("lab_hold", { gate: "g" }, 7);
  const params = { ...held.params, _meta: { progressToken: "p" } };
  // Nearly: what is left is for the answer.
  const flood = call("lab_echo", { words: aTenth });
  expect(await dropped(rig, "not_stored")).toBe(0);
  for (let i = 0; i < 36; i++) {
    const headers = { "mcp-session-id": mallorys };
    expect((await rig.post("mallory", flood, headers)).status).toBe(200);
  }
  // It is looked now and then how full it is.
  await rig.retain();
  const stream = await rig.start(
    "ada",
    { ...held, params },
    { "mcp-session-id": adas },
  );
  while ((await dropped(rig, "not_stored")) === 0) clock.advance(20);
  rig.workspace.openGate("g");
  await stream.ended;
  expect(messages(stream.events).map(({ id }) => id)).toEqual([7]);
});

test("over HTTP, what could not be put on record is not done", async () => {
  const env = {
    DATABASE_MAX_BYTES: String(4 * MB),
    JOURNAL_MAX_BYTES: String(MB),
  };
  // Nothing grows old meanwhile.
  await using rig = await openRig({ env, clock: fakeClock(Date.now()) });
  const session = { "mcp-session-id": await rig.open("mallory") };
  const flood = call("lab_echo", { words: aTenth });
  // What nobody can take away, until there is no room for more.
  using filling = new Database(databaseFile(rig.directory));
  filling.run("CREATE TABLE filling (bytes BLOB) STRICT");
  do filling.run("INSERT INTO filling VALUES (zeroblob(65536))");
  while ((await rig.post("mallory", flood, session)).status === 200);
  const plain = { accept: "application/json" };
  const whoami = () => rig.post("ada", call("lab_whoami"), plain);
  let refused = await whoami();
  while (refused.status === 200 && refused.body.result) {
    refused = await whoami();
  }
  expect(refused.body.error).toMatchObject({
    code: -32000,
    data: { reason: "storage_unavailable", retryAfterMs: 5000 },
  });
  expect((await fetch(`${rig.url}/health`)).status).toBe(503);
  const unwritten = () =>
    rig.lines.filter(({ event }) => event === "call not in the journal");
  const before = unwritten().length;
  for (let n = 0; n < 5; n++) expect((await whoami()).body.error).toBeDefined();
  expect(unwritten()).toHaveLength(before);
});
