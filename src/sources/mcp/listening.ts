import type { Clock } from "../../core/runtime.ts";
import type { Connection } from "./connection.ts";
import { closed } from "./failure.ts";
import type { Heard } from "./heard.ts";
import { hear, hearUnclear } from "./heard.ts";
import type { Lanes } from "./lanes.ts";
import { NOBODY } from "./rpc.ts";
import type { Incoming } from "./rpc.ts";

/** Listens, in the way of the server's era, while somebody says that they do. */
export type Listening = {
  /** Somebody listens for list changes and these resources; forgotten when it is not said again within a minute. */
  watch(uris: readonly string[]): void;
  /** A session has ended, or was silent for a while: what it would have told is asked for. */
  missed(): void;
  isWatched(): boolean;
  /** In monotonic ms. */
  watchedAt(): number;
  close(): void;
};

/** Watching is said again every 15 s. */
const WATCHED_MS = 60_000;
/** A server that ends its sessions all the time is asked again this often. */
const AGAIN_MS = 5000;
const ACKNOWLEDGED = "notifications/subscriptions/acknowledged";

export function createListening(wiring: {
  name: string;
  lanes: Lanes;
  heard: Heard;
  clock: Clock;
  /** How long a server may take to take note of a subscription. */
  timeoutMs: number;
}): Listening {
  const { lanes, heard, clock } = wiring;
  let isClosed = false;
  let watchedAt = -Infinity;
  let watched: readonly string[] = [];
  let working: Promise<void> | null = null;
  /** True from when something may have been missed until somebody listens again. */
  let gap = false;
  let triedAt = -Infinity;
  /** Ends what listens in the stateless era. */
  let listener: AbortController | null = null;
  /** In the era of sessions: what was subscribed to, and where. */
  let subscribed: { on: Connection; uris: Set<string> } | null = null;

  const isWatched = () => clock.monotonic() - watchedAt <= WATCHED_MS;

  /** It listens now. */
  function caughtUp(): void {
    if (!gap) return;
    gap = false;
    heard.missed();
    for (const uri of watched) heard.updated(uri);
  }

  async function listen(): Promise<void> {
    const connection = await lanes.connection();
    if (connection.about.era === "stateless") {
      return listenStateless(connection);
    }
    await subscribe(connection);
    caughtUp();
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
    if (Object.keys(notifications).length === 0) return caughtUp();
    const mine = (listener = new AbortController());
    const on: Incoming = {
      request: (_asked, reply) => reply(NOBODY),
      notification(method, params) {
        if (method === ACKNOWLEDGED) caughtUp();
        else if (!hear(heard, method, params)) {
          hearUnclear(heard, method, params);
        }
      },
    };
    try {
      await connection.request(
        "subscriptions/listen",
        { notifications },
        { signal: mine.signal, on },
      );
    } finally {
      gap ||= !mine.signal.aborted;
    }
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
    const signal = AbortSignal.timeout(wiring.timeoutMs);
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
    while (!isClosed && heardFor !== watched) {
      heardFor = watched;
      // What fails is tried again the next time somebody says that they watch.
      await listen().catch(() => {});
    }
  }

  function work(): void {
    working ??= keepListening().finally(() => {
      working = null;
      if (gap) missed();
    });
  }

  function missed(): void {
    if (isClosed || !isWatched()) return;
    gap = true;
    if (clock.monotonic() - triedAt < AGAIN_MS) return;
    triedAt = clock.monotonic();
    work();
  }

  return {
    watch(uris) {
      watchedAt = clock.monotonic();
      if (!Bun.deepEquals(watched, uris)) {
        watched = uris;
        listener?.abort(closed(wiring.name));
      }
      work();
    },
    missed,
    isWatched,
    watchedAt: () => watchedAt,
    close() {
      isClosed = true;
      listener?.abort(closed(wiring.name));
    },
  };
}
