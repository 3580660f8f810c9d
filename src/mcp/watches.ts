import type { Identity, Principal } from "../core/principal.ts";
import { identityKey } from "../core/principal.ts";
import type { Clock } from "../core/runtime.ts";
import type { SessionStore, View } from "../core/session.ts";
import type { Catalogs } from "../gateway/catalog/catalog.ts";
import type { Library } from "../gateway/catalog/library.ts";
import type { Streams } from "./stream.ts";

/** Tells the sources who listens, and for which resources: all that anybody of an identity has subscribed to. */
export type Watches = {
  /** Somebody of this identity listens, or has changed what for. */
  tell(principal: Principal): void;
  /** Says it again of all who listen. */
  tick(): void;
};

/** A resource that somebody wants to hear of, and how it is looked at. */
export type Wanted = { view: View; uri: string };

/** Stateless callers that listen. */
export type Listeners = {
  principals(): Principal[];
  wanted(who: Identity): Wanted[];
};

/** Whose session has not been used for longer has most likely gone without a word. */
const GONE_MS = 7_200_000;
/** Resources of one identity. */
const MAX_WATCHED = 1000;

export function createWatches(wiring: {
  library: Library;
  catalogs: Catalogs;
  sessions: SessionStore;
  streams: Streams;
  listeners: Listeners;
  clock: Clock;
}): Watches {
  const { library, catalogs, sessions, streams, listeners, clock } = wiring;
  if (!library.watches) return { tell() {}, tick() {} };

  function tell(principal: Principal): void {
    const since = clock.now() - GONE_MS;
    const wanted = listeners.wanted(principal);
    for (const session of sessions.subscribed(principal)) {
      if (session.lastSeenAt < since) continue;
      const { view } = session;
      for (const uri of session.subscriptions) wanted.push({ view, uri });
    }
    library.watch(principal, wanted.slice(0, MAX_WATCHED));
  }

  // Now it is known whose the resources are.
  catalogs.onLoad((principal) => {
    if (
      streams.sessionsRead(principal).length > 0 ||
      listeners.wanted(principal).length > 0
    ) {
      tell(principal);
    }
  });

  return {
    tell,
    tick() {
      const listening = new Map(
        [...listeners.principals(), ...streams.readers()].map((principal) => [
          identityKey(principal),
          principal,
        ]),
      );
      for (const principal of listening.values()) tell(principal);
    },
  };
}
