import { GatewayError, asGatewayError } from "../../core/errors.ts";
import type { Principal } from "../../core/principal.ts";
import type { CallContext, InputRequired } from "../../core/source.ts";
import { isInputRequired } from "../../core/source.ts";
import type { SpanFields, Telemetry } from "../../core/telemetry.ts";
import { within } from "../../core/telemetry.ts";
import type { TraceContext } from "../../core/trace.ts";
import type { Upstream } from "../../core/upstream.ts";
import { cleaned } from "./answers.ts";
import type { Breakers } from "./breaker.ts";
import type { Conversations } from "./conversation.ts";
import type { Members } from "./members.ts";
import { isRecord, safeElicitations, safeQuestions } from "./questions.ts";
import type { Params } from "./rpc.ts";

export type Asked = {
  method: string;
  params: Params;
  /** `Mcp-Param-…` */
  headers?: Record<string, string>;
};

/** Sends what may ask its caller something, and comes back with the answers. */
export type Converse = (
  upstream: Upstream,
  principal: Principal,
  asked: Asked,
  context: CallContext,
) => Promise<Params | InputRequired>;

const URL_ELICITATION_REQUIRED = -32042;

export function createConverse(wiring: {
  conversations: Conversations;
  members: Members;
  breakers: Breakers;
  telemetry: Telemetry;
}): Converse {
  const { conversations, members, breakers, telemetry } = wiring;

  function explain(
    upstream: Upstream,
    error: unknown,
    begunAt: number,
  ): unknown {
    breakers.judge(upstream, error, begunAt);
    const { rpc } = asGatewayError(error);
    if (rpc?.code !== URL_ELICITATION_REQUIRED) return error;
    const fault = safeElicitations(rpc.data);
    return fault === null ? error : unsafe(upstream, fault);
  }

  return async (upstream, principal, { method, params, headers }, context) => {
    const { input, logLevel } = context;
    const { workspace, subject } = principal;
    const named = params["name"] ?? params["uri"];
    const owner = {
      member: JSON.stringify([workspace, subject]),
      call: JSON.stringify([upstream.uuid, method, named]),
    };
    // One that waits for answers has begun long ago.
    let begunAt = 0;
    const begin = (trace: TraceContext | undefined) => {
      begunAt = breakers.require(upstream);
      const member = members.of(upstream, principal);
      return conversations.begin(owner, (on, signal) =>
        member.request(
          method,
          ({ about }) =>
            about.era === "stateless" && input
              ? {
                  ...params,
                  inputResponses: input.responses,
                  ...(input.state === null
                    ? {}
                    : { requestState: input.state }),
                }
              : params,
          {
            signal,
            on,
            logLevel,
            capabilities: capabilitiesOf(context),
            ...(headers ? { headers } : {}),
            ...(trace ? { trace } : {}),
          },
        ),
      );
    };
    const state = input?.state ?? null;
    const waiting = state !== null && conversations.knows(state);
    const result = await within(
      telemetry,
      spanName(method, params),
      principal.trace,
      () => fieldsOf(upstream, method, params),
      async (trace) => {
        const conversation = waiting
          ? conversations.resume(owner, state)
          : begin(trace);
        if (waiting) conversation.answer(input!);
        return conversation.next(context).catch((error: unknown) => {
          throw context.signal.aborted
            ? error
            : explain(upstream, error, begunAt);
        });
      },
    );
    if (!isInputRequired(result)) {
      breakers.succeeded(upstream);
      return cleaned(result);
    }
    const fault = safeQuestions(result);
    if (fault !== null) throw unsafe(upstream, fault);
    const { resultType, inputRequests, requestState, waiting: until } = result;
    return {
      resultType,
      ...(inputRequests ? { inputRequests } : {}),
      ...(requestState === undefined ? {} : { requestState }),
      ...(until === undefined ? {} : { waiting: until }),
    };
  };
}

/** A resource is known by its URI, of which there may be any number. */
const spanName = (method: string, { name }: Params) =>
  typeof name === "string" ? `${method} ${name}` : method;

/** OpenTelemetry semantic conventions, "MCP": without what is sent and answered. */
function fieldsOf(
  { url, transport }: Upstream,
  method: string,
  { name }: Params,
): SpanFields {
  const tool = method === "tools/call" && typeof name === "string";
  const prompt = method === "prompts/get" && typeof name === "string";
  const at = transport === "stdio" ? null : URL.parse(url);
  return {
    "mcp.method.name": method,
    ...(tool
      ? { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name }
      : {}),
    ...(prompt ? { "gen_ai.prompt.name": name } : {}),
    "network.transport": at ? "tcp" : "pipe",
    ...(at ? { "server.address": at.hostname } : {}),
  };
}

/** What the caller's client can do, as revisions without sessions say it. */
function capabilitiesOf({ capabilities }: CallContext) {
  const { elicitation } = capabilities;
  const forms = isRecord(elicitation) && Object.keys(elicitation).length === 0;
  return forms ? { ...capabilities, elicitation: { form: {} } } : capabilities;
}

function unsafe({ name }: Upstream, fault: string): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `${name} asks for what nobody is asked: ${fault}`,
  );
}
