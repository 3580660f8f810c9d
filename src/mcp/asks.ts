import { GatewayError } from "../core/errors.ts";
import type { Ids } from "../core/runtime.ts";
import type { Refusal } from "../core/source.ts";
import type { Answered, Ask } from "./input.ts";
import type { RpcResponse } from "./jsonrpc.ts";
import {
  INTERNAL_ERROR,
  isRecord,
  notificationText,
  requestText,
} from "./jsonrpc.ts";

/** Requests of ours to the clients of sessions: sampling, elicitation, roots. */
export type Asks = {
  /** Asks on the stream of a call; `ofCall` is aborted when nobody waits any more. */
  create(
    sessionPk: number,
    say: (text: string) => void,
    ofCall: AbortSignal,
  ): Ask;
  /** What the client of a session says; nothing to us unless this session was asked. */
  answered(sessionPk: number, message: RpcResponse): void;
};

/** People take their time. */
const ASK_TIMEOUT_MS = 600_000;

export function createAsks(ids: Ids): Asks {
  /** Requests to clients that are not answered yet. Their ids never come again, so a late answer meets nobody. */
  const asked = new Map<
    string,
    { sessionPk: number; settle(message: RpcResponse): void }
  >();

  /** Sends a request on the stream of a call, and waits for what its client says. */
  function create(
    sessionPk: number,
    say: (text: string) => void,
    ofCall: AbortSignal,
  ): Ask {
    return async (method, params, over) => {
      const signal = AbortSignal.any([ofCall, over]);
      signal.throwIfAborted();
      const id = ids.request();
      const { promise, resolve, reject } = Promise.withResolvers<Answered>();
      const timer = setTimeout(
        () =>
          reject(
            new GatewayError(
              "timeout",
              `The client did not answer ${method} within ${ASK_TIMEOUT_MS / 60_000} minutes.`,
            ),
          ),
        ASK_TIMEOUT_MS,
      );
      const aborted = () => {
        if (!ofCall.aborted) say(withdrawnText(id));
        reject(signal.reason);
      };
      signal.addEventListener("abort", aborted);
      asked.set(id, {
        sessionPk,
        settle: ({ result, error }) =>
          resolve(
            error === undefined ? { result } : { refusal: readRefusal(error) },
          ),
      });
      try {
        say(requestText(id, method, params));
        return await promise;
      } finally {
        asked.delete(id);
        clearTimeout(timer);
        signal.removeEventListener("abort", aborted);
      }
    };
  }

  return {
    create,
    answered(sessionPk, message) {
      const request = asked.get(String(message.id));
      if (request?.sessionPk === sessionPk) request.settle(message);
    },
  };
}

function withdrawnText(requestId: string): string {
  return notificationText("notifications/cancelled", {
    requestId,
    reason: "Nobody waits for the answer any more.",
  });
}

function readRefusal(error: unknown): Refusal {
  const { code, message, data } = isRecord(error) ? error : {};
  return {
    code: Number.isSafeInteger(code) ? Number(code) : INTERNAL_ERROR,
    message: (typeof message === "string" ? message : String(error)).slice(
      0,
      1000,
    ),
    ...(data === undefined ? {} : { data }),
  };
}
