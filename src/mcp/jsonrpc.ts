import type { ErrorCode, GatewayError } from "../core/errors.ts";
import { asGatewayError } from "../core/errors.ts";
import { deeperThan } from "../core/depth.ts";

/** JSON-RPC 2.0 envelopes: reading them within limits, and writing them. */

export type RequestId = string | number;

export type RpcRequest = {
  kind: "request";
  id: RequestId;
  method: string;
  params: Record<string, unknown>;
};
export type RpcNotification = {
  kind: "notification";
  method: string;
  params: Record<string, unknown>;
};
/** The answer to a request of ours. */
export type RpcResponse = {
  kind: "response";
  id: RequestId | null;
  result?: unknown;
  error?: unknown;
};
export type RpcMessage = RpcRequest | RpcNotification | RpcResponse;

export const PARSE_ERROR = -32700;
export const INVALID_REQUEST = -32600;
export const METHOD_NOT_FOUND = -32601;
export const INVALID_PARAMS = -32602;
export const INTERNAL_ERROR = -32603;
/** What a client may retry, with back-off; also "Session not found", as published clients expect. */
export const SERVER_ERROR = -32000;

/** A fault in the envelope itself or in what it is addressed to: the whole HTTP request is refused. */
export class RpcError extends Error {
  readonly code: number;
  readonly id: RequestId | null;
  readonly data: unknown;
  /** HTTP status. */
  readonly status: number;
  /** Milliseconds after which a retry can make sense. */
  readonly retryAfterMs: number | undefined;
  constructor(
    code: number,
    message: string,
    details: {
      id?: RequestId | null;
      data?: unknown;
      status?: number;
      retryAfterMs?: number | undefined;
    } = {},
  ) {
    super(message);
    this.code = code;
    this.id = details.id ?? null;
    this.data = details.data;
    this.status = details.status ?? 400;
    this.retryAfterMs = details.retryAfterMs;
  }
}

export type ParseLimits = { maxDepth: number; maxBatch: number };

const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads one message or a batch. Throws {@link RpcError}: -32700 for what is not JSON (or not UTF-8),
 * -32600 for what is not JSON-RPC, is nested deeper than the limit or carries an id that could not be
 * echoed exactly.
 */
