import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize, listTools } from "../support/caller.ts";

/** A chat is a name of the caller's for one session, which outlives connections and restarts. */

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

async function chats(user: string): Promise<Record<string, string>> {
  const answer = await fetch(`${rig.url}/mcp/sessions`, {
    headers: { authorization: `Bearer ${await rig.tokenFor(user)}` },
  });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Record<string, string>;
}

const tools = async (user: string, headers: Record<string, string>) => {
  const { body } = await rig.post(user, listTools, headers);
  return body.result.tools.map(({ name }: { name: string }) => name);
};

describe("a chat", () => {
  // Demanded: chats-listed
  test("leads to one session, however often it is opened at once", async () => {
    const ids = await Promise.all(
      Array.from({ length: 50 }, () =>
        rig.open("ada", { "x-chat-id": "fifty" }),
      ),
    );
    expect(new Set(ids).size).toBe(1);
    expect((await chats("ada"))["fifty"]).toBe(ids[0]!);
  });

  // Demanded: chats
  test("continues the session without its id", async () => {
    const session = await rig.open(
      "ada",
      { "x-chat-id": "plain" },
      "/mcp?mode=dynamic",
    );
    await rig.post("ada", call("enable-tools", { tools: ["lab_echo"] }), {
      "mcp-session-id": session,
    });
    expect(await tools("ada", { "x-chat-id": "plain" })).toEqual([
      "enable-tools",
      "lab_echo",
    ]);
    const { body } = await rig.post("ada", call("lab_echo", { a: 1 }), {
      "x-chat-id": "plain",
    });
    expect(body.result.structuredContent).toEqual({ a: 1 });
  });

  test("keeps its session, mode, apps and tools over a restart", async () => {
    const headers = { "x-chat-id": "kept" };
    const session = await rig.open(
      "ada",
      headers,
      "/mcp?mode=dynamic&apps=lab",
    );
    await rig.post(
      "ada",
      call("enable-tools", { tools: ["lab_echo"] }),
      headers,
    );
    await rig.restart();
    expect(await rig.open("ada", headers)).toBe(session);
    expect(await tools("ada", headers)).toEqual(["enable-tools", "lab_echo"]);
    // What the caller asks for anew counts.
    expect(await rig.open("ada", headers, "/mcp?mode=static&apps=big")).toBe(
      session,
    );
    expect(await tools("ada", headers)).toHaveLength(30);
  });

  test("may be named in the URL", async () => {
    const session = await rig.open("ada", {}, "/mcp?chat=in-url");
    expect((await chats("ada"))["in-url"]).toBe(session);
  });

  test("of somebody else is another chat", async () => {
    const headers = { "x-chat-id": "shared-name" };
    const [adas, bobs] = [
      await rig.open("ada", headers, "/mcp?mode=dynamic"),
      await rig.open("bob", headers),
    ];
    expect(adas).not.toBe(bobs);
    expect((await chats("ada"))["shared-name"]).toBe(adas);
    expect((await chats("bob"))["shared-name"]).toBe(bobs);
    expect(Object.keys(await chats("carol"))).toEqual([]);
    expect(await tools("ada", headers)).toEqual(["enable-tools"]);
    const foreign = await rig.post("bob", listTools, {
      "mcp-session-id": adas,
      ...headers,
    });
    expect(foreign.status).toBe(404);
  });

  test("that was ended begins anew", async () => {
    const headers = { "x-chat-id": "ended" };
    const session = await rig.open("ada", headers, "/mcp?mode=dynamic");
    const gone = await fetch(`${rig.url}/mcp`, {
      method: "DELETE",
      headers: {
        authorization: `Bearer ${await rig.tokenFor("ada")}`,
        "mcp-session-id": session,
      },
    });
    expect(gone.status).toBe(200);
    expect(await chats("ada")).not.toHaveProperty("ended");
    const unknown = await rig.post("ada", listTools, headers);
    expect(unknown.status).toBe(400);
    expect(unknown.text).toContain("Send initialize first");
    const next = await rig.open("ada", headers);
    expect(next).not.toBe(session);
    expect((await tools("ada", headers)).length).toBeGreaterThan(1);
  });

  test("is called anything", async () => {
    for (const chat of [
      "__proto__",
      "constructor",
      "../../etc/passwd",
      "' OR 1=1 --",
      "%",
      "*",
      "a b\tc",
      "x".repeat(256),
    ]) {
      const session = await rig.open("eve", { "x-chat-id": chat });
      const listed = new Map(Object.entries(await chats("eve")));
      expect(listed.get(chat)).toBe(session);
    }
    const emoji = encodeURIComponent("réunion 🗓");
    const session = await rig.open("eve", {}, `/mcp?chat=${emoji}`);
    expect((await chats("eve"))["réunion 🗓"]).toBe(session);
    // In a header, as the bytes that most clients send.
    const bytes = Buffer.from("réunion 🗓").toString("latin1");
    expect(await rig.open("eve", { "x-chat-id": bytes })).toBe(session);
  });

  test.each([["/mcp?chat="], [`/mcp?chat=${"x".repeat(257)}`]])(
    "cannot be called %s",
    async (path) => {
      const { status, text } = await rig.post("ada", initialize(), {}, path);
      expect(status).toBe(400);
      expect(text).toContain("A chat id has 1 to 256 characters.");
    },
  );

  test("also serves a caller without sessions", async () => {
    const headers = { "x-chat-id": "for-plain", accept: "application/json" };
    await rig.open("ada", headers, "/mcp?mode=dynamic");
    await rig.post(
      "ada",
      call("enable-tools", { tools: ["lab_echo"] }),
      headers,
    );
    const { body, headers: answered } = await rig.post(
      "ada",
      listTools,
      headers,
    );
    expect(answered.get("content-type")).toContain("application/json");
    expect(body.result.tools).toHaveLength(2);
  });

  test("serves a plain caller that has no session at all, and keeps what is enabled", async () => {
    const chat = { "x-chat-id": "only-plain", accept: "application/json" };
    const path = "/mcp?mode=dynamic";
    const names = async (headers: Record<string, string>, at = "/mcp") => {
      const { body } = await rig.post("ada", listTools, headers, at);
      return body.result.tools.map(({ name }: { name: string }) => name);
    };
    expect(await names(chat, path)).toEqual(["enable-tools"]);
    const enable = call("enable-tools", { tools: ["lab_echo"] });
    const { body } = await rig.post("ada", enable, chat, path);
    expect(body.result.structuredContent).toEqual({
      enabled: ["lab_echo"],
      unknown: [],
    });
    expect(await names(chat)).toEqual(["enable-tools", "lab_echo"]);
    // With nothing to keep them in, a tool that enables others would be of no use.
    const { accept } = chat;
    const search = ["search-tools", "call-tool"];
    expect((await names({ accept }, path)).toSorted()).toEqual(
      search.toSorted(),
    );
  });
});

