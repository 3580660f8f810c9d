import { z } from "zod";
import { once } from "../../core/once.ts";
import { shapes } from "../../core/registration.ts";
import { authTypes, transports } from "../../core/upstream.ts";
import type { Route } from "../routes.ts";
import {
  approval,
  disabling,
  discovery,
  linking,
  nothing,
  sorting,
} from "../servers.ts";
import type { Body, Operation } from "./operation.ts";
import { json, time } from "./operation.ts";

const text = z.string().nullable();
const uri = z.string().meta({ format: "uri" });
const authType = z.enum(authTypes);
const item = z.record(z.string(), z.unknown());

export const server = z
  .object({
    id: z.int(),
    uuid: z.string().meta({ format: "uuid" }),
    workspaceUuid: z.string(),
    name: z.string(),
    slug: z.string(),
    description: text,
    url: uri,
    transport: z.enum(transports),
    state: z.enum(["register", "authorize", "ready"]),
    enabled: z.boolean(),
    authType,
    appUuid: text,
    iconUrl: uri.nullable(),
    connected: z
      .boolean()
      .meta({ description: "Whether the caller can use it as it is." }),
    memberCount: z.int(),
    serverInfo: z
      .object({ name: z.string(), version: z.string() })
      .nullable()
      .meta({ description: "What it said of itself." }),
    protocolVersion: text,
    capabilities: item.nullable(),
    instructions: text,
    oauth: z
      .object({
        issuer: text,
        clientId: text,
        registration: z.enum(["cimd", "dcr", "manual"]).nullable(),
        scopes: z.array(z.string()),
        hasClientSecret: z.boolean(),
      })
      .nullable(),
    setupStep: z
      .enum(["connect", "register_client", "authorize", "add_credentials"])
      .nullable(),
    lastCheckedAt: time.nullable(),
    lastLatencyMs: z.number().nullable(),
    lastError: z
      .object({ code: z.string(), message: z.string(), at: time })
      .nullable(),
    createdAt: time,
    updatedAt: time,
    createdByMemberId: text,
  })
  .meta({ id: "McpServer", description: "Never with a secret in it." });

export const servers = z.array(server).meta({ id: "McpServers" });

export const removed = z
  .object({ success: z.literal(true), id: z.int() })
  .meta({ id: "ServerRemoved" });

/** What somebody registers. */
export const registering: Body = {
  schema: shapes().registration.meta({ id: "RegisterServer" }),
  examples: {
    "A shared token": {
      name: "weather",
      url: "https://weather.example.com/mcp",
      authentication: { type: "bearer", token: "s3cret" },
    },
    "Each member logs in": {
      name: "linear",
      url: "https://mcp.linear.app/mcp",
      authentication: { type: "oauth" },
    },
  },
};

export const changing: Body = {
  schema: shapes().registrationChange.meta({ id: "ChangeServer" }),
  examples: { "Another description": { description: "Forecasts" } },
  optional: true,
};

const discovered = z
  .object({
    requiresAuth: z.boolean(),
    resource: text,
    resourceMetadataUrl: text,
    authorizationServers: z.array(z.string()),
    issuer: text,
    authorizationEndpoint: text,
    tokenEndpoint: text,
    registrationEndpoint: text,
    revocationEndpoint: text,
    scopesSupported: z.array(z.string()),
    codeChallengeMethodsSupported: z.array(z.string()),
    tokenEndpointAuthMethodsSupported: z.array(z.string()),
    supportsDynamicRegistration: z.boolean(),
    supportsClientIdMetadataDocument: z.boolean(),
    error: text,
  })
  .meta({ id: "OAuthDiscovery" });

const memberFields = {
  memberId: z.string(),
  name: text,
  authType,
  status: z.enum(["active", "expired", "revoked"]),
  connectedAt: time,
  expiresAt: time.nullable(),
  lastUsedAt: time.nullable(),
};
const members = z
  .array(z.object(memberFields).meta({ id: "McpServerMember" }))
  .meta({ id: "McpServerMembers" });
