import { z } from "zod";
import { calling } from "../gateway.ts";
import type { Route } from "../routes.ts";
import type { Answer, Body, Operation } from "./operation.ts";
import { json } from "./operation.ts";
import { changing, registering, removed, server, servers } from "./servers.ts";

const called: Answer = json(
  "What the tool answered, also when it is an error of the tool (`isError`).",
  z
    .object({
      result: z
        .looseObject({
          content: z
            .array(z.looseObject({ type: z.string() }))
            .meta({ description: "Text, pictures, links … for a reader." }),
          structuredContent: z.record(z.string(), z.unknown()).optional(),
          isError: z.boolean().optional(),
        })
        .meta({ id: "ToolResult", description: "As MCP has it." }),
    })
    .meta({ id: "ToolCalled" }),
);

const body: Body = {
  schema: calling().meta({ id: "CallTool" }),
  optional: true,
  examples: { "With arguments": { params: { city: "Berlin" } } },
};

const tag = "Servers";
const shown = (description: string) => json(description, server, ["ETag"]);

export const gatewayOperations = {
  "GET /servers": {
    id: "listServers",
    tag,
    summary: "List the workspace's servers",
    answers: { 200: json("All of them.", servers) },
  },
  "POST /servers": {
    id: "registerServer",
    tag,
    summary: "Register a server, and connect it",
    description:
      "It is registered also when connecting fails: `state`, `setupStep` and `lastError` say what is next.",
    body: registering,
    answers: { 201: shown("The server, and what came of connecting it.") },
    errors: [409],
  },
  "GET /servers/:name": {
    id: "getServer",
    tag,
    summary: "Read a server",
    answers: { 200: shown("The server.") },
    errors: [404],
  },
  "PATCH /servers/:name": {
    id: "changeServer",
    tag,
    summary: "Change a server",
    description: "What is left out stays. Needs `If-Match`.",
    headers: ["If-Match"],
    body: changing,
    answers: { 200: shown("As it is now.") },
    errors: [404, 409, 412, 428],
  },
  "DELETE /servers/:name": {
    id: "removeServer",
    tag,
    summary: "Remove a server, and all that belongs to it",
    headers: ["If-Match"],
    answers: { 200: json("It is gone.", removed) },
    errors: [404, 409, 412],
  },
  "POST /servers/:name/tools/:tool/call": {
    id: "callServerTool",
    tag: "Tools",
    summary: "Call a tool of a server",
    body,
    answers: { 200: called },
    errors: [404, 409],
  },
  "POST /tools/:name/call": {
    id: "callTool",
    tag: "Tools",
    summary: "Call any tool of the caller's",
    path: {
      name: z
        .string()
        .meta({ description: "A tool, by the name that `/mcp` shows." }),
    },
    body,
    answers: { 200: called },
    errors: [404, 409],
  },
} as const satisfies Partial<Record<Route, Operation>>;
