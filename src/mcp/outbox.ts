import type { Socket } from "../core/exchange.ts";
import type { Clock } from "../core/runtime.ts";

/** What is said over a WebSocket. Nothing here waits: whoever has more to say looks first whether there is room. */
export type Outbox = {
  say(text: string): void;
  /** False while so much waits for the network that what can wait should. */
  hasRoom(): boolean;
  /** The network has taken some of it. */
  drained(): void;
  /** True when it has taken nothing for a minute of what waits. */
  stalled(): boolean;
};

/** Bytes. */
const ROOM = 1_048_576;
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
  return {
    say(text) {
      socket.send(text);
      const behind = socket.behind();
      if (behind === 0) slowSince = null;
      else slowSince ??= clock.monotonic();
      if (behind > MAX_BEHIND) tooFar();
    },
    hasRoom: () => socket.behind() < ROOM,
    drained() {
      slowSince = socket.behind() === 0 ? null : clock.monotonic();
    },
    stalled: () =>
      slowSince !== null && clock.monotonic() - slowSince > STALL_MS,
  };
}
