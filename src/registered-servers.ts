import type { Config } from "./config.ts";
import type {
  Clock,
  Ids,
  Log,
  OutboundCheck,
  OutboundFetch,
  Vault,
} from "./core/runtime.ts";
import type { Store } from "./core/store.ts";
import type { Telemetry } from "./core/telemetry.ts";
import type { Accounts } from "./gateway/accounts/accounts.ts";
import { createAccounts } from "./gateway/accounts/accounts.ts";
import { findIcon } from "./gateway/servers/icons.ts";
import type { ManagementOptions } from "./gateway/servers/management.ts";
import { createOAuthClient } from "./sources/mcp/oauth.ts";
import type { McpSource } from "./sources/mcp/source.ts";
import { createMcpSource } from "./sources/mcp/source.ts";
import type { Times } from "./sources/mcp/times.ts";
import { version } from "./version.ts";

/** Registered MCP servers, wired: the source of what they have, and who is let in with what. */
export type RegisteredServers = {
  source: McpSource;
  accounts: Accounts;
  /** What managing them takes. */
  parts: Pick<ManagementOptions, "connector" | "oauth" | "check" | "findIcon">;
};

/** Members that are connected to a server at the same time. */
const MAX_CONNECTIONS = 1000;

export function createRegisteredServers(wiring: {
  config: Config;
  store: Pick<Store, "upstreams">;
  vault: Vault;
  outbound: OutboundFetch;
  check: OutboundCheck;
  clock: Clock;
  ids: Ids;
  log: Log;
  gatewayId: string;
  /** Our own address as users see it. */
  baseUrl: () => string;
  /** Of our client metadata. */
  ownClientId: () => string;
  times?: Partial<Times> | undefined;
  telemetry: Telemetry;
}): RegisteredServers {
  const { config, store, vault, outbound, clock, ids, log, baseUrl } = wiring;
  const { upstreams } = store;
  const accounts = createAccounts({
    upstreams,
    vault,
    oauth: createOAuthClient(outbound),
    clock,
    ids,
    log,
    baseUrl,
    // Authorization servers take it from https only.
    clientIdUrl: () =>
      config.OAUTH_CLIENT_ID_URL ??
      (baseUrl().startsWith("https:") ? wiring.ownClientId() : null),
  });
  const source = createMcpSource({
    store: upstreams,
    accounts,
    outbound,
    clock,
    ids,
    log,
    client: { name: "membrane-mcp", version },
    gatewayId: wiring.gatewayId,
    maxConnections: MAX_CONNECTIONS,
    freshMs: config.CATALOG_TTL / 2,
    times: wiring.times,
    telemetry: wiring.telemetry,
  });
  upstreams.onChange(({ upstream, subject }) =>
    source.connector.drop(upstream.id, subject ?? undefined),
  );
  return {
    source,
    accounts,
    parts: {
      connector: source.connector,
      oauth: accounts,
      check: wiring.check,
      findIcon: ({ url, about, transport }) =>
        transport === "stdio"
          ? Promise.resolve(null)
          : findIcon({ outbound, clock }, { url, icons: about?.icons }),
    },
  };
}
