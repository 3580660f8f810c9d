import { expect, test } from "bun:test";
import { createOutbox } from "../../../src/mcp/outbox.ts";
import { fakeClock } from "../../support/clock.ts";

const MIB = 1_048_576;

/** Over a socket whose network takes what the test says. */
function openOutbox() {
  const clock = fakeClock();
  let behind = 0;
  let cut = 0;
  const socket = {
    send: (text: string) => void (behind += text.length),
    behind: () => behind,
    ping() {},
    close() {},
    cut() {},
  };
  const outbox = createOutbox(socket, clock, () => cut++);
  return {
    clock,
    outbox,
    cuts: () => cut,
    take(bytes: number) {
      behind -= bytes;
      outbox.drained();
    },
  };
}

test("there is room until a quarter of a mebibyte waits, and again when some of it is gone", async () => {
  const { outbox, take, cuts } = openOutbox();
  outbox.say("x".repeat(MIB / 4 - 1));
  expect(outbox.hasRoom()).toBe(true);
  await outbox.room();
  outbox.say("xx");
  expect(outbox.hasRoom()).toBe(false);
  let roomy = false;
  const room = outbox.room().then(() => (roomy = true));
  take(1);
  await Promise.resolve();
  expect(roomy).toBe(false);
  take(1);
  await room;
  expect(outbox.hasRoom()).toBe(true);
  expect(cuts()).toBe(0);
});

test("more than 32 MiB are not kept for anybody", () => {
  const { outbox, cuts } = openOutbox();
  const text = "x".repeat(MIB);
  for (let i = 0; i < 32; i++) outbox.say(text);
  expect(cuts()).toBe(0);
  outbox.say("x");
  expect(cuts()).toBe(1);
});

test("it has stalled when nothing was taken for a minute, not when something was, or nothing was said", () => {
  const { outbox, clock, take } = openOutbox();
  clock.advance(100_000);
  expect(outbox.stalled()).toBe(false);
  outbox.say("hello");
  clock.advance(60_000);
  expect(outbox.stalled()).toBe(false);
  take(2);
  clock.advance(60_000);
  expect(outbox.stalled()).toBe(false);
  clock.advance(1);
  expect(outbox.stalled()).toBe(true);
  take(3);
  clock.advance(100_000);
  expect(outbox.stalled()).toBe(false);
});
