import { describeError } from "../core/errors.ts";
import type { EventLog, StreamRef } from "../core/event.ts";
import type { Identity, Principal } from "../core/principal.ts";
import { identityKey } from "../core/principal.ts";
import type { Clock, Log } from "../core/runtime.ts";
import type { SessionStore } from "../core/session.ts";
import type { Store } from "../core/store.ts";
import type { EventIds } from "./event-id.ts";

/**
 * SSE streams over the event log. A stream is a cursor into the log and nothing else: its reader asks
 * for more when its socket has room, gets what is on record after the cursor, and otherwise waits to be
 * woken. Backfill, cut-over and live delivery are therefore one thing, without a gap or a duplicate, and
 * a reader that stalls costs one page of events.
 */
export type Streams = {
  /**
   * Opens a stream after `after`. A stream has one reader: a newcomer takes over from one that has been there
   * for {@link TAKEOVER_GRACE_MS}, or longer if that has happened before; returns null when it is younger.
   */
  open(opening: StreamOpening): ReadableStream<string> | null;
  /** True when {@link open} would not return null. */
  free(streamId: number): boolean;
  /** There is something new on record, or the stream has ended. */
  wake(streamId: number): void;
  /** The caller who reads this stream at present, or null. */
  reader(streamId: number): Principal | null;
  /** The sessions of this identity whose own stream is being read. */
  sessionsRead(who: Identity): number[];
  /** One caller for each identity that reads the own stream of a session. */
  readers(): Principal[];
  /** Closes the reader of a stream; its client may come back and resume. */
  close(streamId: number): void;
  /** Tells every client to reconnect, and closes. */
  closeAll(): void;
  count(): number;
  /** Those of them that are the own stream of a session. */
  ownCount(): number;
  /** Sends the heartbeats that are due and closes what has stalled or lost its right to read. */
  beat(): void;
};

export type StreamOpening = {
  ref: StreamRef;
  after: number;
  /** First bytes, so that the response headers leave at once. */
  prelude: string;
  principal: Principal;
  /** Its caller, as the credential that opened it says at every heartbeat; null when that is no longer good. */
  stillValid: () => Promise<Principal | null>;
};

/** Clients of both official SDKs give up after two attempts this far apart, so a restart has twice this long. */
export const RETRY_MS = 3000;
/** A second reader takes a stream over when the first is this old, which doubles with each time it happens … */
const TAKEOVER_GRACE_MS = 2000;
/** … up to this: two clients that share a session do not take its stream from each other all day. */
const TAKEOVER_MAX_MS = 300_000;
/** A reader whose socket takes nothing for this long is cut off; it resumes from the log. */
const STALL_MS = 60_000;
const PAGE = 64;
const PAGE_BYTES = 262_144;

type Live = {
  ref: StreamRef;
  principal: Principal;
  openedAt: number;
  /** How long it is safe from another reader. */
  graceMs: number;
  /** Since when there is something to send that the socket has not taken; null while it keeps up. */
  behindSince: number | null;
  wake: () => void;
  heartbeat: () => void;
  close: () => void;
  abort: () => void;
  stillValid: () => Promise<Principal | null>;
};

