import { expect, test } from "bun:test";
import { join } from "node:path";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize } from "../support/caller.ts";

/** The WebSocket clients of the README, as they stand there. */

const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text();
const recipes = readme
  .split("### WebSocket")[1]!
  .split("\n## ")[0]!
  .matchAll(/```js\n([^]*?)```/g)
  .map(([, code]) => code!)
  .toArray();

/** Runs one in place of a page, which has given it these names. */
function run(code: string, rig: Rig, names: Record<string, unknown>): void {
  const at = code.replaceAll(
    "wss://mcp.example.com",
    rig.url.replace("http", "ws"),
  );
  new Function(...Object.keys(names), at)(...Object.values(names));
}

test("the first calls a tool straight away", async () => {
  await using rig = await openRig();
  const shown = Promise.withResolvers<any>();
  run(recipes[0]!.replace("notes_list-notes", "lab_echo"), rig, {
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
  run(recipes[1]!.replace("1000 + 2000 * Math.random()", "10"), rig, {
    token: await rig.tokenFor("ada"),
    initialize: initialize(),
    ready: (socket: WebSocket) => opened.resolve(socket),
    received(message: any) {
      messages.push(message);
      heard();
    },
  });
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
