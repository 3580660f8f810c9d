import type { Router } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";
import { once } from "../core/once.ts";

/**
 * Finds a path that has no parameters by looking it up: every request of an MCP client is of such a one. Only the
 * others are compared with patterns, which takes twenty times as long.
 */
export function createRouter<T>(): Router<T> {
  const exact = new Map<string, [[T, Record<string, string>][]]>();
  const added: [method: string, path: string, handler: T][] = [];
  const patterns = once(() => {
    const router = new TrieRouter<T>();
    for (const route of added) router.add(...route);
    return router;
  });
  return {
    name: "exact paths first",
    add(method, path, handler) {
      if (path.includes(":")) added.push([method, path, handler]);
      else exact.set(`${method} ${path}`, [[[handler, {}]]]);
    },
    match: (method, path) =>
      exact.get(`${method} ${path}`) ?? patterns().match(method, path),
  };
}
