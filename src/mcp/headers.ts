import { mirrored } from "../core/param-headers.ts";
import { RpcError, isRecord } from "./jsonrpc.ts";

/** What a request repeats in its headers for those between, and that it is the same (MCP 2026-07-28, basic/transports/streamable-http, "Request Metadata"). */

export const HEADER_MISMATCH = -32020;

/** Which parameter `Mcp-Name` repeats. */
const namedBy: Record<string, string> = {
  "tools/call": "name",
  "prompts/get": "name",
  "resources/read": "uri",
};

/** Throws {@link RpcError} -32020 when `Mcp-Method` or `Mcp-Name` is missing or says something else. */
export function checkStandardHeaders(
  headers: Headers,
  method: string,
  params: Record<string, unknown>,
): void {
  compare("Mcp-Method", headers.get("mcp-method"), method);
  const key = namedBy[method];
  if (key === undefined) return;
  const name = decode("Mcp-Name", headers.get("mcp-name"));
  const value = params[key];
  compare("Mcp-Name", name, typeof value === "string" ? value : "");
}

/** Throws {@link RpcError} -32020 when `Mcp-Param-…` is not what the arguments say. */
export function checkParamHeaders(
  headers: Headers,
  schema: unknown,
  args: Record<string, unknown>,
): void {
  for (const { header, path } of mirrored(schema)) {
    const value = path.reduce<unknown>(
      (at, key) =>
        isRecord(at) && Object.hasOwn(at, key) ? at[key] : undefined,
      args,
    );
    const given = decode(header, headers.get(header));
    if (value === undefined || value === null) {
      if (given !== null) throw mismatch(`${header} has no argument`);
    } else if (typeof value === "number" && given !== null) {
      if (!/^-?\d+(\.\d+)?$/.test(given) || Number(given) !== value) {
        throw mismatch(`${header} differs from the argument`);
      }
    } else if (typeof value === "object") {
      throw mismatch(`${header} stands for an argument that no header can say`);
    } else compare(header, given, String(value));
  }
}

const SENTINEL = /^=\?base64\?(.*)\?=$/;
const BASE64 =
  /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const PLAIN = /^[\t\x20-\x7e]*$/;

/** A header's value, decoded if it is encoded. */
function decode(name: string, value: string | null): string | null {
  if (value === null) return null;
  const [, encoded] = SENTINEL.exec(value) ?? [];
  if (encoded === undefined) {
    if (!PLAIN.test(value)) throw mismatch(`${name} has invalid characters`);
    return value;
  }
  try {
    if (!BASE64.test(encoded)) throw new Error("not Base64");
    return new TextDecoder("utf-8", { fatal: true }).decode(
      Buffer.from(encoded, "base64"),
    );
  } catch {
    throw mismatch(`${name} is not valid Base64 of UTF-8`);
  }
}

function compare(name: string, header: string | null, body: string): void {
  if (header === null) throw mismatch(`the ${name} header is missing`);
  if (header !== body) throw mismatch(`${name} differs from the body`);
}

export function mismatch(what: string): RpcError {
  return new RpcError(HEADER_MISMATCH, `Header mismatch: ${what}.`);
}
