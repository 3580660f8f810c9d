import type { Clock, Ids } from "../core/runtime.ts";

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

// Request ids need to be found in a log, not to be secret.
const processMark = random(5).toHex();
let requests = 0;

/** Ids from the operating system's random numbers. */
export const randomIds: Ids = {
  session: () => random(16).toHex(),
  secret: () => random(24).toBase64({ alphabet: "base64url" }),
  random,
  request: () => `${processMark}-${(++requests).toString(36)}`,
};

function random(bytes: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(bytes));
}
