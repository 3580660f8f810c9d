import type { TestAuthorizationServer } from "./authorization-server.ts";

/** What speaks MCP far enough to say who asks: a server that an authorization server protects. */
export type ProtectedServer = AsyncDisposable & {
  /** Of the MCP endpoint. */
  url: string;
  /** Headers of every request that was no look for metadata. */
  requests: Headers[];
  /** Who decides whose token is good. */
  as: Pick<TestAuthorizationServer, "url" | "check">;
  /** Scopes that a request needs, beside a token. */
  needs: string[];
  /** What its metadata says; null for none. */
  metadata: (() => unknown) | null;
  /** Instead of its own `WWW-Authenticate`. */
  challenge: string | null;
};

export function openProtectedServer(
  as: Pick<TestAuthorizationServer, "url" | "check">,
): ProtectedServer {
  const http = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/.well-known/oauth-protected-resource/mcp") {
        const found = server.metadata?.();
        return found === undefined
          ? new Response("none", { status: 404 })
          : found instanceof Response
            ? found
            : Response.json(found);
      }
      if (pathname !== "/mcp") return new Response("none", { status: 404 });
      server.requests.push(request.headers);
      const token = /^Bearer (.+)$/.exec(
        request.headers.get("authorization") ?? "",
      )?.[1];
      const grant = token === undefined ? null : server.as.check(token);
      const refuse = (status: number, more: string) =>
        new Response("no", {
          status,
          headers: {
            "www-authenticate":
              server.challenge ??
              `Bearer ${more}scope="${server.needs.join(" ")}"`,
          },
        });
      if (grant === null) return refuse(401, "");
      const missing = server.needs.some((each) => !grant.scopes.includes(each));
      if (missing) return refuse(403, 'error="insufficient_scope", ');
      return Response.json({ user: grant.user, resource: grant.resource });
    },
  });
  const url = `http://127.0.0.1:${http.port}/mcp`;
  const server: ProtectedServer = {
    url,
    requests: [],
    as,
    needs: ["read"],
    metadata: () => ({
      resource: url,
      authorization_servers: [server.as.url],
    }),
    challenge: null,
    [Symbol.asyncDispose]: () => http.stop(true),
  };
  return server;
}
