import { describeError } from "../core/errors.ts";
import type { EventType } from "../core/journal.ts";
import type { Principal } from "../core/principal.ts";
import type { Clock, Log } from "../core/runtime.ts";
import type { Missed } from "../core/told.ts";
import { missed } from "../core/told.ts";
import type { Feed, FeedPart } from "../gateway/events/feed.ts";

/** The journal as server-sent events, such as an `EventSource` reads them. */
export type EventStreams = {
  /** Throws `rate_limited` when the caller has too many. */
  open(asked: EventStreamOpening): ReadableStream<string>;
  /** Sends the heartbeats that are due, and closes what has stalled or lost its right to read. */
  beat(): void;
  /** Closes all; their readers come back to where they were. */
  closeAll(): void;
  count(): number;
};

export type EventStreamOpening = {
  principal: Principal;
  /** Its caller as the credential says at every heartbeat; null when that is no longer good. */
  stillValid: () => Promise<Principal | null>;
  types: readonly EventType[] | null;
  /** The last id that this reader has had, of whatever stream; null to begin with what happens next. */
  after: string | null;
};

const RETRY_MS = 3000;
/** A reader whose socket takes nothing for this long is cut off; it comes back to where it was. */
const STALL_MS = 60_000;

type Open = {
  beat(now: number): void;
  close(): void;
};

export function createEventStreams(wiring: {
  feed: Feed;
  clock: Clock;
  log: Log;
}): EventStreams {
  const { feed, clock, log } = wiring;
  const streams = new Set<Open>();

  function open(asked: EventStreamOpening): ReadableStream<string> {
    const { principal, stillValid, types, after } = asked;
    let ended = false;
    let beatDue = false;
    /** Since when there is something to send that the socket has not taken. */
    let behindSince: number | null = null;
    let shown = "";
    // Resolves the wait of `pull`; replaced by each wait.
    let awake = () => {};
    const wake = () => {
      behindSince ??= clock.monotonic();
      awake();
    };
    const reader = feed.open({ principal, types, after, wake });

    function finish(how: () => void): void {
      if (ended) return;
      ended = true;
      streams.delete(stream);
      reader.close();
      how();
      awake();
    }
    const close = () => finish(() => controller.close());
    const abort = (why: string) =>
      finish(() => controller.error(new Error(why)));
    const stream: Open = {
      beat(now) {
        if (behindSince !== null && now - behindSince > STALL_MS) {
          return abort("The reader has stalled.");
        }
        beatDue = true;
        wake();
        stillValid().then(
          (now) => (now ? reader.become(now) : close()),
          // Who is asking cannot be learned just now; asked again at the next heartbeat.
          () => {},
        );
      },
      close,
    };

    /** What is to be sent now; "" for nothing. */
    function next({ missed: why, lines, more }: FeedPart): string {
      let text = why === null ? "" : missedText(why);
      for (const { place, json } of lines) {
        text += `id: ${place}\ndata: ${json}\n\n`;
        shown = place;
      }
      if (text === "" && !more && beatDue) text = heartbeat();
      beatDue = false;
      behindSince = more ? clock.monotonic() : null;
      return text;
    }

    /** With its place when that has moved past what this reader is not shown: there is less to look through after it. */
    function heartbeat(): string {
      const place = reader.place();
      if (place === shown) return ": heartbeat\n\n";
      shown = place;
      return `: heartbeat\nid: ${place}\n\n`;
    }

    function missedText(reason: Missed["reason"]): string {
      const event = missed(reason, missedMessages[reason], clock.now());
      return `data: ${JSON.stringify(event)}\n\n`;
    }

    let controller!: ReadableStreamDefaultController<string>;
    const readable = new ReadableStream<string>({
      start(c) {
        controller = c;
        shown = reader.place();
        c.enqueue(`: open\nretry: ${RETRY_MS}\nid: ${shown}\n\n`);
      },
      async pull() {
        try {
          while (!ended) {
            const turn = reader.turn();
            if (turn) await turn;
            if (ended) return;
            const part = reader.read();
            const text = next(part);
            if (text !== "") return controller.enqueue(text);
            await new Promise<void>((resolve) => {
              if (part.more) setImmediate(resolve);
              else awake = resolve;
            });
          }
        } catch (error) {
          log.error("event stream failed", { reason: describeError(error) });
          abort("The journal cannot be read.");
        }
      },
      cancel: () => finish(() => {}),
    });
    streams.add(stream);
    return readable;
  }

  return {
    open,
    beat() {
      const now = clock.monotonic();
      for (const stream of streams) stream.beat(now);
    },
    closeAll() {
      for (const stream of streams) stream.close();
    },
    count: () => streams.size,
  };
}

const missedMessages = {
  forgotten:
    "Some of the events after the last one that you have had are kept no longer (JOURNAL_TTL, JOURNAL_MAX). Those that are follow.",
  unknown:
    "The last event id is none of this workspace's events. What happened before now was not sent; the audit has it.",
};
