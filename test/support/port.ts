/**
 * None of those that the machine gives to who asks for any port: what a server has left for a moment is nobody else's
 * when it comes back, and while it is away nobody answers in its place. Nor are they among those that may not be reached.
 */
const FIRST = 12_000;
const LAST = 26_999;
let last = FIRST + Math.floor(Math.random() * (LAST - FIRST));

/** A port that nobody has at the moment, and another one each time. */
export function freePort(hostname = "127.0.0.1"): number {
  for (;;) {
    last = last < LAST ? last + 1 : FIRST;
    try {
      Bun.listen({ hostname, port: last, socket: { data() {} } }).stop(true);
      return last;
    } catch (error) {
      if ((error as { code?: string }).code !== "EADDRINUSE") throw error;
    }
  }
}
