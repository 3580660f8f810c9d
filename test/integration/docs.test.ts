import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { routes } from "../../src/http/routes.ts";
import type { Route } from "../../src/http/routes.ts";
import { openRig } from "../support/app.ts";
import { disagreement } from "../support/documented.ts";
import type { RestRig } from "../support/rest-rig.ts";
import { openRestRig } from "../support/rest-rig.ts";

let rig: RestRig;
beforeAll(async () => {
  rig = await openRestRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(rig.url + path, { headers });

describe("GET /openapi.json", () => {
  test("gives everybody the document, and to who has it already only says so", async () => {
    const first = await get("/openapi.json");
    expect(first.headers.get("content-type")).toBe("application/json");
    const document = (await first.json()) as any;
    expect(Object.keys(document.paths)).toContain("/servers/{name}");
    const etag = first.headers.get("etag")!;
    const again = await get("/openapi.json", { "if-none-match": etag });
    expect([again.status, await again.text()]).toEqual([304, ""]);
    const other = await get("/openapi.json", { "if-none-match": '"other"' });
    expect(other.status).toBe(200);
  });

  test("names the public address of the server", async () => {
    await using published = await openRig({
      env: { PUBLIC_URL: "https://mcp.example.com" },
    });
    const response = await fetch(`${published.url}/openapi.json`);
    const { servers } = (await response.json()) as any;
    expect(servers[0].url).toBe("https://mcp.example.com");
  });
});

describe("GET /docs", () => {
  test("is a page that may run only our files, and ask only this server", async () => {
    const response = await get("/docs");
    expect(response.headers.get("content-security-policy")).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    );
    expect(response.headers.get("x-frame-options")).toBe("DENY");
    const page = await response.text();
    expect(page).not.toMatch(/<script(?![^>]* src=)|<style|style=|https?:/);
    const files = [...page.matchAll(/(?:src|href)="(docs\/[^"]+)"/g)];
    expect(files).toHaveLength(4);
    for (const [, path] of files) {
      const file = await get(`/${path}`);
      expect([path, file.status]).toEqual([path!, 200]);
      const etag = file.headers.get("etag")!;
      const again = await get(`/${path}`, { "if-none-match": etag });
      expect(again.status).toBe(304);
    }
  });

  test("its licenses are those of Swagger UI and of what that is made of", async () => {
    const text = await (await get("/docs/licenses.txt")).text();
    expect(text).toContain("Apache License");
    expect(text).toContain("SmartBear");
    expect(text).toContain("Jed Watson");
  });
});

// Demanded: openapi-whole
describe("every route answers as documented", () => {
  /** What somebody may send who means no good, or did not read. Each answer is compared with the document. */
  const odd: [string, (method: string) => RequestInit][] = [
    ["without a credential", () => ({})],
    ["with one that is no good", () => authorized("expired:ada@w1")],
    ["without a scope", () => authorized("none:ada@w1")],
    ["as an administrator", () => authorized("admin:ada@w1")],
    ["as one of another workspace", () => authorized("admin:ada@w2")],
    [
      "from another page",
      () => ({ headers: { origin: "https://evil.example" } }),
    ],
    [
      "in a long way",
      () => ({ headers: { "mcp-gateway-via": "a,".repeat(17) } }),
    ],
    [
      "with a precondition",
      () => authorized("admin:ada@w1", { "if-match": '"0"' }),
    ],
    ["with a list", (method) => body(method, "[]")],
    ["with what is no JSON", (method) => body(method, "{")],
    ["with what is not known", (method) => body(method, '{"x":1}')],
    ["with text", (method) => body(method, "x", "text/plain")],
    [
      "with a form",
      (method) => body(method, "x=1", "application/x-www-form-urlencoded"),
    ],
  ];
  const authorized = (who: string, headers: Record<string, string> = {}) => ({
    headers: { authorization: `Bearer ${who}`, ...headers },
  });
  const body = (method: string, text: string, type = "application/json") =>
    method === "GET" || method === "DELETE"
      ? authorized("admin:ada@w1")
      : {
          ...authorized("admin:ada@w1", { "content-type": type }),
          body: text,
        };

  for (const [name, init] of odd) {
    test(name, async () => {
      const seen: unknown[] = [];
      for (const route of Object.keys(routes) as Route[]) {
        const [method = "", pattern = ""] = route.split(" ");
        const path = pattern
          .replace(":workspace", "w1")
          .replace(":id", "1")
          .replace(/:\w+/g, "any");
        // Of a redirect, and of a stream, the beginning is enough.
        const controller = new AbortController();
        const response = await fetch(rig.url + path, {
          method,
          redirect: "manual",
          signal: controller.signal,
          ...init(method),
        });
        const type = response.headers.get("content-type");
        const streams = type?.startsWith("text/event-stream") === true;
        const { status } = response;
        const text = streams ? null : await response.text();
        controller.abort();
        seen.push(
          disagreement({ method, path, sent: null, status, type, text }),
        );
      }
      expect(seen.filter((fault) => fault !== null)).toEqual([]);
      expect(seen.length).toBeGreaterThan(50);
    });
  }
});
