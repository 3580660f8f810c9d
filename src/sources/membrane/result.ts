import { GatewayError, asGatewayError } from "../../core/errors.ts";
import type { CallToolResult } from "../../core/tool.ts";
import { MembraneFailure, isRefusal } from "./failure.ts";
import { runShape } from "./wire.ts";

/** The result of a run that succeeded. `0`, `false`, `""` and `[]` are results. */
export function readResult(answer: unknown): CallToolResult {
  const read = runShape().safeParse(answer);
  if (!read.success) {
    throw new MembraneFailure({
      message: "Membrane's answer is not what its API promises",
      status: 502,
    });
  }
  const { output, actionRunId } = read.data;
  const none = output === undefined || output === null;
  const isObject =
    typeof output === "object" && !none && !Array.isArray(output);
  return {
    content: [
      { type: "text", text: none ? "No output" : JSON.stringify(output) },
    ],
    ...(isObject
      ? { structuredContent: output as Record<string, unknown> }
      : {}),
    ...(actionRunId ? { _meta: { "membrane/actionRunId": actionRunId } } : {}),
  };
}

/**
 * What a run that failed is to the caller: a result that says why, or an error when it was not the run
 * that failed. `tokenIsGood` asks Membrane, because a 401 can be the app's or the caller's.
 */
export async function callFailure(
  failure: MembraneFailure,
  appName: string,
  tokenIsGood: () => Promise<boolean>,
): Promise<CallToolResult> {
  if (failure.code === "ERR_CANCELED") {
    throw new GatewayError("conflict", "The call was cancelled.");
  }
  if (failure.code === "ECONNABORTED" || failure.code === "ETIMEDOUT") {
    throw new GatewayError(
      "timeout",
      "Membrane did not answer in time. Whether the action took effect is unknown.",
      { cause: failure },
    );
  }
  if (failure.status === null) {
    const unsent =
      failure.code === "ECONNREFUSED" || failure.code === "ENOTFOUND";
    throw new GatewayError(
      "upstream_failed",
      unsent
        ? "Membrane cannot be reached. The action was not run."
        : "The connection to Membrane broke. Whether the action took effect is unknown.",
      { cause: failure },
    );
  }
  if (isRefusal(failure) && !(await tokenIsGood())) {
    throw new GatewayError(
      "unauthenticated",
      "The token is not accepted: Membrane refuses it.",
      { cause: failure },
    );
  }
  const reconnect = failure.type === "connection" || isRefusal(failure);
  const lines = [
    failure.message,
    ...failure.causes.map((cause) => `Cause: ${cause}`),
    ...(reconnect
      ? [
          `The connection to ${appName} does not work. Its user has to reconnect ${appName}.`,
        ]
      : []),
    ...(failure.status === 429 || failure.key === "rate_limit_exceeded"
      ? [
          failure.retryAfterMs === null
            ? "Too many requests. Try again later."
            : `Too many requests. Try again in ${Math.ceil(failure.retryAfterMs / 1000)} s.`,
        ]
      : []),
    ...(failure.actionRunId ? [`Action run: ${failure.actionRunId}`] : []),
  ];
  const facts = {
    "membrane/actionRunId": failure.actionRunId,
    "membrane/errorType": failure.type,
    "membrane/errorKey": failure.key,
  };
  return {
    content: [{ type: "text", text: lines.join("\n") }],
    isError: true,
    _meta: Object.fromEntries(
      Object.entries(facts).filter(([, value]) => value !== null),
    ),
  };
}

/** Why nothing could be listed. */
export function listFailure(error: unknown): GatewayError {
  if (!(error instanceof MembraneFailure)) return asGatewayError(error);
  if (isRefusal(error)) {
    return new GatewayError(
      "unauthenticated",
      "The token is not accepted: Membrane refuses it.",
      { cause: error },
    );
  }
  const slow = error.code === "ECONNABORTED" || error.code === "ETIMEDOUT";
  return new GatewayError(
    slow ? "timeout" : "upstream_failed",
    `The tools cannot be listed: ${error.message}.`,
    { retryAfterMs: error.retryAfterMs ?? 5000, cause: error },
  );
}
