import { expect, test } from "bun:test";
import { createRouter } from "../../../src/http/router.ts";

function routerOf(...routes: string[]) {
  const router = createRouter<string>();
  for (const route of routes) {
    const [method = "", path = ""] = route.split(" ");
    router.add(method, path, route);
  }
  return router;
}

function found(router: ReturnType<typeof routerOf>, route: string): string[] {
  const [method = "", path = ""] = route.split(" ");
  return router.match(method, path)[0].map(([handler]) => handler);
}

test("a path as it is goes before every pattern, whichever was added first", () => {
  const router = routerOf(
    "GET /mcp/:server",
    "GET /mcp/sessions",
    "GET /servers/list",
    "GET /servers/:name",
  );
  expect(found(router, "GET /mcp/sessions")).toEqual(["GET /mcp/sessions"]);
  expect(found(router, "GET /servers/list")).toEqual(["GET /servers/list"]);
  expect(found(router, "GET /mcp/notes")).toEqual(["GET /mcp/:server"]);
});

test("the parameters of a pattern are told", () => {
  const [[match]] = routerOf("GET /a/:one/b/:two").match("GET", "/a/x/b/y");
  expect(match?.[1]).toEqual({ one: "x", two: "y" });
});

test("a path is found for its own methods, and no other path is", () => {
  const router = routerOf("POST /mcp", "GET /mcp/:server");
  expect(found(router, "GET /mcp")).toEqual([]);
  expect(found(router, "POST /mcp/")).toEqual([]);
  expect(found(router, "POST /mcp/notes")).toEqual([]);
  expect(found(router, "POST /__proto__")).toEqual([]);
});
