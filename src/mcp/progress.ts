import type { RpcRequest } from "./jsonrpc.ts";
import { isRecord, notificationText } from "./jsonrpc.ts";

const MAX_PROGRESS_TOKEN = 256;

/** Of one call; what is more is left out, but for the last. */
const PER_SECOND = 20;

type Progress = Record<string, unknown>;

/**
 * Progress for a caller that sent a token: what the tool reports, or, while it reports nothing, that it
 * still runs. Values only rise (MCP 2025-11-25, basic/utilities/progress). Null for a caller that sent none.
 */
export function createProgress(
  request: RpcRequest,
  say: (text: string) => void,
  intervalMs: number,
) {
  const meta = request.params["_meta"];
  const token = isRecord(meta) ? meta["progressToken"] : undefined;
  if (typeof token !== "string" && typeof token !== "number") return null;
  // It is repeated in every notification.
  if (typeof token === "string" && token.length > MAX_PROGRESS_TOKEN)
    return null;
  let highest = -1;
  // What we have said of our own; the tool's values go on from there.
  let offset: number | null = null;
  let elapsed = 0;
  let stopped = false;
  let said = 0;
  let second: Timer | null = null;
  /** What is to be said when the second is over. */
  let waiting: Progress | null = null;
  const tellProgress = (params: Progress) =>
    say(notificationText("notifications/progress", params));
  const pace = (params: Progress) => {
    second ??= setTimeout(nextSecond, 1000);
    if (said >= PER_SECOND) {
      waiting = params;
      return;
    }
    said++;
    tellProgress(params);
  };
  const nextSecond = () => {
    second = null;
    said = 0;
    const next = waiting;
    waiting = null;
    if (next) pace(next);
  };
  const send = (progress: number, total?: number, message?: string) => {
    if (stopped || !(progress > highest)) return;
    highest = progress;
    pace({ progressToken: token, progress, total, message });
  };
  const timer = setInterval(() => {
    elapsed += intervalMs;
    if (offset === null) {
      send(elapsed / 1000, undefined, `Running for ${elapsed / 1000} s`);
    }
  }, intervalMs);
  return {
    report: (progress: number, total?: number, message?: string) => {
      offset ??= Math.max(highest, 0);
      send(progress + offset, total && total + offset, message);
    },
    /** `tell`: says the last that waits. */
    stop(tell: boolean) {
      stopped = true;
      clearInterval(timer);
      clearTimeout(second ?? undefined);
      if (tell && waiting) tellProgress(waiting);
    },
  };
}
