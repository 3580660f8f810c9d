import { GatewayError } from "../../core/errors.ts";
import type { Principal } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";
import type { LogLevel } from "../../core/source.ts";
import { logLevels } from "../../core/source.ts";
import type { Upstream, UpstreamListing } from "../../core/upstream.ts";
import type {
  Connection,
  Incoming,
  Params,
  RequestOptions,
} from "./connection.ts";
import { NOBODY, openConnection } from "./connection.ts";
import { isSessionLost } from "./failure.ts";
import { fetchListing } from "./listing.ts";
import type { Times } from "./times.ts";
import type { Wire } from "./wire.ts";

/** One member's use of one server: its connections, what is heard on them, what is listened for. */
export type Member = {
  upstream: Upstream;
  /** Who uses it at present, with what came with the last request. */
  principal: Principal;
  /**
   * Sends a request over a connection, which is opened when there is none. One that the server has forgotten is
   * replaced, and the request sent once more: nothing was done.
   */
  request(
    method: string,
    params: (connection: Connection) => Params,
    options: RequestOptions,
  ): Promise<Params>;
  /** Asks for all that the server has. */
  list(signal: AbortSignal): Promise<UpstreamListing>;
  /** Opens a connection when there is none. */
  connection(signal: AbortSignal): Promise<Connection>;
  /** Somebody listens for list changes and these resources; forgotten when it is not said again within a minute. */
  watch(uris: readonly string[]): void;
  /** True when it has not been used or watched for `ms`, and nothing is under way. */
  idleFor(ms: number): boolean;
  /** In monotonic ms. */
  usedAt(): number;
  close(): void;
};

/** What is heard beside any request. */
export type Heard = {
  /** Of one kind: tools, prompts or resources. */
  listChanged(kind: string): void;
  updated(uri: string): void;
  logged(level: LogLevel, data: unknown, logger?: string): void;
  /** The server has lost its session: what it has may be something else now. */
  reconnected(): void;
};

/** Sessions of one member with a server that does not say which call a question of its belongs to. */
const MAX_LANES = 4;
/** How long a session counts as beginning. */
const BEGINNING_MS = 5000;
/** Watching is said again every 15 s. */
const WATCHED_MS = 60_000;

/** A connection, and the calls on it. */
type Lane = {
  connection: Promise<Connection>;
  calls: Set<Call>;
  /** What the server was told to log. */
  level: LogLevel | null;
  controller: AbortController;
};
type Call = { on: Incoming; ended: Promise<void> };

