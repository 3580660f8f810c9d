import { z } from "zod";

/** What the document of the API says of one route. */
export type Operation = {
  /** What generated clients call it. Nothing else has the same. */
  id: string;
  tag: keyof typeof tags;
  /** What it does, in a few words. */
  summary: string;
  /** More of it, in Markdown. */
  description?: string;
  /** Of its path, the parameters that are not what {@link pathParameters} says. */
  path?: Record<string, z.ZodType>;
  /** The schema that its query is read with. */
  query?: z.ZodObject;
  headers?: readonly (keyof typeof requestHeaders)[];
  body?: Body;
  /** By status. Those that follow from who may call it need not be named. */
  answers: Readonly<Record<number, Answer>>;
  /** Statuses of what its handler throws, beside those that follow from who may call it. */
  errors?: readonly ErrorStatus[];
  /** What its errors look like, unless they are `application/problem+json`. */
  errorsAs?: "mcp" | "page";
};

export type Body = {
  /** The schema that it is read with. */
  schema: z.ZodType;
  /** `application/json` unless said. */
  type?: string;
  optional?: boolean;
  examples?: Readonly<Record<string, unknown>>;
};

export type Answer = {
  description: string;
  /** By media type; without, there is no body. */
  content?: Readonly<Record<string, z.ZodType>>;
  /** Of content that is text with JSON in it: what each of its messages, or lines, holds. */
  each?: z.ZodType;
  headers?: readonly (keyof typeof answerHeaders)[];
};

/** Groups of routes, in the order in which they are shown. */
export const tags = {
  MCP: "The Model Context Protocol: Streamable HTTP of every revision, and plain JSON-RPC.",
  "HTTP+SSE": "MCP as clients of 2024-11-05 speak it.",
  WebSocket: "MCP and plain JSON-RPC over one connection.",
  Tools: "Tools called with one request, without MCP.",
  Servers: "Registered MCP servers, by name.",
  "Server management":
    "Registered MCP servers, by number: state, accounts, contents.",
  Accounts: "How a member connects an account of theirs, in a browser.",
  "API keys": "Credentials for programs.",
  Webhooks: "Events sent to who wants them, and taken from who sends them.",
  Events: "What has happened, and what happens.",
  Service: "The server itself.",
} as const;

/** What errors are thrown with, and why. */
export const errorStatuses = {
  400: "What was sent can never work as sent.",
  401: "No credential, or one that does not verify.",
  403: "The credential does not permit it, or the member has to connect an account first.",
  404: "There is no such thing, or it is somebody else's.",
  405: "This revision of MCP does not use this method.",
  406: "The answer would be of a type that `Accept` does not list.",
  409: "The state of the thing does not permit it at present.",
  412: "Somebody else has changed it since the `ETag` in `If-Match`.",
  413: "The body is larger than `MAX_BODY_BYTES`.",
  415: "The body is not of the type that is read here.",
  428: "The change needs `If-Match`.",
  429: "Too much, too fast.",
  500: "A fault of ours. The request id finds it in the log.",
  502: "Membrane or another server failed, or refused.",
  503: "It is expected to pass: the server is restarting, or what it needs is down.",
  504: "Membrane or another server did not answer in time.",
  508: "The request has come through this gateway before.",
} as const;
export type ErrorStatus = keyof typeof errorStatuses;

/** What stands in paths. */
export const pathParameters = {
  workspace: z.string().meta({ description: "The caller's workspace." }),
  id: z
    .int()
    .min(1)
    .meta({ description: "The number of a server.", examples: [42] }),
  name: z.string().meta({ description: "The slug of a server, or its name." }),
  tool: z.string().meta({
    description: "A tool, by the name that it has at its server.",
  }),
  server: z.string().meta({ description: "The slug of a registered server." }),
} satisfies Record<string, z.ZodType>;

export const requestHeaders = {
  "If-Match":
    "The `ETag` of the server as the caller knows it, or `*`; with any other, 412.",
  "If-None-Match": "The `ETag` that the caller has.",
  "Mcp-Session-Id": "The session, as `initialize` has answered.",
  "Mcp-Protocol-Version": "The revision of MCP that the client speaks.",
  "Last-Event-ID": "The last event that the client has seen.",
  "x-chat-id":
    "A chat of the caller's, of 1 to 256 characters. It keeps mode, apps and enabled tools.",
} as const;

export const answerHeaders = {
  ETag: "The version, for `If-Match` and `If-None-Match`.",
  Location: "Where to go on.",
  "Mcp-Session-Id": "The session that was opened; send it with every request.",
  "Retry-After": "Seconds to wait.",
  "Set-Cookie": "Binds what was begun to this browser.",
  "WWW-Authenticate":
    "What is missing (RFC 6750), and where to learn who gives credentials (RFC 9728).",
} as const;

/** JSON of this shape. */
export function json(
  description: string,
  schema: z.ZodType,
  headers: Answer["headers"] = [],
): Answer {
  return { description, content: { "application/json": schema }, headers };
}

/** A page for a person. */
export function pageOf(
  description: string,
  headers: Answer["headers"] = [],
): Answer {
  return { description, content: { "text/html": z.string() }, headers };
}

/** A moment, in UTC. */
export const time = z.string().meta({ format: "date-time" });

/** What a request is told that no route has seen. */
export const refusal = z
  .object({ error: z.string() })
  .meta({ id: "Refusal", description: "One sentence." });
