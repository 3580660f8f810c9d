import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize, listTools, messages } from "../support/caller.ts";

/** Tool calls on their way to Membrane, and what becomes of them when something goes wrong. */

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const PLAIN = { accept: "application/json" };
const entries = (action: string) =>
  rig.workspace.runCounts()[`act_lab_${action}`] ?? 0;
const isRun = ({ path }: { path: string }) => path.endsWith("/run");

describe("a call that takes too long", () => {
  test("is a result that says that its outcome is unknown, and is aborted at Membrane", async () => {
    await using brief = await openRig({ env: { CALL_TIMEOUT: "300ms" } });
    const { workspace } = brief;
    // On a slow machine the time of one may be over before it is sent.
    while (!workspace.requests.some(isRun)) {
      const { body } = await brief.post(
        "ada",
        call("lab_hold", { gate: "never" }),
        PLAIN,
      );
      expect(body.result.isError).toBe(true);
      expect(body.result.content[0].text).toContain("unknown");
    }
    await workspace.when((request) => isRun(request) && request.aborted);
    expect(workspace.requests.filter(isRun)).toHaveLength(1);
  });
});

describe("cancelling", () => {
  // Demanded: cancel
  test("reaches Membrane, and nothing more is said of the call", async () => {
    await using patient = await openRig();
    const session = await patient.open("ada");
    const headers = { "mcp-session-id": session };
    const stream = await patient.start(
      "ada",
      call("lab_hold", { gate: "cancelled" }, "seven"),
      headers,
    );
    await patient.workspace.entered("act_lab_hold");
    const cancel = (requestId: unknown) =>
      patient.post(
        "ada",
        {
          jsonrpc: "2.0",
          method: "notifications/cancelled",
          params: { requestId, reason: "no more" },
        },
        headers,
      );
    // Ids are what they are: 7 is not "seven", and what is none is ignored.
    for (const id of [7, null, {}, "other"]) {
      expect((await cancel(id)).status).toBe(202);
    }
    expect((await cancel("seven")).status).toBe(202);
    const aborted = await patient.workspace.when(
      (request) => isRun(request) && request.aborted,
    );
    expect(aborted.path).toContain("hold");
    await stream.ended;
    expect(messages(stream.events)).toEqual([]);
    // Nor later, to a client that comes back for it.
    const again = await patient.listen("ada", {
      ...headers,
      "last-event-id": stream.events[0]!.id!,
    });
    expect(again.status).toBe(204);
  });

  test("by ending the session", async () => {
    await using patient = await openRig();
    const session = await patient.open("ada");
    const stream = await patient.start(
      "ada",
      call("lab_hold", { gate: "ended" }),
      { "mcp-session-id": session },
    );
    await patient.workspace.entered("act_lab_hold");
    await fetch(`${patient.url}/mcp`, {
      method: "DELETE",
      headers: {
        authorization: `Bearer ${await patient.tokenFor("ada")}`,
        "mcp-session-id": session,
      },
    });
    await patient.workspace.when(
      (request) => isRun(request) && request.aborted,
    );
    await stream.ended;
  });
});

// Demanded: never-twice
describe("a call is sent once", () => {
  test.each([
    ["the socket is reset", { destroy: true }],
    ["the answer is 503", { status: 503 }],
    ["the answer is 429", { status: 429, headers: { "retry-after": "0" } }],
    ["the answer is lost", { destroy: true, afterwards: true }],
    ["the answer is no JSON", { raw: "<html>", afterwards: true }],
    ["it is redirected", { status: 307, headers: { location: "/elsewhere" } }],
  ])("when %s", async (_, fault) => {
    const seen = () => rig.workspace.requests.filter(isRun).length;
    const before = seen();
    const entered = entries("count");
    rig.workspace.faults.add({ match: "POST /actions/", ...fault });
    const { body } = await rig.post(
      "ada",
      call("lab_count", { key: "once" }),
      PLAIN,
    );
    rig.workspace.faults.clear();
    expect(body.result.isError).toBe(true);
    expect(seen()).toBe(before + 1);
    expect(entries("count")).toBe(entered + ("afterwards" in fault ? 1 : 0));
    expect(
      rig.workspace.requests.some(({ path }) => path === "/elsewhere"),
    ).toBe(false);
    // Nothing of the upstream's own words that could hold a secret.
    expect(JSON.stringify(body)).not.toMatch(/Bearer|eyJ/);
  });

  test("while a list is asked for again", async () => {
    const seen = () =>
      rig.workspace.requests.filter(({ path }) => path === "/connections")
        .length;
    const before = seen();
    rig.workspace.faults.add({
      match: "GET /connections",
      status: 503,
      times: 1,
    });
    const { body } = await rig.post(
      "retry",
      { jsonrpc: "2.0", id: 2, method: "tools/list" },
      PLAIN,
    );
    expect(body.result.tools.length).toBeGreaterThan(30);
    expect(seen()).toBe(before + 2);
  });
});

