import type {
  JSONRPCMessage,
  JSONRPCRequest,
  Transport,
} from "@modelcontextprotocol/client";
import { rpcFailure } from "./failure.ts";

/** JSON-RPC as we speak it to servers. */

export type Params = Record<string, unknown>;
export type Answer =
  | { result: Params }
  | { error: { code: number; message: string; data?: unknown } };

/** Of what is the protocol's own in `_meta`. */
export const OWN = "io.modelcontextprotocol/";

/** The answer for a request of a server that nobody is there to answer. */
export const NOBODY: Answer = {
  error: { code: -32601, message: "The client does not answer this." },
};

/** Who waits for the answer to a request. */
export type Waiting = {
  resolve(result: Params): void;
  reject(error: unknown): void;
};

/** Gives an answer to who waits for it; one that nobody waits for is nothing to us. */
export function settle(
  waiting: Waiting | undefined,
  name: string,
  message: JSONRPCMessage,
): void {
  const { result, error } = message as {
    result?: Params;
    error?: { code?: unknown };
  };
  if (error !== undefined) waiting?.reject(rpcFailure(name, error));
  else if (result !== undefined) waiting?.resolve(result);
}

export function replyOn(transport: Transport, { id }: JSONRPCRequest) {
  return (answer: Answer) =>
    void transport
      .send({ jsonrpc: "2.0", id, ...answer } as JSONRPCMessage)
      // Whoever asked is gone.
      .catch(() => {});
}

export function cancelled(requestId: JSONRPCRequest["id"]): JSONRPCMessage {
  return {
    jsonrpc: "2.0",
    method: "notifications/cancelled",
    params: { requestId, reason: "The caller does not wait any more." },
  };
}
