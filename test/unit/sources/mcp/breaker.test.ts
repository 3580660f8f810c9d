import { expect, test } from "bun:test";
import { GatewayError } from "../../../../src/core/errors.ts";
import { createBreakers } from "../../../../src/sources/mcp/breaker.ts";
import { brokeOff } from "../../../../src/sources/mcp/failure.ts";
import { fakeClock } from "../../../support/clock.ts";

const server = { id: 7, name: "Seven" } as never;
const quiet = { down() {}, up() {} };
type Breakers = ReturnType<typeof createBreakers>;
const fail = (breakers: Breakers, begunAt = Infinity) =>
  breakers.judge(server, brokeOff("Seven"), begunAt);
const failTimes = (breakers: Breakers, n: number) => {
  for (let i = 0; i < n; i++) fail(breakers);
};

test("a server counts as down after five failures in a row, and not before", () => {
  const breakers = createBreakers(fakeClock(0), quiet);
  failTimes(breakers, 4);
  breakers.require(server);
  breakers.succeeded(server);
  failTimes(breakers, 4);
  breakers.require(server);
  expect(breakers.isDown(7)).toBeFalse();
  fail(breakers);
  expect(() => breakers.require(server)).toThrow(/does not answer at present/);
  expect(breakers.isDown(7)).toBeTrue();
});

test("when it is time one request finds out, and the others wait for it", () => {
  const clock = fakeClock(0);
  const breakers = createBreakers(clock, quiet);
  failTimes(breakers, 5);
  clock.advance(15_000);
  breakers.require(server);
  expect(() => breakers.require(server)).toThrow();
  breakers.succeeded(server);
  breakers.require(server);
});

test("it waits twice as long after each look in vain, up to five minutes", () => {
  const clock = fakeClock(0);
  const breakers = createBreakers(clock, quiet);
  failTimes(breakers, 5);
  for (const ms of [
    15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000,
  ]) {
    clock.advance(ms - 1);
    expect(() => breakers.require(server)).toThrow();
    clock.advance(1);
    breakers.require(server);
    fail(breakers);
  }
});

test("calls that a restart cuts off all at once are no looks in vain: it waits no longer for them", () => {
  const clock = fakeClock(0);
  const breakers = createBreakers(clock, quiet);
  failTimes(breakers, 5);
  clock.advance(1000);
  failTimes(breakers, 20);
  clock.advance(14_000);
  breakers.require(server);
  fail(breakers);
  failTimes(breakers, 20);
  clock.advance(30_000);
  breakers.require(server);
});

test("calls that one restart cuts off have failed once, those that nobody answered each", () => {
  const clock = fakeClock(0);
  const breakers = createBreakers(clock, quiet);
  const begunAt = breakers.require(server);
  clock.advance(1000);
  for (let i = 0; i < 20; i++) fail(breakers, begunAt);
  expect(breakers.isDown(7)).toBeFalse();
  const slow = new GatewayError("timeout", "It did not answer.");
  for (let i = 0; i < 4; i++) breakers.judge(server, slow, begunAt);
  expect(breakers.isDown(7)).toBeTrue();
});

test("a server is not down because another is", () => {
  const breakers = createBreakers(fakeClock(0), quiet);
  failTimes(breakers, 5);
  breakers.require({ id: 8, name: "Eight" } as never);
  breakers.forget(7);
  breakers.require(server);
});

test("it is said once that a server counts as down, and once that it is there again, also of one that was down for a process before", () => {
  const said: string[] = [];
  const breakers = createBreakers(fakeClock(0), {
    down: ({ name }) => void said.push(`${name} down`),
    up: ({ name }) => void said.push(`${name} up`),
  });
  breakers.succeeded(server);
  failTimes(breakers, 4);
  expect(said).toEqual([]);
  failTimes(breakers, 3);
  expect(said).toEqual(["Seven down"]);
  breakers.succeeded(server);
  breakers.succeeded(server);
  expect(said).toEqual(["Seven down", "Seven up"]);
  const known = { lastError: { code: "upstream_down" } };
  breakers.succeeded({ id: 7, name: "Seven", ...known } as never);
  expect(said).toEqual(["Seven down", "Seven up", "Seven up"]);
});
