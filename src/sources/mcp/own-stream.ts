import type { JSONRPCRequest, Transport } from "@modelcontextprotocol/client";
import { GatewayError } from "../../core/errors.ts";
import {
  brokeOff,
  failure,
  rpcFailure,
  sessionLost,
  wasReset,
  wordless,
} from "./failure.ts";
import { writeTrace } from "../../core/trace.ts";
import type { Incoming, Params, RequestOptions } from "./rpc.ts";
import { NOBODY, cancelled, replyOn, settle } from "./rpc.ts";
import type { Wire } from "./wire.ts";

/** What one request may bring beside its answer before it counts as a flood. */
const MAX_NOTIFICATIONS = 20_000;
/** How long a server may take to be told that nobody waits any more. */
const CANCEL_MS = 5000;

/** Requests over Streamable HTTP, each on a stream of its own: what comes on it belongs to this request and no other. */
export function createOwnStreams(wiring: {
  name: string;
  wire: Wire;
  session: () => string | undefined;
  protocolVersion: string;
  stateless: boolean;
  /** Takes what comes on the stream of a request that nobody listens to. */
  aside: Incoming;
}): (message: JSONRPCRequest, options: RequestOptions) => Promise<Params> {
  const { name, wire, protocolVersion, stateless, aside } = wiring;

  return async (message, { signal, on, headers, trace }) => {
    const { id } = message;
    signal.throwIfAborted();
    const session = wiring.session();
    let fault: GatewayError | null = null;
    const transport = await wire.transport({
      protocolVersion,
      ...(session === undefined ? {} : { sessionId: session }),
      fault: (error) => {
        fault = error;
      },
    });
    const answer = Promise.withResolvers<Params>();
    const { promise, reject } = answer;
    // It may reject before anybody waits.
    promise.catch(() => {});
    let notifications = 0;
    transport.onmessage = (received) => {
      if (!("method" in received)) {
        if (received.id === id) settle(answer, name, received);
        // The stream has one answer; another's is none of ours.
        return reject(failure(name, null, "invalid_response"));
      }
      const { method, params = {} } = received as {
        method: string;
        params?: Params;
      };
      if ("id" in received) {
        const reply = replyOn(transport, received);
        return on ? on.request({ method, params }, reply) : reply(NOBODY);
      }
      if (++notifications > MAX_NOTIFICATIONS) return reject(flooded(name));
      (on ?? aside).notification(method, params);
    };
    signal.throwIfAborted();
    const aborted = () => reject(signal.reason);
    signal.addEventListener("abort", aborted);
    const unsent = (error: unknown): GatewayError => {
      const why = error instanceof GatewayError ? error : fault;
      if (wasReset(why)) return brokeOff(name, why);
      return why ?? postFailure(name, error, session !== undefined);
    };
    let telling = false;
    try {
      await transport.start();
      void transport
        .send(message, {
          headers: { ...writeTrace(trace), ...(stateless ? headers : {}) },
          onRequestStreamEnd: () => reject(brokeOff(name, fault)),
        })
        .catch((error: unknown) => reject(unsent(error)));
      return await promise;
    } catch (error) {
      if (!signal.aborted) throw error;
      telling = !stateless;
      if (telling) cancel(transport, id);
      throw signal.reason;
    } finally {
      signal.removeEventListener("abort", aborted);
      if (!telling) await leave(transport);
    }
  };
}

const leave = (transport: Transport) => transport.close().catch(() => {});

/** Tells the server, and does not wait for it. */
function cancel(transport: Transport, id: JSONRPCRequest["id"]): void {
  const told = transport.send(cancelled(id)).catch(() => {});
  void Promise.race([told, Bun.sleep(CANCEL_MS)]).then(() => leave(transport));
}

function flooded(name: string): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `${name} sends more notifications than anybody could read, and was hung up on.`,
    { data: { reason: "flood", failureClass: "invalid_response" } },
  );
}

/** What a refused POST says. Some servers answer 400 when they do not know a session. */
function postFailure(
  name: string,
  error: unknown,
  inSession: boolean,
): GatewayError {
  const { status, data } = error as { status?: unknown; data?: Params };
  const text = data?.["text"];
  if (inSession && status === 400 && /session/i.test(String(text))) {
    return sessionLost();
  }
  try {
    const { error: rpc } = JSON.parse(String(text)) as { error?: Params };
    if (rpc) return rpcFailure(name, rpc);
  } catch {
    // Not JSON-RPC.
  }
  return typeof status === "number"
    ? new GatewayError(
        "upstream_failed",
        `${name} answers with HTTP ${status}.`,
        {
          data: { failureClass: "protocol", status },
          cause: wordless(error),
        },
      )
    : // Not the way, whose faults are ours: the SDK could not read what came.
      failure(name, error, "invalid_response");
}
