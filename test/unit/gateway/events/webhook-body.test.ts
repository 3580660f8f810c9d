import { expect, test } from "bun:test";
import type { JournalEntry } from "../../../../src/core/journal.ts";
import { BY_ITSELF } from "../../../../src/core/journal.ts";
import { bodyOf } from "../../../../src/gateway/events/webhook-body.ts";
import { unlike } from "../../../support/documented.ts";

const entry = (
  type: JournalEntry["type"],
  data: JournalEntry["data"],
): JournalEntry => ({
  ...BY_ITSELF,
  seq: 1,
  id: "0af7",
  at: 0,
  type,
  workspace: "w1",
  subject: null,
  data,
});

test("facts of an event do not pass for what we say of it", () => {
  const data = {
    event: "x",
    timestamp: "x",
    id: "x",
    workspace: "x",
    by: "x",
    own: 1,
  };
  expect(JSON.parse(bodyOf(entry("server_failed", data), "full"))).toEqual({
    event: "server_failed",
    own: 1,
    timestamp: "1970-01-01T00:00:00.000Z",
    id: "evt_0af7",
    workspace: "w1",
    memberId: null,
    by: null,
    requestId: null,
  });
});

test("a call's contents are null where they were not kept, whatever else there is", () => {
  const simple = bodyOf(entry("tool_executed", { ms: 3 }), "simple");
  expect(simple).toBe(
    '{"event":"tool_executed","tool":null,"params":null,"result":null,"timestamp":"1970-01-01T00:00:00.000Z"}',
  );
});

test("bodies are as the API's document has them", () => {
  const failed = entry("server_failed", { server: 1, reason: "timeout" });
  for (const one of [entry("tool_executed", { tool: "t" }), failed]) {
    const simple = JSON.parse(bodyOf(one, "simple"));
    expect(unlike("WebhookEvent", simple)).toBeNull();
    expect(unlike("Event", simple)).not.toBeNull();
    expect(unlike("Event", JSON.parse(bodyOf(one, "full")))).toBeNull();
  }
});

test("when a key ends is told as all times are", () => {
  const made = entry("key_created", { key: "k", expiresAt: 86_400_000 });
  for (const form of ["simple", "full"] as const) {
    const { expiresAt } = JSON.parse(bodyOf(made, form));
    expect(expiresAt).toBe("1970-01-02T00:00:00.000Z");
  }
  const never = entry("key_created", { key: "k", expiresAt: null });
  expect(JSON.parse(bodyOf(never, "full")).expiresAt).toBeNull();
});
