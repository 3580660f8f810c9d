import type {
  JSONRPCMessage,
  JSONRPCRequest,
  Transport,
} from "@modelcontextprotocol/client";
import type { GatewayError } from "../../core/errors.ts";
import { brokeOff, failure, wasReset } from "./failure.ts";
import type { Incoming, Params, RequestOptions, Waiting } from "./rpc.ts";
import { cancelled, settle } from "./rpc.ts";

/** Requests of a connection on which everything comes over one stream: HTTP+SSE, and stdio. */
export type SharedStream = {
  send(message: JSONRPCRequest, options: RequestOptions): Promise<Params>;
  /** True for what belongs to one of the requests, which has it then. */
  take(message: JSONRPCMessage): boolean;
  /** Ends all that wait. */
  end(error: GatewayError): void;
};

export function createSharedStream(
  name: string,
  transport: Transport,
): SharedStream {
  const pending = new Map<
    JSONRPCRequest["id"],
    Waiting & { on: Incoming | undefined }
  >();
  return {
    async send(message, { signal, on }) {
      const { id } = message;
      signal.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<Params>();
      const aborted = () => {
        void transport.send(cancelled(id)).catch(() => {});
        reject(signal.reason);
      };
      signal.addEventListener("abort", aborted);
      pending.set(id, { resolve, reject, on });
      transport
        .send(message)
        .catch((error: unknown) =>
          reject(
            wasReset(error) ? brokeOff(name, error) : failure(name, error),
          ),
        );
      try {
        return await promise;
      } finally {
        signal.removeEventListener("abort", aborted);
        pending.delete(id);
      }
    },

    take(message) {
      if (!("method" in message)) {
        settle(pending.get(message.id!), name, message);
        return true;
      }
      const { method, params = {} } = message as {
        method: string;
        params?: Params;
      };
      if (method !== "notifications/progress") return false;
      const token = params["progressToken"] as JSONRPCRequest["id"];
      // Of a request that is over, it is of no use to anybody.
      pending.get(token)?.on?.notification(method, params);
      return true;
    },

    end(error) {
      for (const { reject } of pending.values()) reject(error);
    },
  };
}
