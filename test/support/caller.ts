import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

/** Talks MCP to a server, by hand and with the official client. */
export type Caller = {
  /** The official client, connected. */
  connect(user: string, options?: ConnectOptions): Promise<Connected>;
  /** One JSON-RPC message by hand. `user` may be a token, or an API key. */
  post(
    user: string | null,
    message: unknown,
    headers?: Record<string, string>,
    path?: string,
  ): Promise<Answer>;
  /** `initialize` by hand; the session id. */
  open(
    user: string,
    headers?: Record<string, string>,
    path?: string,
  ): Promise<string>;
  /** A request whose answer is read as it comes. */
  start(
    user: string,
    message: unknown,
    headers?: Record<string, string>,
    path?: string,
  ): Promise<Listener>;
  /** A GET that stays open. */
  listen(
    user: string,
    headers?: Record<string, string>,
    path?: string,
  ): Promise<Listener>;
  /** Closes what is open. */
  close(): Promise<void>;
};

export type ConnectOptions = {
  path?: string;
  headers?: Record<string, string>;
  sse?: boolean;
};
export type Connected = {
  client: Client;
  close(): Promise<void>;
  sessionId(): string | undefined;
};
export type Answer = {
  status: number;
  headers: Headers;
  text: string;
  /** The JSON body, or the last message of a stream. */
  body: any;
  events: SseEvent[];
};
export type SseEvent = {
  id?: string;
  event?: string;
  data?: string;
  retry?: string;
};
export type Listener = {
  status: number;
  events: SseEvent[];
  /** What came that is no event. */
  text(): string;
  /** Waits for the event that the test asks for; rejects when the stream ends first. */
  until(found: (event: SseEvent) => boolean): Promise<SseEvent>;
  /** Resolves when the server has closed the stream. */
  ended: Promise<void>;
  close(): void;
};

export const PROTOCOL = "2025-11-25";

export function parseEvents(text: string): SseEvent[] {
  return text
    .split("\n\n")
    .map((block) => {
      const event: SseEvent = {};
      for (const line of block.split("\n")) {
        const match = /^(id|event|data|retry): ?(.*)$/.exec(line);
        if (match) event[match[1] as keyof SseEvent] = match[2]!;
      }
      return event;
    })
    .filter((event) => Object.keys(event).length > 0);
}

export function createCaller(
  url: string,
  tokenFor: (user: string) => Promise<string>,
): Caller {
  const open: { close(): unknown }[] = [];
  const authorization = async (
    user: string | null,
  ): Promise<Record<string, string>> =>
    user === null
      ? {}
      : user.startsWith("mcpk_")
        ? { "x-api-key": user }
        : {
            authorization: `Bearer ${user.includes(".") ? user : await tokenFor(user)}`,
          };

  const post: Caller["post"] = async (
    user,
    message,
    headers = {},
    path = "/mcp",
  ) => {
    const response = await fetch(url + path, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        ...(await authorization(user)),
        ...headers,
      },
      body: typeof message === "string" ? message : JSON.stringify(message),
    });
    const text = await response.text();
    const type = response.headers.get("content-type") ?? "";
    const events = type.startsWith("text/event-stream")
      ? parseEvents(text)
      : [];
    const json = type.includes("json")
      ? text
      : events.findLast(({ data }) => data)?.data;
    return {
      status: response.status,
      headers: response.headers,
      text,
      events,
      body: json ? JSON.parse(json) : undefined,
    };
  };

  return {
    post,
    async connect(user, { path, headers = {}, sse = false } = {}) {
      const client = new Client(
        { name: "test", version: "1.0.0" },
        { capabilities: { roots: { listChanged: true } } },
      );
      const target = new URL(url + (path ?? (sse ? "/sse" : "/mcp")));
      const requestInit = {
        headers: { ...(await authorization(user)), ...headers },
      };
      const transport = sse
        ? new SSEClientTransport(target, {
            requestInit,
            eventSourceInit: {
              fetch: (input, init) =>
                fetch(input, {
                  ...(init as RequestInit),
                  headers: {
                    ...requestInit.headers,
                    accept: "text/event-stream",
                  },
                }),
            },
          })
        : new StreamableHTTPClientTransport(target, { requestInit });
      await client.connect(transport as never);
      open.push(client);
      return {
        client,
        close: () => client.close(),
        sessionId: () => (transport as { sessionId?: string }).sessionId,
      };
    },
    async open(user, headers = {}, path = "/mcp") {
      const answer = await post(user, initialize(), headers, path);
      if (answer.status !== 200)
        throw new Error(`${answer.status} ${answer.text}`);
      return answer.headers.get("mcp-session-id")!;
    },
    async start(user, message, headers = {}, path = "/mcp") {
      const controller = new AbortController();
      const response = await fetch(url + path, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          ...(await authorization(user)),
          ...headers,
        },
        body: JSON.stringify(message),
        signal: controller.signal,
      });
      const listener = listenTo(response, controller);
      open.push(listener);
      return listener;
    },
    async listen(user, headers = {}, path = "/mcp") {
      const controller = new AbortController();
      const response = await fetch(url + path, {
        headers: {
          accept: "text/event-stream",
          ...(await authorization(user)),
          ...headers,
        },
        signal: controller.signal,
      });
      const listener = listenTo(response, controller);
      open.push(listener);
      return listener;
    },
    async close() {
      for (const one of open) await one.close();
    },
  };
}

function listenTo(response: Response, controller: AbortController): Listener {
  const events: SseEvent[] = [];
  let wake = () => {};
  let over = false;
  let rest = "";
  const ended = (async () => {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? []) {
        rest += decoder.decode(chunk, { stream: true });
        const end = rest.lastIndexOf("\n\n");
        if (end < 0) continue;
        events.push(...parseEvents(rest.slice(0, end)));
        rest = rest.slice(end + 2);
        wake();
      }
    } catch {
      // Closed from this side, or cut off.
    }
    over = true;
    wake();
  })();
  return {
    status: response.status,
    events,
    text: () => rest,
    ended,
    async until(found) {
      for (;;) {
        const event = events.find(found);
        if (event) return event;
        if (over)
          throw new Error(`The stream has ended: ${JSON.stringify(events)}`);
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    close: () => controller.abort(),
  };
}

export function initialize(protocolVersion = PROTOCOL) {
  return {
    jsonrpc: "2.0",
    id: 0,
    method: "initialize",
    params: {
      protocolVersion,
      capabilities: {},
      clientInfo: { name: "test", version: "1" },
    },
  };
}

export function call(
  name: string,
  args: unknown = {},
  id: string | number = 1,
  meta?: object,
) {
  return {
    jsonrpc: "2.0",
    id,
    method: "tools/call",
    params: { name, arguments: args, ...(meta ? { _meta: meta } : {}) },
  };
}

export const listTools = { jsonrpc: "2.0", id: 2, method: "tools/list" };

/** What JSON-RPC messages the events of a stream carry. */
export function messages(events: SseEvent[]): any[] {
  return events.filter(({ data }) => data).map(({ data }) => JSON.parse(data!));
}
