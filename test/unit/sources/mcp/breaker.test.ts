import { expect, test } from "bun:test";
import { createBreakers } from "../../../../src/sources/mcp/breaker.ts";
import { brokeOff } from "../../../../src/sources/mcp/failure.ts";
import { fakeClock } from "../../../support/clock.ts";

const server = { id: 7, name: "Seven" } as never;
const failTimes = (breakers: ReturnType<typeof createBreakers>, n: number) => {
  for (let i = 0; i < n; i++) breakers.judge(7, brokeOff("Seven"));
};

test("a server counts as down after five failures in a row, and not before", () => {
  const breakers = createBreakers(fakeClock(0));
  failTimes(breakers, 4);
  breakers.require(server);
  breakers.succeeded(7);
  failTimes(breakers, 4);
  breakers.require(server);
  expect(breakers.isDown(7)).toBeFalse();
  breakers.judge(7, brokeOff("Seven"));
  expect(() => breakers.require(server)).toThrow(/does not answer at present/);
  expect(breakers.isDown(7)).toBeTrue();
});

test("when it is time one request finds out, and the others wait for it", () => {
  const clock = fakeClock(0);
  const breakers = createBreakers(clock);
  failTimes(breakers, 5);
  clock.advance(15_000);
  breakers.require(server);
  expect(() => breakers.require(server)).toThrow();
  breakers.succeeded(7);
  breakers.require(server);
});

test("it waits twice as long after each look in vain, up to five minutes", () => {
  const clock = fakeClock(0);
  const breakers = createBreakers(clock);
  failTimes(breakers, 5);
  for (const ms of [
    15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000,
  ]) {
    clock.advance(ms - 1);
    expect(() => breakers.require(server)).toThrow();
    clock.advance(1);
    breakers.require(server);
    breakers.judge(7, brokeOff("Seven"));
  }
});

test("a server is not down because another is", () => {
  const breakers = createBreakers(fakeClock(0));
  failTimes(breakers, 5);
  breakers.require({ id: 8, name: "Eight" } as never);
  breakers.forget(7);
  breakers.require(server);
});
