/**
 * A small Membrane with one app, `bench`, whose action `echo` returns what it gets: for measuring the way
 * through Membrane's SDK. Takes PORT, MEMBRANE_WORKSPACE_KEY and MEMBRANE_WORKSPACE_SECRET; prints its address.
 */
import { openDemoWorkspace } from "../../src/demo/workspace.ts";

const workspace = openDemoWorkspace({
  port: Number(process.env["PORT"] ?? 3222),
  workspaceKey: process.env["MEMBRANE_WORKSPACE_KEY"]!,
  secret: process.env["MEMBRANE_WORKSPACE_SECRET"]!,
  world: {
    integrations: [
      {
        key: "bench",
        name: "Bench",
        actions: [
          {
            key: "echo",
            name: "Echo",
            description: "Echo a message back",
            inputSchema: {
              type: "object",
              properties: { message: { type: "string" } },
            },
            run: (input) => input,
          },
        ],
      },
    ],
    connections: () => [
      { key: "bench", name: "Bench", integrationKey: "bench" },
    ],
  },
});
console.log(workspace.url);
