import { asGatewayError } from "../core/errors.ts";
import type { Principal } from "../core/principal.ts";
import type { Clock } from "../core/runtime.ts";
import type { Door, Ending, Telemetry } from "../core/telemetry.ts";
import { endingOf, rpcMethod } from "../core/telemetry.ts";
import type { TraceContext } from "../core/trace.ts";
import { readTrace } from "../core/trace.ts";
import type { RpcMessage, RpcRequest } from "./jsonrpc.ts";
import { INTERNAL_ERROR, RpcError, isRecord } from "./jsonrpc.ts";

/** What is told of each JSON-RPC request, whatever carries it. */
export type Observation = {
  begin(
    of: { door: Door; request: RpcRequest; protocolVersion?: string },
    principal: Principal,
  ): Observed;
  /** Does it, and tells how it ended. */
  during<T>(
    of: { door: Door; request: RpcRequest; protocolVersion?: string },
    principal: Principal,
    work: (principal: Principal) => Promise<T>,
  ): Promise<T>;
};

export type Observed = {
  /** Who asks, at this place in a trace. */
  principal: Principal;
  /** Once. `error`: of what kind, when it failed. */
  end(status: Ending, error?: string): void;
};

/** The trace that a message itself belongs to, which is another than that of the request that carries it. */
export function traceOf(message: RpcMessage | undefined): TraceContext | null {
  if (message === undefined || message.kind === "response") return null;
  const meta = message.params["_meta"];
  if (!isRecord(meta) || meta["traceparent"] === undefined) return null;
  return readTrace(meta["traceparent"], meta["tracestate"]);
}

export function createObservation(
  telemetry: Telemetry,
  clock: Clock,
): Observation {
  const begin: Observation["begin"] = (
    { door, request, protocolVersion },
    principal,
  ) => {
    const startedAt = clock.monotonic();
    const method = rpcMethod(request.method);
    const own = traceOf(request);
    const carrier = principal.trace ?? null;
    const parent = own ?? carrier;
    const tool = method === "tools/call" ? request.params["name"] : undefined;
    // OpenTelemetry semantic conventions, "MCP": without the session, and without what is sent and answered.
    const span = telemetry.span(
      typeof tool === "string" ? `${method} ${tool.slice(0, 128)}` : method,
      {
        kind: "server",
        parent,
        link: own && carrier,
        fields: () => ({
          "mcp.method.name": method,
          "mcp.protocol.version": protocolVersion,
          "jsonrpc.request.id": String(request.id),
          ...(typeof tool === "string"
            ? {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": tool.slice(0, 128),
              }
            : {}),
        }),
      },
    );
    const trace = span?.context ?? parent;
    return {
      principal:
        trace === carrier ? principal : { ...principal, trace: trace! },
      end(status, error) {
        telemetry.count("requests", { door, method, status });
        const ms = clock.monotonic() - startedAt;
        telemetry.observe("request", ms, { door, method });
        span?.end({
          error: error ?? (status === "ok" ? null : status),
        });
      },
    };
  };

  return {
    begin,
    async during(of, principal, work) {
      const observed = begin(of, principal);
      try {
        const done = await work(observed.principal);
        observed.end("ok");
        return done;
      } catch (thrown) {
        observed.end(...failureOf(thrown));
        throw thrown;
      }
    },
  };
}

/** How a request ended that threw this, and of what kind it is. */
export function failureOf(thrown: unknown): [Ending, string] {
  if (thrown instanceof RpcError) {
    const { code } = thrown;
    return [code === INTERNAL_ERROR ? "failed" : "refused", String(code)];
  }
  const { code } = asGatewayError(thrown);
  return [endingOf(code), code];
}
