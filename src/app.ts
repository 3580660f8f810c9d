import type { Server } from "bun";
import {
  createAuthenticator,
  membraneApi,
  tokenMint,
  verificationKey,
} from "./authentication.ts";
import type { Config } from "./config.ts";
import type { Authenticator, Principal } from "./core/principal.ts";
import { describeError } from "./core/errors.ts";
import type { Peer } from "./core/exchange.ts";
import { atMost } from "./core/idle.ts";
import type { Clock, Ids, Log } from "./core/runtime.ts";
import type { Source } from "./core/source.ts";
import type { UpstreamStore } from "./core/upstream.ts";
import { createAdmission } from "./gateway/limits/admission.ts";
import { noteCatalogChanges } from "./gateway/catalog/catalog-changes.ts";
import { createCatalogs } from "./gateway/catalog/catalog.ts";
import { createAudit } from "./gateway/events/audit.ts";
import { createFailureLimit } from "./gateway/limits/failure-limit.ts";
import { createFeed } from "./gateway/events/feed.ts";
import { createPlaces } from "./gateway/events/journal-places.ts";
import { createApiKeys, createKeyAuthenticator } from "./gateway/keys.ts";
import { createGuide } from "./gateway/catalog/guide.ts";
import { createLooks } from "./gateway/events/looks.ts";
import { createLibrary } from "./gateway/catalog/library.ts";
import type { ManagementOptions } from "./gateway/servers/management.ts";
import { createManagement } from "./gateway/servers/management.ts";
import { createResealing } from "./gateway/accounts/resealing.ts";
import { createRetention } from "./gateway/retention.ts";
import { createToolbox } from "./gateway/catalog/toolbox.ts";
import { createEventStreams } from "./http/event-streams.ts";
import { allowedHosts } from "./http/front.ts";
import { openListener } from "./http/listener.ts";
import type { HttpHandler } from "./http/server.ts";
import { createHttp } from "./http/server.ts";
import { HEARTBEAT_MS, createMcpDoor } from "./mcp/door.ts";
import { randomIds, systemClock } from "./runtime/machine.ts";
import { createRegisteredServers } from "./registered-servers.ts";
import { createOutbound, createOutboundCheck } from "./runtime/outbound.ts";
import type { OtlpOptions } from "./runtime/otlp.ts";
import {
  createScraper,
  isLoopback,
  openMetricsListener,
} from "./runtime/scraper.ts";
import { createTelemetry } from "./runtime/telemetry.ts";
import { createVault } from "./runtime/vault.ts";
import { wireReadings } from "./readings.ts";
import { createMembraneSource } from "./sources/membrane/source.ts";
import type { Times } from "./sources/mcp/times.ts";
import { openSqlite } from "./store/sqlite/sqlite.ts";
import { buildToolIndex } from "./store/sqlite/tool-index.ts";
import { version } from "./version.ts";
import { createWebhookParts } from "./webhooks.ts";

/** The whole product, wired and not yet listening. */
export type App = AsyncDisposable & {
  /** Answers one request, as the listener does. */
  fetch: HttpHandler;
  /** Begins to work, without listening; answers first what a crash cut off. */
  begin(): Promise<void>;
  /** Begins, and listens. Resolves with the address. */
  start(): Promise<string>;
  /** Forgets what has expired, as happens by itself every half minute. */
  retain(): Promise<void>;
  /** Heartbeats and the like, as happens by itself every 15 seconds. */
  tick(): void;
  /** Drains, writes what is left, closes. Safe to call twice; the second call does not wait for calls. */
  close(): Promise<void>;
};

export type AppOptions = {
  config: Config;
  log: Log;
  clock?: Clock;
  ids?: Ids;
  /** Where tools come from instead of Membrane. */
  sources?: Source[];
  /** Who verifies tokens instead of what the configuration says. */
  authenticator?: Authenticator;
  /** How registered servers are reached. */
  servers?: (store: UpstreamStore) => ServerParts;
  /**
   * For a command of this person: every request is theirs, and it works beside a server that holds the data
   * directory. It may be asked, and neither begun nor started.
   */
  operator?: Principal;
  /** How long they may take. */
  times?: Partial<Times>;
  /** Called when the disk fails: nothing is stored any more, and the process had better be started anew. */
  onStorageFailure?: () => void;
};

export type ServerParts = Pick<
  ManagementOptions,
  "connector" | "oauth" | "vault" | "check" | "findIcon"
>;

/** How long after listening the start counts as over. */
const STARTED_MS = 1000;

