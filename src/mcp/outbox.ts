import type { Socket } from "../core/exchange.ts";
import type { Clock } from "../core/runtime.ts";

/** What is said over a WebSocket. Whoever has more to say that can wait looks first whether there is room. */
export type Outbox = {
  say(text: string): void;
  /** False while so much waits for the network that what can wait should. */
  hasRoom(): boolean;
  /** Resolves when there is room; never, when the socket closes first. */
  room(): Promise<void>;
  /** The network has taken some of it. */
  drained(): void;
  /** True when it has taken nothing for a minute of what waits. */
  stalled(): boolean;
};

/** Bytes. */
const ROOM = 262_144;
/** With more than this waiting for it, a socket is cut off; it holds some of the largest answers. */
const MAX_BEHIND = 33_554_432;
const STALL_MS = 60_000;

/** `tooFar`: called when more is said than its client reads. */
export function createOutbox(
  socket: Socket,
  clock: Pick<Clock, "monotonic">,
  tooFar: () => void,
): Outbox {
  let slowSince: number | null = null;
  let waiters: (() => void)[] = [];
  const hasRoom = () => socket.behind() < ROOM;
  return {
    say(text) {
      socket.send(text);
      const behind = socket.behind();
      if (behind === 0) slowSince = null;
      else slowSince ??= clock.monotonic();
      if (behind > MAX_BEHIND) tooFar();
    },
    hasRoom,
    room: () =>
      hasRoom()
        ? Promise.resolve()
        : new Promise((resolve) => waiters.push(resolve)),
    drained() {
      slowSince = socket.behind() === 0 ? null : clock.monotonic();
      if (!hasRoom()) return;
      for (const resolve of waiters) resolve();
      waiters = [];
    },
    stalled: () =>
      slowSince !== null && clock.monotonic() - slowSince > STALL_MS,
  };
}
