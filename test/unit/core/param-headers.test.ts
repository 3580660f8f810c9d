import { describe, expect, test } from "bun:test";
import {
  paramHeaderFault,
  paramHeaders,
} from "../../../src/core/param-headers.ts";

const marked = (type: string, name: unknown = "Region") => ({
  type: "object",
  properties: { region: { type, "x-mcp-header": name } },
});

describe("headers that repeat arguments", () => {
  test.each([
    [{ region: "eu-west" }, { "Mcp-Param-Region": "eu-west" }],
    [{ region: "" }, { "Mcp-Param-Region": "" }],
    [{ region: "a b" }, { "Mcp-Param-Region": "a b" }],
    [{ region: " a" }, { "Mcp-Param-Region": "=?base64?IGE=?=" }],
    [{ region: "Zürich" }, { "Mcp-Param-Region": "=?base64?WsO8cmljaA==?=" }],
    [
      { region: "=?base64?x?=" },
      { "Mcp-Param-Region": "=?base64?PT9iYXNlNjQ/eD89?=" },
    ],
    [
      { region: "a\r\nX: y" },
      { "Mcp-Param-Region": "=?base64?YQ0KWDogeQ==?=" },
    ],
    [{ region: 7 }, { "Mcp-Param-Region": "7" }],
    [{ region: false }, { "Mcp-Param-Region": "false" }],
    [{ region: null }, {}],
    [{ region: { a: 1 } }, {}],
    [{}, {}],
  ])("%j", (args, headers) => {
    expect(paramHeaders(marked("string"), args)).toEqual(headers as never);
  });
});

describe("marks that make a tool unusable", () => {
  test.each([
    ["none", { type: "object", properties: { a: { type: "string" } } }, null],
    ["a string", marked("string"), null],
    ["an integer", marked("integer"), null],
    ["a boolean", marked("boolean"), null],
    ["a number", marked("number"), /no string, integer or boolean/],
    ["an object", marked("object"), /no string, integer or boolean/],
    [
      "a name that is none",
      marked("string", "a b"),
      /not the name of a header/,
    ],
    [
      "a name that ends the line",
      marked("string", "a\r\nAuthorization: x"),
      /not the name of a header/,
    ],
    ["no text", marked("string", 7), /not the name of a header/],
    [
      "the same name twice",
      {
        type: "object",
        properties: {
          a: { type: "string", "x-mcp-header": "Region" },
          b: { type: "string", "x-mcp-header": "region" },
        },
      },
      /two parameters/,
    ],
    [
      "within a list",
      {
        type: "object",
        properties: {
          a: { type: "array", items: { type: "string", "x-mcp-header": "A" } },
        },
      },
      /where no header can be/,
    ],
    [
      "within an alternative",
      {
        type: "object",
        anyOf: [{ properties: { a: { type: "string", "x-mcp-header": "A" } } }],
      },
      /where no header can be/,
    ],
    [
      "at the root",
      { type: "object", "x-mcp-header": "A" },
      /no header can be/,
    ],
    [
      "in what is data",
      { type: "object", properties: { a: { default: { "x-mcp-header": 1 } } } },
      null,
    ],
    [
      "a parameter of that name",
      { type: "object", properties: { "x-mcp-header": { type: "string" } } },
      null,
    ],
  ])("%s", (_what, schema, fault) => {
    const found = paramHeaderFault(schema);
    if (fault === null) expect(found).toBeNull();
    else expect(found).toMatch(fault);
  });
});
