import type { Exchange } from "../core/exchange.ts";
import type { Identity } from "../core/principal.ts";
import type { Admission } from "../gateway/limits/admission.ts";
import { PROTOCOL_VERSION } from "./envelope.ts";
import type { ParseLimits, RequestId, RpcMessage } from "./jsonrpc.ts";
import { INVALID_REQUEST, RpcError, isRecord, parseBody } from "./jsonrpc.ts";
import type { LegacyHttp } from "./legacy.ts";
import { answering, refuse, rpcName } from "./legacy.ts";
import { traceOf } from "./observation.ts";
import type { Stateless } from "./stateless.ts";
import { legacyVersions, statelessVersions } from "./versions.ts";

/** Streamable HTTP of every revision on one URL. Answers every MCP-level fault itself; throws GatewayError for the rest. */
export type StreamableHttp = {
  post(exchange: Exchange): Promise<Response>;
  get(exchange: Exchange): Promise<Response>;
  delete(exchange: Exchange): Promise<Response>;
};

/** Decides once whose request it is (MCP 2026-07-28, basic/versioning, "Backward Compatibility"). */
export function createStreamableHttp(wiring: {
  legacy: LegacyHttp;
  stateless: Stateless;
  limits: ParseLimits;
  admission: Pick<Admission, "take">;
  /** Whether the caller has a server of that name. */
  knows: (who: Identity, server: string) => boolean;
}): StreamableHttp {
  const { legacy, stateless } = wiring;

  function requireServer(
    { principal, server }: Exchange,
    id: RequestId | null,
  ): void {
    if (server === null || wiring.knows(principal, server)) return;
    throw serverNotFound(id);
  }

  function post(exchange: Exchange): Promise<Response> {
    const { messages, batch } = parseBody(exchange.body!, wiring.limits);
    const { log, request } = exchange;
    const [first] = messages;
    // The request itself was counted when it came.
    if (messages.length > 1) {
      wiring.admission.take(exchange.principal, messages.length - 1);
    }
    requireServer(
      exchange,
      !batch && first?.kind === "request" ? first.id : null,
    );
    log["rpc"] = batch ? `batch of ${messages.length}` : rpcName(messages[0]!);
    log["trace"] ??= traceOf(messages[0])?.traceId;
    const version = request.headers.get("mcp-protocol-version");
    if (!messages.some((message) => isStateless(version, message))) {
      return legacy.post(exchange, messages, batch);
    }
    if (batch) {
      throw new RpcError(
        INVALID_REQUEST,
        "Invalid Request: this revision has no batches.",
      );
    }
    return stateless.post(exchange, messages[0]!);
  }

  /** These are of sessions; a revision without them knows POST alone. */
  const ofSession =
    (answer: (exchange: Exchange) => Promise<Response>) =>
    async (exchange: Exchange) => {
      requireServer(exchange, null);
      const version = exchange.request.headers.get("mcp-protocol-version");
      if (version === null || !statelessVersions.includes(version)) {
        return answer(exchange);
      }
      const response = refuse(
        405,
        `Method Not Allowed: revision ${version} sends everything with POST.`,
      );
      response.headers.set("allow", "POST, OPTIONS");
      return response;
    };

  return {
    post: (exchange) => answering(exchange.log, () => post(exchange)),
    get: (exchange) =>
      answering(exchange.log, () => ofSession(legacy.get)(exchange)),
    delete: (exchange) =>
      answering(exchange.log, () => ofSession(legacy.delete)(exchange)),
  };
}

/**
 * A message that says in itself which revision it speaks; or that says so in its header alone, which is a fault
 * of that revision. Every other is of the revisions with sessions, whose clients never send what they do not know.
 */
export function isStateless(
  version: string | null,
  message: RpcMessage,
): boolean {
  if (message.kind === "response") return false;
  const meta = message.params["_meta"];
  if (isRecord(meta) && PROTOCOL_VERSION in meta) return true;
  return (
    version !== null &&
    !legacyVersions.includes(version) &&
    message.method !== "initialize"
  );
}

/** A URL of a server that is not there, or not the caller's: the two are never told apart. */
export function serverNotFound(id: RequestId | null): RpcError {
  return new RpcError(
    INVALID_REQUEST,
    "Not Found: there is no MCP server of this name. The path is /mcp/ (or /ws/) and the name (slug) of a registered server that is enabled, or /mcp (/ws) for all.",
    { id, status: 404 },
  );
}
