import { GatewayError } from "../../core/errors.ts";
import type { InputRequired } from "../../core/source.ts";
import { isInputRequired } from "../../core/source.ts";
import type { CallToolResult } from "../../core/tool.ts";
import type { Upstream } from "../../core/upstream.ts";
import { isRecord } from "./questions.ts";
import type { Params } from "./rpc.ts";
import { OWN } from "./rpc.ts";

/** What servers answer, as our callers get it. */

/** Without what a server says of the protocol: that is for us to say. */
export function cleaned(result: Params): Params {
  const { resultType: _ours, _meta, ...rest } = result;
  const meta = isRecord(_meta)
    ? Object.entries(_meta).filter(([key]) => !key.startsWith(OWN))
    : [];
  return meta.length === 0
    ? rest
    : { ...rest, _meta: Object.fromEntries(meta) };
}

/** Throws `upstream_failed` for what is no result of a tool. */
export function readToolResult(
  upstream: Upstream,
  result: Params,
): CallToolResult {
  const { content, structuredContent, toolResult } = result;
  if (Array.isArray(content)) return result as CallToolResult;
  // The first revision had `toolResult`; and some servers leave out what they have said the other way.
  const only = structuredContent ?? toolResult;
  if (only === undefined) throw invalidAnswer(upstream);
  return {
    ...result,
    content: [{ type: "text", text: JSON.stringify(only) }],
  } as CallToolResult;
}

/** Throws `upstream_failed` unless it has the list, or questions. */
export function requireList(
  upstream: Upstream,
  result: Params | InputRequired,
  name: string,
): Params | InputRequired {
  if (isInputRequired(result) || Array.isArray(result[name])) return result;
  throw invalidAnswer(upstream);
}

export function invalidAnswer({ name }: Upstream): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `${name} has answered with something else than its protocol says.`,
    { data: { failureClass: "invalid_response" } },
  );
}
