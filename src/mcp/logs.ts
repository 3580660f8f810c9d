import type { LogLevel } from "../core/source.ts";
import { logLevels } from "../core/source.ts";
import { notificationText } from "./jsonrpc.ts";

/** Whether somebody who wants messages from `least` on wants one of this level. */
export function wantsLog(least: LogLevel | null, level: LogLevel): boolean {
  return least !== null && logLevels.indexOf(level) >= logLevels.indexOf(least);
}

export function logText(params: {
  level: LogLevel;
  logger?: string | undefined;
  data: unknown;
}): string {
  return notificationText("notifications/message", params);
}
