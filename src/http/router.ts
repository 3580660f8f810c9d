import type { Router } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";

/**
 * Finds a path that has no parameters by looking it up: every request of an MCP client is of such a one. Only the
 * others are compared with patterns, which takes twenty times as long.
 */
export function createRouter<T>(): Router<T> {
  const exact = new Map<string, [[T, Record<string, string>][]]>();
  const patterns = new TrieRouter<T>();
  return {
    name: "exact paths first",
    add(method, path, handler) {
      if (path.includes(":")) patterns.add(method, path, handler);
      else exact.set(`${method} ${path}`, [[[handler, {}]]]);
    },
    match: (method, path) =>
      exact.get(`${method} ${path}`) ?? patterns.match(method, path),
  };
}