export function createMember(wiring: {
  upstream: Upstream;
  principal: Principal;
  wire: Wire;
  client: { name: string; version: string };
  clock: Clock;
  heard: Heard;
  times: Times;
  /** Told of what is left out of lists. */
  dropped: (what: string) => void;
}): Member {
  const { upstream, wire, clock, heard } = wiring;
  const lanes: Lane[] = [];
  // From its first question on that nobody's stream brought: its calls do not share a connection any more.
  let exclusive = false;
  let closed = false;
  let usedAt = clock.monotonic();
  let watchedAt = -Infinity;
  let watched: readonly string[] = [];
  let watching: Promise<void> | null = null;
  /** Ends what listens in the stateless era. */
  let listener: AbortController | null = null;
  /** In the era of sessions: what was subscribed to, and where. */
  let subscribed: { on: Connection; uris: Set<string> } | null = null;

  function openLane(): Lane {
    const calls = new Set<Call>();
    const controller = new AbortController();
    const connection = openConnection({
      upstream,
      wire,
      client: wiring.client,
      aside: createAside(calls),
      closed: () => remove(lane),
      signal: controller.signal,
      timeoutMs: wiring.times.connect,
    });
    const lane: Lane = { connection, calls, level: null, controller };
    lanes.push(lane);
    connection.catch(() => remove(lane));
    return lane;
  }

  function remove(lane: Lane): void {
    const at = lanes.indexOf(lane);
    if (at >= 0) lanes.splice(at, 1);
  }

  function drop(lane: Lane): void {
    remove(lane);
    lane.controller.abort(gone(upstream.name));
    lane.connection.then(
      (connection) => connection.close(),
      () => {},
    );
  }

  /** The call that a question belongs to: the one that is under way when all others that could be have ended. */
  async function callOf(calls: ReadonlySet<Call>): Promise<Call | null> {
    const candidates = new Set(calls);
    if (candidates.size > 1) {
      const late = Bun.sleep(wiring.times.unclear).then(() => null);
      while (candidates.size > 1) {
        const ended = await Promise.race([
          late,
          ...[...candidates].map((call) => call.ended.then(() => call)),
        ]);
        if (ended === null) return null;
        candidates.delete(ended);
      }
    }
    const [only] = candidates;
    return only ?? null;
  }

  function createAside(calls: ReadonlySet<Call>): Incoming {
    const openedAt = clock.monotonic();
    return {
      request(asked, reply) {
        if (asked.method === "ping") return reply({ result: {} });
        // Many servers ask for roots when a session begins, for themselves and for no call.
        const early = clock.monotonic() - openedAt < BEGINNING_MS;
        if (asked.method === "roots/list" && early) return reply(NOBODY);
        exclusive = true;
        void callOf(calls).then((call) =>
          call ? call.on.request(asked, reply) : reply(NOBODY),
        );
      },
      notification(method, params) {
        const [only, ...others] = calls;
        if (!forEverybody(method, params) && only && others.length === 0) {
          only.on.notification(method, params);
        } else if (method === "notifications/message") {
          const { level, data, logger } = params;
          if (!logLevels.includes(level as LogLevel)) return;
          heard.logged(
            level as LogLevel,
            data,
            ...(typeof logger === "string" ? [logger] : []),
          );
        }
      },
    };
  }

  /** Tells what concerns all callers of the member. False for what does not. */
  function forEverybody(method: string, { uri }: Params): boolean {
    const [, kind] = LIST_CHANGED.exec(method) ?? [];
    if (kind !== undefined) heard.listChanged(kind);
    else if (method === "notifications/resources/updated") {
      if (typeof uri === "string") heard.updated(uri);
    } else return false;
    return true;
  }

  /** On the stream of a request everything is the request's own, but for that. */
  const onStream = (on: Incoming): Incoming => ({
    request: (asked, reply) =>
      asked.method === "ping"
        ? reply({ result: {} })
        : on.request(asked, reply),
    notification(method, params) {
      if (!forEverybody(method, params)) on.notification(method, params);
    },
  });

  /** Where a request goes. `alone`: where no call is under way. */
  async function choose(alone: boolean): Promise<Lane> {
    for (;;) {
      if (closed) throw gone(upstream.name);
      const [first] = lanes;
      if (first && !alone) return first;
      const free = lanes.find(({ calls }) => calls.size === 0);
      if (free) return free;
      if (lanes.length < MAX_LANES) return openLane();
      await Promise.race(
        lanes.flatMap(({ calls }) => [...calls].map(({ ended }) => ended)),
      );
    }
  }

  /** A server with sessions logs for a session and not for a call: the least urgent that was asked for so far. */
  async function raiseLevel(
    lane: Lane,
    connection: Connection,
    level: LogLevel,
    signal: AbortSignal,
  ): Promise<void> {
    const { era, capabilities } = connection.about;
    if (era === "stateless" || !capabilities["logging"]) return;
    const rank = (one: LogLevel | null) =>
      one === null ? Infinity : logLevels.indexOf(one);
    if (rank(lane.level) <= rank(level)) return;
    const before = lane.level;
    lane.level = level;
    await connection
      .request("logging/setLevel", { level }, { signal })
      .catch(() => {
        lane.level = before;
      });
  }

  async function attempt(
    method: string,
    params: (connection: Connection) => Params,
    options: RequestOptions,
  ): Promise<Params> {
    const { signal, on, logLevel = null } = options;
    const lane = await abortable(choose(exclusive && on !== undefined), signal);
    const ended = Promise.withResolvers<void>();
    const call = on && { on, ended: ended.promise };
    // Before anything is waited for: the next call has to see it.
    if (call) lane.calls.add(call);
    try {
      const connection = await abortable(lane.connection, signal);
      if (logLevel !== null) {
        await raiseLevel(lane, connection, logLevel, signal);
      }
      return await connection.request(method, params(connection), {
        ...options,
        ...(on ? { on: onStream(on) } : {}),
      });
    } catch (error) {
      if (isSessionLost(error)) drop(lane);
      throw error;
    } finally {
      if (call) lane.calls.delete(call);
      ended.resolve();
    }
  }

  /** Twice, when the server has forgotten the session. */
  async function healing<T>(work: () => Promise<T>): Promise<T> {
    usedAt = clock.monotonic();
    try {
      return await work().catch(async (error: unknown) => {
        if (!isSessionLost(error)) throw error;
        const result = await work();
        heard.reconnected();
        return result;
      });
    } finally {
      usedAt = clock.monotonic();
    }
  }

  async function listen(): Promise<void> {
    const lane = await choose(false);
    const connection = await lane.connection;
    const { era } = connection.about;
    if (era === "stateless") return listenStateless(connection);
    if (connection.hears()) return subscribe(connection);
    // Its stream is gone for good, and with it what it would have told.
    if (lane.calls.size === 0) {
      drop(lane);
      heard.reconnected();
    }
  }

  /** Until it ends. */
  async function listenStateless(connection: Connection): Promise<void> {
    const { capabilities } = connection.about;
    const changes = (name: string) =>
      (capabilities[name] as { listChanged?: unknown } | undefined)
        ?.listChanged === true;
    const notifications = {
      ...(changes("tools") ? { toolsListChanged: true } : {}),
      ...(changes("prompts") ? { promptsListChanged: true } : {}),
      ...(changes("resources") ? { resourcesListChanged: true } : {}),
      ...(watched.length > 0 ? { resourceSubscriptions: watched } : {}),
    };
    if (Object.keys(notifications).length === 0) return;
    listener = new AbortController();
    await connection.request(
      "subscriptions/listen",
      { notifications },
      { signal: listener.signal, on: onStream(createAside(new Set())) },
    );
  }

  async function subscribe(connection: Connection): Promise<void> {
    const { resources } = connection.about.capabilities as {
      resources?: { subscribe?: unknown };
    };
    if (resources?.subscribe !== true) return;
    if (subscribed?.on !== connection) {
      subscribed = { on: connection, uris: new Set() };
    }
    const { uris } = subscribed;
    const signal = AbortSignal.timeout(wiring.times.connect);
    for (const uri of watched) {
      if (uris.has(uri)) continue;
      await connection.request("resources/subscribe", { uri }, { signal });
      uris.add(uri);
    }
    for (const uri of uris) {
      if (watched.includes(uri)) continue;
      uris.delete(uri);
      await connection.request("resources/unsubscribe", { uri }, { signal });
    }
  }

  /** Until what is listened for is what is watched. */
  async function keepListening(): Promise<void> {
    let heardFor: readonly string[] | null = null;
    while (!closed && heardFor !== watched) {
      heardFor = watched;
      // What fails is tried again the next time somebody says that they watch.
      await listen().catch(() => {});
    }
  }

  return {
    upstream,
    principal: wiring.principal,
    request: (method, params, options) =>
      healing(() => attempt(method, params, options)),
    list: (signal) =>
      healing(async () => {
        const lane = await choose(false);
        const connection = await abortable(lane.connection, signal);
        return fetchListing(connection, signal, wiring.dropped).catch(
          (error: unknown) => {
            if (isSessionLost(error)) drop(lane);
            throw error;
          },
        );
      }),
    async connection(signal) {
      const lane = await choose(false);
      return abortable(lane.connection, signal);
    },
    watch(uris) {
      watchedAt = clock.monotonic();
      if (!Bun.deepEquals(watched, uris)) {
        watched = uris;
        listener?.abort(gone(upstream.name));
      }
      watching ??= keepListening().finally(() => {
        watching = null;
      });
    },
    idleFor: (ms) =>
      lanes.every(({ calls }) => calls.size === 0) &&
      clock.monotonic() - usedAt > ms &&
      clock.monotonic() - watchedAt > WATCHED_MS,
    usedAt: () => Math.max(usedAt, watchedAt),
    close() {
      closed = true;
      listener?.abort(gone(upstream.name));
      for (const lane of lanes.slice()) drop(lane);
    },
  };
}

const LIST_CHANGED = /^notifications\/(tools|prompts|resources)\/list_changed$/;

function gone(name: string): GatewayError {
  return new GatewayError(
    "conflict",
    `The connection to ${name} was closed: the server was changed, or nobody needed it. Try again.`,
  );
}

/** Waits for what others wait for too, and not longer than this one does. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason as Error);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
