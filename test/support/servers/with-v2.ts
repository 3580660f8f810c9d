import type {
  ServerContext,
  ServerOptions,
} from "@modelcontextprotocol/server";
import {
  CLIENT_CAPABILITIES_META_KEY,
  createRequestStateCodec,
  McpServer,
  ProtocolError,
  ResourceNotFoundError,
} from "@modelcontextprotocol/server";
import { isInputRequired } from "../../../src/core/source.ts";
import type { InputRequired } from "../../../src/core/source.ts";
import type { Turn } from "./definitions.ts";
import type { Kit } from "./kit.ts";
import { capabilities, createTurn, wireLists } from "./kit.ts";
import { readFixture } from "./fixtures.ts";

/** Makes servers of `@modelcontextprotocol/server` 2.x for one kit; states that one has given out, all take back. */
export function createV2(
  kit: Kit,
  about: { name: string; instructions?: string },
): {
  /**
   * For one session, one request or one connection; `follow`: it tells its client of changes by itself, until it is
   * closed.
   */
  build(follow: boolean): McpServer;
} {
  const states = createRequestStateCodec<string>({
    key: crypto.getRandomValues(new Uint8Array(32)),
  });

  function build(follow: boolean): McpServer {
    const options: ServerOptions = {
      capabilities,
      requestState: { verify: states.verify },
      ...(about.instructions === undefined
        ? {}
        : { instructions: about.instructions }),
    };
    const mcp = new McpServer({ name: about.name, version: "1.0.0" }, options);
    const { server } = mcp;
    // What the SDK compares the Mcp-Param headers with.
    mcp.toolInputSchemaJson = (name) =>
      kit.tools().find((tool) => tool.name === name)?.inputSchema;

    /** Runs something with the turn of this request, and seals the state of what it asks. */
    async function run<Result extends object>(
      context: ServerContext,
      play: (
        turn: Turn,
      ) => Result | InputRequired | Promise<Result | InputRequired>,
    ): Promise<Result> {
      const { mcpReq, http } = context;
      const state = mcpReq.requestState<string>();
      const { turn, told } = createTurn(kit, {
        signal: mcpReq.signal,
        capabilities:
          (mcpReq.envelope as Record<string, any> | undefined)?.[
            CLIENT_CAPABILITIES_META_KEY
          ] ??
          server.getClientCapabilities() ??
          {},
        input:
          mcpReq.inputResponses || state !== undefined
            ? {
                responses: mcpReq.inputResponses ?? {},
                state: state ?? null,
              }
            : null,
        headers: Object.fromEntries(http?.req?.headers ?? []),
        progressToken: mcpReq._meta?.progressToken,
        async notify(method, params) {
          // 2026-07-28 has none: asking again is how its clients learn.
          const complete = method === "notifications/elicitation/complete";
          if (!(complete && mcpReq.envelope)) {
            await mcpReq.notify({ method, params });
          }
        },
        log: (level, data, logger) => mcpReq.log(level, data, logger),
        hangUp: () => http?.closeSSE?.(),
        ping: () => server.ping(),
      });
      const result = await play(turn);
      await told();
      return (
        isInputRequired(result) && result.requestState !== undefined
          ? { ...result, requestState: await states.mint(result.requestState) }
          : result
      ) as Result;
    }

    const lists = wireLists(kit);
    server.setRequestHandler("tools/list", lists.tools);
    server.setRequestHandler("prompts/list", lists.prompts);
    server.setRequestHandler("resources/list", lists.resources);
    server.setRequestHandler("resources/templates/list", lists.templates);
    server.setRequestHandler("tools/call", ({ params }, context) => {
      const tool = kit.tools().find(({ name }) => name === params.name);
      if (!tool) throw new ProtocolError(-32602, `Unknown tool ${params.name}`);
      return run(context, (turn) => tool.run(turn, params.arguments ?? {}));
    });
    server.setRequestHandler("prompts/get", ({ params }, context) => {
      const prompt = kit.prompts.find(({ name }) => name === params.name);
      if (!prompt) {
        throw new ProtocolError(-32602, `Unknown prompt ${params.name}`);
      }
      return run(context, (turn) => prompt.get(params.arguments ?? {}, turn));
    });
    server.setRequestHandler("resources/read", ({ params: { uri } }) => {
      const found = readFixture(uri);
      if (!found) throw new ResourceNotFoundError(uri);
      return found;
    });
    server.setRequestHandler("completion/complete", ({ params }) => ({
      completion: { values: [`${params.argument.value}-completed`] },
    }));

    const subscribed = new Set<string>();
    server.setRequestHandler("resources/subscribe", ({ params }) => {
      subscribed.add(params.uri);
      return {};
    });
    server.setRequestHandler("resources/unsubscribe", ({ params }) => {
      subscribed.delete(params.uri);
      return {};
    });
    if (follow) {
      const end = kit.onChange((change) => {
        if ("list" in change) {
          const list = change.list;
          const method = `notifications/${list}/list_changed` as const;
          void server.notification({ method });
        } else if (subscribed.has(change.uri)) {
          void server.sendResourceUpdated({ uri: change.uri });
        }
      });
      server.onclose = end;
    }
    return mcp;
  }

  return { build };
}
