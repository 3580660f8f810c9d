import { describe, expect, test } from "bun:test";
import type { JournalEntry } from "../../../src/core/journal.ts";
import { eventTypes, shows } from "../../../src/core/journal.ts";
import type { Principal, Scope } from "../../../src/core/principal.ts";
import { readTypes, tell, viewFor } from "../../../src/core/told.ts";

const caller = (
  method: Principal["method"],
  scope: Scope | null,
): Principal => ({
  workspace: "w",
  subject: "ada",
  name: null,
  method,
  scope,
  token: null,
  expiresAt: null,
});
const entry: JournalEntry = {
  seq: 5,
  id: "0123456789abcdef0123456789abcdef",
  at: 0,
  type: "tool_executed",
  workspace: "w",
  subject: "bob",
  by: { method: "api_key", subject: "bob", key: "k1" },
  requestId: "r1",
  traceparent: null,
  data: { tool: "lab_echo", params: { x: 1 }, result: { content: [] } },
};

describe("what a caller may see", () => {
  const [mine, others, shared, elsewhere] = [
    { workspace: "w", subject: "ada" },
    { workspace: "w", subject: "bob" },
    { workspace: "w", subject: null },
    { workspace: "x", subject: null },
  ];
  // Whose things: one's own, another member's, nobody's in particular.
  test.each([
    ["membrane", null, true, false, false],
    ["membrane", "apps:read", true, false, true],
    ["membrane", "apps:write", true, true, true],
    ["membrane", "apps:admin", true, true, true],
    ["api_key", "apps:read", true, true, true],
    ["api_key", "apps:admin", true, true, true],
    ["operator", "apps:admin", true, true, true],
  ] as const)(
    "%s with %p: one's own %p, others' %p, nobody's %p",
    (method, scope, own, anothers, nobodys) => {
      const view = viewFor(caller(method, scope));
      expect(shows(view, mine)).toBe(own);
      expect(shows(view, others)).toBe(anothers);
      expect(shows(view, shared)).toBe(nobodys);
      expect(shows(view, elsewhere)).toBeFalse();
    },
  );
});

describe("an entry as it is told", () => {
  const all = viewFor(caller("operator", "apps:admin"));
  const own = viewFor(caller("membrane", "apps:read"));

  test("begins with the event, and has the call's tool, params and result beside it", () => {
    const told = tell(entry, all);
    expect(JSON.stringify(told)).toStartWith('{"event":"tool_executed",');
    expect(told).toEqual({
      event: "tool_executed",
      timestamp: "1970-01-01T00:00:00.000Z",
      id: "evt_0123456789abcdef0123456789abcdef",
      workspace: "w",
      memberId: "bob",
      by: { method: "api_key", memberId: "bob", key: "k1" },
      requestId: "r1",
      tool: "lab_echo",
      params: { x: 1 },
      result: { content: [] },
    });
  });

  test("says by whom only to who may see others, or has done it", () => {
    const shared: JournalEntry = { ...entry, subject: null };
    expect(tell(shared, own)).toMatchObject({ by: null, requestId: null });
    const by = { method: "membrane", subject: "ada", key: null } as const;
    expect(tell({ ...shared, by }, own)).toMatchObject({
      by: { method: "membrane", memberId: "ada", key: null },
      requestId: "r1",
    });
    expect(tell({ ...shared, by: null }, all)["by"]).toBeNull();
  });

  test("is what it is, whatever its data is called", () => {
    const data = {
      event: "x",
      id: "y",
      workspace: "z",
      memberId: "m",
      more: 1,
    };
    const told = tell({ ...entry, data }, all);
    expect(told).toMatchObject({
      event: "tool_executed",
      workspace: "w",
      memberId: "bob",
      more: 1,
    });
    expect(Object.keys(told)[0]).toBe("event");
  });
});

describe("types", () => {
  test("are read from a list, and all of them when nothing is asked for", () => {
    expect(readTypes(undefined)).toBeNull();
    expect(readTypes("tool_executed, session_opened,")).toEqual([
      "tool_executed",
      "session_opened",
    ]);
  });

  test.each(["nonsense", "tool_executed,nonsense", "", ",", "__proto__"])(
    "%p is refused, naming those that there are",
    (text) => {
      expect(() => readTypes(text)).toThrow(eventTypes.join(", "));
    },
  );
});
