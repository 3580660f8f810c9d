import { randomBytes } from "node:crypto";
import type { Clock, Ids } from "../core/runtime.ts";

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

// Request ids need to be found in a log, not to be secret.
const processMark = randomBytes(5).toString("hex");
let requests = 0;

/** Ids from the operating system's random numbers. */
export const randomIds: Ids = {
  session: () => randomBytes(16).toString("hex"),
  secret: () => randomBytes(24).toString("base64url"),
  request: () => `${processMark}-${(++requests).toString(36)}`,
};
