import { openListener } from "./listener.ts";
import type { RecordedRequest } from "./recording.ts";

/** A server on loopback that asks for bearer tokens the way that MCP prescribes (RFC 9728, RFC 6750). */
export type Protected = AsyncDisposable & {
  /** Its MCP endpoint, and its resource indicator. */
  url: string;
  metadataUrl: string;
  requests: RecordedRequest[];
  /** From now on this tool needs a scope: without it, 403 `insufficient_scope`. */
  demand(tool: string, scope: string): void;
};

export async function openProtected(options: {
  issuer: string;
  scopes: string[];
  /** Whose token it is; null when it is good for nothing. */
  whose(token: string): Promise<{ user: string; scopes: string[] } | null>;
  /** Answers what was let in. */
  serve(request: Request, recorded: RecordedRequest): Promise<Response>;
}): Promise<Protected> {
  const demands = new Map<string, string>();
  const { issuer, scopes, whose, serve } = options;

  const listener = openListener(async (request, recorded) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/.well-known/oauth-protected-resource/mcp") {
      return Response.json({
        resource: url,
        authorization_servers: [issuer],
        scopes_supported: scopes,
        bearer_methods_supported: ["header"],
      });
    }
    if (pathname !== "/mcp") return new Response(null, { status: 404 });
    const token = /^Bearer (.+)$/i.exec(
      request.headers.get("authorization") ?? "",
    )?.[1];
    const who = token ? await whose(token) : null;
    if (!who) {
      return refuse(401, {
        ...(token ? { error: "invalid_token" } : {}),
        scope: scopes[0]!,
      });
    }
    const missing = [recorded.body]
      .flat()
      .filter((message) => message?.method === "tools/call")
      .map((message) => demands.get(message.params?.name))
      .find((scope) => scope !== undefined && !who.scopes.includes(scope));
    if (missing !== undefined) {
      return refuse(403, { error: "insufficient_scope", scope: missing });
    }
    return serve(request, recorded);
  });
  const { origin, requests } = listener;
  const url = `${origin}/mcp`;
  const metadataUrl = `${origin}/.well-known/oauth-protected-resource/mcp`;

  function refuse(status: number, challenge: Record<string, string>): Response {
    const parameters = Object.entries({
      ...challenge,
      resource_metadata: metadataUrl,
    }).map(([name, value]) => `${name}="${value}"`);
    return Response.json(
      { error: challenge["error"] ?? "unauthorized" },
      {
        status,
        headers: { "www-authenticate": `Bearer ${parameters.join(", ")}` },
      },
    );
  }

  return {
    url,
    metadataUrl,
    requests,
    demand: (tool, scope) => void demands.set(tool, scope),
    [Symbol.asyncDispose]: listener.stop,
  };
}
