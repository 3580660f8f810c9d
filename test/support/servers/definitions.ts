import type {
  CallContext,
  GetPromptResult,
  InputRequired,
} from "../../../src/core/source.ts";
import type { CallToolResult, WireTool } from "../../../src/core/tool.ts";

/**
 * What a test server offers, in words of no SDK and no era: a tool that has a question answers with it, and is run
 * again with the answer.
 */

/** One run of a tool or a prompt. */
export type Turn = Pick<
  CallContext,
  "signal" | "capabilities" | "input" | "progress" | "log" | "hangUp"
> & {
  /** Of the HTTP request; none over stdio. */
  headers: Record<string, string>;
  /** Tells all clients that a list has changed. */
  change(what: "tools" | "prompts" | "resources"): void;
  /** Tells those who have subscribed that a resource has changed. */
  touch(uri: string): void;
  /** Tells the client that asked that a URL has been dealt with. */
  completeUrl(elicitationId: string): void;
  /** Resolves when the client has got all that was sent before, where there is one stream for everything. */
  ping(): Promise<unknown>;
};

export type Answer = CallToolResult | InputRequired;

export type ToolDefinition = {
  name: string;
  description: string;
  inputSchema?: WireTool["inputSchema"];
  run(turn: Turn, args: Record<string, unknown>): Answer | Promise<Answer>;
};

export type PromptDefinition = {
  name: string;
  description: string;
  /** All of them are required. */
  arguments?: string[];
  get(
    args: Record<string, string>,
    turn: Turn,
  ): GetPromptResult | InputRequired;
};

/** Thrown by a tool: the call is answered with a JSON-RPC error, not a result. */
export function protocolError(code: number, message: string, data?: unknown) {
  return Object.assign(new Error(message), { code, data });
}

export const text = (words: string) => ({ type: "text" as const, text: words });

export const say = (words: string): CallToolResult => ({
  content: [text(words)],
});

/** A schema of an object of these properties, all of them required. */
export const object = (properties: Record<string, object>) => ({
  type: "object" as const,
  properties,
  required: Object.keys(properties),
});

export const ask = (
  inputRequests: NonNullable<InputRequired["inputRequests"]>,
  requestState?: string,
): InputRequired => ({
  resultType: "input_required",
  inputRequests,
  ...(requestState === undefined ? {} : { requestState }),
});

export const elicit = (message: string, requestedSchema: object) => ({
  method: "elicitation/create",
  params: { mode: "form", message, requestedSchema },
});
export const sample = (prompt: string) => ({
  method: "sampling/createMessage",
  params: {
    messages: [{ role: "user", content: text(prompt) }],
    maxTokens: 100,
  },
});
export const roots = { method: "roots/list", params: {} };

export type Elicited = { action?: string; content?: Record<string, unknown> };
type Sampled = { content?: { text?: string } };
type Rooted = { roots?: { uri: string }[] };

export const elicited = ({ input }: Turn, key: string) =>
  input?.responses[key] as Elicited | undefined;
/** What the user has put into a form, if that was accepted. */
export function accepted(turn: Turn, key: string) {
  const { action, content } = elicited(turn, key) ?? {};
  return action === "accept" ? content : undefined;
}
export const sampled = ({ input }: Turn, key: string) =>
  (input?.responses[key] as Sampled | undefined)?.content?.text;
export const rooted = ({ input }: Turn, key: string) =>
  (input?.responses[key] as Rooted | undefined)?.roots;
