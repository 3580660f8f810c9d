import type { LogLevel } from "../core/source.ts";
import { logLevels } from "../core/source.ts";
import { checkStandardHeaders, mismatch } from "./headers.ts";
import type { RpcRequest } from "./jsonrpc.ts";
import { INVALID_PARAMS, RpcError, isRecord } from "./jsonrpc.ts";
import { statelessVersions, supportedVersions } from "./versions.ts";

/** What a request of 2026-07-28 says about itself (MCP 2026-07-28, basic/index, "General fields"). */

const PREFIX = "io.modelcontextprotocol/";
export const PROTOCOL_VERSION = `${PREFIX}protocolVersion`;
const CAPABILITIES = `${PREFIX}clientCapabilities`;
const LOG_LEVEL = `${PREFIX}logLevel`;

export const UNSUPPORTED_VERSION = -32022;

/**
 * Throws {@link RpcError} for a request that does not say all that it must about itself. `headers`: null on a
 * transport that has none, where the message says everything.
 */
export function readEnvelope(
  headers: Headers | null,
  { method, params }: RpcRequest,
): void {
  const meta = isRecord(params["_meta"]) ? params["_meta"] : {};
  const version = meta[PROTOCOL_VERSION];
  const header = headers?.get("mcp-protocol-version") ?? null;
  if (version === undefined && header !== null) requireSupported(header);
  if (typeof version !== "string") throw missing(PROTOCOL_VERSION, "a string");
  if (headers && header === null) {
    throw mismatch("the MCP-Protocol-Version header is missing");
  }
  if (headers && header !== version) {
    throw mismatch("MCP-Protocol-Version differs from the body");
  }
  requireSupported(version);
  if (!isRecord(meta[CAPABILITIES])) throw missing(CAPABILITIES, "an object");
  if (headers) checkStandardHeaders(headers, method, params);
}

/** What a request that {@link readEnvelope} has passed says of its caller. */
export function callerOf({ params }: RpcRequest) {
  const meta = params["_meta"] as Record<string, unknown>;
  const level = meta[LOG_LEVEL] as LogLevel;
  return {
    capabilities: meta[CAPABILITIES] as Record<string, unknown>,
    logLevel: logLevels.includes(level) ? level : null,
  };
}

/** Throws {@link RpcError} -32022 for a revision that has sessions, or that nobody speaks. */
export function requireSupported(version: string): void {
  if (statelessVersions.includes(version)) return;
  throw new RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", {
    data: { supported: supportedVersions, requested: version.slice(0, 64) },
  });
}

function missing(key: string, what: string): RpcError {
  return new RpcError(
    INVALID_PARAMS,
    `Invalid params: "_meta" must have "${key}", ${what}.`,
  );
}
