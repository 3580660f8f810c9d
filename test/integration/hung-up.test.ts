import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { systemClock } from "../../src/runtime/machine.ts";
import { openRegistry } from "../../src/store/sqlite/operate.ts";
import { WORKSPACE_KEY, openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call } from "../support/caller.ts";
import { headersFor, request } from "../support/stateless.ts";
import { until } from "../support/raw-server.ts";

/** Callers who hang up before they are answered: nothing of ours has failed. */

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const lineOf = (path: string) =>
  rig.lines.find(({ event, path: at }) => event === "request" && at === path);

const hold = { gate: "never" };
test.each([
  ["REST", "/tools/lab_hold/call", { params: hold }, {}],
  ["plain JSON-RPC", "/mcp", call("lab_hold", hold), {}],
  [
    "2026-07-28",
    "/mcp",
    request("tools/call", { name: "lab_hold", arguments: hold }),
    {
      accept: "application/json, text/event-stream",
      ...headersFor("tools/call", "lab_hold"),
    },
  ],
] as const)(
  "a call by %s that its caller leaves is cancelled, and no error of the server's",
  async (_, path, message, headers) => {
    const calls = () => {
      using registry = openRegistry(rig.directory, systemClock);
      return registry.journal.query({
        workspace: WORKSPACE_KEY,
        subject: "ada",
        shared: false,
        types: ["tool_executed"],
        beyond: null,
        order: "newest first",
        limit: 10,
      });
    };
    const before = calls().length;
    rig.lines.length = 0;
    const caller = new AbortController();
    const called = fetch(rig.url + path, {
      method: "POST",
      headers: {
        authorization: `Bearer ${await rig.tokenFor("ada")}`,
        "content-type": "application/json",
        ...headers,
      },
      body: JSON.stringify(message),
      signal: caller.signal,
    });
    await rig.workspace.entered("act_lab_hold", before + 1);
    caller.abort();
    expect(await called.catch(({ name }) => name)).toBe("AbortError");
    await until(() => lineOf(path) !== undefined);
    expect(lineOf(path)).toMatchObject({ level: "info", status: 499 });
    const [entry, ...others] = calls();
    expect(entry?.data).toMatchObject({ outcome: "failed", code: "conflict" });
    expect(others).toHaveLength(before);
  },
);

test("nor is a body that ends before its end", async () => {
  const { hostname, port } = new URL(rig.url);
  const token = await rig.tokenFor("ada");
  const socket = connect(Number(port), hostname);
  socket.write(
    `POST /webhook/mcp HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"jsonrpc"`,
  );
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  socket.end();
  socket.on("error", () => {});
  await until(() => lineOf("/webhook/mcp") !== undefined);
  expect(lineOf("/webhook/mcp")).toMatchObject({ level: "info", status: 499 });
});

test("a call by REST that runs when the server stops has the time of any other", async () => {
  // Longer than the last bytes of an answer are waited for.
  const env = { CALL_TIMEOUT: "1500ms", DRAIN_TIMEOUT: "30s" };
  await using stopping = await openRig({ env });
  const called = fetch(`${stopping.url}/tools/lab_hold/call`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${await stopping.tokenFor("ada")}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ params: { gate: "never" } }),
  });
  await stopping.workspace.entered("act_lab_hold");
  const [answer] = await Promise.all([called, stopping.restart()]);
  expect(answer.status).toBe(504);
});