const linked = z
  .object({ success: z.literal(true), serverId: z.int(), ...memberFields })
  .meta({ id: "McpServerLinked" });

const tested = z
  .object({
    success: z.boolean(),
    latencyMs: z.number(),
    negotiationPath: z.enum(["server_discover", "initialize"]).nullable(),
    protocolVersion: text,
    serverName: text,
    serverVersion: text,
    capabilities: item.nullable(),
    componentCounts: z
      .object({
        tools: z.int(),
        prompts: z.int(),
        resources: z.int(),
        resourceTemplates: z.int(),
      })
      .nullable(),
    failureClass: z
      .enum(["transport", "protocol", "auth", "invalid_response"])
      .nullable(),
    error: text,
    server,
  })
  .meta({ id: "McpServerTest" });

/** When the server gave it, and whether that is what it listed last, because it does not answer now. */
const listed = { fetchedAt: time, stale: z.boolean() };
const tools = z
  .object({
    tools: z.array(
      z
        .looseObject({
          hash: z.string().meta({
            description: "Of the definition, for approving it.",
          }),
          status: z.enum(["approved", "changed"]),
          suspicious: z.array(z.string()),
        })
        .meta({
          id: "McpServerTool",
          description:
            "The tool as its server lists it, and what is to be thought of it.",
        }),
    ),
    pinned: z.boolean(),
    ...listed,
  })
  .meta({ id: "McpServerTools" });
const prompts = z
  .object({ prompts: z.array(item), ...listed })
  .meta({ id: "McpServerPrompts" });
const resources = z
  .object({
    resources: z.array(item),
    resourceTemplates: z.array(item),
    ...listed,
  })
  .meta({ id: "McpServerResources" });

const approved = z
  .object({ success: z.literal(true), tool: z.string(), hash: z.string() })
  .meta({ id: "ToolApproved" });

const tag = "Server management";
const shown = (description: string) => json(description, server, ["ETag"]);

const listing = (id: string) =>
  ({
    id,
    tag,
    summary: "List the workspace's servers",
    query: sorting(),
    answers: { 200: json("All of them.", servers) },
  }) satisfies Operation;
const listingTools = (id: string) =>
  ({
    id,
    tag,
    summary: "List a server's tools",
    answers: { 200: json("As it lists them for the caller.", tools) },
    errors: [404, 409],
  }) satisfies Operation;
const empty = once((): Body => ({
  schema: nothing().meta({ id: "Nothing" }),
  optional: true,
}));

