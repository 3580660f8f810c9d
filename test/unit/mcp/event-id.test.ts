import { describe, expect, test } from "bun:test";
import { createEventIds, withEventId } from "../../../src/mcp/event-id.ts";

const ids = createEventIds(new Uint8Array(32).map((_, i) => i * 7));

describe("event ids", () => {
  test("an id names its stream and number again", () => {
    for (const streamId of [1, 2, 3, 255, 2 ** 24, 2 ** 31 + 5, 2 ** 47]) {
      for (const seq of [0, 1, 63, 1e6]) {
        expect(ids.decode(ids.encode(streamId, seq))).toEqual({
          streamId,
          seq,
        });
      }
    }
  });

  test("streams that follow each other do not look like it", () => {
    const shown = Array.from({ length: 1000 }, (_, i) =>
      parseInt(ids.encode(i + 1, 0).slice(0, 5), 36),
    );
    expect(new Set(shown).size).toBeGreaterThan(990);
    const rising = shown.filter((value, i) => i > 0 && value > shown[i - 1]!);
    expect(rising.length).toBeGreaterThan(400);
    expect(rising.length).toBeLessThan(600);
  });

  test("what was never an id is none", () => {
    for (const text of [
      "",
      "1",
      "-1",
      "1-",
      "a-b-c",
      "9e18",
      "' OR 1=1 --",
      "../../x",
      "zzzzzzzzzz-0",
      `${"1".repeat(8192)}-1`,
      "1-\u0000",
    ]) {
      expect(ids.decode(text)).toBeNull();
    }
  });
});

test("a message over a WebSocket says which event it is, and is otherwise as it was", () => {
  const mark = { "membrane-mcp/eventId": "e-1" };
  const of = (message: object) =>
    JSON.parse(withEventId(JSON.stringify(message), "e-1"));
  expect(of({ id: 1, result: { a: [1], _meta: { b: 2 } } })).toEqual({
    id: 1,
    result: { a: [1], _meta: { b: 2, ...mark } },
  });
  expect(of({ id: 1, result: {} })).toEqual({ id: 1, result: { _meta: mark } });
  expect(of({ method: "m" })).toEqual({ method: "m", params: { _meta: mark } });
  expect(of({ id: 2, method: "m", params: { uri: "u" } })).toEqual({
    id: 2,
    method: "m",
    params: { uri: "u", _meta: mark },
  });
  const error = { code: -1, message: "no" };
  expect(of({ error, id: 1 })).toEqual({
    error: { ...error, data: mark },
    id: 1,
  });
  expect(of({ error: { ...error, data: { why: 1 } }, id: 1 })).toEqual({
    error: { ...error, data: { why: 1, ...mark } },
    id: 1,
  });
  // There is no place for it here.
  const told = { error: { ...error, data: "why" }, id: 1 };
  expect(of(told)).toEqual(told);
});
