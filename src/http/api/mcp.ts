import { z } from "zod";
import { limitNames } from "../../core/limit.ts";
import { chatId, modes } from "../../core/session.ts";
import type { Route } from "../routes.ts";
import type { Answer, Body, Operation } from "./operation.ts";
import { json, refusal } from "./operation.ts";

const params = z.record(z.string(), z.unknown());
const id = z.union([z.string().max(256), z.int()]);

const request = z
  .object({
    jsonrpc: z.literal("2.0"),
    method: z.string().max(256),
    params: params.optional(),
    id,
  })
  .meta({ id: "MCPRequest", description: "A request of JSON-RPC 2.0." });

const notification = z
  .object({
    jsonrpc: z.literal("2.0"),
    method: z.string().max(256),
    params: params.optional(),
  })
  .meta({
    id: "MCPNotification",
    description: "A notification: it has no id, and is not answered.",
  });

export const limit = z
  .enum(limitNames)
  .meta({ id: "Limit", description: "Which limit was met." });

const error = z
  .object({
    code: z.int().meta({
      description: "-32000: may be tried again, with a back-off.",
    }),
    message: z.string(),
    data: z
      .union([
        z.looseObject({
          limit: limit.optional(),
          retryAfterMs: z.number().optional(),
          requestId: z.string().optional(),
        }),
        z.unknown(),
      ])
      .optional(),
  })
  .meta({ id: "MCPErrorObject" });

const result = z
  .object({
    jsonrpc: z.literal("2.0"),
    id,
    result: z.record(z.string(), z.unknown()),
  })
  .meta({ id: "MCPResult" });

export const mcpErrorMessage = z
  .object({ jsonrpc: z.literal("2.0"), id: id.nullable(), error })
  .meta({ id: "MCPError" });

const response = z.union([result, mcpErrorMessage]).meta({
  id: "MCPResponse",
  description: "The answer to a request of JSON-RPC 2.0.",
});

const message = z.union([request, notification, response]);

const body: Body = {
  schema: z.union([message, z.array(message).min(1).max(100)]),
  examples: {
    "List tools": { jsonrpc: "2.0", id: 1, method: "tools/list" },
    "Call a tool": {
      jsonrpc: "2.0",
      id: 2,
      method: "tools/call",
      params: { name: "notes_list-notes", arguments: {} },
    },
    "Open a session": {
      jsonrpc: "2.0",
      id: 3,
      method: "initialize",
      params: {
        protocolVersion: "2025-11-25",
        capabilities: {},
        clientInfo: { name: "my-app", version: "1.0.0" },
      },
    },
  },
};

const events = z
  .string()
  .meta({ description: "Server-sent events with JSON-RPC messages." });

const streamed = (description: string): Answer => ({
  description,
  content: { "text/event-stream": events },
});

const asked = z.object({
  mode: z.enum(modes).optional().meta({
    description: "Which tools are shown: `static` unless said.",
  }),
  apps: z.string().optional().meta({
    description: "Only the tools of these apps and servers: `gmail,notes`.",
  }),
  chat: chatId.optional().meta({ description: "As `x-chat-id`." }),
  token: z.string().optional().meta({
    description:
      "For clients that cannot send headers, in the place of one; `TOKEN_IN_QUERY=false` refuses it.",
  }),
});

const session = [
  "Mcp-Session-Id",
  "Mcp-Protocol-Version",
  "x-chat-id",
] as const;

const door = (path: string, of: string) =>
  ({
    post: {
      id: `postMcp${of}`,
      tag: "MCP",
      summary: `Send a JSON-RPC message${path}`,
      description:
        "With `Content-Type` alone: one request, one answer, no handshake and no session. With `text/event-stream` in `Accept` it is Streamable HTTP: `initialize` first, or a request of revision 2026-07-28. An error with the code -32000 may be tried again.",
      query: asked,
      headers: session,
      body,
      answers: {
        200: {
          description: "The answer; or a stream that it comes on.",
          content: {
            "application/json": z.union([response, z.array(response)]),
            "text/event-stream": events,
          },
          headers: ["Mcp-Session-Id"],
        },
        202: { description: "A notification, or an answer, was taken." },
      },
      errors: [404, 406, 409],
      errorsAs: "mcp",
    },
    get: {
      id: `listenMcp${of}`,
      tag: "MCP",
      summary: `Listen to a session${path}`,
      description:
        "The session's own stream; with `Last-Event-ID` the rest of the stream that the event is of.",
      query: asked,
      headers: [...session, "Last-Event-ID"],
      answers: {
        200: streamed("What the server has to say."),
        204: { description: "That stream has ended, and all of it was seen." },
      },
      errors: [404, 405, 406, 409],
      errorsAs: "mcp",
    },
    delete: {
      id: `endMcp${of}`,
      tag: "MCP",
      summary: `End a session${path}`,
      query: asked,
      headers: session,
      answers: { 200: { description: "It has ended." } },
      errors: [404, 405],
      errorsAs: "mcp",
    },
  }) satisfies Record<string, Operation>;

const socket = (path: string, of: string) =>
  ({
    id: `openSocket${of}`,
    tag: "WebSocket",
    summary: `Open a WebSocket${path}`,
    description:
      "JSON-RPC, one message a text frame, in both directions; with `initialize` or without. Pages, which cannot send headers, offer the subprotocols `mcp` and `bearer.<token>`.",
    query: asked.extend({
      session: z
        .string()
        .optional()
        .meta({ description: "As `Mcp-Session-Id`." }),
      lastEventId: z
        .string()
        .optional()
        .meta({ description: "As `Last-Event-ID`." }),
    }),
    headers: ["Mcp-Session-Id", "x-chat-id", "Last-Event-ID"],
    answers: {
      101: { description: "It speaks WebSocket from now on." },
      426: json("The request asks for no WebSocket.", refusal),
    },
    errors: [404],
    errorsAs: "mcp",
  }) satisfies Operation;

const all = door("", "");
const one = door(" of one server", "Server");

export const mcpOperations = {
  "POST /mcp": all.post,
  "GET /mcp": all.get,
  "DELETE /mcp": all.delete,
  "POST /mcp/:server": one.post,
  "GET /mcp/:server": one.get,
  "DELETE /mcp/:server": one.delete,
  "GET /ws": socket("", ""),
  "GET /ws/:server": socket(" to one server", "Server"),
  "GET /mcp/sessions": {
    id: "listChats",
    tag: "MCP",
    summary: "List the caller's chats",
    answers: {
      200: json(
        "The session of each chat.",
        z.record(z.string(), z.string()).meta({ id: "Chats" }),
      ),
    },
    errorsAs: "mcp",
  },
  "GET /sse": {
    id: "openSse",
    tag: "HTTP+SSE",
    summary: "Open a session and its stream",
    description: "The first event says where to post.",
    query: asked,
    headers: ["x-chat-id", "Last-Event-ID"],
    answers: { 200: streamed("What the server has to say.") },
    errors: [404, 406, 409],
    errorsAs: "mcp",
  },
  "POST /sse/messages": {
    id: "postSse",
    tag: "HTTP+SSE",
    summary: "Send a JSON-RPC message",
    description: "The URL is that of the `endpoint` event.",
    query: z.object({
      sessionId: z.string(),
      ticket: z.string().optional().meta({
        description: "In the place of a credential, while the stream is open.",
      }),
    }),
    body,
    answers: {
      202: {
        description: "It was taken; the answer comes on the stream.",
        content: { "text/plain": z.string() },
      },
    },
    errors: [404],
    errorsAs: "mcp",
  },
} as const satisfies Partial<Record<Route, Operation>>;
