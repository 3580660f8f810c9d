import type { WireTool } from "../../core/tool.ts";
import { CALL_TOOL, ENABLE_TOOLS, SEARCH_TOOLS } from "../../core/tool.ts";

/** The gateway's own tools, by the mode that shows them. */

const enableTools: WireTool = {
  name: ENABLE_TOOLS,
  title: "Enable tools",
  description: "Enable a list of tools for the session",
  inputSchema: {
    type: "object",
    properties: {
      tools: {
        type: "array",
        items: { type: "string" },
        description:
          "Names of the tools to enable. Replaces the set enabled before.",
      },
    },
    required: ["tools"],
  },
};

export const SEARCH_LIMIT = 5;
export const MAX_SEARCH_LIMIT = 20;

const searchTools: WireTool = {
  name: SEARCH_TOOLS,
  title: "Search tools",
  description:
    "Find tools in the user's connected apps by what you want to do. Returns the best matches with their full definitions; run one with call-tool.",
  inputSchema: {
    type: "object",
    properties: {
      query: {
        type: "string",
        description:
          'What you want to do, in a few words, for example "send an email" or "list open deals in HubSpot".',
      },
      limit: {
        type: "integer",
        minimum: 1,
        maximum: MAX_SEARCH_LIMIT,
        description: `How many tools to return, ${SEARCH_LIMIT} by default.`,
      },
    },
    required: ["query"],
  },
  annotations: { readOnlyHint: true, openWorldHint: false },
};

const callTool: WireTool = {
  name: CALL_TOOL,
  title: "Call a tool",
  description:
    "Run a tool that search-tools found. The arguments are those of the tool's own inputSchema.",
  inputSchema: {
    type: "object",
    properties: {
      name: { type: "string", description: "The tool's name." },
      arguments: {
        type: "object",
        description: "The tool's arguments.",
        additionalProperties: true,
      },
    },
    required: ["name"],
  },
};

export const ownTools = {
  static: [],
  dynamic: [enableTools],
  search: [searchTools, callTool],
} satisfies Record<string, WireTool[]>;
