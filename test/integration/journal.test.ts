import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { BY_ITSELF } from "../../src/core/journal.ts";
import type { JournalEntry } from "../../src/core/journal.ts";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import { openSession } from "../support/openings.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { openGateway } from "../support/gateway.ts";
import type { Gateway } from "../support/gateway.ts";
import { call } from "../support/caller.ts";
import { openLegacyServer } from "../support/servers/legacy-v1.ts";
import { openStore } from "../support/open-store.ts";

/** What the journal says of what callers and administrators do, whichever door they came through. */

let gateway: Gateway;
let upstream: Awaited<ReturnType<typeof openLegacyServer>>;
beforeAll(async () => {
  upstream = await openLegacyServer();
  gateway = await openGateway({
    upstreams: [{ slug: "notes", at: upstream.url }],
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: "" },
  });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

async function entriesOf(of: Gateway): Promise<JournalEntry[]> {
  await using store = openStore(of.directory, { beside: true });
  return store.journal.readOn(0, 10_000);
}

/** What has been written since, by type. */
async function during(
  work: () => Promise<unknown>,
  on = gateway,
): Promise<JournalEntry[]> {
  const before = (await entriesOf(on)).at(-1)?.seq ?? 0;
  await work();
  return (await entriesOf(on)).filter(({ seq }) => seq > before);
}
const types = (entries: JournalEntry[]) => entries.map(({ type }) => type);
const PLAIN = { accept: "application/json" };
const echo = (words: string) => call("notes_echo", { words });

describe("a call of a tool is one entry", () => {
  // Demanded: request-id
  test("in a session, with the session and the request that it came in", async () => {
    let session = "";
    let requestId: string | null = null;
    const found = await during(async () => {
      session = await gateway.open("ada");
      const headers = { "mcp-session-id": session };
      const answer = await gateway.post("ada", echo("hello"), headers);
      requestId = answer.headers.get("x-request-id");
    });
    expect(types(found)).toEqual(["session_opened", "tool_executed"]);
    expect(found[0]!.data).toMatchObject({ session, chat: null });
    const [, { id, at, seq, ...executed }] = found as [unknown, JournalEntry];
    expect(executed).toEqual({
      type: "tool_executed",
      workspace: "wk-test",
      subject: "ada",
      by: { method: "membrane", subject: "ada", key: null },
      requestId,
      traceparent: null,
      data: {
        tool: "notes_echo",
        app: "notes",
        outcome: "ok",
        durationMs: expect.any(Number),
        session,
      },
    });
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(at).toBeGreaterThan(0);
    expect(seq).toBeGreaterThan(0);
  });

  test("without a session, stateless, and over REST", async () => {
    const stateless = {
      ...echo("s"),
      params: {
        ...echo("s").params,
        _meta: {
          "io.modelcontextprotocol/protocolVersion": "2026-07-28",
          "io.modelcontextprotocol/clientCapabilities": {},
          "io.modelcontextprotocol/clientInfo": { name: "t", version: "1" },
        },
      },
    };
    const found = await during(async () => {
      expect((await gateway.post("ben", echo("p"), PLAIN)).status).toBe(200);
      const answer = await gateway.post("ben", stateless, {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "notes_echo",
      });
      expect(answer.status).toBe(200);
      for (const path of [
        "/tools/notes_echo/call",
        "/servers/notes/tools/echo/call",
      ]) {
        const { status } = await fetch(gateway.url + path, {
          method: "POST",
          headers: {
            "content-type": "application/json",
            authorization: `Bearer ${await gateway.tokenFor("ben")}`,
          },
          body: JSON.stringify({ params: { words: "r" } }),
        });
        expect(status).toBe(200);
      }
    });
    expect(types(found)).toEqual(Array(4).fill("tool_executed"));
    for (const { subject, data } of found) {
      expect(subject).toBe("ben");
      expect(data).toMatchObject({ tool: "notes_echo", outcome: "ok" });
      expect(data).not.toHaveProperty("params");
    }
  });

  test("also when it failed, was refused or was cancelled; an unknown tool is none", async () => {
    const found = await during(async () => {
      await gateway.post("ada", call("notes_fail", {}), PLAIN);
      await gateway.post("ada", call("nobodys_tool", {}), PLAIN);
      const session = await gateway.open("ada");
      const headers = { "mcp-session-id": session };
      const hold = { gate: crypto.randomUUID(), nonce: "n" };
      await gateway.start("ada", call("notes_hold", hold, 7), headers);
      await gateway.post(
        "ada",
        call("notes_held", { gate: hold.gate }, 8),
        headers,
      );
      await gateway.post(
        "ada",
        {
          jsonrpc: "2.0",
          method: "notifications/cancelled",
          params: { requestId: 7 },
        },
        headers,
      );
      while ((await entriesOf(gateway)).at(-1)!.data["tool"] !== "notes_hold") {
        await Bun.sleep(1);
      }
    });
    const said = found
      .filter(({ type }) => type === "tool_executed")
      .map(({ data }) => [data["tool"], data["outcome"], data["code"]]);
    expect(said).toEqual([
      ["notes_fail", "error", undefined],
      ["notes_held", "ok", undefined],
      ["notes_hold", "failed", "conflict"],
    ]);
  });
});

// Demanded: webhooks-thin
test("arguments and results are kept when that is asked for, and what looks like a secret is not", async () => {
  await using full = await openGateway({
    env: { RECORD_CONTENTS: "true" },
    upstreams: [{ slug: "notes", at: upstream.url }],
  });
  const args = { words: "w", password: "p-1", deep: [{ api_key: "k-1" }] };
  const [entry] = await during(
    () => full.post("ada", call("notes_echo", args), PLAIN),
    full,
  );
  expect(entry!.data["params"]).toEqual({
    words: "w",
    password: "[redacted]",
    deep: [{ api_key: "[redacted]" }],
  });
  expect(entry!.data["result"]).toMatchObject({ content: [{ type: "text" }] });
});

test("a call that the last stop has cut off is in the journal", async () => {
  const found = await during(async () => {
    const session = await gateway.open("cut");
    await gateway.start(
      "cut",
      call("notes_hold", { gate: "never", nonce: "cut" }),
      { "mcp-session-id": session },
    );
    // Before that there is nothing to be cut off.
    await upstream.held("never");
    await gateway.restart();
  });
  const calls = found.filter(({ type }) => type === "tool_executed");
  expect(calls).toHaveLength(1);
  expect(calls[0]).toMatchObject({
    subject: "cut",
    data: { tool: "notes_hold" },
  });
  // Whether it could be ended before the disk was closed.
  expect(["failed", "interrupted"]).toContain(
    String(calls[0]!.data["outcome"]),
  );
});

test("a call of a session that is answered in one piece is on record with its session while it runs", async () => {
  const session = await gateway.open("piece");
  const answered = gateway.post(
    "piece",
    call("notes_hold", { gate: "piece", nonce: "piece" }),
    { ...PLAIN, "mcp-session-id": session },
  );
  await upstream.held("piece");
  {
    using file = new Database(databaseFile(gateway.directory), {
      readonly: true,
    });
    const [row] = file
      .query<{ ifCut: string }, []>("SELECT if_cut AS ifCut FROM begun")
      .all();
    expect(JSON.parse(row!.ifCut)).toMatchObject({
      subject: "piece",
      data: { tool: "notes_hold", session, outcome: "interrupted" },
    });
  }
  upstream.open("piece");
  expect((await answered).status).toBe(200);
});

test("a call that a crash has cut off is in the journal after the next start", async () => {
  using directory = temporaryDirectory();
  await using store = openStore(directory.path);
  const who = { workspace: "w", subject: "cut" };
  const { sessionPk } = await openSession(store, {
    ...who,
    id: "an-id",
    at: 1,
  });
  const streamId = store.events.nextStream();
  await store.events.record(
    {
      sessionPk,
      streamId,
      callId: streamId,
      requestId: "1",
      ifCut: { ...BY_ITSELF, ...who, type: "tool_executed", data: { a: 1 } },
    },
    () => ({ messages: [], answered: false }),
  );
  // As the next start does.
  expect(await store.events.interrupt(() => "{}")).toBe(1);
  const found = store.journal.readOn(0, 10);
  expect(found.map(({ type }) => type)).toEqual([
    "session_opened",
    "tool_executed",
  ]);
  expect(found[1]).toMatchObject({
    ...who,
    ...BY_ITSELF,
    data: { a: 1 },
  });
});

// Demanded: journal-asked-for
test("what administrators do to servers and keys is in the journal, with who and by which credential", async () => {
  const mine = await gateway.mintKey("admin");
  const found = await during(async () => {
    await gateway.change("notes", { description: "Better" });
    const path = `/${await gateway.id("notes")}`;
    await gateway.manage("POST", `${path}/disable`);
    await gateway.manage("POST", `${path}/enable`);
    await gateway.mintKey("ada");
    await fetch(`${gateway.url}/servers/notes`, {
      headers: { "x-api-key": mine },
    });
  });
  expect(types(found)).toEqual([
    "server_changed",
    "server_disabled",
    "server_enabled",
    "key_created",
  ]);
  for (const { by, requestId } of found) {
    expect(by).toEqual({ method: "membrane", subject: "admin", key: null });
    expect(requestId).toMatch(/^\S+$/);
  }
  expect(found[0]).toMatchObject({
    subject: null,
    data: { server: "notes", changed: ["description"] },
  });
  const { key: _, ...shown } = found[3]!.data;
  expect(shown).toMatchObject({ name: "ada", scope: "apps:read" });
  expect(JSON.stringify(found)).not.toContain(mine);
});
