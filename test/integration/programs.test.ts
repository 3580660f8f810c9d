import { expect, test } from "bun:test";
import { openGateway } from "../support/gateway.ts";

/** Programs that do not stay. */

test.each([
  [
    "/nowhere/program",
    [],
    "exit code 127, which says that there is no such program",
  ],
  ["sh", ["-c", "exit 3"], "exit code 3"],
])(
  "why the program %s %j cannot be used is in the log, and its registration says that it was not reached",
  async (command, args, reason) => {
    await using gateway = await openGateway({
      upstreams: [{ slug: "tools", at: { command, args } }],
    });
    const id = await gateway.id("tools");
    expect(await gateway.manage("POST", `/${id}/test`)).toMatchObject({
      success: false,
      failureClass: "transport",
      error: "The server could not be reached.",
    });
    expect(gateway.lines).toContainEqual({
      level: "warn",
      event: "server process ended",
      server: "tools",
      reason,
    });
  },
);
