import {
  Client,
  StreamableHTTPClientTransport,
} from "@modelcontextprotocol/client";
import { SSEClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport as OldSse } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport as OldStdio } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as OldHttp } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import type { CallToolResult } from "../../src/core/tool.ts";
import { VERSION } from "./stateless.ts";

/** The official clients of every kind, all used alike. */
export type McpClient = AsyncDisposable & {
  /** What both SDKs' clients have in common. */
  client: Pick<
    Client,
    | "complete"
    | "getInstructions"
    | "getPrompt"
    | "getServerCapabilities"
    | "getServerVersion"
    | "listPrompts"
    | "listResources"
    | "listResourceTemplates"
    | "listTools"
    | "ping"
    | "readResource"
    | "setLoggingLevel"
    | "subscribeResource"
    | "unsubscribeResource"
  >;
  call(
    name: string,
    args?: Record<string, unknown>,
    options?: CallOptions,
  ): Promise<CallToolResult>;
  /** The first text of what a call answers; a failed one rejects with it. */
  text(
    name: string,
    args?: Record<string, unknown>,
    options?: CallOptions,
  ): Promise<string>;
  toolNames(): Promise<string[]>;
  /** Listens for changes of the lists and of these resources, in the way of its era. */
  watch(...uris: string[]): Promise<void>;
  /** Every notification that came, but for progress. */
  heard: Notification[];
  /** The first notification that matches, now or later. */
  until(found: (notification: Notification) => boolean): Promise<Notification>;
  sessionId(): string | undefined;
};

type Notification = { method: string; params?: any };

export type CallOptions = {
  progress?(progress: {
    progress: number;
    total?: number | undefined;
    message?: string | undefined;
  }): void;
  signal?: AbortSignal;
  timeoutMs?: number;
  /** Of this call; stateless only. */
  logLevel?: string;
};

export type McpClientOptions = {
  /**
   * `v1`: `@modelcontextprotocol/sdk`, which has sessions only; the others are `@modelcontextprotocol/client`. Unless
   * said, it finds out which era the server speaks.
   */
  kind?: "v1" | "legacy" | "stateless" | "auto";
  /** HTTP+SSE. */
  sse?: boolean;
  /** WebSocket; `v1` only. */
  ws?: boolean;
  token?: string;
  headers?: Record<string, string>;
  /** Its user's answer to forms and URLs; without it, the client cannot be asked. */
  elicit?(params: any): Elicited | Promise<Elicited>;
  /** What its model says; without it, the client cannot be asked. */
  sample?(params: any): string | Promise<string>;
  /** Without them, the client has none to tell of. */
  roots?: { uri: string; name?: string }[];
};
type Elicited = {
  action: "accept" | "decline" | "cancel";
  content?: Record<string, any>;
};

/** A program that is started for this client alone. */
export type Command = {
  command: string;
  args: string[];
  env?: Record<string, string>;
};

