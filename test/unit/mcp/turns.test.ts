import { expect, test } from "bun:test";
import { createTurns } from "../../../src/mcp/turns.ts";

test("so many take part in one turn of the event loop, and the others in the next ones, in order", async () => {
  const turns = createTurns(2);
  const order: (number | "turn")[] = [];
  const each = [0, 1, 2, 3, 4].map(async (n) => {
    const turn = turns.take();
    if (turn) await turn;
    order.push(n);
  });
  const others = (async () => {
    for (let n = 0; n < 2; n++) {
      await new Promise(setImmediate);
      order.push("turn");
    }
  })();
  await Promise.all([...each, others]);
  expect(order.slice(0, 2)).toEqual([0, 1]);
  expect(order.filter((one) => one !== "turn")).toEqual([0, 1, 2, 3, 4]);
  expect(order.indexOf("turn")).toBeLessThan(order.indexOf(4));
  // Those who were alone for a while need not wait.
  await new Promise(setImmediate);
  expect([turns.take(), turns.take()]).toEqual([null, null]);
  expect(turns.take()).not.toBeNull();
});