export function createStreams(wiring: {
  events: EventLog;
  store: Pick<Store, "othersVersion" | "readBy"> & {
    sessions: Pick<SessionStore, "findByPk">;
  };
  eventIds: EventIds;
  clock: Clock;
  log: Log;
}): Streams {
  const { events, store, eventIds, clock, log } = wiring;
  let seenVersion = store.othersVersion();
  const live = new Map<number, Live>();
  const sessionStreams = new Map<string, Set<Live>>();

  function add(stream: Live): void {
    live.set(stream.ref.streamId, stream);
    if (stream.ref.streamId !== stream.ref.sessionPk) return;
    const key = identityKey(stream.principal);
    const mine = sessionStreams.get(key) ?? new Set();
    sessionStreams.set(key, mine.add(stream));
  }

  function remove(stream: Live): void {
    if (live.get(stream.ref.streamId) === stream) {
      live.delete(stream.ref.streamId);
    }
    const key = identityKey(stream.principal);
    const mine = sessionStreams.get(key);
    if (mine?.delete(stream) && mine.size === 0) sessionStreams.delete(key);
  }

  function free(streamId: number): boolean {
    const reader = live.get(streamId);
    return !reader || clock.monotonic() - reader.openedAt >= reader.graceMs;
  }

  function open(opening: StreamOpening): ReadableStream<string> | null {
    const { ref, prelude, principal, stillValid } = opening;
    const before = live.get(ref.streamId);
    let graceMs = TAKEOVER_GRACE_MS;
    if (before) {
      if (!free(ref.streamId)) return null;
      graceMs = Math.min(before.graceMs * 2, TAKEOVER_MAX_MS);
      before.close();
    }
    const endless = ref.streamId === ref.sessionPk;
    let cursor = opening.after;
    let ended = false;
    let beatDue = false;
    // Resolves the wait of `pull`; replaced by each wait.
    let awake = () => {};

    const finish = (how: (controller: Controller) => void) => {
      if (ended) return;
      ended = true;
      remove(stream);
      how(controller);
      awake();
    };
    let controller!: Controller;
    const stream: Live = {
      ref,
      principal,
      stillValid,
      openedAt: clock.monotonic(),
      graceMs,
      behindSince: null,
      wake: () => {
        stream.behindSince ??= clock.monotonic();
        awake();
      },
      heartbeat: () => {
        beatDue = true;
        stream.wake();
      },
      close: () => finish((c) => c.close()),
      abort: () => finish((c) => c.error(new Error("The reader has stalled."))),
    };

    /** Sends what there is to send; false when there was nothing. */
    function send(): boolean {
      const page = events.read(ref, cursor, PAGE, PAGE_BYTES);
      let text = "";
      for (const { seq, data } of page) {
        text += eventText(eventIds.encode(ref.streamId, seq), data);
        cursor = seq;
      }
      if (text === "" && beatDue) text = ": heartbeat\n\n";
      beatDue = false;
      const more = page.length > 0 && events.firstAfter(ref, cursor) !== null;
      stream.behindSince = more ? clock.monotonic() : null;
      if (text === "") return false;
      controller.enqueue(text);
      return true;
    }

    const readable = new ReadableStream<string>({
      start(c) {
        controller = c;
        c.enqueue(prelude);
      },
      async pull() {
        try {
          while (!ended) {
            if (send()) return;
            if (!endless && events.state(ref) !== "running") {
              return finish((c) => c.close());
            }
            await new Promise<void>((resolve) => (awake = resolve));
          }
        } catch (error) {
          log.error("stream failed", { reason: describeError(error) });
          stream.abort();
        }
      },
      cancel() {
        ended = true;
        remove(stream);
        awake();
      },
    });
    add(stream);
    return readable;
  }

  store.readBy((sessionPk) =>
    [...live.values()]
      .filter(({ ref }) => ref.sessionPk === sessionPk)
      .map(({ ref }) => ref.streamId),
  );

  return {
    open,
    free,
    wake: (streamId) => live.get(streamId)?.wake(),
    reader: (streamId) => live.get(streamId)?.principal ?? null,
    sessionsRead: (who) =>
      [...(sessionStreams.get(identityKey(who)) ?? [])].map(
        (stream) => stream.ref.sessionPk,
      ),
    readers: () =>
      [...sessionStreams.values()].map((mine) => [...mine].at(-1)!.principal),
    close: (streamId) => live.get(streamId)?.close(),
    closeAll() {
      for (const stream of live.values()) stream.close();
    },
    count: () => live.size,
    ownCount: () =>
      sessionStreams.values().reduce((sum, mine) => sum + mine.size, 0),
    beat() {
      const now = clock.monotonic();
      const version = store.othersVersion();
      const changed = version !== seenVersion;
      seenVersion = version;
      for (const stream of live.values()) {
        if (
          stream.behindSince !== null &&
          now - stream.behindSince > STALL_MS
        ) {
          stream.abort();
          continue;
        }
        const { principal, ref } = stream;
        if (changed && !store.sessions.findByPk(principal, ref.sessionPk)) {
          // Ended by another process; those that we end close their streams at once.
          stream.close();
          continue;
        }
        stream.heartbeat();
        stream.stillValid().then(
          (now) => {
            if (now) stream.principal = now;
            else stream.close();
          },
          // Who is asking cannot be learned just now; asked again at the next heartbeat.
          () => {},
        );
      }
    },
  };
}

type Controller = ReadableStreamDefaultController<string>;

/** One event. JSON has no line breaks, so one `data:` line carries the message whatever it contains. */
export function eventText(id: string, data: string): string {
  return `id: ${id}\nevent: message\ndata: ${data}\n\n`;
}

/**
 * The first bytes of a stream. From 2025-11-25 on they are a priming event (an id and empty data), so
 * that a client can resume a stream that has not said anything yet; older clients would take that for a
 * message, and get the id alone.
 */
export function preludeText(id: string, primes: boolean): string {
  return `: open\nretry: ${RETRY_MS}\nid: ${id}\n${primes ? "data: \n" : ""}\n`;
}