describe("a call and the end of its session", () => {
  test("one that is refused as unknown was not run", async () => {
    const ran = () => entries("echo");
    for (let i = 0; i < 20; i++) {
      const session = await rig.open("ada");
      const headers = { "mcp-session-id": session };
      const before = ran();
      const [answer] = await Promise.all([
        rig.post("ada", call("lab_echo"), headers),
        fetch(`${rig.url}/mcp`, {
          method: "DELETE",
          headers: {
            authorization: `Bearer ${await rig.tokenFor("ada")}`,
            ...headers,
          },
        }),
      ]);
      if (answer.status === 404) expect(ran()).toBe(before);
      expect((await rig.post("ada", listTools, headers)).status).toBe(404);
    }
  });

  test("ended while it is being used, it stays ended", async () => {
    for (let i = 0; i < 20; i++) {
      const chat = { "x-chat-id": `race-${i}` };
      const session = await rig.open("ada", chat);
      const authorization = `Bearer ${await rig.tokenFor("ada")}`;
      const [, again] = await Promise.all([
        fetch(`${rig.url}/mcp`, {
          method: "DELETE",
          headers: { authorization, "mcp-session-id": session },
        }),
        rig.post("ada", initialize(), chat),
        rig.post("ada", listTools, { "mcp-session-id": session }),
      ]);
      const opened = again.headers.get("mcp-session-id")!;
      const headers = { "mcp-session-id": opened };
      const [list, run] = [
        await rig.post("ada", listTools, headers),
        await rig.post("ada", call("lab_echo"), headers),
      ];
      expect(run.status).toBe(list.status);
    }
  });
});

test("a call that is cancelled while the catalogue is loaded is not run", async () => {
  await using slow = await openRig();
  slow.workspace.faults.add({ match: "GET /connections", hang: true });
  const session = await slow.open("ada");
  const headers = { "mcp-session-id": session };
  const stream = await slow.start("ada", call("lab_echo", {}, 9), headers);
  await slow.workspace.when(({ path }) => path === "/connections");
  await slow.post(
    "ada",
    {
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId: 9 },
    },
    headers,
  );
  await stream.ended;
  expect(messages(stream.events)).toEqual([]);
  slow.workspace.faults.clear();
  expect(slow.workspace.runCounts()).toEqual({});
});

test("a progress token and capabilities have their limits", async () => {
  const opening = initialize();
  const large = { ...opening.params, capabilities: { x: "y".repeat(20_000) } };
  const refused = await rig.post("ada", { ...opening, params: large });
  expect(refused.body.error).toMatchObject({
    code: -32602,
    message: expect.stringContaining("at most 16384 characters"),
  });
  const session = await rig.open("ada");
  const { events } = await rig.post(
    "ada",
    call("lab_slow", { ms: 100 }, 1, { progressToken: "p".repeat(300) }),
    { "mcp-session-id": session },
  );
  expect(messages(events)).toHaveLength(1);
});

describe("what a call brings", () => {
  test("arguments go through as they are", async () => {
    const args = JSON.parse(
      '{"__proto__":{"x":1},"constructor":"c","nested":{"deep":[1,2.5,-0,1e300,"\\u2028",null,true]},"key with spaces":"","😀":"\\ud83d\\ude00"}',
    );
    const { body } = await rig.post("ada", call("lab_echo", args), PLAIN);
    expect(JSON.stringify(body.result.structuredContent)).toBe(
      JSON.stringify(args),
    );
    const sent = rig.workspace.requests.findLast(isRun)!;
    expect(JSON.stringify(sent.body)).toBe(JSON.stringify({ input: args }));
  });

  test("a thousand at once, each with its own answer", async () => {
    await using patient = await openRig();
    const users = ["ada", "bob", "cleo", "dan"];
    const answers = await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => {
        const user = users[i % users.length]!;
        const message = call("lab_whoami", {}, i);
        const { body } = await patient.post(user, message, PLAIN);
        return [user, i, body] as const;
      }),
    );
    for (const [user, i, body] of answers) {
      expect(body.id).toBe(i);
      expect(body.result.structuredContent.tenant).toBe(user);
    }
  });

  test("megabytes", async () => {
    await using patient = await openRig();
    const { body } = await patient.post(
      "ada",
      call("lab_large", { megabytes: 5 }),
      PLAIN,
    );
    expect(body.result.structuredContent.text).toHaveLength(5 * 1024 * 1024);
  });

  test("more than a session keeps, to a reader that is there", async () => {
    await using patient = await openRig({
      env: { SESSION_MAX_BYTES: "65536", SESSION_MAX_EVENTS: "10" },
    });
    const session = await patient.open("ada");
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, id) =>
        patient.post("ada", call("lab_large", { megabytes: 0.1 }, id), {
          "mcp-session-id": session,
        }),
      ),
    );
    for (const [id, { body }] of answers.entries()) {
      expect(body.id).toBe(id);
      expect(body.result.structuredContent.text.length).toBeGreaterThan(1e5);
    }
    const large = await patient.post(
      "ada",
      call("lab_large", { megabytes: 6 }, "large"),
      { "mcp-session-id": session },
    );
    expect(large.body.id).toBe("large");
  });
});
