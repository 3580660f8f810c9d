import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import {
  CallToolRequestSchema,
  CompleteRequestSchema,
  GetPromptRequestSchema,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListToolsRequestSchema,
  McpError,
  ReadResourceRequestSchema,
  ResultSchema,
  SetLevelRequestSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import type {
  LoggingLevel,
  ServerNotification,
  ServerRequest,
} from "@modelcontextprotocol/sdk/types.js";
import type { RequestHandlerExtra } from "@modelcontextprotocol/sdk/shared/protocol.js";
import { logLevels } from "../../../src/core/source.ts";
import type { InputRequired } from "../../../src/core/source.ts";
import type { Turn } from "./definitions.ts";
import { readFixture } from "./fixtures.ts";
import type { Kit } from "./kit.ts";
import { capabilities, createTurn, untilAnswered, wireLists } from "./kit.ts";

/** How a server of the older SDK asks. */
export type Manner = {
  /** Puts its questions on the stream of its session, as many do, and not on that of the call. */
  aside?: boolean;
  /** How long it waits for an answer. */
  patienceMs?: number;
};

/** A server of `@modelcontextprotocol/sdk` 1.x for one session or connection. Its questions are put during the call. */
export function buildV1(
  kit: Kit,
  about: { name: string; instructions?: string },
  { aside = false, patienceMs }: Manner = {},
): Server {
  const { name, ...rest } = about;
  const options = patienceMs === undefined ? {} : { timeout: patienceMs };
  const server = new Server(
    { name, version: "1.0.0" },
    { capabilities, ...rest },
  );
  const lists = wireLists(kit);
  server.setRequestHandler(ListToolsRequestSchema, lists.tools);
  server.setRequestHandler(ListPromptsRequestSchema, lists.prompts);
  server.setRequestHandler(ListResourcesRequestSchema, lists.resources);
  server.setRequestHandler(ListResourceTemplatesRequestSchema, lists.templates);

  let level: LoggingLevel = "debug";
  server.setRequestHandler(SetLevelRequestSchema, ({ params }) => {
    level = params.level;
    return {};
  });

  type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;
  async function run<Result extends object>(
    extra: Extra,
    play: (
      turn: Turn,
    ) => Result | InputRequired | Promise<Result | InputRequired>,
  ): Promise<Result> {
    const notify = (method: string, params: Record<string, unknown>) =>
      extra.sendNotification({ method, params } as ServerNotification);
    const { turn, told } = createTurn(kit, {
      signal: extra.signal,
      capabilities: server.getClientCapabilities() ?? {},
      input: null,
      headers: Object.fromEntries(
        Object.entries(extra.requestInfo?.headers ?? {}).map(
          ([name, value]) => [name, String(value)],
        ),
      ),
      progressToken: extra._meta?.progressToken,
      notify,
      log: async (urgency, data, logger) => {
        if (logLevels.indexOf(urgency) < logLevels.indexOf(level)) return;
        await notify("notifications/message", {
          level: urgency,
          data,
          ...(logger === undefined ? {} : { logger }),
        });
      },
      hangUp: () => extra.closeSSEStream?.(),
      ping: () => server.ping(),
    });
    const result = await untilAnswered(turn, play, (request) =>
      aside
        ? server.request(request as ServerRequest, ResultSchema, options)
        : extra.sendRequest(request as ServerRequest, ResultSchema, options),
    );
    await told();
    return result;
  }

  server.setRequestHandler(CallToolRequestSchema, ({ params }, extra) => {
    const tool = kit.tools().find(({ name }) => name === params.name);
    if (!tool) throw new McpError(-32602, `Unknown tool ${params.name}`);
    return run(extra, (turn) => tool.run(turn, params.arguments ?? {}));
  });
  server.setRequestHandler(GetPromptRequestSchema, ({ params }, extra) => {
    const prompt = kit.prompts.find(({ name }) => name === params.name);
    if (!prompt) throw new McpError(-32602, `Unknown prompt ${params.name}`);
    return run(extra, (turn) => prompt.get(params.arguments ?? {}, turn));
  });
  server.setRequestHandler(ReadResourceRequestSchema, ({ params: { uri } }) => {
    const found = readFixture(uri);
    if (!found) throw new McpError(-32002, "Resource not found", { uri });
    return found;
  });
  server.setRequestHandler(CompleteRequestSchema, ({ params }) => ({
    completion: { values: [`${params.argument.value}-completed`] },
  }));

  const subscribed = new Set<string>();
  server.setRequestHandler(SubscribeRequestSchema, ({ params }) => {
    subscribed.add(params.uri);
    return {};
  });
  server.setRequestHandler(UnsubscribeRequestSchema, ({ params }) => {
    subscribed.delete(params.uri);
    return {};
  });
  server.onclose = kit.onChange((change) => {
    if ("list" in change) {
      const method = `notifications/${change.list}/list_changed` as const;
      void server.notification({ method });
    } else if (subscribed.has(change.uri)) {
      void server.sendResourceUpdated({ uri: change.uri });
    }
  });
  return server;
}
