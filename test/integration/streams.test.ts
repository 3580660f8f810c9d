import { unlimited } from "../support/admission.ts";
import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/runtime/machine.ts";
import type { Principal } from "../../src/core/principal.ts";
import { createEventIds } from "../../src/mcp/event-id.ts";
import { createStreams } from "../../src/mcp/stream.ts";
import { openRegistry } from "../../src/store/sqlite/operate.ts";
import { openRig } from "../support/app.ts";
import { call, listTools, messages, parseEvents } from "../support/caller.ts";
import { fakeClock, silentLog } from "../support/clock.ts";
import { openSession } from "../support/openings.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { openStore } from "../support/open-store.ts";

/** Streams over a real log, with time in the hand of the test. */

const ada: Principal = {
  workspace: "w",
  subject: "ada",
  name: null,
  method: "membrane" as const,
  scope: null,
  token: "t",
  expiresAt: null,
};

async function openStreams() {
  const directory = temporaryDirectory();
  const clock = fakeClock();
  const store = openStore(directory.path, { clock });
  const { events } = store;
  const streams = createStreams({
    events,
    store,
    eventIds: createEventIds(store.secret("event-ids")),
    admission: unlimited,
    clock,
    log: silentLog,
  });
  const ref = await openSession(store);
  let valid: boolean | Error = true;
  const open = (after = 0) =>
    streams.open({
      ref,
      after,
      prelude: ": open\n\n",
      principal: ada,
      stillValid: async () => {
        if (valid instanceof Error) throw valid;
        return valid ? ada : null;
      },
    });
  /** As a WebSocket; takes as many events as it has room for. */
  const attach = (room: number, after = 0) => {
    const got: string[] = [];
    let ended: string | null = null;
    const attachment = streams.attach(
      {
        ref,
        after,
        principal: ada,
        stillValid: async () => (valid === true ? ada : null),
      },
      {
        deliver(_, data) {
          got.push(JSON.parse(data) as string);
          return got.length < room;
        },
        end: (why) => void (ended = why),
      },
    );
    return (
      attachment && {
        ...attachment,
        got,
        ended: () => ended,
        more(more: number) {
          room += more;
          attachment.more();
        },
      }
    );
  };
  return {
    clock,
    events,
    streams,
    ref,
    open,
    attach,
    setValid: (now: boolean | Error) => void (valid = now),
    async write(text: string) {
      await events.append(ref, JSON.stringify(text));
      streams.wake(ref.streamId);
    },
    async [Symbol.asyncDispose]() {
      await store.close();
      directory[Symbol.dispose]();
    },
  };
}

type Reader = ReadableStreamDefaultReader<string>;
const nextText = async (reader: Reader) => (await reader.read()).value;

describe("a stream", () => {
  test("beats while it is silent, and goes on when there is something to say", async () => {
    await using rig = await openStreams();
    const reader: Reader = rig.open()!.getReader();
    expect(await nextText(reader)).toBe(": open\n\n");
    rig.streams.beat();
    expect(await nextText(reader)).toBe(": heartbeat\n\n");
    await rig.write("news");
    expect(await nextText(reader)).toContain('data: "news"');
  });

  test("whose reader takes nothing for a minute is cut off, and resumes where it was", async () => {
    await using rig = await openStreams();
    const stalled = rig.open()!.getReader();
    await nextText(stalled);
    await nextText((await rig.write("one"), stalled));
    // Two more than it reads: one waits in the queue of the stream, the other in the log alone.
    for (const text of ["two", "three", "four"]) await rig.write(text);
    rig.clock.advance(61_000);
    rig.streams.beat();
    expect(rig.streams.count()).toBe(0);
    await expect(
      (async () => {
        for (;;) if ((await stalled.read()).done) return;
      })(),
    ).rejects.toThrow("stalled");
    const again = rig.open(1)!.getReader();
    await nextText(again);
    const rest = parseEvents((await nextText(again))!);
    expect(messages(rest)).toEqual(["two", "three", "four"]);
  });

  test("whose reader keeps up is not, however long it is silent", async () => {
    await using rig = await openStreams();
    const reader: Reader = rig.open()!.getReader();
    await nextText(reader);
    for (let minutes = 0; minutes < 10; minutes++) {
      const text = nextText(reader);
      rig.clock.advance(61_000);
      rig.streams.beat();
      expect(await text).toBe(": heartbeat\n\n");
    }
    expect(rig.streams.count()).toBe(1);
  });

  test("is closed when the credential that opened it is no longer good, not while that cannot be known", async () => {
    await using rig = await openStreams();
    const reader: Reader = rig.open()!.getReader();
    await nextText(reader);
    rig.setValid(new Error("Membrane does not answer"));
    rig.streams.beat();
    expect(await nextText(reader)).toBe(": heartbeat\n\n");
    expect(rig.streams.count()).toBe(1);
    rig.setValid(false);
    rig.streams.beat();
    for (;;) if ((await reader.read()).done) break;
    expect(rig.streams.count()).toBe(0);
  });

  test("is taken over by a second reader, but not at once", async () => {
    await using rig = await openStreams();
    const first = rig.open()!.getReader();
    await nextText(first);
    expect(rig.open()).toBeNull();
    rig.clock.advance(2001);
    const second = rig.open()!.getReader();
    await nextText(second);
    expect((await first.read()).done).toBe(true);
    await rig.write("news");
    expect(await nextText(second)).toContain("news");
    expect(rig.streams.count()).toBe(1);
    // Two that share a session do not take it from each other all day.
    rig.clock.advance(2001);
    expect(rig.open()).toBeNull();
    rig.clock.advance(2001);
    expect(rig.open()).not.toBeNull();
    rig.clock.advance(7999);
    expect(rig.open()).toBeNull();
  });

  test("sends what has piled up in pieces that fit a socket", async () => {
    await using rig = await openStreams();
    const large = "x".repeat(100_000);
    for (let i = 0; i < 10; i++) await rig.events.append(rig.ref, `"${large}"`);
    const reader: Reader = rig.open()!.getReader();
    await nextText(reader);
    const pieces: number[] = [];
    while (pieces.reduce((sum, n) => sum + n, 0) < 10) {
      const text = (await nextText(reader))!;
      expect(text.length).toBeLessThan(400_000);
      pieces.push(parseEvents(text).length);
    }
    expect(pieces.length).toBeGreaterThan(3);
  });
});

