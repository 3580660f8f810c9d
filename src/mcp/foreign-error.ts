import { GatewayError } from "../core/errors.ts";
import type { InputContext } from "./input.ts";
import { MISSING_CAPABILITY, isWebUrl, notOfTheWeb } from "./input.ts";
import {
  INTERNAL_ERROR,
  INVALID_PARAMS,
  RpcError,
  isRecord,
} from "./jsonrpc.ts";

/** Of the revisions with sessions; 2026-07-28 forbids both (basic/index, "Error Codes"). */
const RESOURCE_NOT_FOUND = -32002;
const URL_ELICITATION_REQUIRED = -32042;

/**
 * What is thrown to the caller of a method when its source threw `thrown`. The JSON-RPC error of another MCP server is
 * passed on as it is, unless the caller's revision, or its client, does not know such an error. Those about a source's
 * own request (-32020, -32022) are no source's to throw.
 */
export function passOn(
  thrown: unknown,
  { ask, capabilities }: Pick<InputContext, "ask" | "capabilities">,
  params: Record<string, unknown>,
): unknown {
  if (!(thrown instanceof GatewayError) || !thrown.rpc) return thrown;
  const { message } = thrown;
  const { code, data } = thrown.rpc;
  const stateless = ask === "stateless";
  if (code === RESOURCE_NOT_FOUND && stateless) {
    const uri = params["uri"] === undefined ? {} : { uri: params["uri"] };
    const facts = isRecord(data) ? { ...uri, ...data } : (data ?? uri);
    return new RpcError(INVALID_PARAMS, message, { data: facts, status: 200 });
  }
  if (code === URL_ELICITATION_REQUIRED) {
    const { elicitation } = capabilities;
    const able = isRecord(elicitation) && isRecord(elicitation["url"]);
    const links = linksOf(data);
    if (links === null) return notOfTheWeb();
    if (stateless || !able) {
      return new GatewayError(
        "needs_authorization",
        [message, ...links].join("\n"),
        isRecord(data) ? { data } : {},
      );
    }
  }
  return new RpcError(Number.isInteger(code) ? code : INTERNAL_ERROR, message, {
    data,
    // Of what a method ends with, 2026-07-28 sends this alone with HTTP 400.
    status: code === MISSING_CAPABILITY ? 400 : 200,
  });
}

/** What the user has to open, in words; null when some of it must not be opened. */
function linksOf(data: unknown): string[] | null {
  const elicitations = isRecord(data) ? data["elicitations"] : undefined;
  if (!Array.isArray(elicitations)) return [];
  const links: string[] = [];
  for (const one of elicitations) {
    const { message, url } = isRecord(one) ? one : {};
    if (!isWebUrl(url)) return null;
    links.push(typeof message === "string" ? `${message} ${url}` : url);
  }
  return links;
}