export const serverOperations = {
  "GET /api/v2/w/:workspace/mcp-servers": listing("listMcpServers"),
  "GET /api/v2/w/:workspace/app-connections/mcp-servers": listing(
    "listAppConnectionServers",
  ),
  "GET /app-connections/mcp-servers": listing("listOwnAppConnectionServers"),
  "POST /api/v2/w/:workspace/mcp-servers": {
    id: "createMcpServer",
    tag,
    summary: "Register a server, turned off",
    body: registering,
    answers: { 201: shown("As it is registered.") },
    errors: [409],
  },
  "POST /api/v2/w/:workspace/mcp-servers/oauth-discovery": {
    id: "discoverOAuth",
    tag,
    summary: "Learn what a URL says of OAuth",
    body: {
      schema: discovery().meta({ id: "DiscoverOAuth" }),
      examples: { "A server": { url: "https://mcp.linear.app/mcp" } },
    },
    answers: {
      200: json("What there is; `error` says what is not.", discovered),
    },
  },
  "GET /api/v2/w/:workspace/mcp-servers/:id": {
    id: "getMcpServer",
    tag,
    summary: "Read a server",
    answers: { 200: shown("The server.") },
  },
  "PATCH /api/v2/w/:workspace/mcp-servers/:id": {
    id: "changeMcpServer",
    tag,
    summary: "Change a server",
    description: "What is left out stays. Needs `If-Match`.",
    headers: ["If-Match"],
    body: changing,
    answers: { 200: shown("As it is now.") },
    errors: [409, 412, 428],
  },
  "DELETE /api/v2/w/:workspace/mcp-servers/:id": {
    id: "removeMcpServer",
    tag,
    summary: "Remove a server, and all that belongs to it",
    headers: ["If-Match"],
    answers: { 200: json("It is gone.", removed) },
    errors: [409, 412],
  },
  "POST /api/v2/w/:workspace/mcp-servers/:id/credentials": {
    id: "linkMcpServer",
    tag,
    summary: "Connect the caller to a server of `direct_auth`",
    body: {
      schema: linking().meta({ id: "LinkServer" }),
      optional: true,
      examples: { "A token of one's own": { token: "s3cret" } },
    },
    answers: { 200: json("The connection.", linked) },
    errors: [409],
  },
  "POST /api/v2/w/:workspace/mcp-servers/:id/enable": {
    id: "enableMcpServer",
    tag,
    summary: "Turn a server on; connect it first when that has never worked",
    headers: ["If-Match"],
    body: empty(),
    answers: {
      200: shown("What came of it: see `state`, `setupStep` and `lastError`."),
    },
    errors: [409, 412],
  },
  "POST /api/v2/w/:workspace/mcp-servers/:id/disable": {
    id: "disableMcpServer",
    tag,
    summary: "Turn a server off",
    query: disabling(),
    headers: ["If-Match"],
    body: empty(),
    answers: { 200: shown("As it is now.") },
    errors: [409, 412],
  },
  "POST /api/v2/w/:workspace/mcp-servers/:id/test": {
    id: "testMcpServer",
    tag,
    summary: "Try to connect to a server",
    description:
      "With `apps:write`, what comes of it is kept: one that succeeds makes the server ready and turns it on.",
    body: empty(),
    answers: { 200: json("How it went, either way.", tested) },
    errors: [409],
  },
  "GET /api/v2/w/:workspace/mcp-servers/:id/tools":
    listingTools("listMcpServerTools"),
  "GET /api/v2/w/:workspace/app-connections/mcp-servers/:id/tools":
    listingTools("listAppConnectionTools"),
  "GET /app-connections/mcp-servers/:id/tools": listingTools(
    "listOwnAppConnectionTools",
  ),
  "POST /api/v2/w/:workspace/mcp-servers/:id/tools/:tool/approve": {
    id: "approveTool",
    tag,
    summary: "Approve what a tool is now",
    description:
      "For a `pinned` server: a tool that has changed is not called before.",
    body: { schema: approval().meta({ id: "ApproveTool" }) },
    answers: { 200: json("It may be called.", approved) },
  },
  "GET /api/v2/w/:workspace/mcp-servers/:id/prompts": {
    id: "listMcpServerPrompts",
    tag,
    summary: "List a server's prompts",
    answers: { 200: json("As it lists them for the caller.", prompts) },
    errors: [409],
  },
  "GET /api/v2/w/:workspace/mcp-servers/:id/resources": {
    id: "listMcpServerResources",
    tag,
    summary: "List a server's resources and their templates",
    answers: { 200: json("As it lists them for the caller.", resources) },
    errors: [409],
  },
  "GET /api/v2/w/:workspace/mcp-servers/:id/members": {
    id: "listMcpServerMembers",
    tag,
    summary: "List who has connected",
    answers: { 200: json("Never with a token.", members) },
  },
  "GET /api/v2/w/:workspace/mcp-servers/:id/icon": {
    id: "getMcpServerIcon",
    tag,
    summary: "The icon of a server",
    description: "Where `iconUrl` leads.",
    path: { id: z.string() },
    query: z.object({ token: z.string().optional() }),
    headers: ["If-None-Match"],
    answers: {
      200: {
        description: "The picture.",
        content: { "image/*": z.string().meta({ format: "binary" }) },
        headers: ["ETag"],
      },
      304: {
        description: "It is the one that the caller has.",
        headers: ["ETag"],
      },
      404: json(
        "There is none, or the token is not of it.",
        z.object({ error: z.string() }),
      ),
    },
    errors: [429],
  },
} as const satisfies Partial<Record<Route, Operation>>;
