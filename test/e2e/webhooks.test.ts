import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import { SECRET, WORKSPACE_KEY, openServer } from "../support/binary.ts";
import { call, createCaller } from "../support/caller.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { oddWorld } from "../support/odd-world.ts";
import { openReceiver } from "../support/receiver.ts";

/** The executable, killed at random moments while much happens that somebody wants to be told of. */

const KILLS = 6;
const WRITERS = 4;

// Demanded: webhooks-at-least-once
test("kill -9 under load: all that has happened is delivered, under one id each, and nothing else is", async () => {
  await using workspace = openWorkspace(oddWorld({ bigActions: 1 }), {
    workspaceKey: WORKSPACE_KEY,
    secret: SECRET,
  });
  await using receiver = await openReceiver();
  let random = 1;
  receiver.answer = (response, _request, n) => {
    // Some answers are lost.
    if (n % 40 === 0) response.destroy();
    else response.writeHead(200).end();
  };
  await using server = await openServer(workspace.url, {
    WEBHOOK_URL: receiver.url,
    WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString("base64")}`,
    OUTBOUND_ALLOW: "127.0.0.1",
  });
  const acknowledged: string[] = [];
  /** Sessions in which a call was answered. */
  const called: string[] = [];
  let busy = true;
  const write = async (user: string) => {
    const caller = createCaller(server.url, server.tokenFor);
    while (busy) {
      try {
        const session = await caller.open(user);
        acknowledged.push(session);
        const { body } = await caller.post(user, call("lab_echo"), {
          "mcp-session-id": session,
        });
        if (body?.result?.isError === undefined && body?.result) {
          called.push(session);
        }
      } catch {
        await Bun.sleep(5);
      }
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, n) => write(`user-${n}`));
  for (let kill = 0; kill < KILLS; kill++) {
    const target = acknowledged.length + 20 + (random = (random * 37) % 101);
    while (acknowledged.length < target) await Bun.sleep(1);
    await server.kill9();
    await server.start();
  }
  busy = false;
  await Promise.all(writers);

  const entries = () => {
    using db = new Database(databaseFile(server.dataDir), { readonly: true });
    return db
      .query<{ id: string; session: string }, []>(
        "SELECT id, data ->> 'session' AS session FROM journal WHERE type IN ('session_opened', 'tool_executed')",
      )
      .all();
  };
  const told = () =>
    receiver.received.filter(({ json }) =>
      ["session_opened", "tool_executed"].includes(json.event),
    );
  const idOf = ({ headers }: { headers: Record<string, unknown> }) =>
    String(headers["webhook-id"]);
  const delivered = () => new Set(told().map(idOf));
  // An answer that was lost costs five seconds, and what comes after it waits.
  const expected = new Map(
    entries().map(({ id, session }) => [`evt_${id}`, session]),
  );
  const attempts = () => {
    using db = new Database(databaseFile(server.dataDir), { readonly: true });
    db.run("PRAGMA busy_timeout = 5000");
    return db
      .query<{ n: number }, []>(
        "SELECT count(*) AS n FROM deliveries WHERE due_at IS NOT NULL",
      )
      .get()!.n;
  };
  receiver.answer = (response) => void response.writeHead(200).end();
  while (delivered().size < expected.size || attempts() > 0) {
    await Bun.sleep(20);
  }
  expect(delivered()).toEqual(new Set(expected.keys()));
  const of = (type: string) =>
    new Map(
      told()
        .filter(({ json }) => json.event === type)
        .map((one) => [idOf(one), expected.get(idOf(one))!]),
    );
  const [opened, executed] = [of("session_opened"), of("tool_executed")];
  const without = (answered: string[], events: typeof opened) => {
    const known = new Set(events.values());
    return answered.filter((session) => !known.has(session));
  };
  expect(without(acknowledged, opened)).toEqual([]);
  expect(without(called, executed)).toEqual([]);
  expect(called.length).toBeGreaterThan(0);
  // One id each: no session and no call came under two.
  expect(new Set(opened.values()).size).toBe(opened.size);
  expect(new Set(executed.values()).size).toBe(executed.size);
  expect(told().length).toBeGreaterThan(expected.size);
}, 180_000);
