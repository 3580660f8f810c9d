import type { Customer, Toolbox } from "../gateway/toolbox.ts";
import { GatewayError, asGatewayError } from "../core/errors.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { CallContext, CallToolResult } from "../core/tool.ts";
import { METHOD_NOT_FOUND, RpcError, isRecord } from "./jsonrpc.ts";
import type { Result } from "./result.ts";

/** What each method does, whatever era or transport carries it. */

export type MethodContext = {
  customer: Customer;
  /** Aborted by the caller, or when its session ends. */
  controller: AbortController;
  /** Sends a progress notification; null when the caller asked for none. */
  progress: CallContext["progress"] | null;
  /** See {@link CallContext}. */
  hangUp(): void;
  onRecord(): Promise<void>;
  /** Told of the digest of every tool list before it is sent. */
  listed(digest: string): Promise<void>;
};

type Params = Record<string, unknown>;

/** Throws GatewayError. */
export type Method = (
  params: Params,
  context: MethodContext,
) => Result | Promise<Result>;

export type Era = "sessions" | "stateless";

export type Methods = {
  /** The method of that name; for one that the era does not have, one that throws -32601. */
  find(name: string, era: Era): Method;
  /**
   * True for those that are answered on a stream and on record from their start to their answer. The others
   * are answered as one JSON body and stored nowhere: asking again is their resumption.
   */
  onRecord(name: string): boolean;
};

export function createMethods(toolbox: Toolbox): Methods {
  const listTools: Method = async (params, { customer, listed }) => {
    const cursor = params["cursor"] ?? null;
    if (cursor !== null && typeof cursor !== "string") {
      throw new GatewayError("invalid", '"cursor" must be a string.');
    }
    const page = await toolbox.list(customer, cursor);
    await listed(page.digest);
    const next =
      page.nextCursor === null
        ? ""
        : `,"nextCursor":${JSON.stringify(page.nextCursor)}`;
    return {
      fields: `"tools":[${page.definitions.join(",")}]${next}`,
      ttlMs: page.freshMs,
    };
  };

  const callTool: Method = async (params, context) => {
    const { name, arguments: args = {} } = params;
    if (typeof name !== "string" || !isRecord(args)) {
      throw new GatewayError(
        "invalid",
        'tools/call takes a "name" and an object of "arguments".',
      );
    }
    try {
      const result = await toolbox.call(context.customer, name, args, {
        controller: context.controller,
        progress: context.progress ?? (() => {}),
        hangUp: context.hangUp,
        onRecord: context.onRecord,
      });
      return callResult(result);
    } catch (thrown) {
      const error = asGatewayError(thrown);
      if (!shownToModel[error.code]) throw thrown;
      return callResult(failedResult(error));
    }
  };

  const reads = new Map<string, Method>([
    ["ping", () => ({ fields: "" })],
    ["tools/list", listTools],
  ]);
  const calls = new Map<string, Method>([["tools/call", callTool]]);
  /** Removed in 2026-07-28. */
  const ofSessions = new Set(["ping"]);
  const unknown = (name: string) => (): never => {
    throw new RpcError(METHOD_NOT_FOUND, `Method not found: ${name}`, {
      status: 404,
    });
  };
  return {
    find: (name, era) =>
      (era === "stateless" && ofSessions.has(name)
        ? undefined
        : (calls.get(name) ?? reads.get(name))) ?? unknown(name),
    onRecord: (name) => calls.has(name),
  };
}

/**
 * Inside a tool call, what a model can read and act on is an `isError` result; what the client itself
 * has to deal with is a JSON-RPC error (MCP 2025-11-25, server/tools, "Error handling").
 */
const shownToModel = {
  invalid: false,
  unauthenticated: false,
  forbidden: true,
  not_found: false,
  conflict: true,
  rate_limited: true,
  needs_authorization: true,
  upstream_failed: true,
  timeout: true,
  internal: false,
} satisfies Record<ErrorCode, boolean>;

function callResult({ _meta: meta, ...rest }: CallToolResult): Result {
  return { fields: JSON.stringify(rest).slice(1, -1), meta };
}

function failedResult(error: GatewayError): CallToolResult {
  const retry =
    error.retryAfterMs === undefined
      ? ""
      : ` Try again in ${Math.ceil(error.retryAfterMs / 1000)} s.`;
  return {
    content: [{ type: "text", text: error.message + retry }],
    isError: true,
    ...(error.data ? { _meta: { "membrane-mcp/error": error.data } } : {}),
  };
}
