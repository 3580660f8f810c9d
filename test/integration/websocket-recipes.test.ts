import { expect, test } from "bun:test";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize } from "../support/caller.ts";
import { recipe } from "../support/recipes.ts";

/** The WebSocket clients of the README, as they stand there. */

/** Runs the nth in place of a page, which has given it these names. */
function run(
  nth: number,
  rig: Rig,
  names: Record<string, unknown>,
  edit = (code: string) => code,
): void {
  const code = edit(recipe("### WebSocket", "js", rig.url, nth));
  new Function(...Object.keys(names), code)(...Object.values(names));
}

// Demanded: recipes
test("the first calls a tool straight away", async () => {
  await using rig = await openRig();
  const shown = Promise.withResolvers<any>();
  run(0, rig, {
    token: await rig.tokenFor("ada"),
    show: shown.resolve,
  });
  expect((await shown.promise).structuredContent).toEqual({});
});

test("the second is where it was after a restart, and gets what it missed once", async () => {
  await using rig = await openRig();
  const messages: any[] = [];
  let opened = Promise.withResolvers<WebSocket>();
  let heard = () => {};
  const until = async (found: (message: any) => boolean) => {
    while (!messages.some(found)) {
      await new Promise<void>((resolve) => (heard = resolve));
    }
  };
  const names = {
    token: await rig.tokenFor("ada"),
    initialize: initialize(),
    ready: (socket: WebSocket) => opened.resolve(socket),
    received(message: any) {
      messages.push(message);
      heard();
    },
  };
  run(1, rig, names, (code) =>
    code.replace("1000 + 2000 * Math.random()", "10"),
  );
  const first = await opened.promise;
  await until(({ id }) => id === 0);
  first.send(JSON.stringify(call("lab_echo", { n: 1 }, "one")));
  await until(({ id }) => id === "one");
  opened = Promise.withResolvers();
  await rig.restart();
  const second = await opened.promise;
  second.send(JSON.stringify(call("lab_echo", { n: 2 }, "two")));
  await until(({ id }) => id === "two");
  expect(messages.map(({ id }) => id)).toEqual([0, "one", "two"]);
  expect(messages[2].result.structuredContent).toEqual({ n: 2 });
  // It comes back for as long as there is somebody to come back to.
  second.onclose = null;
});
