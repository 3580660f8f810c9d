import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { DemoWorkspace } from "../../src/demo/workspace.ts";
import {
  SECRET,
  WORKSPACE_KEY,
  openServer,
  succeeds,
} from "../support/binary.ts";
import type { Server } from "../support/binary.ts";
import { chrome, closeChrome, openTab } from "../support/chrome.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { oddWorld } from "../support/odd-world.ts";

/** The page that describes the API, out of the executable, in a browser that can reach nothing else. */

let workspace: DemoWorkspace;
let server: Server;
beforeAll(async () => {
  workspace = openWorkspace(oddWorld(), {
    workspaceKey: WORKSPACE_KEY,
    secret: SECRET,
  });
  server = await openServer(workspace.url);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await workspace.close();
});

test("the executable has the document and all files of the page in it", async () => {
  const sizes: Record<string, number> = {};
  for (const [path, type] of [
    ["openapi.json", "application/json"],
    ["docs", "text/html"],
    ["docs/swagger-ui.js", "text/javascript"],
    ["docs/swagger-ui.css", "text/css"],
    ["docs/start.js", "text/javascript"],
    ["docs/licenses.txt", "text/plain"],
  ]) {
    const response = await fetch(`${server.url}/${path}`);
    expect([path, response.status]).toEqual([path!, 200]);
    expect(response.headers.get("content-type")).toStartWith(type!);
    sizes[path!] = (await response.arrayBuffer()).byteLength;
  }
  expect(sizes["docs/swagger-ui.js"]).toBeGreaterThan(1_000_000);
  expect(sizes["docs/swagger-ui.css"]).toBeGreaterThan(100_000);
});

describe.skipIf(chrome === null || !succeeds(chrome, "--version"))(
  "in a browser",
  () => {
    afterAll(closeChrome);
    // A browser starts slowly on a machine that does other things.
    const options = { timeout: 120_000 };

    // Demanded: openapi-page
    test(
      "the page shows every route, calls one with a token that was typed in, and asks nobody else",
      async () => {
        using tab = await openTab(chrome!);
        await tab.visit(`${server.url}/docs`);
        await tab.until("document.querySelectorAll('.opblock').length > 50");
        const shown = await tab.read<number>(
          "document.querySelectorAll('.opblock').length",
        );
        const { paths, webhooks } = (await (
          await fetch(`${server.url}/openapi.json`)
        ).json()) as Record<"paths" | "webhooks", Record<string, object>>;
        expect(shown).toBe(
          [paths, webhooks]
            .flatMap((all) => Object.values(all))
            .flatMap((methods) => Object.keys(methods)).length,
        );

        await tab.press(".btn.authorize");
        await tab.write("#auth-bearer-value", await server.tokenFor("ada"));
        await tab.press(".modal-ux button.authorize");
        await tab.press(".modal-ux button.btn-done");
        const operation = "#operations-MCP-postMcp";
        await tab.press(`${operation} .opblock-summary-control`);
        await tab.press(`${operation} .try-out__btn`);
        await tab.press(`${operation} .execute`);
        const answer = await tab.until<string>(
          `document.querySelector('${operation} .live-responses-table .response')?.innerText`,
        );
        expect(answer).toStartWith("200");
        expect(answer).toContain("lab_echo");

        expect(await tab.violations()).toEqual([]);
        expect(tab.requests.toSorted()).toEqual(
          [
            "GET /docs",
            "GET /docs/start.js",
            "GET /docs/swagger-ui.css",
            "GET /docs/swagger-ui.js",
            "GET /openapi.json",
            "POST /mcp",
          ].map((request) => request.replace(" ", ` ${server.url}`)),
        );
      },
      options,
    );

    test(
      "what the page may not do is noticed by this test",
      async () => {
        using tab = await openTab(chrome!);
        await tab.visit(`${server.url}/docs`);
        await tab.read(
          "document.body.append(Object.assign(document.createElement('style'), { textContent: 'p {}' }))",
        );
        await tab.until("window.forbidden.length > 0");
        expect((await tab.violations())[0]).toContain("style-src");
      },
      options,
    );
  },
);
