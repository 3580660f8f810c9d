import type {
  CompleteResult,
  GetPromptResult,
  LoggingLevel,
  Prompt as WirePrompt,
  ReadResourceResult,
  Resource as WireResource,
  ResourceTemplate as WireTemplate,
} from "@modelcontextprotocol/sdk/types.js";
import type { GatewayError } from "./errors.ts";
import type { Identity, Principal } from "./principal.ts";
import type { App, CallToolResult, Offer, Offered } from "./tool.ts";

/** Where tools, prompts and resources come from. */

/** A prompt, before it has a name in the caller's catalogue. */
export type PromptOffer = Offered & {
  /** Everything an MCP client is shown but the name. */
  prompt: Omit<WirePrompt, "name">;
};

/** Resources are known by their URIs, which nobody changes. */
export type ResourceOffer = { app: App; resource: WireResource };
export type TemplateOffer = { app: App; template: WireTemplate };

/** What a source has for one principal. One app that fails costs only itself. */
export type Listing = {
  offers: Offer[];
  prompts?: PromptOffer[];
  resources?: ResourceOffer[];
  templates?: TemplateOffer[];
  /**
   * Apps that could not be listed this time, with the sentence for the log; their last known offers stay. `error`: what
   * callers are told who ask for something of one whose offers were never known.
   */
  failed: {
    appRef: string;
    appKey: string;
    message: string;
    error?: GatewayError;
  }[];
  /** Apps that are there but offer nothing at present, such as a connection to be renewed; they keep their names. */
  idle?: { appRef: string; appKey: string }[];
};

/** From the least urgent on (RFC 5424). */
export const logLevels = [
  "debug",
  "info",
  "notice",
  "warning",
  "error",
  "critical",
  "alert",
  "emergency",
] as const satisfies readonly LoggingLevel[];
export type LogLevel = (typeof logLevels)[number];

/**
 * Instead of a result: what the caller's user, model or host has to say first (MCP 2026-07-28,
 * basic/patterns/mrtr). The source is asked again with the answers.
 */
export type InputRequired = {
  resultType: "input_required";
  /** Requests to the client by keys of the source's own: elicitation, sampling, roots. */
  inputRequests?: Record<
    string,
    { method: string; params?: Record<string, unknown> }
  >;
  /** Comes back with the answers; nobody but us can read or change it on its way. */
  requestState?: string;
  /**
   * Of a call that goes on and waits for the answers: aborted when it does not any more, and what comes of it is to be
   * had by coming back. Such a call takes refusals, too.
   */
  waiting?: AbortSignal;
};

/** What came back for an {@link InputRequired}. */
export type Input = {
  /** The client's results, by the keys of the requests; unchecked. */
  responses: Record<string, unknown>;
  state: string | null;
  /** What the client has refused, by the same keys, and why; for a call that is {@link InputRequired.waiting}. */
  refusals?: Record<string, Refusal>;
};

export type Refusal = { code: number; message: string; data?: unknown };

export type CallContext = {
  /** Aborted when the caller cancels, the deadline passes or the session ends. */
  signal: AbortSignal;
  /** Milliseconds the call may take. */
  timeoutMs: number;
  /** What the caller's client has declared that it can do. */
  capabilities: Record<string, unknown>;
  /** The answers to what this source asked for; null at first. */
  input: Input | null;
  /** The least urgent log messages that the caller wants; null for none. */
  logLevel: LogLevel | null;
  /** Tells the caller how far it is; dropped when the caller did not ask for progress. */
  progress(progress: number, total?: number, message?: string): void;
  /** Tells the caller something worth knowing; dropped when the caller did not ask for that level. */
  log(level: LogLevel, data: unknown, logger?: string): void;
  /** Tells the caller that what its user was sent to a URL for is done; dropped for one that cannot be sent to any. */
  completed(elicitationId: string): void;
  /**
   * Resolves when the call is on disk, so that a crash cannot forget it; rejects when it cannot be. Whatever has
   * an effect outside of this process waits for it first.
   */
  onRecord(): Promise<void>;
  /**
   * Closes the caller's connection while the call goes on; the caller comes back for the answer (SEP-1699).
   * Does nothing for callers that could not.
   */
  hangUp(): void;
};

/** What has happened at a source, and for whom; null for everybody. */
export type SourceChange = {
  who: Identity | null;
  /** The resource that has new contents; without it, `completed` and `log`, lists have changed. */
  uri?: string;
  /** Whose resource that is; without it, anybody's who has that URI. */
  app?: App;
  /** What a user was sent to a URL for is done. */
  completed?: string;
  /** Something that was logged outside of any call. */
  log?: { app: App; level: LogLevel; data: unknown; logger?: string };
};

/** A resource, and whose it is: two servers may use the same URI. */
export type ResourceRef = { app: App; uri: string };

/** What is to be completed. */
export type Completing = {
  of: { prompt: PromptOffer } | ResourceRef;
  argument: { name: string; value: string };
  /** The other arguments that are known already. */
  others: Record<string, string>;
};

/** A place that tools come from, and prompts and resources when it has the methods for them. */
export type Source = {
  /** Unique among sources; part of every stored name. */
  readonly id: string;
  /** True when its calls log. */
  readonly logs?: boolean;
  /**
   * Null: there is nothing to ask for this principal. Throws `unauthenticated` when the credential is refused,
   * `upstream_failed` or `timeout` when nothing could be listed.
   */
  list(principal: Principal, signal: AbortSignal): Promise<Listing | null>;
  /**
   * Runs once, never retried. A run that failed is an `isError` result; it throws only for what
   * prevented the run (`unauthenticated`, `needs_authorization`, `timeout`, `upstream_failed`, `rate_limited`).
   */
  call(
    principal: Principal,
    offer: Offer,
    args: Record<string, unknown>,
    context: CallContext,
  ): Promise<CallToolResult | InputRequired>;
  getPrompt?(
    principal: Principal,
    offer: PromptOffer,
    args: Record<string, string>,
    context: CallContext,
  ): Promise<GetPromptResult | InputRequired>;
  /** Throws `not_found` for a URI that leads to nothing. */
  readResource?(
    principal: Principal,
    resource: ResourceRef,
    context: CallContext,
  ): Promise<ReadResourceResult | InputRequired>;
  complete?(
    principal: Principal,
    completing: Completing,
    signal: AbortSignal,
  ): Promise<CompleteResult>;
  /**
   * The app with this key, when it can be shown alone under its own names: each `ref` of its offers is then a name,
   * and every URI is its own. Null for any other key, and for an app that is somebody else's. Asks nobody.
   */
  alone?(who: Identity, appKey: string): App | null;
  /** What its apps say on how to use them, as far as that is known; asks nobody. */
  instructions?(who: Identity): { app: App; text: string }[];
  /**
   * Somebody of this identity listens now: for changes of the lists, and of these resources. Replaces what was
   * listened for before; said again every few seconds, and over when it is not.
   */
  watch?(principal: Principal, resources: readonly ResourceRef[]): void;
  /** Told of what changes. */
  onChange?(listener: (change: SourceChange) => void): void;
};

export function isInputRequired(result: object): result is InputRequired {
  return "resultType" in result && result.resultType === "input_required";
}

export type { CompleteResult, GetPromptResult, ReadResourceResult };
