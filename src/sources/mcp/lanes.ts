import type { Clock } from "../../core/runtime.ts";
import type { LogLevel } from "../../core/source.ts";
import type { Connection } from "./connection.ts";
import { closed } from "./failure.ts";
import type { Answer, Incoming, Params } from "./rpc.ts";
import { NOBODY } from "./rpc.ts";

/**
 * The sessions that one member has with one server. There is one until the server asks something on a stream that
 * belongs to no request: from then on each call has a session to itself, or nobody could tell whom it asks.
 */
export type Lanes = {
  /** For a request that cannot be asked anything, until `leave`. */
  any(): Entered;
  /** A session, opened when there is none. */
  connection(): Promise<Connection>;
  /** For a call, which has it until `leave`; waits for one when all are taken. */
  enter(on: Incoming, signal: AbortSignal): Promise<Entered>;
  /** Is of no use any more; what is under way on streams of its own goes on. */
  drop(lane: Lane): void;
  isBusy(): boolean;
  /** Closes those that were made for calls of their own and have not been used for `ms`. */
  trim(ms: number): void;
  /** Ends all that is under way; `gently`: each session ends when nothing is under way on it. */
  close(gently: boolean): void;
};

/** A session, and the calls on it. */
export type Lane = {
  connection: Promise<Connection>;
  calls: Set<Call>;
  /** Requests that are no calls. */
  others: number;
  /** What the server was told to log. */
  level: LogLevel | null;
  /** Aborted when all that is under way is to end. */
  over: AbortSignal;
};
export type Entered = {
  lane: Lane;
  /** `cancelled`: the server may go on with it for a moment, and ask. */
  leave(cancelled: boolean): void;
};
type Call = { on: Incoming; ended: Promise<void> };

/** Sessions of one member with a server that does not say which call a question of its belongs to. */
const MAX_LANES = 4;
/** How long a session counts as beginning. */
const BEGINNING_MS = 5000;
/** How long a server may go on with a call that it was told to end; a question of another call waits as long. */
const ENDING_MS = 1000;

export function createLanes(wiring: {
  name: string;
  clock: Clock;
  /** How long a question waits for it to become clear whose it is. */
  unclearMs: number;
  /** `ended` is called when it has ended by itself. */
  open(options: {
    aside: Incoming;
    signal: AbortSignal;
    ended: () => void;
  }): Promise<Connection>;
  /** Takes what concerns all callers of the member, of what belongs to no request; true when it was that. */
  hear(method: string, params: Params): boolean;
  /** A notification that belongs to some call, nobody knows to which. */
  unclear(method: string, params: Params): void;
  /** A session has ended by itself. */
  ended(): void;
}): Lanes {
  const { name, clock } = wiring;
  type Own = Lane & { usedAt: number; stop: AbortController };
  const lanes: Own[] = [];
  let exclusive = false;
  let isClosed = false;

  function openLane(): Own {
    if (isClosed) throw closed(name);
    const calls = new Set<Call>();
    const stop = new AbortController();
    const connection = wiring.open({
      aside: createAside(calls),
      signal: stop.signal,
      ended() {
        remove(lane);
        wiring.ended();
      },
    });
    const lane: Own = {
      connection,
      calls,
      others: 0,
      level: null,
      over: stop.signal,
      usedAt: clock.monotonic(),
      stop,
    };
    lanes.push(lane);
    connection.catch(() => remove(lane));
    return lane;
  }

  function remove(lane: Lane): void {
    const at = lanes.findIndex((one) => one === lane);
    if (at >= 0) lanes.splice(at, 1);
  }

  function drop(lane: Lane): void {
    remove(lane);
    lane.connection.then(
      (connection) => connection.close(),
      () => {},
    );
  }

  /** Where a call can go now; null while it has to wait. */
  function pick(): Own | null {
    const [first] = lanes;
    if (!exclusive) return first ?? openLane();
    const free = lanes.find(({ calls }) => calls.size === 0);
    return free ?? (lanes.length < MAX_LANES ? openLane() : null);
  }

  /** The call that a question belongs to: the one that is under way when all others that could be have ended. */
  async function callOf(calls: ReadonlySet<Call>): Promise<Call | null> {
    const candidates = new Set(calls);
    if (candidates.size > 1) {
      const late = Bun.sleep(wiring.unclearMs).then(() => null);
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
      request(asked, reply: (answer: Answer) => void) {
        if (asked.method === "ping") return reply({ result: {} });
        if (calls.size === 0) return reply(NOBODY);
        // Many servers ask for roots when a session begins, for themselves and for no call.
        const early = clock.monotonic() - openedAt < BEGINNING_MS;
        if (asked.method !== "roots/list" || !early) exclusive = true;
        void callOf(calls).then((call) =>
          call ? call.on.request(asked, reply) : reply(NOBODY),
        );
      },
      notification(method, params) {
        if (wiring.hear(method, params)) return;
        const [only, ...others] = calls;
        if (only && others.length === 0) only.on.notification(method, params);
        else wiring.unclear(method, params);
      },
    };
  }

  const isFree = ({ calls, others }: Lane) => calls.size === 0 && others === 0;

  function left(lane: Own): void {
    lane.usedAt = clock.monotonic();
    if (isClosed && isFree(lane)) drop(lane);
  }

  const first = () => lanes[0] ?? openLane();

  return {
    drop,
    connection: () => first().connection,
    any() {
      const lane = first();
      lane.others++;
      return {
        lane,
        leave() {
          lane.others--;
          left(lane);
        },
      };
    },

    async enter(on, signal) {
      for (;;) {
        signal.throwIfAborted();
        const lane = pick();
        if (lane) {
          const { promise: ended, resolve } = Promise.withResolvers<void>();
          const call = { on, ended };
          lane.calls.add(call);
          const end = () => {
            lane.calls.delete(call);
            resolve();
            left(lane);
          };
          const leave = (cancelled: boolean) => {
            if (cancelled) setTimeout(end, ENDING_MS).unref();
            else end();
          };
          return { lane, leave };
        }
        const someEnd = lanes.flatMap(({ calls }) =>
          [...calls].map(({ ended }) => ended),
        );
        await abortable(Promise.race(someEnd), signal);
      }
    },

    isBusy: () => !lanes.every(isFree),

    trim(ms) {
      for (const lane of lanes.slice(1)) {
        const idle = clock.monotonic() - lane.usedAt > ms;
        if (isFree(lane) && idle) drop(lane);
      }
    },

    close(gently) {
      isClosed = true;
      for (const lane of lanes.slice()) {
        if (gently && !isFree(lane)) continue;
        lane.stop.abort(closed(name));
        drop(lane);
      }
    },
  };
}

/** Waits for what others wait for too, and not longer than this one does. */
export async function abortable<T>(
  work: Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
