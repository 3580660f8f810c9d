import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import type { RpcRequest } from "../../../src/mcp/jsonrpc.ts";
import { createProgress } from "../../../src/mcp/progress.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

function rig(progressToken: unknown = "p") {
  const said: number[] = [];
  const request: RpcRequest = {
    kind: "request",
    id: 1,
    method: "tools/call",
    params: { _meta: { progressToken } },
  };
  const progress = createProgress(
    request,
    (text) => void said.push(JSON.parse(text).params.progress),
    10_000,
  );
  return { progress, said };
}

test("twenty steps a second are told, and when it is over the last of those that were not", () => {
  const { progress, said } = rig();
  const { report, stop } = progress!;
  for (let n = 1; n <= 1000; n++) report(n);
  expect(said).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
  jest.advanceTimersByTime(1000);
  expect(said.slice(20)).toEqual([1000]);
  for (let n = 1001; n <= 2000; n++) report(n);
  expect(said).toHaveLength(40);
  stop(true);
  expect(said.slice(40)).toEqual([2000]);
  jest.advanceTimersByTime(60_000);
  report(3000);
  expect(said).toHaveLength(41);
});

test("a call that was cancelled says nothing more", () => {
  const { progress, said } = rig();
  for (let n = 1; n <= 1000; n++) progress!.report(n);
  progress!.stop(false);
  jest.advanceTimersByTime(60_000);
  expect(said).toHaveLength(20);
});

test("what does not rise is not told, and does not take the place of what waits", () => {
  const { progress, said } = rig();
  for (let n = 1; n <= 30; n++) progress!.report(n);
  progress!.report(30);
  progress!.report(7);
  progress!.report(Number.NaN);
  jest.advanceTimersByTime(1000);
  expect(said.slice(20)).toEqual([30]);
});

test("one that says nothing is told to be running, and what it says then goes on from there", () => {
  const { progress, said } = rig();
  jest.advanceTimersByTime(20_000);
  expect(said).toEqual([10, 20]);
  progress!.report(1);
  jest.advanceTimersByTime(20_000);
  expect(said).toEqual([10, 20, 21]);
});

test.each([[undefined], [null], [{}], ["x".repeat(257)]])(
  "with %j for a token there is none",
  (token) => {
    expect(rig(token === undefined ? {} : token).progress).toBeNull();
  },
);