export async function openMcpClient(
  target: string | Command,
  options: McpClientOptions = {},
): Promise<McpClient> {
  const { kind = "auto", sse = false, token, elicit, sample, roots } = options;
  const requestInit = {
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...options.headers,
    },
  };
  const info = { name: `test-${kind}`, version: "1.0.0" };
  const capabilities = {
    ...(elicit ? { elicitation: { form: {}, url: {} } } : {}),
    ...(sample ? { sampling: {} } : {}),
    ...(roots ? { roots: { listChanged: true } } : {}),
  };
  const onElicit = async ({ params }: { params: unknown }) => elicit!(params);
  const onSample = async ({ params }: { params: unknown }) => ({
    role: "assistant" as const,
    model: "test",
    content: { type: "text" as const, text: await sample!(params) },
  });
  const onRoots = () => ({ roots: roots! });

  const heard: Notification[] = [];
  const waiting = new Set<() => void>();
  const hear = async (notification: Notification) => {
    heard.push(notification);
    for (const wake of waiting) wake();
  };

  const opened = kind === "v1" ? await openOld() : await openNew();

  async function openOld() {
    const client = new OldClient(info, { capabilities });
    if (elicit) client.setRequestHandler(ElicitRequestSchema, onElicit);
    if (sample) client.setRequestHandler(CreateMessageRequestSchema, onSample);
    if (roots) client.setRequestHandler(ListRootsRequestSchema, onRoots);
    client.fallbackNotificationHandler = hear;
    const transport =
      typeof target !== "string"
        ? new OldStdio({ ...target, stderr: "inherit" })
        : options.ws
          ? new WebSocketClientTransport(socketUrl(target, token))
          : sse
            ? new OldSse(new URL(target), { requestInit })
            : new OldHttp(new URL(target), { requestInit });
    await client.connect(transport as never);
    return {
      client: client as unknown as McpClient["client"],
      call: (params: object, options: object) =>
        client.callTool(params as never, undefined, options),
      watch: async (uris: string[]) => {
        for (const uri of uris) await client.subscribeResource({ uri });
      },
      sessionId: () => (transport as { sessionId?: string }).sessionId,
      close: () => client.close(),
    };
  }

  async function openNew() {
    const client = new Client(info, {
      capabilities,
      versionNegotiation: {
        mode:
          kind === "stateless"
            ? { pin: VERSION }
            : kind === "legacy"
              ? "legacy"
              : "auto",
      },
    });
    if (elicit) client.setRequestHandler("elicitation/create", onElicit);
    if (sample) client.setRequestHandler("sampling/createMessage", onSample);
    if (roots) client.setRequestHandler("roots/list", onRoots);
    client.fallbackNotificationHandler = hear;
    const transport =
      typeof target !== "string"
        ? new StdioClientTransport({ ...target, stderr: "inherit" })
        : sse
          ? new SSEClientTransport(new URL(target), { requestInit })
          : new StreamableHTTPClientTransport(new URL(target), { requestInit });
    await client.connect(transport);
    return {
      client,
      call: (params: object, options: object) =>
        client.callTool(params as never, options),
      watch: async (uris: string[]) => {
        if (client.getProtocolEra() === "modern") {
          await client.listen({
            toolsListChanged: true,
            promptsListChanged: true,
            resourcesListChanged: true,
            resourceSubscriptions: uris,
          });
        } else {
          for (const uri of uris) await client.subscribeResource({ uri });
        }
      },
      sessionId: () => (transport as { sessionId?: string }).sessionId,
      close: () => client.close(),
    };
  }

  const call: McpClient["call"] = async (name, args = {}, options = {}) =>
    (await opened.call(
      {
        name,
        arguments: args,
        ...(options.logLevel === undefined
          ? {}
          : {
              _meta: {
                "io.modelcontextprotocol/logLevel": options.logLevel,
              },
            }),
      },
      {
        ...(options.progress ? { onprogress: options.progress } : {}),
        ...(options.signal ? { signal: options.signal } : {}),
        ...(options.timeoutMs ? { timeout: options.timeoutMs } : {}),
      },
    )) as CallToolResult;

  return {
    client: opened.client,
    call,
    async text(name, args, options) {
      const { content, isError } = await call(name, args, options);
      const first = content[0];
      const words = first?.type === "text" ? first.text : "";
      if (isError) throw new Error(words);
      return words;
    },
    toolNames: async () =>
      (await opened.client.listTools()).tools.map(({ name }) => name),
    watch: (...uris) => opened.watch(uris),
    heard,
    async until(found) {
      for (;;) {
        const match = heard.find(found);
        if (match) return match;
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.add(resolve);
        await promise;
        waiting.delete(resolve);
      }
    },
    sessionId: opened.sessionId,
    [Symbol.asyncDispose]: () => opened.close(),
  };
}

/** Its transport can say who it is in the URL alone. */
function socketUrl(target: string, token: string | undefined): URL {
  const url = new URL(target.replace(/^http/, "ws"));
  if (token !== undefined) url.searchParams.set("token", token);
  return url;
}