describe("a stream over a WebSocket", () => {
  test("delivers what there is and what comes, as much as is taken", async () => {
    await using rig = await openStreams();
    for (const text of ["one", "two", "three"]) await rig.write(text);
    const socket = rig.attach(2, 1)!;
    expect(socket.got).toEqual(["two", "three"]);
    await rig.write("four");
    expect(socket.got).toEqual(["two", "three"]);
    socket.more(10);
    await rig.write("five");
    expect(socket.got).toEqual(["two", "three", "four", "five"]);
    socket.leave();
    await rig.write("six");
    expect(socket.got).toHaveLength(4);
    expect([socket.ended(), rig.streams.count()]).toEqual([null, 0]);
  });

  test("ends when it takes nothing for a minute, and not before", async () => {
    await using rig = await openStreams();
    const socket = rig.attach(1)!;
    await rig.write("one");
    await rig.write("two");
    for (let minutes = 0; minutes < 3; minutes++) {
      rig.clock.advance(60_000);
      rig.streams.beat();
      expect(socket.ended()).toBeNull();
      socket.more(1);
      await rig.write("more");
      await rig.write("more");
    }
    rig.clock.advance(60_001);
    rig.streams.beat();
    expect([socket.ended(), rig.streams.count()]).toEqual(["stalled", 0]);
  });

  test("says why it ends", async () => {
    await using rig = await openStreams();
    const first = rig.attach(9)!;
    expect(rig.attach(9)).toBeNull();
    rig.clock.advance(2001);
    const second = rig.attach(9)!;
    expect(first.ended()).toBe("taken over");
    rig.setValid(false);
    rig.streams.beat();
    while (second.ended() === null) await Bun.sleep(1);
    expect(second.ended()).toBe("credential ended");
    rig.setValid(true);
    const third = rig.attach(9)!;
    rig.streams.closeAll();
    expect(third.ended()).toBe("restart");
    // As SSE it is the same stream.
    rig.open();
    expect(rig.attach(9)).toBeNull();
  });
});

test("a session expires when nothing has been heard of it, with its stream, and not while it is used", async () => {
  const clock = fakeClock(Date.now());
  await using rig = await openRig({ clock, env: { SESSION_TTL: "20s" } });
  const used = await rig.open("ada");
  const left = await rig.open("ada");
  const stream = await rig.listen("ada", { "mcp-session-id": left });
  for (let seconds = 0; seconds < 60; seconds += 6) {
    clock.advance(6000);
    const headers = { "mcp-session-id": used };
    expect((await rig.post("ada", listTools, headers)).status).toBe(200);
  }
  await rig.retain();
  await stream.ended;
  const status = async (session: string) =>
    (await rig.post("ada", listTools, { "mcp-session-id": session })).status;
  expect([await status(used), await status(left)]).toEqual([200, 404]);
});

test("a session that another process ends has its stream closed at the next heartbeat", async () => {
  const clock = fakeClock(Date.now());
  await using rig = await openRig({ clock });
  const session = await rig.open("ada");
  const other = await rig.open("ada");
  const stream = await rig.listen("ada", { "mcp-session-id": session });
  rig.tick();
  using registry = openRegistry(rig.directory, systemClock);
  expect(await registry.end(session)).toBe(true);
  rig.tick();
  await stream.ended;
  const headers = { "mcp-session-id": other };
  expect((await rig.post("ada", listTools, headers)).status).toBe(200);
});

test("a reader that stops reading holds nobody up, and finds what it missed when it comes back", async () => {
  await using rig = await openRig();
  const session = await rig.open("ada", {}, "/mcp?mode=dynamic");
  const headers = { "mcp-session-id": session };
  // A socket that is opened, and of which nothing is ever read.
  const { hostname, port } = new URL(rig.url);
  const token = await rig.tokenFor("ada");
  const opened = Promise.withResolvers<void>();
  let first = "";
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(self, chunk) {
        first += new TextDecoder().decode(chunk);
        if (!/^id: .*\n/m.test(first)) return;
        self.pause();
        opened.resolve();
      },
    },
  });
  socket.write(
    `GET /mcp HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAuthorization: Bearer ${token}\r\nAccept: text/event-stream\r\nMcp-Session-Id: ${session}\r\n\r\n`,
  );
  await opened.promise;
  for (let i = 0; i < 200; i++) {
    await rig.post(
      "ada",
      call("enable-tools", { tools: ["lab_echo"] }, i),
      headers,
    );
  }
  socket.terminate();
  const id = /^id: (\S+)/m.exec(first)![1]!;
  let again = await rig.listen("ada", { ...headers, "last-event-id": id });
  while (again.status === 409) {
    again = await rig.listen("ada", { ...headers, "last-event-id": id });
  }
  await again.until(() => messages(again.events).length >= 200);
  expect(messages(again.events)).toHaveLength(200);
});
