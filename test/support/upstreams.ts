import type { Probe, Upstream } from "../../src/core/upstream.ts";

/** What a server is registered with. */
export function registrationOf(
  changes: Partial<Upstream> = {},
): Omit<Upstream, "id" | "version" | "updatedAt"> {
  return {
    uuid: "00000000-0000-4000-8000-000000000001",
    workspace: "w",
    name: "Server",
    slug: "server",
    description: null,
    url: "https://mcp.example/mcp",
    transport: "streamable_http",
    command: null,
    authType: "none",
    appUuid: null,
    sealedSecret: null,
    state: "register",
    enabled: false,
    setupStep: "connect",
    oauth: null,
    sealedOauth: null,
    about: null,
    pinned: false,
    lastCheckedAt: null,
    lastLatencyMs: null,
    lastError: null,
    createdAt: 0,
    createdBy: null,
    ...changes,
  };
}

/** A server as it is right after its registration. */
export const upstreamOf = (changes: Partial<Upstream> = {}): Upstream => ({
  id: 1,
  version: 1,
  updatedAt: 0,
  ...registrationOf(changes),
});

export const probe: Probe = {
  latencyMs: 12,
  negotiationPath: "initialize",
  about: {
    era: "sessions",
    protocolVersion: "2025-11-25",
    serverInfo: { name: "fake", version: "1.0.0" },
    capabilities: { tools: {} },
    instructions: null,
  },
  componentCounts: { tools: 1, prompts: 1, resources: 1, resourceTemplates: 0 },
};
