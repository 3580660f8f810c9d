import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { DemoWorkspace } from "../../src/demo/workspace.ts";
import type { Server } from "../support/binary.ts";
import {
  SECRET,
  WORKSPACE_KEY,
  openServer,
  succeeds,
} from "../support/binary.ts";
import { call, createCaller, initialize } from "../support/caller.ts";
import { chrome, closeChrome, openTab } from "../support/chrome.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { oddWorld } from "../support/odd-world.ts";
import { recipe } from "../support/recipes.ts";

/** The README's clients for pages, in pages of a real browser, against the executable. */

const options = { timeout: 120_000 };

describe.skipIf(chrome === null || !succeeds(chrome, "--version"))(
  "in a browser",
  () => {
    let workspace: DemoWorkspace;
    let allowed: Site;
    let foreign: Site;
    let server: Server;
    beforeAll(async () => {
      workspace = openWorkspace(oddWorld({ bigActions: 3 }), {
        workspaceKey: WORKSPACE_KEY,
        secret: SECRET,
      });
      allowed = openSite();
      foreign = openSite();
      server = await openServer(workspace.url, {
        ALLOWED_ORIGINS: allowed.origin,
      });
    });
    afterAll(async () => {
      closeChrome();
      await server[Symbol.asyncDispose]();
      await Promise.all([allowed.close(), foreign.close()]);
      await workspace.close();
    });

    /** A page of that site that has a token of ada's, and runs this. */
    async function visit(site: Site, ...scripts: string[]) {
      const token = await server.tokenFor("ada");
      const tab = await openTab(chrome!);
      await tab.visit(
        site.page([`const token = ${JSON.stringify(token)};`, ...scripts]),
      );
      return tab;
    }
    const events = () => recipe("## Events", "js", server.url);
    const socket = (nth: number) =>
      recipe("### WebSocket", "js", server.url, nth);
    const callTool = () => recipe("## Recipes", "js", server.url);

    // Demanded: recipes, events-resumed
    test(
      "an EventSource is told what happens, each once and in order, over kill -9",
      async () => {
        using tab = await visit(
          allowed,
          "const told = []; console.log = (at, event, { session }) => told.push([event, session]);",
          events(),
        );
        await tab.until("events.readyState === EventSource.OPEN");
        const caller = createCaller(server.url, server.tokenFor);
        const opened = [await caller.open("ada")];
        await tab.until("told.length === 1");
        await server.kill9();
        await server.start();
        // The browser waits for seconds before it comes back.
        opened.push(await caller.open("ada"), await caller.open("ada"));
        await caller.open("eve");
        await tab.until("told.length >= 3");
        opened.push(await caller.open("ada"));
        await tab.until("told.length >= 4");
        expect(await tab.read<unknown>("told")).toEqual(
          opened.map((session) => ["session_opened", session]),
        );
        await caller.close();
      },
      options,
    );

    // Demanded: recipes, ws-session
    test(
      "a WebSocket calls a tool, chooses no token, and one that comes back gets what it missed, over kill -9",
      async () => {
        using first = await visit(
          allowed,
          "let shown; const show = (result) => (shown = result);",
          socket(0),
        );
        const shown = await first.until<any>("shown");
        expect(shown.structuredContent).toEqual({});
        expect(await first.read<string>("socket.protocol")).toBe("mcp");

        using tab = await visit(
          allowed,
          `const initialize = ${JSON.stringify(initialize())};
let socket;
const ready = (opened) => (socket = opened);
const messages = [];
const received = (message) => messages.push(message);`,
          socket(1),
        );
        const send = (message: unknown) =>
          tab.read(`socket.send(${JSON.stringify(JSON.stringify(message))})`);
        const heard = (id: string) =>
          tab.until<any>(`messages.find(({ id }) => id === "${id}")`);
        await tab.until("messages.length > 0");
        await send(call("lab_echo", { n: 1 }, "one"));
        await heard("one");
        await send(call("lab_hold", { gate: "never" }, "cut"));
        await workspace.entered("act_lab_hold");
        await server.kill9();
        await server.start();
        const { error } = await heard("cut");
        expect(error.code).toBe(-32000);
        expect(error.message).toContain("interrupted");
        await send(call("lab_echo", { n: 2 }, "two"));
        await heard("two");
        expect(await tab.read<unknown>("messages.map(({ id }) => id)")).toEqual(
          [0, "one", "cut", "two"],
        );
      },
      options,
    );

    // Demanded: origin, ws-verified
    test(
      "a page of an origin that is allowed may use every door, any other page none of them",
      async () => {
        const clients = () => [
          callTool(),
          'let called; callTool("lab_echo", { text: "ü" }, 1).then(({ structuredContent }) => (called = structuredContent.text), ({ name }) => (called = name));',
          events(),
          "let shown = null; const show = (result) => (shown = result.content[0].text);",
          socket(0),
          "let closed = null; socket.onclose = ({ code }) => (closed = code);",
        ];
        const outcome = async (site: Site): Promise<object> => {
          const before = runs();
          using tab = await visit(site, ...clients());
          await tab.until("called && (shown || closed)");
          await tab.until("events.readyState !== EventSource.CONNECTING");
          const page = await tab.read<object>(
            "({ called, shown, closed, events: events.readyState })",
          );
          return { ...page, runs: runs() - before };
        };
        const runs = () =>
          Object.values(workspace.runCounts()).reduce((a, b) => a + b, 0);
        expect(await outcome(allowed)).toEqual({
          called: "ü",
          shown: "{}",
          closed: null,
          events: 1,
          runs: 2,
        });
        expect(await outcome(foreign)).toEqual({
          called: "TypeError",
          shown: null,
          closed: 1006,
          events: 2,
          runs: 0,
        });
      },
      options,
    );

    test(
      "a name that leads here and is not ours shows a page nothing",
      async () => {
        using tab = await openTab(chrome!);
        await tab.visit(
          `${server.url.replace("127.0.0.1", "rebound.localhost")}/docs`,
        );
        const text = await tab.read<string>("document.body.innerText");
        expect(text).toContain("does not answer to that Host");
      },
      options,
    );
  },
);

type Site = ReturnType<typeof openSite>;

/** Pages of an origin of their own. */
function openSite() {
  const pages = new Map<string, string>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const html = pages.get(new URL(request.url).pathname);
      return new Response(html, {
        headers: { "content-type": "text/html; charset=utf-8" },
      });
    },
  });
  const origin = `http://127.0.0.1:${server.port}`;
  return {
    origin,
    /** The URL of a page that runs these, one after the other. */
    page(scripts: string[]): string {
      const path = `/${pages.size}`;
      const elements = scripts.map((code) => `<script>${code}</script>`);
      pages.set(path, `<!doctype html>${elements.join("\n")}`);
      return origin + path;
    },
    close: () => server.stop(true),
  };
}
