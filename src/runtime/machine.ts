import { randomBytes } from "node:crypto";
import type { Clock, Ids } from "../core/runtime.ts";

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** Ids from the operating system's random numbers. */
export const randomIds: Ids = {
  session: () => randomBytes(16).toString("hex"),
  secret: () => randomBytes(24).toString("base64url"),
  request: () => randomBytes(9).toString("base64url"),
};
