import { describeError } from "../core/errors.ts";
import type { EventLog, StreamRef } from "../core/event.ts";
import type { Identity, Principal } from "../core/principal.ts";
import { identityKey } from "../core/principal.ts";
import type { Clock, Log } from "../core/runtime.ts";
import type { SessionStore } from "../core/session.ts";
import type { Store } from "../core/store.ts";
import type { Admission } from "../gateway/limits/admission.ts";
import type { EventIds } from "./event-id.ts";

/**
 * Streams over the event log, as SSE or to a WebSocket. A stream is a cursor into the log and nothing else: its
 * reader asks for more when its socket has room, gets what is on record after the cursor, and otherwise waits to be
 * woken. Backfill, cut-over and live delivery are therefore one thing, without a gap or a duplicate, and
 * a reader that stalls costs one page of events.
 */
export type Streams = {
  /**
   * Opens a stream after `after`. A stream has one reader: a newcomer takes over from one that has been there
   * for {@link TAKEOVER_GRACE_MS}, or longer if that has happened before; returns null when it is younger. Throws
   * `rate_limited` when its caller has too many open already.
   */
  open(opening: StreamOpening): ReadableStream<string> | null;
  /** The same for the own stream of a session, read over a WebSocket: the events go to `reader`. */
  attach(
    opening: Omit<StreamOpening, "prelude">,
    reader: EventReader,
  ): Attachment | null;
  /** True when {@link open} would not return null. */
  free(streamId: number): boolean;
  /** There is something new on record, or the stream has ended. */
  wake(streamId: number): void;
  /** The caller who reads this stream at present, or null. */
  reader(streamId: number): Principal | null;
  /**
   * The same, as the credential that opened the stream says now; a stream whose credential is no longer good is closed.
   * Rejects when that cannot be learned.
   */
  verifiedReader(streamId: number): Promise<Principal | null>;
  /** The sessions of this identity whose own stream is being read. */
  sessionsRead(who: Identity): number[];
  /** One caller for each identity that reads the own stream of a session. */
  readers(): Principal[];
  /** Closes the reader of a stream; its client may come back and resume. */
  close(streamId: number, why?: Ending): void;
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
  /** Its caller, as the credential that opened it says when asked; null when that is no longer good. */
  stillValid: () => Promise<Principal | null>;
};

/** Why a stream ends for its reader; `over`: all is said, or the rest cannot be said before the reader comes back. */
export type Ending =
  | "over"
  | "taken over"
  | "credential ended"
  | "session ended"
  | "stalled"
  | "failed"
  | "restart";

export type EventReader = {
  /** Takes one event; false when it takes no more until it asks with {@link Attachment.more}. */
  deliver(id: string, data: string): boolean;
  /** The last that it hears, unless it has left. */
  end(why: Ending): void;
};

export type Attachment = { more(): void; leave(): void };

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
  close: (why: Ending) => void;
  /** Makes room for another of its caller's. */
  release: () => void;
  stillValid: () => Promise<Principal | null>;
};

export function createStreams(wiring: {
  events: EventLog;
  store: Pick<Store, "othersVersion" | "readBy"> & {
    sessions: Pick<SessionStore, "findByPk">;
  };
  eventIds: EventIds;
  admission: Pick<Admission, "hold">;
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
    stream.release();
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

  /** Ends the reader that a stream has; for how long the next is safe, or null when this one is. */
  function takeOver(streamId: number): number | null {
    const before = live.get(streamId);
    if (!before) return TAKEOVER_GRACE_MS;
    if (!free(streamId)) return null;
    before.close("taken over");
    return Math.min(before.graceMs * 2, TAKEOVER_MAX_MS);
  }

  function attach(
    opening: Omit<StreamOpening, "prelude">,
    reader: EventReader,
  ): Attachment | null {
    const { ref, principal, stillValid } = opening;
    const graceMs = takeOver(ref.streamId);
    if (graceMs === null) return null;
    let cursor = opening.after;
    let hasRoom = true;
    let ended = false;

    const leave = () => {
      ended = true;
      remove(stream);
    };
    /** Delivers all that there is, or as much as is taken. */
    function deliver(): void {
      while (!ended && hasRoom) {
        const page = events.read(ref, cursor, PAGE, PAGE_BYTES);
        if (page.length === 0) {
          stream.behindSince = null;
          return;
        }
        for (const { seq, data } of page) {
          cursor = seq;
          hasRoom = reader.deliver(eventIds.encode(ref.streamId, seq), data);
          if (!hasRoom || ended) break;
        }
      }
    }
    const tryDeliver = () => {
      try {
        deliver();
      } catch (error) {
        log.error("stream failed", { reason: describeError(error) });
        stream.close("failed");
      }
    };
    const stream: Live = {
      ref,
      principal,
      stillValid,
      // Sockets are counted, and not what they read.
      release: () => {},
      openedAt: clock.monotonic(),
      graceMs,
      behindSince: null,
      wake: () => {
        stream.behindSince ??= clock.monotonic();
        tryDeliver();
      },
      // Its pings are its own.
      heartbeat: () => {},
      close: (why) => {
        if (ended) return;
        leave();
        reader.end(why);
      },
    };
    add(stream);
    stream.wake();
    return {
      leave,
      more() {
        hasRoom = true;
        if (stream.behindSince !== null) {
          stream.behindSince = clock.monotonic();
        }
        tryDeliver();
      },
    };
  }

  function open(opening: StreamOpening): ReadableStream<string> | null {
    const { ref, prelude, principal, stillValid } = opening;
    const graceMs = takeOver(ref.streamId);
    if (graceMs === null) return null;
    const endless = ref.streamId === ref.sessionPk;
    // Those of calls are as many as there may be calls.
    const release = endless ? wiring.admission.hold(principal) : () => {};
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
      release,
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
      close: (why) =>
        finish((c) =>
          why === "stalled" || why === "failed"
            ? c.error(new Error(`The stream has ${why}.`))
            : c.close(),
        ),
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
          stream.close("failed");
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

  /** Closes it when its reader may not read it any more. */
  async function verify(stream: Live): Promise<Principal | null> {
    const now = await stream.stillValid();
    if (now) stream.principal = now;
    else stream.close("credential ended");
    return now;
  }

  store.readBy((sessionPk) =>
    [...live.values()]
      .filter(({ ref }) => ref.sessionPk === sessionPk)
      .map(({ ref }) => ref.streamId),
  );

  return {
    open,
    attach,
    free,
    wake: (streamId) => live.get(streamId)?.wake(),
    reader: (streamId) => live.get(streamId)?.principal ?? null,
    async verifiedReader(streamId) {
      const stream = live.get(streamId);
      return stream ? verify(stream) : null;
    },
    sessionsRead: (who) =>
      [...(sessionStreams.get(identityKey(who)) ?? [])].map(
        (stream) => stream.ref.sessionPk,
      ),
    readers: () =>
      [...sessionStreams.values()].map((mine) => [...mine].at(-1)!.principal),
    close: (streamId, why = "over") => live.get(streamId)?.close(why),
    closeAll() {
      for (const stream of live.values()) stream.close("restart");
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
          stream.close("stalled");
          continue;
        }
        const { principal, ref } = stream;
        if (changed && !store.sessions.findByPk(principal, ref.sessionPk)) {
          // Ended by another process; those that we end close their streams at once.
          stream.close("session ended");
          continue;
        }
        stream.heartbeat();
        // Where who is asking cannot be learned just now, that is asked again at the next heartbeat.
        verify(stream).catch(() => {});
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
