import type {
  CallToolResult,
  Tool as WireTool,
} from "@modelcontextprotocol/sdk/types.js";
import type { Principal } from "./principal.ts";

/** The app (or server) an offer comes from. `ref` tells two connections of one app apart. */
export type App = {
  /** Stable id of the connection, unique within its source. */
  ref: string;
  /** What `apps=` selects and names begin with, for example `gmail`. */
  key: string;
  /** Display name, for example `Gmail`. */
  name: string;
};

/** Something a source can run for a caller, before it has a name in the caller's catalogue. */
export type Offer = {
  app: App;
  /** Stable id of the action within its app. */
  ref: string;
  /** The action's own key; null when it has none and its name is all there is. */
  key: string | null;
  /** Display name of the action. */
  name: string;
  /** Everything an MCP client is shown but the name. */
  tool: Omit<WireTool, "name">;
};

/** What a source has for one principal. One app that fails costs only itself. */
export type Listing = {
  offers: Offer[];
  /** Apps that could not be listed this time, with the sentence for the log; their last known offers stay. */
  failed: { appRef: string; appKey: string; message: string }[];
  /** Apps that are there but offer nothing at present, such as a connection to be renewed; they keep their names. */
  idle?: { appRef: string; appKey: string }[];
};

export type CallContext = {
  /** Aborted when the caller cancels, the deadline passes or the session ends. */
  signal: AbortSignal;
  /** Milliseconds the call may take. */
  timeoutMs: number;
  /** Tells the caller how far it is; dropped when the caller did not ask for progress. */
  progress(progress: number, total?: number, message?: string): void;
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

/** A place that tools come from. */
export type ToolSource = {
  /** Unique among sources; part of every stored name. */
  readonly id: string;
  /** Throws `unauthenticated` when the credential is refused, `upstream_failed` or `timeout` when nothing could be listed. */
  list(principal: Principal, signal: AbortSignal): Promise<Listing>;
  /**
   * Runs once, never retried. A run that failed is an `isError` result; it throws only for what
   * prevented the run (`unauthenticated`, `needs_authorization`, `timeout`, `upstream_failed`, `rate_limited`).
   */
  call(
    principal: Principal,
    offer: Offer,
    args: Record<string, unknown>,
    context: CallContext,
  ): Promise<CallToolResult>;
};

/** An offer under the name its caller knows it by. */
export type Tool = {
  name: string;
  source: string;
  offer: Offer;
};

/** Longest tool name that every known client accepts. */
export const MAX_TOOL_NAME = 64;

/** Exposed names that no app can take. */
export const ENABLE_TOOLS = "enable-tools";
export const SEARCH_TOOLS = "search-tools";
export const CALL_TOOL = "call-tool";

/** Finds tools by what somebody wants to do. */
export type ToolIndex = {
  /** Names, the best first; `apps`: of these apps only. */
  search(
    query: string,
    apps: readonly string[] | null,
    limit: number,
  ): string[];
};
export type BuildIndex = (tools: readonly Tool[]) => ToolIndex;

/** A key as it may stand in a tool name: `[A-Za-z0-9_-]`, never empty. */
export function nameSafe(key: string): string {
  const safe = key
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .replace(/[^A-Za-z0-9_-]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return safe === "" ? "x" : safe;
}

/** Cuts to `max` characters by replacing the end with `-` and `mark`, a short stable hash of the whole. */
export function fitName(name: string, mark: string, max = MAX_TOOL_NAME) {
  return name.length <= max
    ? name
    : `${name.slice(0, max - mark.length - 1)}-${mark}`;
}

export type { CallToolResult, WireTool };
