import { describe, expect, test } from "bun:test";
import { createEventIds } from "../../../src/mcp/event-id.ts";

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
