import type {
  CallToolResult,
  Tool as WireTool,
} from "@modelcontextprotocol/sdk/types.js";

/** The app (or server) an offer comes from. `ref` tells two connections of one app apart. */
export type App = {
  /** Stable id of the connection, unique within its source. */
  ref: string;
  /** What `apps=` selects and names begin with, for example `gmail`. */
  key: string;
  /** Display name, for example `Gmail`. */
  name: string;
};

/** What a source offers under a name that it has in its app. */
export type Offered = {
  app: App;
  /** Stable id of the action or prompt within its app. */
  ref: string;
  /** Its own key; null when it has none and its name is all there is. */
  key: string | null;
  /** Display name. */
  name: string;
};

/** Something a source can run for a caller, before it has a name in the caller's catalogue. */
export type Offer = Offered & {
  /** Everything an MCP client is shown but the name. */
  tool: Omit<WireTool, "name">;
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
  close(): void;
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
