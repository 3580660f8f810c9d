import { describe, expect, test } from "bun:test";
import type { GatewayError } from "../../../../src/core/errors.ts";
import { MAX_MESSAGE, guarded } from "../../../../src/sources/mcp/guard.ts";

const JSON_TYPE = "application/json";
const EVENTS = "text/event-stream";

/** What comes through, or the reason why it does not; the body in pieces of `size` bytes. */
async function through(type: string, body: string, size = 7) {
  const bytes = new TextEncoder().encode(body);
  let refused: GatewayError | null = null;
  const response = guarded(
    "Evil",
    new Response(
      new ReadableStream({
        start(controller) {
          for (let at = 0; at < bytes.length; at += size) {
            controller.enqueue(bytes.subarray(at, at + size));
          }
          controller.close();
        },
      }),
      { headers: { "content-type": type } },
    ),
    (fault) => {
      refused = fault;
    },
  );
  const text = await response.text().catch(() => null);
  return text ?? (refused as GatewayError | null)?.data?.["reason"];
}

const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);

describe("what a server sends", () => {
  test.each([
    ["JSON", JSON_TYPE, `{"a":${nested(60)}}`],
    ["JSON over several lines", JSON_TYPE, '{\n"a": "\\"[[[",\n"b": []\n}'],
    ["brackets in a text", JSON_TYPE, JSON.stringify("[".repeat(1000))],
    ["escapes before a quote", JSON_TYPE, JSON.stringify('\\"'.repeat(500))],
    ["siblings", JSON_TYPE, `[${"[],".repeat(500)}[]]`],
    ["many events", EVENTS, `data: ${nested(60)}\n\n`.repeat(200)],
    [
      "events of other line ends",
      EVENTS,
      `data: ${nested(60)}\r\n\r\n`.repeat(9),
    ],
    ["what is no data", EVENTS, `: ${nested(65)}\nevent: ${nested(65)}\n\n`],
    ["an odd quote in a comment", EVENTS, `: "\n\ndata: ${nested(64)}\n\n`],
  ])("%s comes through as it is", async (_what, type, body) => {
    expect(await through(type, body)).toBe(body);
  });

  test.each([
    ["JSON", JSON_TYPE, nested(65)],
    ["an event", EVENTS, `data: {}\n\ndata: ${nested(65)}\n\n`],
    ["an event of many lines", EVENTS, `${"data: [\n".repeat(65)}\n`],
    ["one after an odd quote", EVENTS, `: "\ndata: ${nested(65)}\n\n`],
    ["one of other line ends", EVENTS, `data: {}\r\rdata: ${nested(65)}\r\r`],
  ])("%s that is nested too deeply does not", async (_what, type, body) => {
    expect(await through(type, body)).toBe("upstream_too_deep");
  });

  test.each([
    ["JSON", JSON_TYPE, `"${"a".repeat(MAX_MESSAGE)}"`],
    ["an event", EVENTS, `data: "${"a".repeat(MAX_MESSAGE)}"\n\n`],
    [
      "an event of many lines",
      EVENTS,
      `data: ${"a".repeat(1000)}\n`.repeat(MAX_MESSAGE / 1000),
    ],
  ])("%s that is too long does not", async (_what, type, body) => {
    expect(await through(type, body, 100_000)).toBe("upstream_too_large");
  });

  test("events that are long together come through", async () => {
    const event = `data: "${"a".repeat(MAX_MESSAGE / 4)}"\n\n`;
    const body = event.repeat(6);
    expect(await through(EVENTS, body, 100_000)).toBe(body);
  });
});
