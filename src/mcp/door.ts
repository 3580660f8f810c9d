import { atMost } from "../core/idle.ts";
import type { Store } from "../core/store.ts";
import type { Identity } from "../core/principal.ts";
import type { Clock, Ids, Log } from "../core/runtime.ts";
import type { Telemetry } from "../core/telemetry.ts";
import { noTelemetry } from "../core/telemetry.ts";
import type { Admission } from "../gateway/limits/admission.ts";
import type { Catalogs } from "../gateway/catalog/catalog.ts";
import type { Guide } from "../gateway/catalog/guide.ts";
import { createSessionCap } from "../gateway/limits/session-cap.ts";
import type { Library } from "../gateway/catalog/library.ts";
import type { Toolbox } from "../gateway/catalog/toolbox.ts";
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
import type { WebSockets } from "./ws.ts";
import { createWebSockets } from "./ws.ts";

/** MCP in all its transports, over one store and one toolbox. */
export type McpDoor = {
  http: StreamableHttp;
  sse: HttpSse;
  ws: WebSockets;
  /** Live streams and sockets, by what they are for, and running calls. */
  activity(): {
    streams: number;
    of: {
      session: number;
      call: number;
      stateless: number;
      websocket: number;
    };
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
  admission: Admission;
  clock: Clock;
  ids: Ids;
  log: Log;
  telemetry?: Telemetry;
  limits: ParseLimits;
  /** Of one message over a WebSocket, in bytes. */
  maxFrame: number;
  progressMs: number;
  pollMs: number;
  sessionTtlMs: number;
  /** Of one identity; 0 for no limit. */
  maxSessions: number;
  /** Of one workspace; the same. */
  maxSessionsOfWorkspace: number;
  basePath: string;
}): McpDoor {
  const { store, clock, ids, log, catalogs, server, limits } = wiring;
  const { admission } = wiring;
  const { sessions, events } = store;
  const eventIds = createEventIds(store.secret("event-ids"));
  const { toolbox, library } = wiring;
  const inputs = createInputs({
    secret: () => store.secret("request-state"),
    clock,
  });
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
  const streams = createStreams({
    events,
    store,
    eventIds,
    admission,
    clock,
    log,
  });
  const calls = createCalls({
    events,
    journal: store.journal,
    sessions,
    streams,
    asks: createAsks(ids),
    admission,
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
  const cap = createSessionCap({
    sessions,
    most: wiring.maxSessions,
    mostOfWorkspace: wiring.maxSessionsOfWorkspace,
    inUse: (who) => [...streams.sessionsRead(who), ...calls.sessions(who)],
    ended: expired,
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
    began: cap.opened,
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
    cap,
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
    admission,
  };
  const knows = (who: Identity, server: string) =>
    catalogs.alone(who, server) !== null;
  const { maxFrame } = wiring;
  const ws = createWebSockets({
    ...shared,
    stateless,
    knows,
    clock,
    log,
    maxFrame,
  });
  function expired(sessionPk: number): void {
    calls.abort(sessionPk);
    streams.close(sessionPk, "session ended");
  }

  return {
    http: createStreamableHttp({
      legacy: createLegacyHttp({ ...shared, plain: stateless.plain }),
      stateless,
      limits,
      admission,
      knows,
    }),
    sse: createHttpSse({ ...shared, basePath: wiring.basePath }),
    ws,
    activity() {
      const open = streams.count();
      const session = streams.ownCount();
      return {
        streams: open + stateless.count(),
        of: {
          session,
          call: open - session,
          stateless: stateless.count(),
          websocket: ws.count(),
        },
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
      ws.tick();
      lifecycle.poll();
      calls.retry();
    },
    expired,
    async drain(graceMs) {
      ws.drain();
      await atMost(graceMs, calls.idle());
      notices.flush();
      streams.closeAll();
      stateless.closeAll();
      // What was just answered is on its way to its socket.
      await new Promise(setImmediate);
      ws.closeAll();
    },
  };
}
