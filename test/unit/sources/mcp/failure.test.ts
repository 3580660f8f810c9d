import { expect, test } from "bun:test";
import { GatewayError } from "../../../../src/core/errors.ts";
import { isDown, rpcFailure } from "../../../../src/sources/mcp/failure.ts";

const failed = (data: Record<string, unknown>) =>
  new GatewayError("upstream_failed", "It failed.", { data });

test.each([
  ["a body that is too large for it", failed({ status: 413 })],
  ["headers that are too large for it", failed({ status: 431 })],
  ["a credential that is no good", failed({ failureClass: "auth" })],
  ["an answer that is too long", failed({ reason: "upstream_too_large" })],
  ["an answer that is too deep", failed({ reason: "upstream_too_deep" })],
  ["too many notifications", failed({ reason: "flood" })],
  ["an error of JSON-RPC", rpcFailure("It", { code: -32603 })],
  ["a revision it does not speak", rpcFailure("It", { code: -32022 })],
  ["headers it does not like", rpcFailure("It", { code: -32020 })],
])("%s of one caller does not count for the others", (_what, error) => {
  expect(isDown(error)).toBeFalse();
});

test.each([
  ["no connection", failed({ failureClass: "transport" })],
  ["HTTP 502", failed({ failureClass: "transport", status: 502 })],
  ["no answer in time", new GatewayError("timeout", "Too slow.")],
  ["what nobody has thought of", new Error("odd")],
])("%s counts", (_what, error) => {
  expect(isDown(error)).toBeTrue();
});
