import { afterAll, beforeAll, expect, test } from "bun:test";
import { EventSource } from "eventsource";
import type { DemoWorkspace } from "../../src/demo/workspace.ts";
import { systemClock } from "../../src/runtime/machine.ts";
import { openRegistry } from "../../src/store/sqlite/operate.ts";
import type { Server } from "../support/binary.ts";
import { SECRET, WORKSPACE_KEY, openServer, run } from "../support/binary.ts";
import { createCaller } from "../support/caller.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { bounds } from "../support/journal-bounds.ts";
import { oddWorld } from "../support/odd-world.ts";

/** The event stream of the executable, killed with SIGKILL while sessions are being opened. */

let workspace: DemoWorkspace;
let server: Server;
beforeAll(async () => {
  workspace = openWorkspace(oddWorld({ bigActions: 3 }), {
    workspaceKey: WORKSPACE_KEY,
    secret: SECRET,
  });
  server = await openServer(workspace.url);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await workspace.close();
});

// Demanded: events-resumed, journal-with-cause
test("an EventSource is told of every session that was opened, once and in order, over kill -9 under load", async () => {
  const token = await server.tokenFor("ada");
  const caller = createCaller(server.url, server.tokenFor);
  const source = new EventSource(`${server.url}/mcp/stream?token=${token}`);
  const told: string[] = [];
  let wake = () => {};
  source.onmessage = ({ data }) => {
    const { event, session } = JSON.parse(data);
    expect(event).toBe("session_opened");
    told.push(session);
    wake();
  };
  await new Promise((resolve) => (source.onopen = resolve));

  const acknowledged: string[] = [];
  const load = async () => {
    // Until the server is gone.
    for (;;) acknowledged.push(await caller.open("ada"));
  };
  for (let round = 0; round < 2; round++) {
    const before = acknowledged.length;
    const writers = Array.from({ length: 4 }, () => load().catch(() => {}));
    while (acknowledged.length < before + 40) await Bun.sleep(1);
    await server.kill9();
    await Promise.all(writers);
    await server.start();
  }
  const last = await caller.open("ada");
  while (told.at(-1) !== last) {
    await new Promise<void>((resolve) => (wake = resolve));
  }
  source.close();
  expect(new Set(told).size).toBe(told.length);
  expect(acknowledged.filter((session) => !told.includes(session))).toEqual([]);

  // The same on the command line, beside the server.
  const audit = run(
    ["audit", "--types", "session_opened", "--limit", "100000", "--json"],
    { DATA_DIR: server.dataDir, MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY },
    server.dataDir,
  );
  expect(await audit.exited).toBe(0);
  const lines = audit.stdout().trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line).session)).toEqual(
    told.toReversed(),
  );
  const table = run(
    ["audit", "--user", "ada", "--limit", "1"],
    { DATA_DIR: server.dataDir, MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY },
    server.dataDir,
  );
  expect(await table.exited).toBe(0);
  expect(table.stdout()).toContain(`session=${last}`);
  expect(table.stderr()).toBe("");

  // And that some of it is kept no longer.
  {
    using registry = openRegistry(server.dataDir, systemClock);
    await registry.journal.prune(bounds({ most: 10 }), 100_000);
  }
  for (const [more, where] of [
    [["--json"], "stdout"],
    [[], "stderr"],
  ] as const) {
    const rest = run(
      ["audit", ...more],
      { DATA_DIR: server.dataDir, MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY },
      server.dataDir,
    );
    expect(await rest.exited).toBe(0);
    expect(rest[where]().trimEnd().split("\n").at(-1)).toContain(
      "kept no longer",
    );
  }
});