/** How long, after the last answer is made, its bytes may take. */
const LAST_BYTES_MS = 1000;

/** How long a webhook that is being delivered may take; it is delivered again by the next start. */
const LAST_DELIVERY_MS = 5000;

/** How often it is looked whether another process has changed a registered server: it costs microseconds. */
const BESIDE_MS = 1000;

/** How often expired things are looked for … */
const RETENTION_MS = 30_000;
/** … or as soon as so much more is stored, or this part of what may be. */
const GROWN_BYTES = 67_108_864;
const GROWN_PART = 1 / 32;

/** Wires the house. Throws `conflict` when the data directory cannot be had, or holds what is not ours. */
export function createApp(options: AppOptions): App {
  const { config, log, clock = systemClock, ids = randomIds } = options;
  const { operator = null } = options;
  const publicUrl = config.PUBLIC_URL ?? null;
  const vault = createVault({
    keys: config.ENCRYPTION_KEY ?? null,
    directory: config.DATA_DIR,
    sealed: () => store.sealed,
    onKeyMade: (file) => log.info("encryption key made", { file }),
  });
  const store = openSqlite({
    directory: config.DATA_DIR,
    clock,
    verifyKey: vault.verify,
    vault,
    onUnreadable: (context, error) =>
      log.error("a stored secret cannot be read", {
        where: JSON.stringify(context),
        reason: describeError(error),
      }),
    beside: operator !== null,
    sessionCache: config.SESSION_CACHE,
    caps: {
      events: config.SESSION_MAX_EVENTS,
      bytes: config.SESSION_MAX_BYTES,
    },
    quotas: {
      user: config.USER_MAX_BYTES,
      database: config.DATABASE_MAX_BYTES,
    },
    onFailure(error) {
      log.error("storage failed", { reason: describeError(error) });
      options.onStorageFailure?.();
    },
  });
  store.sealAddresses();
  const way = {
    allow: config.OUTBOUND_ALLOW,
    userAgent: `membrane-mcp/${version}`,
  };
  const { METRICS_PORT: metricsPort, METRICS_TOKEN: metricsToken } = config;
  const telemetry = createTelemetry({
    metrics: metricsPort !== undefined || metricsToken !== undefined,
    otlp: otlpOptions(config),
    clock,
    log,
    version,
  });
  const scraper =
    telemetry.scrape && createScraper(telemetry.scrape, metricsToken ?? null);
  let address: string | null = null;
  const baseUrl = () => publicUrl ?? address ?? browserUrl(config, config.PORT);
  const ownClientId = () => `${baseUrl()}/oauth/client.json`;
  const gatewayId = Buffer.from(store.secret("gateway")).toString("hex", 0, 8);
  const outbound = createOutbound(way);
  const check = createOutboundCheck(way);
  const servers = createRegisteredServers({
    config,
    store,
    vault,
    outbound,
    check,
    clock,
    ids,
    log,
    gatewayId,
    baseUrl,
    ownClientId,
    times: options.times,
    telemetry,
  });
  const membrane = membraneApi(config);
  const sources = [
    ...(options.sources ?? [
      createMembraneSource({ api: membrane, telemetry }),
    ]),
    ...(options.servers ? [] : [servers.source]),
  ];
  const catalogs = createCatalogs({
    sources,
    names: store.names,
    clock,
    log,
    telemetry,
    buildIndex: buildToolIndex,
    autoStatic: config.AUTO_STATIC_TOOLS,
    ttlMs: config.CATALOG_TTL,
    maxBytes: config.CATALOG_CACHE_BYTES,
    loadTimeoutMs: 60_000,
  });
  const admission = createAdmission({
    clock,
    log,
    telemetry,
    limits: {
      perSecond: config.RATE_LIMIT,
      burst: config.RATE_LIMIT_BURST,
      serverPerSecond: config.RATE_LIMIT_SERVER,
      globalPerSecond: config.RATE_LIMIT_GLOBAL,
      calls: config.MAX_CALLS,
      queuedCalls: config.MAX_QUEUED_CALLS,
      streams: config.MAX_STREAMS,
    },
  });
  const shelves = {
    admission,
    catalogs,
    sources,
    pageSize: config.TOOLS_PAGE_SIZE,
    callTimeoutMs: config.CALL_TIMEOUT,
  };
  const toolbox = createToolbox({
    ...shelves,
    recordContents: config.RECORD_CONTENTS,
    clock,
    log,
    telemetry,
  });
  const { upstreams } = store;
  upstreams.onChange(({ upstream, subject }) =>
    catalogs.refresh(upstream.workspace, subject),
  );
  const hooks = createWebhookParts({
    config,
    store,
    vault,
    outbound,
    check,
    refresh: catalogs.refresh,
    clock,
    ids,
    log,
    telemetry,
  });
  const mcp = createMcpDoor({
    server: { name: "membrane-mcp", title: "Membrane MCP", version },
    store,
    toolbox,
    library: createLibrary(shelves),
    guide: createGuide(sources),
    logs: sources.some((source) => source.logs),
    catalogs,
    admission,
    clock,
    ids,
    log,
    telemetry,
    limits: { maxDepth: config.MAX_JSON_DEPTH, maxBatch: 100 },
    maxFrame: config.MAX_BODY_BYTES,
    progressMs: config.PROGRESS_INTERVAL,
    pollMs: config.CATALOG_POLL,
    sessionTtlMs: config.SESSION_TTL,
    maxSessions: config.MAX_SESSIONS,
    maxSessionsOfWorkspace: config.MAX_SESSIONS_WORKSPACE,
    basePath: publicUrl ? new URL(publicUrl).pathname.replace(/\/$/, "") : "",
  });
  wireReadings(telemetry, {
    store,
    mcp,
    servers: servers.source,
    databaseLimit: config.DATABASE_MAX_BYTES,
  });
  const retain = createRetention({
    sessions: store.sessions,
    events: store.events,
    journal: store.journal,
    deliveries: store.deliveries,
    clock,
    log,
    sessionTtlMs: config.SESSION_TTL,
    eventTtlMs: config.EVENT_TTL,
    journalTtlMs: config.JOURNAL_TTL,
    journalMax: config.JOURNAL_MAX,
    journalBytes: config.JOURNAL_MAX_BYTES,
    auditTtlMs: config.AUDIT_TTL,
    auditMax: config.AUDIT_MAX,
    expired: mcp.expired,
  });

  const { journal } = store;
  const places = createPlaces(() => store.secret("journal-places"));
  noteCatalogChanges({ catalogs, journal, log });
  const looks = createLooks();
  const feed = createFeed({ journal, places, looks, log });
  const eventStreams = createEventStreams({ feed, clock, log });

  const limit = createFailureLimit(clock);
  const reseal = createResealing({ sealed: store.sealed, vault, log });

  const management = createManagement({
    vault,
    ...(options.servers?.(store.upstreams) ?? servers.parts),
    store: store.upstreams,
    toolbox,
    journal,
    admission,
    clock,
    ids,
    log,
  });

  let draining = false;
  let retaining = false;
  let retainedBytes: number | null = null;
  const http = createHttp({
    version,
    admission,
    store,
    clock,
    ids,
    log,
    hosts: allowedHosts(config.HOST, publicUrl, config.ALLOWED_HOSTS),
    origins: config.ALLOWED_ORIGINS,
    publicUrl,
    trustedProxies: config.TRUSTED_PROXIES,
    maxBodyBytes: config.MAX_BODY_BYTES,
    draining: () => draining,
    gatewayId,
    telemetry,
    // With a listener of their own they are there and not here.
    scraper: metricsPort === undefined ? scraper : null,
    mcp,
    eventStreams,
    audit: createAudit({ journal, places, looks }),
    operator,
    tokens:
      options.authenticator ??
      createAuthenticator(config, clock, membrane, limit),
    apiKeys: createKeyAuthenticator({
      store: store.apiKeys,
      clock,
      log,
      limit,
      workspaceKey: config.MEMBRANE_WORKSPACE_KEY ?? null,
      membraneToken: tokenMint(config, clock),
    }),
    tickets: mcp.sse,
    management,
    webhooks: hooks.webhooks,
    incoming: hooks.incoming,
    tokenInQuery: config.TOKEN_IN_QUERY,
    keys: createApiKeys({ store: store.apiKeys, clock, ids }),
    connecting: { ...servers.accounts, clientId: ownClientId },
    registered: store.upstreams,
    mac: vault.mac,
    secret: ids.secret,
    sessions: store.sessions,
    sourceHealth: catalogs.health,
    // Membrane issues tokens for this resource; with a key of its own the operator's product does.
    authorizationServers:
      verificationKey(config) === null ? [config.MEMBRANE_API_URI] : [],
  });

  let server: Server<Peer> | null = null;
  let metricsServer: Server<undefined> | null = null;
  const timers: Timer[] = [];
  let closing: Promise<void> | null = null;
  let resealed = Promise.resolve();

  async function begin(): Promise<void> {
    if (operator !== null) throw new Error("Nobody else may ask this one.");
    await telemetry.open();
    const interrupted =
      (await mcp.recover()) + (await store.journal.interrupt());
    if (interrupted > 0) {
      log.warn("calls interrupted by the last stop", { calls: interrupted });
    }
    await hooks.start();
    resealed = reseal(() => !draining);
    timers.push(
      // The executable starts reluctant to compile what only the start runs (--compile-jit-policy).
      setTimeout(() => Bun.unsafe.setJITPolicy(1), STARTED_MS),
      setInterval(tick, HEARTBEAT_MS),
      setInterval(lookBeside, BESIDE_MS),
      setInterval(() => void retainAll(), RETENTION_MS),
    );
  }

  function tick(): void {
    mcp.tick();
    eventStreams.beat();
    servers.source.tick();
    hooks.deliveries.tick();
  }

  /** What a command registers, its user lists next; what it writes into the journal is told. */
  function lookBeside(): void {
    for (const workspace of store.upstreams.changedElsewhere()) {
      catalogs.refresh(workspace, null);
    }
    feed.look();
    hooks.deliveries.look(store.othersVersion());
    const { used } = store.size();
    retainedBytes ??= used;
    const part = config.DATABASE_MAX_BYTES * GROWN_PART || Infinity;
    const grown = Math.min(GROWN_BYTES, part);
    if (used > retainedBytes + grown) void retainAll();
  }

  async function retainAll(): Promise<void> {
    if (retaining) return;
    retaining = true;
    // In slices, so that nobody waits.
    let more: boolean | null = true;
    while (!draining && (more = await retain())) await Bun.sleep(50);
    // What failed for want of room is tried again at the next look.
    if (!draining) retainedBytes = more === null ? 0 : store.size().used;
    retaining = false;
  }

  async function start(): Promise<string> {
    await begin();
    server = openListener({
      host: config.HOST,
      port: config.PORT,
      maxBodyBytes: config.MAX_BODY_BYTES,
      http,
      log,
    });
    if (metricsPort !== undefined && scraper) {
      const at = { host: config.METRICS_HOST, port: metricsPort };
      metricsServer = openMetricsListener(at, scraper);
      log.info("metrics", {
        address: `http://${bracketed(at.host)}:${metricsServer.port}/metrics`,
      });
      if (metricsToken === undefined && !isLoopback(at.host)) {
        log.warn("metrics are open", {
          reason:
            "Whoever reaches that address can read how much is going on here, and what fails. Set METRICS_TOKEN, or METRICS_HOST=127.0.0.1.",
        });
      }
    }
    const at = `http://${bracketed(config.HOST)}:${server.port}`;
    address = browserUrl(config, server.port ?? config.PORT);
    log.info("listening", { address: at, version });
    return at;
  }

  async function shutDown(): Promise<void> {
    draining = true;
    // Only the listener; what is being answered goes on.
    const stopped = server?.stop();
    await Promise.all([
      mcp.drain(config.DRAIN_TIMEOUT),
      atMost(config.DRAIN_TIMEOUT, management.calls.idle()),
      hooks.deliveries.stop(Math.min(config.DRAIN_TIMEOUT, LAST_DELIVERY_MS)),
    ]);
    eventStreams.closeAll();
    for (const timer of timers) clearInterval(timer);
    servers.source.close();
    // Answers on their way to a slow reader get a moment.
    await Promise.race([stopped, Bun.sleep(LAST_BYTES_MS)]);
    await server?.stop(true);
    await metricsServer?.stop(true);
    await telemetry.close();
    await resealed;
    await store.close();
    log.info("stopped");
  }
  const close = () => (closing ??= shutDown());

  return {
    fetch: http,
    begin,
    start,
    retain: retainAll,
    tick,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** Where a browser on this machine finds us. */
function browserUrl({ HOST }: Config, port: number): string {
  const every = HOST === "0.0.0.0" || HOST === "::";
  return `http://${every ? "localhost" : bracketed(HOST)}:${port}`;
}

/** Null when traces go nowhere. */
function otlpOptions(config: Config): OtlpOptions | null {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } = config;
  if (endpoint === undefined) return null;
  return {
    endpoint,
    headers: config.OTEL_EXPORTER_OTLP_HEADERS,
    serviceName: config.OTEL_SERVICE_NAME,
    resourceAttributes: config.OTEL_RESOURCE_ATTRIBUTES,
    sampler: config.OTEL_TRACES_SAMPLER,
    samplerArg: config.OTEL_TRACES_SAMPLER_ARG,
  };
}
