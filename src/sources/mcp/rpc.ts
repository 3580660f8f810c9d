import type { LogLevel } from "../../core/source.ts";
import type {
  JSONRPCMessage,
  JSONRPCRequest,
  Transport,
} from "@modelcontextprotocol/client";
import type { TraceContext } from "../../core/trace.ts";
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

/** What a server says of its own accord, beside its answers. */
export type Incoming = {
  /** It asks for something, and waits for one `reply`. */
  request(
    asked: { method: string; params: Params },
    reply: (answer: Answer) => void,
  ): void;
  notification(method: string, params: Params): void;
};

export type RequestOptions = {
  /** Aborted: the server is told, and the request rejects with the reason. */
  signal: AbortSignal;
  /** In the stateless era: `Mcp-Param-…`. */
  headers?: Record<string, string>;
  /** What comes on the stream of this request. */
  on?: Incoming;
  /** In the stateless era: what the caller's client can do, and which log messages it wants. */
  capabilities?: Record<string, unknown>;
  logLevel?: LogLevel | null;
  /** What the server is told that it is part of. */
  trace?: TraceContext;
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
