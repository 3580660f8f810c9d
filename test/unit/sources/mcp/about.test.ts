import { expect, test } from "bun:test";
import type { UpstreamAbout } from "../../../../src/core/upstream.ts";
import { bounded } from "../../../../src/sources/mcp/about.ts";

const about: UpstreamAbout = {
  era: "sessions",
  protocolVersion: "2025-11-25",
  serverInfo: { name: "n", version: "1", title: "T" },
  capabilities: { tools: { listChanged: true }, experimental: { a: {} } },
  instructions: "Use it.",
  icons: [{ src: "https://a.example/icon.png" }],
};

test("what a server says of itself is kept as it is", () => {
  expect(bounded(about)).toEqual(about);
  const { icons: _icons, ...silent } = { ...about, instructions: null };
  expect(bounded(silent)).toEqual(silent);
});

test("what nobody needs of it is not", () => {
  const long = "x".repeat(7_000_000);
  const kept = bounded({
    ...about,
    serverInfo: { name: long, version: long },
    capabilities: {
      tools: { listChanged: true },
      logging: { long },
      [long]: {},
      ...Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [i, {}])),
    },
    instructions: long,
    icons: [{ src: long }],
  });
  expect(JSON.stringify(kept).length).toBeLessThan(100_000);
  expect(kept.instructions).toStartWith("xxx");
  expect(kept.icons).toBeUndefined();
  expect(kept.capabilities).not.toContainKey(long);
});
