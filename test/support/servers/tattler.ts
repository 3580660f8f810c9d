import { ask, elicit, object, say } from "./definitions.ts";
import { openListener } from "./listener.ts";
import type { RecordedRequest } from "./recording.ts";

/** An MCP server whose errors tell all that it knows: every header, the URL and the body of the request. */
export type Tattler = AsyncDisposable & {
  url: string;
  requests: RecordedRequest[];
  /** From now on every request fails. */
  fail(): void;
};

/** Tools whose call fails on the way, each in its own manner. */
const failures: Record<string, (all: string) => Response> = {
  breaks: (all) =>
    new Response(all, { status: 500, headers: { "x-all": all } }),
  refuses: (all) => new Response(all, { status: 400 }),
  babbles: (all) =>
    new Response(`<html>${all}</html>`, {
      headers: { "content-type": "text/html" },
    }),
  garbles: (all) =>
    new Response(`{"jsonrpc":"2.0","oops":${all}`, {
      headers: { "content-type": "application/json" },
    }),
  redirects: (all) =>
    new Response(null, {
      status: 307,
      headers: { location: `/elsewhere?all=${encodeURIComponent(all)}` },
    }),
};

/** Their names. */
export const failing = Object.keys(failures);

/**
 * Beside those that fail it has `quiet`, `tells` (the result), `asks` (for a code, and keeps it) and `confesses`, which
 * answers with an error of JSON-RPC that tells all. It speaks 2026-07-28.
 */
export async function openTattler({
  result,
}: {
  result: string;
}): Promise<Tattler> {
  let fails = false;
  const tools = [...failing, "quiet", "tells", "asks", "confesses"];

  function call({ name, inputResponses }: any): object {
    if (name === "tells") return say(result);
    if (name !== "asks") return say("done");
    if (inputResponses?.form?.action === "accept") return say("thanks");
    const wanted = object({ code: { type: "string" } });
    return ask({ form: elicit("Your code?", wanted) });
  }

  const listener = openListener(async (request, recorded) => {
    const { pathname } = new URL(request.url);
    const all = JSON.stringify(recorded);
    const { id, method, params } = recorded.body ?? {};
    if (pathname !== "/mcp") return new Response(all, { status: 404 });
    const fail = failures[fails ? "breaks" : params?.name];
    if (fail) return fail(all);
    if (id === undefined) return new Response(null, { status: 202 });
    const answer = (result: object) =>
      Response.json({
        jsonrpc: "2.0",
        id,
        result: {
          resultType: "complete",
          ttlMs: 0,
          cacheScope: "private",
          ...result,
        },
      });
    const refuse = (code: number, message: string, data?: object) =>
      Response.json({ jsonrpc: "2.0", id, error: { code, message, data } });
    switch (method) {
      case "server/discover":
        return answer({
          capabilities: { tools: {} },
          serverInfo: { name: "tattler", version: "1.0.0" },
          supportedVersions: ["2026-07-28"],
        });
      case "tools/list":
        return answer({
          tools: tools.map((name) => ({
            name,
            description: name,
            inputSchema: { type: "object" },
          })),
        });
      case "tools/call":
        return params.name === "confesses"
          ? refuse(-32050, all, { all })
          : answer(call(params));
      default:
        return refuse(-32601, `${method}: ${all}`);
    }
  });
  return {
    url: `${listener.origin}/mcp`,
    requests: listener.requests,
    fail: () => void (fails = true),
    [Symbol.asyncDispose]: listener.stop,
  };
}
