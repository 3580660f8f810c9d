import { afterAll, beforeAll, expect, test } from "bun:test";
import type { DemoWorkspace } from "../../src/demo/workspace.ts";
import type { Server } from "../support/binary.ts";
import { SECRET, WORKSPACE_KEY, openServer } from "../support/binary.ts";
import type { Caller } from "../support/caller.ts";
import { call, createCaller, initialize } from "../support/caller.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { oddWorld } from "../support/odd-world.ts";

/** What the executable writes, when callers would like to write it. */

let workspace: DemoWorkspace;
let server: Server;
let caller: Caller;
beforeAll(async () => {
  workspace = openWorkspace(oddWorld({ bigActions: 1 }), {
    workspaceKey: WORKSPACE_KEY,
    secret: SECRET,
  });
  server = await openServer(workspace.url, { LOG_LEVEL: "debug" });
  caller = createCaller(server.url, server.tokenFor);
});
afterAll(async () => {
  await caller.close();
  await server[Symbol.asyncDispose]();
  await workspace.close();
});

// Demanded: log-lines
test("is one line of JSON for each request, whatever names callers give themselves and what they ask for", async () => {
  const forged =
    'x"\r\n{"level":"error","event":"forged"}\n\u001b[2J\u009b31m\u007f\u2028';
  const long = forged + "y".repeat(100_000);
  const inUrl = encodeURIComponent(forged) + "y".repeat(8000);
  const named: any = initialize();
  named.params.clientInfo = { name: long, version: forged };
  const answers = [
    await caller.post("ada", named, { "x-chat-id": "log" }),
    await caller.post("ada", initialize(), {}, `/mcp?chat=${inUrl}`),
    await caller.post(forged, initialize()),
    await caller.post("ada", call(long, {}), { accept: "application/json" }),
    await caller.post("ada", { jsonrpc: "2.0", id: 1, method: long }),
    await caller.post("ada", call("lab_echo"), {}, `/mcp/${inUrl}`),
    await caller.post("ada", initialize(), {}, `/mcp?mode=${inUrl}`),
    await caller.post("ada", {}, {}, `/tools/${inUrl}/call`),
    await caller.post("ada", {}, {}, `/${inUrl}`),
  ];
  const ids = answers.map(({ headers }) => headers.get("x-request-id"));
  for (const id of ids) await server.run().printed(`"id":"${id}"`);
  const text = server.run().stderr();
  expect(text).not.toMatch(/[^\P{Cc}\n]|[\u2028\u2029]/u);
  const lines = text.trimEnd().split("\n");
  const said = lines.map((line) => JSON.parse(line));
  for (const id of ids) {
    const of = said.filter((line) => line.id === id);
    expect(of.map(({ event }) => event)).toEqual(["request"]);
  }
  expect(said.filter(({ event }) => event === "forged")).toEqual([]);
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(2000);
});
