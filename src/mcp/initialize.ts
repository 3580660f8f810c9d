import { z } from "zod";
import { once } from "../core/once.ts";
import type { Identity } from "../core/principal.ts";
import type { ClientInfo, Mode, View } from "../core/session.ts";
import type { Guide } from "../gateway/catalog/guide.ts";
import { INVALID_PARAMS, RpcError, type RpcRequest } from "./jsonrpc.ts";
import { negotiate } from "./versions.ts";

/** `initialize` of the eras with sessions (MCP 2025-11-25, basic/lifecycle). */

export type ServerInfo = { name: string; title: string; version: string };

const MAX_CAPABILITIES = 16_384;

const params = once(() =>
  z.object({
    protocolVersion: z.string().max(64),
    capabilities: z
      .record(z.string(), z.unknown())
      .default({})
      // Kept with the session.
      .refine(
        (value) => JSON.stringify(value).length <= MAX_CAPABILITIES,
        `must have at most ${MAX_CAPABILITIES} characters`,
      ),
    clientInfo: z
      .object({
        name: z.string().max(256),
        version: z.string().max(256),
        title: z.string().max(256).optional(),
      })
      .optional(),
  }),
);

export type Handshake = {
  protocolVersion: string;
  client: ClientInfo | null;
  capabilities: Record<string, unknown>;
};

/** Throws {@link RpcError} -32602 for parameters that are not those of `initialize`. */
export function readInitialize(request: RpcRequest): Handshake {
  // Compiling a parser takes longer than a thousand sessions save by it.
  const read = params().safeParse(request.params, { jitless: true });
  if (!read.success) {
    const [issue] = read.error.issues;
    throw new RpcError(
      INVALID_PARAMS,
      `Invalid initialize: ${issue?.path.join(".")}: ${issue?.message}`,
      { id: request.id },
    );
  }
  const { protocolVersion, capabilities, clientInfo } = read.data;
  const { title, ...client } = clientInfo ?? {};
  return {
    protocolVersion: negotiate(protocolVersion),
    capabilities,
    client: clientInfo
      ? ({ ...client, ...(title ? { title } : {}) } as ClientInfo)
      : null,
  };
}

/** What we are, and what our sources have. */
export type About = {
  server: ServerInfo;
  has: { prompts: boolean; resources: boolean; completions: boolean };
  logs: boolean;
  guide: Guide;
};

/** What every era says of us when it is asked, serialised, without braces. */
export function describeServer(
  { has, logs, guide }: About,
  who: Identity,
  view: View,
): string {
  const listChanged = true;
  const capabilities = {
    tools: { listChanged },
    ...(has.prompts ? { prompts: { listChanged } } : {}),
    ...(has.resources ? { resources: { subscribe: true, listChanged } } : {}),
    ...(has.completions ? { completions: {} } : {}),
    ...(logs ? { logging: {} } : {}),
  };
  const instructions = guide(who, view, instructionsFor[view.mode] ?? null);
  return JSON.stringify({
    capabilities,
    ...(instructions ? { instructions } : {}),
  }).slice(1, -1);
}

const instructionsFor: Partial<Record<Mode, string>> = {
  dynamic:
    "Only enable-tools is offered at first. Call it with the names of the tools you need; the tool list then changes.",
  search:
    "Find tools with search-tools: say what you want to do. Then run one with call-tool.",
};

/** The members of the result of `initialize`, serialised, without braces. */
export function initializeFields(
  about: About,
  protocolVersion: string,
  who: Identity,
  view: View,
): string {
  return `"protocolVersion":"${protocolVersion}",${describeServer(about, who, view)},"serverInfo":${JSON.stringify(about.server)}`;
}