describe("what is somebody else's", () => {
  test("a call cannot be cancelled from another session or by another user", async () => {
    const mine = await rig.open("ada");
    const other = await rig.open("ada");
    const theirs = await rig.open("bob");
    const before = rig.workspace.runCounts()["act_lab_hold"] ?? 0;
    const pending = rig.post("ada", call("lab_hold", { gate: "mine" }, 7), {
      "mcp-session-id": mine,
    });
    await rig.workspace.entered("act_lab_hold", before + 1);
    const cancel = {
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId: 7 },
    };
    await rig.post("ada", cancel, { "mcp-session-id": other });
    await rig.post("bob", cancel, { "mcp-session-id": theirs });
    expect(
      (await rig.post("bob", cancel, { "mcp-session-id": mine })).status,
    ).toBe(404);
    rig.workspace.openGate("mine");
    expect((await pending).body.result.structuredContent).toEqual({
      released: "mine",
    });
  });

  test("a session cannot be ended, listened to or used", async () => {
    const mine = await rig.open("ada");
    const authorization = `Bearer ${await rig.tokenFor("bob")}`;
    const headers = { authorization, "mcp-session-id": mine };
    for (const method of ["DELETE", "GET"]) {
      const answer = await fetch(`${rig.url}/mcp`, {
        method,
        headers: { ...headers, accept: "text/event-stream" },
      });
      expect(answer.status).toBe(404);
    }
    expect(
      (await rig.post("ada", listTools, { "mcp-session-id": mine })).status,
    ).toBe(200);
  });

  test("connections of the same app are each user's own", async () => {
    const who = async (user: string) => {
      const { body } = await rig.post(user, call("lab_whoami"), {
        accept: "application/json",
      });
      return body.result.structuredContent;
    };
    const [ada, bob] = await Promise.all([who("ada"), who("bob")]);
    expect(ada.tenant).toBe("ada");
    expect(bob.tenant).toBe("bob");
    expect(ada.connectionId).not.toBe(bob.connectionId);
  });
});
