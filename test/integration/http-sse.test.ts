import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize, listTools, messages } from "../support/caller.ts";
import type { Listener } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";

/** HTTP+SSE of revision 2024-11-05. */

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

/** Opens the stream by hand; the URL that its first event names. */
async function open(user: string, path = "/sse", headers = {}) {
  const stream = await rig.listen(user, headers, path);
  const { data } = await stream.until(({ event }) => event === "endpoint");
  return { stream, endpoint: data! };
}

const answerTo = async (stream: Listener, id: number) => {
  await stream.until(({ data }) => Boolean(data?.includes(`"id":${id}`)));
  return messages(
    stream.events.filter(({ event }) => event === "message"),
  ).find((message) => message.id === id);
};

const sessionOf = (endpoint: string) =>
  new URL(endpoint, rig.url).searchParams.get("sessionId")!;

describe("HTTP+SSE", () => {
  // Demanded: http-sse
  test("serves the official client", async () => {
    const { client } = await rig.connect("ada", { sse: true });
    const { tools } = await client.listTools();
    expect(tools.length).toBeGreaterThan(30);
    const { structuredContent } = await client.callTool({
      name: "lab_echo",
      arguments: { a: 1 },
    });
    expect(structuredContent).toEqual({ a: 1 });
  });

  test("takes mode and apps from the URL of the stream", async () => {
    const { client } = await rig.connect("ada", {
      sse: true,
      path: "/sse?mode=dynamic&apps=lab",
    });
    await client.callTool({
      name: "enable-tools",
      arguments: { tools: ["lab_echo", "big_item-0001"] },
    });
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["enable-tools", "lab_echo"]);
  });

  test("a client that put its token into the URL posts with the ticket alone", async () => {
    const token = await rig.tokenFor("ada");
    const response = await fetch(`${rig.url}/sse?token=${token}`, {
      headers: { accept: "text/event-stream" },
    });
    const reader = response.body!.getReader();
    let text = "";
    const read = async (whole: RegExp) => {
      while (!whole.test(text)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`It has ended: ${text}`);
        text += new TextDecoder().decode(value);
      }
      return whole.exec(text)!;
    };
    const endpoint = (await read(/data: (\S+)\n/))[1]!;
    expect(endpoint).not.toContain(token);
    const post = (path: string) =>
      fetch(rig.url + path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(initialize("2024-11-05")),
      });
    expect((await post(endpoint)).status).toBe(202);
    const [, answer] = await read(/event: message\ndata: (.+)\n/);
    expect(answer).toContain('"protocolVersion":"2024-11-05"');
    // Neither without the ticket, nor with another's, nor for another session.
    const bare = endpoint.replace(/&ticket=.*/, "");
    expect((await post(bare)).status).toBe(401);
    expect((await post(`${bare}&ticket=`)).status).toBe(401);
    const other = await open("bob");
    const foreign = new URL(other.endpoint, rig.url).searchParams.get("ticket");
    expect((await post(`${bare}&ticket=${foreign}`)).status).toBe(401);
    await reader.cancel();
  });

  test("the ticket is dead when nobody reads the stream", async () => {
    const { stream, endpoint } = await open("ada");
    const post = () =>
      fetch(rig.url + endpoint, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(listTools),
      });
    expect((await post()).status).toBe(202);
    stream.close();
    await stream.ended;
    let last = await post();
    // The server learns of a closed socket a moment later than the client.
    while (last.status === 202) last = await post();
    expect(last.status).toBe(401);
  });

  test("somebody else's session and one that never was are answered alike", async () => {
    const { endpoint } = await open("ada");
    const post = (id: string) =>
      rig.post("bob", listTools, {}, `/sse/messages?sessionId=${id}`);
    const [foreign, unknown, none] = [
      await post(sessionOf(endpoint)),
      await post("f".repeat(32)),
      await rig.post("bob", listTools, {}, "/sse/messages"),
    ];
    for (const answer of [foreign, unknown, none]) {
      expect(answer.status).toBe(404);
      expect(answer.text).toBe(unknown.text);
    }
  });

  test("a stream that reconnects gets its session, and what it missed", async () => {
    const { stream, endpoint } = await open("ada");
    const before = rig.workspace.runCounts()["act_lab_hold"] ?? 0;
    await rig.post("ada", initialize("2024-11-05"), {}, endpoint);
    await answerTo(stream, 0);
    await rig.post("ada", call("lab_hold", { gate: "sse" }, 5), {}, endpoint);
    await rig.workspace.entered("act_lab_hold", before + 1);
    const last = stream.events.findLast(({ id }) => id)!.id!;
    stream.close();
    await stream.ended;
    rig.workspace.openGate("sse");
    let again = await rig.listen("ada", { "last-event-id": last }, "/sse");
    while (again.status === 409) {
      again = await rig.listen("ada", { "last-event-id": last }, "/sse");
    }
    const answer = await answerTo(again, 5);
    expect(answer.result.structuredContent).toEqual({ released: "sse" });
    expect(
      messages(again.events.filter(({ event }) => event === "message")),
    ).toHaveLength(1);
    const endpointAgain = again.events.find(
      ({ event }) => event === "endpoint",
    )!;
    expect(sessionOf(endpointAgain.data!)).toBe(sessionOf(endpoint));
    // The old ticket went with the old stream.
    const stale = await fetch(rig.url + endpoint, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(listTools),
    });
    expect(stale.status).toBe(401);
  });

  test("the same over a restart of the server", async () => {
    const { stream, endpoint } = await open("ada", "/sse?mode=dynamic");
    await rig.post(
      "ada",
      call("enable-tools", { tools: ["lab_echo"] }, 3),
      {},
      endpoint,
    );
    await answerTo(stream, 3);
    const last = stream.events.findLast(({ id }) => id)!.id!;
    await rig.restart();
    await stream.ended;
    const again = await rig.listen("ada", { "last-event-id": last }, "/sse");
    const { data } = await again.until(({ event }) => event === "endpoint");
    expect(sessionOf(data!)).toBe(sessionOf(endpoint));
    await rig.post("ada", listTools, {}, data!);
    const { result } = await answerTo(again, 2);
    expect(result.tools.map(({ name }: { name: string }) => name)).toEqual([
      "enable-tools",
      "lab_echo",
    ]);
    expect(
      messages(again.events.filter(({ event }) => event === "message")),
    ).toHaveLength(1);
  });

  test("a second stream that comes too soon is refused, and the first goes on", async () => {
    await using own = await openRig({ clock: fakeClock(Date.now()) });
    const stream = await own.listen("ada", {}, "/sse");
    const { id, data: endpoint } = await stream.until(
      ({ event }) => event === "endpoint",
    );
    const second = await own.listen("ada", { "last-event-id": id! }, "/sse");
    expect(second.status).toBe(409);
    const posted = await fetch(own.url + endpoint, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(listTools),
    });
    expect(posted.status).toBe(202);
    await answerTo(stream, 2);
  });

  test("continuing the chat of a newer client leaves its session as it is", async () => {
    const chat = { "x-chat-id": "of-both" };
    const session = await rig.open("ada", chat);
    const older = await open("ada", "/sse", chat);
    expect(sessionOf(older.endpoint)).toBe(session);
    const { events } = await rig.post("ada", call("lab_echo"), {
      "mcp-session-id": session,
    });
    // The priming event of its revision.
    expect(events[0]).toMatchObject({ data: "" });
  });

  test("an event id of Streamable HTTP opens a session of its own", async () => {
    const session = await rig.open("ada");
    const { events } = await rig.post("ada", call("lab_echo"), {
      "mcp-session-id": session,
    });
    const { endpoint } = await open("ada", "/sse", {
      "last-event-id": events[0]!.id!,
    });
    expect(sessionOf(endpoint)).not.toBe(session);
  });

  test("another user's event id opens a session of one's own", async () => {
    const { stream, endpoint } = await open("ada");
    await rig.post(
      "ada",
      call("lab_echo", { secret: "s3cret" }, 9),
      {},
      endpoint,
    );
    await answerTo(stream, 9);
    const id = stream.events[0]!.id!;
    const theirs = await open("bob", "/sse", { "last-event-id": id });
    expect(sessionOf(theirs.endpoint)).not.toBe(sessionOf(endpoint));
    await rig.post("bob", listTools, {}, theirs.endpoint);
    await answerTo(theirs.stream, 2);
    expect(JSON.stringify(theirs.stream.events)).not.toContain("s3cret");
  });

  test("behind a path of PUBLIC_URL the endpoint has that path", async () => {
    await using behind = await openRig({
      env: { PUBLIC_URL: "https://example.com/gateway/" },
    });
    const stream = await behind.listen("ada", {}, "/sse");
    const { data } = await stream.until(({ event }) => event === "endpoint");
    expect(data).toStartWith("/gateway/sse/messages?sessionId=");
  });
});
