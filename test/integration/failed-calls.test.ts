import { expect, test } from "bun:test";
import { openGateway } from "../support/gateway.ts";
import { openEvil } from "../support/servers/evil.ts";

/** What an operator reads of calls that other servers did not answer: callers get a result that says so. */

test("a call that a server did not answer is in the log, with nothing of what was sent", async () => {
  await using evil = await openEvil();
  await using gateway = await openGateway({
    upstreams: [{ slug: "notes", at: evil.url }],
  });
  await using client = await gateway.client("ada");
  await client.toolNames();
  evil.behave("reset", { on: ["tools/call"] });
  const words = "for nobody else";
  const failed = await client.call("notes_good_one", { words });
  expect(failed.isError).toBe(true);
  const said = gateway.lines.filter(
    ({ event }) => event === "tool did not answer",
  );
  expect(said).toEqual([
    {
      level: "warn",
      event: "tool did not answer",
      workspace: expect.any(String),
      user: "ada",
      app: "notes",
      tool: "notes_good_one",
      reason: "upstream_failed transport broke_off ECONNRESET",
    },
  ]);
  expect(JSON.stringify(said)).not.toContain(words);
});
