import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize, messages, parseEvents } from "../support/caller.ts";
import type { SseEvent } from "../support/caller.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig({ env: { PROGRESS_INTERVAL: "20ms" } });
});
afterAll(() => rig[Symbol.asyncDispose]());

const held = (gate: string) =>
  call("lab_hold", { gate }, 1, { progressToken: "p" });
const runs = () => rig.workspace.runCounts()["act_lab_hold"] ?? 0;

/** Starts a call by hand and keeps its connection. */
async function startCall(user: string, session: string, message: unknown) {
  const controller = new AbortController();
  const response = await fetch(`${rig.url}/mcp`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      authorization: `Bearer ${await rig.tokenFor(user)}`,
      "mcp-session-id": session,
    },
    body: JSON.stringify(message),
    signal: controller.signal,
  });
  const reader = response.body!.getReader();
  let first = "";
  while (!first.includes("\n\n")) {
    first += new TextDecoder().decode((await reader.read()).value);
  }
  return { cut: () => controller.abort(), events: parseEvents(first) };
}

async function resume(user: string, session: string, lastEventId: string) {
  return rig.listen(user, {
    "mcp-session-id": session,
    "last-event-id": lastEventId,
  });
}

describe("resuming a stream", () => {
  // Demanded: disconnect-is-no-cancel
  test("a call whose connection is cut goes on, runs once, and its answer is fetched later", async () => {
    const session = await rig.open("ada");
    const before = runs();
    const started = await startCall("ada", session, held("cut"));
    await rig.workspace.entered("act_lab_hold", before + 1);
    started.cut();
    rig.workspace.openGate("cut");
    const stream = await resume("ada", session, started.events[0]!.id!);
    const answer = await stream.until(({ data }) =>
      Boolean(data?.includes('"result"')),
    );
    expect(JSON.parse(answer.data!).id).toBe(1);
    await stream.ended;
    expect(runs()).toBe(before + 1);
  });

  // Demanded: stream-resumes
  test("what is replayed is exactly the rest, in order, and 204 when nothing is left", async () => {
    const session = await rig.open("ada");
    const before = runs();
    const started = await startCall("ada", session, held("rest"));
    await rig.workspace.entered("act_lab_hold", before + 1);
    const watching = await resume("ada", session, started.events[0]!.id!);
    // The first reader is young, so the newcomer may be refused; then it comes again.
    if (watching.status === 409) started.cut();
    rig.workspace.openGate("rest");
    let full;
    do full = await resume("ada", session, started.events[0]!.id!);
    while (full.status === 409);
    await full.ended;
    const withId = full.events.filter(({ data }) => data);
    expect(messages(withId).at(-1).result).toBeDefined();
    const sequence = withId.map(({ id }) => parseInt(id!.split("-")[1]!, 36));
    expect(sequence).toEqual(sequence.map((_, i) => i + 1));
    for (const [i, { id }] of withId.entries()) {
      const rest = await resume("ada", session, id!);
      await rest.ended;
      expect(rest.status).toBe(i === withId.length - 1 ? 204 : 200);
      expect(messages(rest.events)).toEqual(messages(withId.slice(i + 1)));
    }
  });

  // Demanded: progress-rises
  test("progress rises while a call runs and stops with its answer", async () => {
    const session = await rig.open("ada");
    const before = runs();
    const stream = await rig.start("ada", held("progress"), {
      "mcp-session-id": session,
    });
    await rig.workspace.entered("act_lab_hold", before + 1);
    await stream.until(() => messages(stream.events).length >= 2);
    rig.workspace.openGate("progress");
    await stream.ended;
    const sent = messages(stream.events);
    expect(sent.at(-1).id).toBe(1);
    const progress = sent.slice(0, -1).map(({ params }) => params.progress);
    expect(progress.length).toBeGreaterThan(1);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(new Set(progress).size).toBe(progress.length);
    expect(sent[0].params.progressToken).toBe("p");
  });

  // Demanded: stream-of-others
  test("no id of another session, user or none opens anything", async () => {
    const mine = await rig.open("ada");
    const other = await rig.open("ada");
    const theirs = await rig.open("bob");
    const { events } = await rig.post(
      "ada",
      call("lab_echo", { secret: "s3cret" }),
      {
        "mcp-session-id": mine,
      },
    );
    const own = await rig.listen("ada", { "mcp-session-id": mine });
    const ids = [
      events[0]!.id!,
      events[1]!.id!,
      (await own.until(({ id }) => Boolean(id))).id!,
    ];
    for (const id of ids) {
      for (const [user, session] of [
        ["ada", other],
        ["bob", theirs],
      ] as const) {
        const stolen = await resume(user, session, id);
        expect(stolen.status).toBe(400);
        await stolen.ended;
        expect(JSON.stringify(stolen.events)).not.toContain("s3cret");
      }
      expect((await resume("bob", mine, id)).status).toBe(404);
    }
    for (const forged of [
      "",
      "0",
      "-1",
      "9e18",
      "' OR 1=1 --",
      "zzzzzzzz-1",
      "../../x",
      "a".repeat(8000),
    ]) {
      const refused = await resume("ada", mine, forged);
      expect([forged, refused.status]).toEqual([forged, 400]);
    }
  });

  test("a second GET is refused while the first is young, and each notification comes once", async () => {
    const session = await rig.open("ada", {}, "/mcp?mode=dynamic");
    const first = await rig.listen("ada", { "mcp-session-id": session });
    const second = await rig.listen("ada", { "mcp-session-id": session });
    expect([first.status, second.status]).toEqual([200, 409]);
    await rig.post("ada", call("enable-tools", { tools: ["lab_echo"] }), {
      "mcp-session-id": session,
    });
    await first.until(({ data }) => Boolean(data?.includes("list_changed")));
    expect(messages(first.events)).toHaveLength(1);
    expect(messages(second.events)).toHaveLength(0);
  });

  test("what happens while nobody listens is there when the client comes back", async () => {
    const session = await rig.open("ada", {}, "/mcp?mode=dynamic");
    const first = await rig.listen("ada", { "mcp-session-id": session });
    const start = await first.until(({ id }) => Boolean(id));
    for (const tool of ["lab_echo", "lab_count", "lab_whoami"]) {
      await rig.post("ada", call("enable-tools", { tools: [tool] }), {
        "mcp-session-id": session,
      });
    }
    first.close();
    await first.ended;
    let again;
    do again = await resume("ada", session, start.id!);
    while (again.status === 409);
    const count = ({ data }: SseEvent) =>
      Boolean(data?.includes("list_changed"));
    await again.until(() => again.events.filter(count).length === 3);
    expect(messages(again.events)).toHaveLength(3);
  });

  test("reconnecting again and again during a stream of writes loses and repeats nothing", async () => {
    const session = await rig.open("ada", {}, "/mcp?mode=dynamic");
    const seen: string[] = [];
    let last = (
      await (
        await rig.listen("ada", { "mcp-session-id": session })
      ).until(({ id }) => Boolean(id))
    ).id!;
    const total = 60;
    const writing = (async () => {
      for (let i = 0; i < total; i++) {
        await rig.post("ada", call("enable-tools", { tools: ["lab_echo"] }), {
          "mcp-session-id": session,
        });
      }
    })();
    // Each reader takes over as soon as it may, reads some, and leaves without a word.
    let done = false;
    void writing.then(() => (done = true));
    while (!done || seen.length === 0) {
      const reader = await resume("ada", session, last);
      if (reader.status !== 200) continue;
      await Promise.race([
        reader.until(({ data }) => Boolean(data)),
        writing,
      ]).catch(() => {});
      reader.close();
      await reader.ended;
      for (const { id, data } of reader.events) {
        if (!data) continue;
        seen.push(id!);
        last = id!;
      }
    }
    let rest;
    do rest = await resume("ada", session, last);
    while (rest.status === 409);
    const left = () =>
      rest.events.filter(({ data }) => data).map(({ id }) => id!);
    const numbers = () =>
      [...seen, ...left()].map((id) => parseInt(id.split("-")[1]!, 36));
    while (numbers().at(-1)! < numbers()[0]! + 1 && left().length === 0) {
      await rest.until(({ data }) => Boolean(data));
    }
    const got = numbers();
    expect(got).toEqual(got.map((_, i) => got[0]! + i));
    expect(got.length).toBeGreaterThan(5);
  });

  test("a client of an older revision gets ids without an event of empty data", async () => {
    const opened = await rig.post("ada", initialize("2025-03-26"));
    const session = opened.headers.get("mcp-session-id")!;
    const stream = await rig.listen("ada", { "mcp-session-id": session });
    const first = await stream.until(({ id }) => Boolean(id));
    expect(first.data).toBeUndefined();
  });
});
