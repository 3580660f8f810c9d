import { expect, test } from "bun:test";
import { writeLegacy, writeStateless } from "../../../src/mcp/result.ts";

const server = { name: "us", title: "Us", version: "1" };
const stateless = writeStateless(server);
const INFO = "io.modelcontextprotocol/serverInfo";

test("a result is whole JSON, whatever it has and has not", () => {
  expect(JSON.parse(writeLegacy({ fields: "" }))).toEqual({});
  expect(JSON.parse(writeLegacy({ fields: "", meta: { a: 1 } }))).toEqual({
    _meta: { a: 1 },
  });
  expect(JSON.parse(writeLegacy({ fields: '"x":1', ttlMs: () => 5 }))).toEqual({
    x: 1,
  });
  expect(JSON.parse(stateless({ fields: "" }))).toEqual({
    resultType: "complete",
    _meta: { [INFO]: server },
  });
  expect(JSON.parse(stateless({ fields: '"x":1', ttlMs: () => 5 }))).toEqual({
    resultType: "complete",
    x: 1,
    ttlMs: 5,
    cacheScope: "private",
    _meta: { [INFO]: server },
  });
});

test("who answers is us, whatever a source says", () => {
  const meta = { [INFO]: { name: "them" }, more: 1 };
  expect(JSON.parse(stateless({ fields: "", meta }))._meta).toEqual({
    [INFO]: server,
    more: 1,
  });
});
