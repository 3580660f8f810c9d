import { describe, expect, test } from "bun:test";
import { RpcError, parseBody } from "../../../src/mcp/jsonrpc.ts";

const limits = { maxDepth: 8, maxBatch: 3 };
const parse = (text: string | Uint8Array) =>
  parseBody(
    typeof text === "string" ? new TextEncoder().encode(text) : text,
    limits,
  );

function fault(text: string | Uint8Array): RpcError {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof RpcError) return error;
    throw error;
  }
  throw new Error("It was read.");
}

describe("parseBody", () => {
  test("requests, notifications and responses are told apart", () => {
    const read = parse(
      '[{"jsonrpc":"2.0","id":"a","method":"m","params":{"x":1}},{"jsonrpc":"2.0","method":"n"},{"jsonrpc":"2.0","id":3,"result":{}}]',
    );
    expect(read).toEqual({
      batch: true,
      messages: [
        { kind: "request", id: "a", method: "m", params: { x: 1 } },
        { kind: "notification", method: "n", params: {} },
        { kind: "response", id: 3, result: {} },
      ],
    });
  });

  test("what is not JSON is a parse error", () => {
    for (const text of [
      "",
      "{",
      '{"a":1,}',
      "nul",
      '{"jsonrpc":"2.0"',
    ] as const) {
      expect(fault(text).code).toBe(-32700);
    }
    const invalidUtf8 = new Uint8Array([0x22, 0xff, 0xfe, 0x22]);
    expect(fault(invalidUtf8).code).toBe(-32700);
  });

  test("what is not JSON-RPC is an invalid request", () => {
    for (const text of [
      "1",
      "null",
      "[]",
      "[1]",
      "{}",
      '{"jsonrpc":"1.0","id":1,"method":"m"}',
      '{"jsonrpc":"2.0","id":1}',
      '{"jsonrpc":"2.0","id":1,"method":5}',
      '{"jsonrpc":"2.0","id":1,"Method":"tools/call"}',
      '{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}',
      `[${Array(4).fill('{"jsonrpc":"2.0","method":"n"}').join()}]`,
    ]) {
      expect(fault(text).code).toBe(-32600);
    }
  });

  test("an id that could not be echoed exactly is refused", () => {
    for (const id of [
      "9007199254740993",
      "1.5",
      "null",
      "{}",
      "true",
      JSON.stringify("x".repeat(257)),
    ]) {
      expect(fault(`{"jsonrpc":"2.0","id":${id},"method":"m"}`).code).toBe(
        -32600,
      );
    }
    for (const id of ["9007199254740991", "-1", "0", '""', '"x"']) {
      const { messages } = parse(`{"jsonrpc":"2.0","id":${id},"method":"m"}`);
      expect(messages[0]).toMatchObject({ id: JSON.parse(id) });
    }
  });

  test("brackets nested too deeply are refused before they are parsed, and those in strings do not count", () => {
    const deep = (n: number) =>
      `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":${"[".repeat(n)}${"]".repeat(n)}}}`;
    expect(parse(deep(6)).messages).toHaveLength(1);
    expect(fault(deep(7)).message).toContain("nested");
    expect(fault("[".repeat(100_000)).message).toContain("nested");
    const inString = JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "m",
      params: { text: '[[[[[[[[[["\\"[[[[[[[[\\\\' },
    });
    expect(parse(inString).messages).toHaveLength(1);
  });

  test("__proto__ in arguments is data", () => {
    const { messages } = parse(
      '{"jsonrpc":"2.0","id":1,"method":"m","params":{"__proto__":{"x":1}}}',
    );
    const [message] = messages;
    expect(JSON.stringify(message)).toContain('"__proto__":{"x":1}');
    expect(({} as { x?: number }).x).toBeUndefined();
  });
});
