import type { Store } from "../core/store.ts";
import type { Clock, Ids, Log } from "../core/runtime.ts";
import type { Telemetry } from "../core/telemetry.ts";
import { noTelemetry } from "../core/telemetry.ts";
import type { Catalogs } from "../gateway/catalog.ts";
import type { Guide } from "../gateway/guide.ts";
import type { Library } from "../gateway/library.ts";
import type { Toolbox } from "../gateway/toolbox.ts";
import { createAsks } from "./asks.ts";
import { createCalls } from "./calls.ts";
import { createEventIds } from "./event-id.ts";
import type { ServerInfo } from "./initialize.ts";
import { createInputs } from "./input.ts";
import type { ParseLimits } from "./jsonrpc.ts";
import { errorText, SERVER_ERROR } from "./jsonrpc.ts";
import type { StreamableHttp } from "./http.ts";
import { createStreamableHttp } from "./http.ts";
import { createLegacyHttp } from "./legacy.ts";
import { createMethods } from "./methods.ts";
import { createSessions } from "./sessions.ts";
import { createNotices } from "./notices.ts";
import { createObservation } from "./observation.ts";
import type { HttpSse } from "./sse.ts";
import { createHttpSse } from "./sse.ts";
import { createStateless } from "./stateless.ts";
import { createStreams } from "./stream.ts";
import { createWatches } from "./watches.ts";

/** MCP in all its transports, over one store and one toolbox. */
export type McpDoor = {
  http: StreamableHttp;
  sse: HttpSse;
  /** Live streams, by what they are for, and running calls. */
  activity(): {
    streams: number;
    of: { session: number; call: number; stateless: number };
    calls: number;
  };
  /** Answers what a crash cut off. Once, before the first request. */
  recover(): Promise<number>;
  /** Heartbeats and the like; every {@link HEARTBEAT_MS}. */
  tick(): void;
  /** A session has expired: whatever it has running or open ends. */
  expired(sessionPk: number): void;
  /**
   * Stops: lets running calls finish for up to `graceMs`, then tells every stream to reconnect. What has
   * not finished stays on record and is answered as interrupted at the next start.
   */
  drain(graceMs: number): Promise<void>;
};

/** Proxies and Bun close what is silent for longer. */
export const HEARTBEAT_MS = 15_000;

export function createMcpDoor(wiring: {
  server: ServerInfo;
  store: Store;
  toolbox: Toolbox;
  library: Library;
  guide: Guide;
  /** Whether any source logs. */
  logs: boolean;
  catalogs: Catalogs;
  clock: Clock;
  ids: Ids;
  log: Log;
  telemetry?: Telemetry;
  limits: ParseLimits;
  progressMs: number;
  pollMs: number;
  sessionTtlMs: number;
  basePath: string;
}): McpDoor {
  const { store, clock, ids, log, catalogs, server, limits } = wiring;
  const { sessions, events } = store;
  const eventIds = createEventIds(store.secret("event-ids"));
  const { toolbox, library } = wiring;
  const inputs = createInputs({ secret: store.secret("request-state"), clock });
  const { logs } = wiring;
  const observation = createObservation(wiring.telemetry ?? noTelemetry, clock);
  const methods = createMethods({
    toolbox,
    library,
    inputs,
    logs,
    subscribed: (principal) => watches.tell(principal),
  });
  const about = { server, has: library.has, logs, guide: wiring.guide };
  const streams = createStreams({ events, store, eventIds, clock, log });
  const calls = createCalls({
    events,
    sessions,
    streams,
    asks: createAsks(ids),
    observation,
    clock,
    log,
    enabled: (session) => {
      const { chat, view } = session;
      if (chat !== null) stateless.chatChanged(session, chat, view.server);
    },
    progressMs: wiring.progressMs,
  });
  const notices = createNotices({
    sessions,
    events,
    streams,
    catalogs,
    library,
    clock,
    log,
  });
  const stateless = createStateless({
    about,
    methods,
    observation,
    toolbox,
    library,
    calls,
    sessions,
    catalogs,
    clock,
    listening: (principal) => watches.tell(principal),
    streamAfterMs: wiring.progressMs * 2,
    pollMs: wiring.pollMs,
  });
  const watches = createWatches({
    library,
    catalogs,
    sessions,
    streams,
    listeners: stateless.listeners,
    clock,
  });
  const lifecycle = createSessions({
    sessions,
    streams,
    calls,
    catalogs,
    notices,
    watches,
    clock,
    ids,
    log,
    chatChanged: stateless.chatChanged,
    pollMs: wiring.pollMs,
    ttlMs: wiring.sessionTtlMs,
  });
  const shared = {
    about,
    methods,
    sessions,
    lifecycle,
    events,
    eventIds,
    streams,
    calls,
    observation,
    ids,
    limits,
  };
  return {
    http: createStreamableHttp({
      legacy: createLegacyHttp(shared),
      stateless,
      limits,
      knows: (who, server) => catalogs.alone(who, server) !== null,
    }),
    sse: createHttpSse({ ...shared, basePath: wiring.basePath }),
    activity() {
      const open = streams.count();
      const session = streams.ownCount();
      return {
        streams: open + stateless.count(),
        of: { session, call: open - session, stateless: stateless.count() },
        calls: calls.count(),
      };
    },
    recover: () =>
      events.interrupt((requestId) =>
        errorText(
          JSON.parse(requestId) as string | number,
          SERVER_ERROR,
          "The call was interrupted by a restart of the server; its outcome is unknown. It has not been run again.",
        ),
      ),
    tick() {
      streams.beat();
      stateless.tick();
      lifecycle.poll();
      calls.retry();
    },
    expired(sessionPk) {
      calls.abort(sessionPk);
      streams.close(sessionPk);
    },
    async drain(graceMs) {
      let timer: Timer | undefined;
      const grace = new Promise((resolve) => {
        timer = setTimeout(resolve, graceMs);
      });
      await Promise.race([calls.idle(), grace]);
      clearTimeout(timer);
      notices.flush();
      streams.closeAll();
      stateless.closeAll();
    },
  };
}
