import type { LogLevel } from "../../core/source.ts";
import { logLevels } from "../../core/source.ts";
import type { Incoming, Params } from "./rpc.ts";

/** What is heard of a server beside any request. */
export type Heard = {
  /** Of one kind: tools, prompts or resources. */
  listChanged(kind: string): void;
  updated(uri: string): void;
  logged(level: LogLevel, data: unknown, logger?: string): void;
  /** What a user was sent to a URL for is done. */
  completed(elicitationId: string): void;
  /** Something may have been missed: what the server has may be something else now. */
  missed(): void;
};

const LIST_CHANGED = /^notifications\/(tools|prompts|resources)\/list_changed$/;

/** Tells what concerns all callers of the member. False for what does not. */
export function hear(heard: Heard, method: string, { uri }: Params): boolean {
  const [, kind] = LIST_CHANGED.exec(method) ?? [];
  if (kind !== undefined) heard.listChanged(kind);
  else if (method === "notifications/resources/updated") {
    if (typeof uri === "string") heard.updated(uri);
  } else return false;
  return true;
}

/** What belongs to a call that is not known, or to one that is over. */
export function hearUnclear(
  heard: Heard,
  method: string,
  params: Params,
): void {
  const { elicitationId } = params;
  const log = readLog(method, params);
  if (log) heard.logged(...log);
  else if (method === COMPLETED && typeof elicitationId === "string") {
    heard.completed(elicitationId);
  }
}

/** What is said on the stream of a request is for that request, but for what concerns everybody. */
export const onStream = (heard: Heard, on: Incoming): Incoming => ({
  request: (asked, reply) =>
    asked.method === "ping" ? reply({ result: {} }) : on.request(asked, reply),
  notification(method, params) {
    if (!hear(heard, method, params)) on.notification(method, params);
  },
});

export const COMPLETED = "notifications/elicitation/complete";

/** Null for what is no message to be logged. */
export function readLog(
  method: string,
  { level, data, logger }: Params,
): [level: LogLevel, data: unknown, logger?: string] | null {
  if (method !== "notifications/message") return null;
  if (!logLevels.includes(level as LogLevel)) return null;
  const known = level as LogLevel;
  return typeof logger === "string" ? [known, data, logger] : [known, data];
}