export function parseBody(
  bytes: Uint8Array,
  limits: ParseLimits,
): { messages: RpcMessage[]; batch: boolean } {
  // JSON.parse takes a million levels, and what walks the value afterwards does not.
  if (deeperThan(bytes, limits.maxDepth)) {
    throw new RpcError(
      INVALID_REQUEST,
      `The message is nested more than ${limits.maxDepth} levels deep.`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    throw new RpcError(PARSE_ERROR, "Parse error: the body is not valid JSON.");
  }
  if (!Array.isArray(value)) {
    return { messages: [parseMessage(value)], batch: false };
  }
  if (value.length === 0 || value.length > limits.maxBatch) {
    throw new RpcError(
      INVALID_REQUEST,
      `A batch has 1 to ${limits.maxBatch} messages.`,
    );
  }
  return { messages: value.map(parseMessage), batch: true };
}

function parseMessage(value: unknown): RpcMessage {
  if (!isRecord(value) || value["jsonrpc"] !== "2.0") {
    throw new RpcError(
      INVALID_REQUEST,
      'Invalid Request: a message is an object with "jsonrpc": "2.0".',
    );
  }
  const { id, method, params } = value;
  if (method === undefined && ("result" in value || "error" in value)) {
    const { result, error } = value;
    const responseId = id === null ? null : parseId(id);
    return { kind: "response", id: responseId, result, error };
  }
  if (typeof method !== "string" || method.length > 256) {
    throw new RpcError(
      INVALID_REQUEST,
      'Invalid Request: "method" must be a string of at most 256 characters.',
      { id: safeId(id) },
    );
  }
  if (params !== undefined && !isRecord(params)) {
    throw new RpcError(
      INVALID_REQUEST,
      'Invalid Request: "params" must be an object.',
      { id: safeId(id) },
    );
  }
  if (!("id" in value)) {
    return { kind: "notification", method, params: params ?? {} };
  }
  return { kind: "request", id: parseId(id), method, params: params ?? {} };
}

/** MCP: a string or an integer, never null. Larger numbers would be echoed as others. */
function parseId(id: unknown): RequestId {
  const fine =
    typeof id === "string" ? id.length <= 256 : Number.isSafeInteger(id);
  if (!fine) {
    throw new RpcError(
      INVALID_REQUEST,
      'Invalid Request: "id" must be a string of at most 256 characters or an integer below 2^53.',
    );
  }
  return id as RequestId;
}

function safeId(id: unknown): RequestId | null {
  return typeof id === "string" || Number.isSafeInteger(id)
    ? (id as RequestId)
    : null;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `result` is already serialised. */
export function resultText(id: RequestId, result: string): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result}}`;
}

export function errorText(
  id: RequestId | null,
  code: number,
  message: string,
  data?: unknown,
): string {
  // Members in the order that the published agent example compares with.
  return JSON.stringify({ jsonrpc: "2.0", error: { code, message, data }, id });
}

export function requestText(
  id: RequestId,
  method: string,
  params?: Record<string, unknown>,
): string {
  return JSON.stringify({ jsonrpc: "2.0", id, method, params });
}

export function notificationText(
  method: string,
  params?: Record<string, unknown>,
): string {
  return JSON.stringify({ jsonrpc: "2.0", method, params });
}

/** True for what says only how something goes; nothing is waited for, or looked at again, because of it. */
export function isChatter(text: string): boolean {
  return CHATTER.test(text);
}
const CHATTER =
  /^\{"jsonrpc":"2\.0","method":"notifications\/(progress|message)"/;

/** What each code is as a JSON-RPC error. Inside `tools/call` most become an `isError` result instead. */
export const rpcCodes = {
  invalid: INVALID_PARAMS,
  unauthenticated: INVALID_REQUEST,
  forbidden: INVALID_REQUEST,
  not_found: INVALID_PARAMS,
  conflict: INVALID_REQUEST,
  rate_limited: SERVER_ERROR,
  needs_authorization: INVALID_REQUEST,
  upstream_failed: SERVER_ERROR,
  timeout: SERVER_ERROR,
  internal: INTERNAL_ERROR,
} satisfies Record<ErrorCode, number>;

/** Anything thrown, as a JSON-RPC error. What is not a GatewayError shows nothing of itself. */
export function thrownText(id: RequestId | null, thrown: unknown): string {
  if (thrown instanceof RpcError) {
    return errorText(id ?? thrown.id, thrown.code, thrown.message, thrown.data);
  }
  const error = asGatewayError(thrown);
  // What is expected to pass may be tried again, whatever it is.
  const code =
    error.retryAfterMs === undefined ? rpcCodes[error.code] : SERVER_ERROR;
  return errorText(id, code, error.message, factsOf(error));
}

function factsOf({ data, retryAfterMs }: GatewayError) {
  const retryAfter = retryAfterMs === undefined ? {} : { retryAfterMs };
  const facts = { ...data, ...retryAfter };
  return Object.keys(facts).length > 0 ? facts : undefined;
}

/** A request that is one too many, as an answer of its own: HTTP 429, with when to come back. */
export function tooMany(id: RequestId, error: GatewayError): RpcError {
  return new RpcError(SERVER_ERROR, error.message, {
    id,
    status: 429,
    data: factsOf(error),
    retryAfterMs: error.retryAfterMs,
  });
}

/** Headers that say when to come back, in whole seconds and never at once. */
export function retryAfter(ms: number | undefined): Record<string, string> {
  return ms === undefined
    ? {}
    : { "retry-after": String(Math.max(1, Math.ceil(ms / 1000))) };
}
