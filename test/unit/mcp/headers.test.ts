import { describe, expect, test } from "bun:test";
import { mirrored } from "../../../src/core/param-headers.ts";
import { checkParamHeaders } from "../../../src/mcp/headers.ts";

const schema = {
  type: "object",
  properties: {
    count: { type: "integer", "x-mcp-header": "Count" },
    on: { type: "boolean", "x-mcp-header": "On" },
    where: {
      type: "object",
      properties: { region: { type: "string", "x-mcp-header": "Region" } },
    },
    list: { items: { properties: { x: { "x-mcp-header": "Hidden" } } } },
    any: { anyOf: [{ properties: { y: { "x-mcp-header": "Hidden2" } } }] },
  },
};
const agree = (headers: Record<string, string>, args: object) => {
  try {
    checkParamHeaders(new Headers(headers), schema, args as never);
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: -32020, status: 400 });
    return false;
  }
};

describe("Mcp-Param headers", () => {
  test("are those of properties alone, at any depth", () => {
    expect(mirrored(schema)).toEqual([
      { header: "Mcp-Param-Count", path: ["count"] },
      { header: "Mcp-Param-On", path: ["on"] },
      { header: "Mcp-Param-Region", path: ["where", "region"] },
    ]);
  });

  test.each([
    [{ "mcp-param-count": "42" }, { count: 42 }, true],
    [{ "mcp-param-count": "42.0" }, { count: 42 }, true],
    [{ "mcp-param-count": "43" }, { count: 42 }, false],
    [{ "mcp-param-count": "" }, { count: 0 }, false],
    [{ "mcp-param-count": "0x2A" }, { count: 42 }, false],
    [{ "mcp-param-count": "1e3" }, { count: 1000 }, false],
    [{ "mcp-param-region": "a,b" }, { where: { region: ["a", "b"] } }, false],
    [
      { "mcp-param-region": "x" },
      { where: { region: { toString: 1, valueOf: 1 } } },
      false,
    ],
    [{ "mcp-param-on": "true" }, { on: true }, true],
    [{ "mcp-param-on": "TRUE" }, { on: true }, false],
    [{ "mcp-param-region": "eu" }, { where: { region: "eu" } }, true],
    [{ "mcp-param-region": "eu" }, { where: { region: "us" } }, false],
    [{}, { where: { region: "us" } }, false],
    [{}, { where: "no object" }, true],
    [{}, { list: [{ x: 1 }], any: { y: 2 } }, true],
  ] as [Record<string, string>, object, boolean][])(
    "%j with %j: %s",
    (headers, args, expected) => {
      expect(agree(headers, args)).toBe(expected);
    },
  );
});
