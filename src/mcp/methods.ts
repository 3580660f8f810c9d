import { isLimit } from "../gateway/limits/admission.ts";
import type { Library, Page } from "../gateway/catalog/library.ts";
import type {
  CallStart,
  Customer,
  Toolbox,
} from "../gateway/catalog/toolbox.ts";
import { GatewayError, asGatewayError } from "../core/errors.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { Principal } from "../core/principal.ts";
import type { SessionRule } from "../core/session.ts";
import type { CallContext, LogLevel } from "../core/source.ts";
import { logLevels } from "../core/source.ts";
import type { CallToolResult } from "../core/tool.ts";
import { passOn } from "./foreign-error.ts";
import type { InputContext, Inputs } from "./input.ts";
import { METHOD_NOT_FOUND, RpcError, isRecord } from "./jsonrpc.ts";
import type { ListName } from "./lists.ts";
import type { Result } from "./result.ts";
import type { Era } from "./versions.ts";

/** What each method does, whatever era or transport carries it. */

export type MethodContext = {
  customer: Customer;
  /** Aborted by the caller, or when its session ends. */
  controller: AbortController;
  /** What the caller's client can do, and how it is asked. */
  input: Omit<InputContext, "who">;
  /** Sends a progress notification; null when the caller asked for none. */
  progress: CallContext["progress"] | null;
  /** See {@link CallContext}. */
  logLevel: CallContext["logLevel"];
  log: CallContext["log"];
  completed: CallContext["completed"];
  note: CallStart["note"];
  hangUp(): void;
  onRecord: CallStart["onRecord"];
  /** Told of the digest of every list before it is sent. */
  listed(list: ListName, digest: string): Promise<void>;
  /** Keeps something with the session; null when there is none. */
  keep: ((rule: SessionRule) => Promise<unknown>) | null;
};

type Params = Record<string, unknown>;

/** Throws GatewayError. */
export type Method = (
  params: Params,
  context: MethodContext,
) => Result | Promise<Result>;

export type Methods = {
  /** The method of that name; for one that the era does not have, one that throws -32601. */
  find(name: string, era: Era): Method;
  /**
   * True for those that are answered on a stream and on record from their start to their answer. The others
   * are answered as one JSON body and stored nowhere: asking again is their resumption.
   */
  onRecord(name: string): boolean;
};

export function createMethods(wiring: {
  toolbox: Toolbox;
  library: Library;
  inputs: Inputs;
  /** Whether any source logs. */
  logs: boolean;
  /** Told when a session has subscribed, or does not any more. */
  subscribed: (principal: Principal) => void;
}): Methods {
  const { toolbox, library, inputs } = wiring;

  const listTools: Method = async (params, { customer, listed }) => {
    const page = await toolbox.list(customer, readCursor(params));
    await listed("tools", page.digest);
    return writePage("tools", { ...page, entries: page.definitions });
  };

  const lists =
    (key: string, of: ListName, list: Library["prompts"]): Method =>
    async (params, { customer, listed }) => {
      const page = await list(customer, readCursor(params));
      await listed(of, page.digest);
      return writePage(key, page);
    };

  /** Runs what may ask its caller something. */
  async function asking<T extends Record<string, unknown>>(
    method: string,
    params: Params,
    context: MethodContext,
    work: (start: CallStart) => Promise<T>,
    write: (result: T) => Result,
  ): Promise<Result> {
    const { customer, controller, progress, log, completed } = context;
    const { hangUp, note, onRecord } = context;
    const { capabilities } = context.input;
    try {
      const outcome = await inputs.run(
        { ...context.input, who: customer.principal },
        method,
        params,
        (input) =>
          work({
            controller,
            capabilities,
            input,
            logLevel: context.logLevel,
            progress: progress ?? (() => {}),
            log,
            completed,
            note,
            hangUp,
            onRecord,
          }),
      );
      return "ask" in outcome ? (outcome.ask as Result) : write(outcome as T);
    } catch (thrown) {
      // A source that waits for an answer learns that there will be none.
      controller.abort(thrown);
      throw passOn(thrown, context.input, params);
    }
  }

  const callTool: Method = async (params, context) => {
    const { name, arguments: args = {} } = params;
    if (typeof name !== "string" || !isRecord(args)) {
      throw new GatewayError(
        "invalid",
        'tools/call takes a "name" and an object of "arguments".',
      );
    }
    try {
      return await asking(
        "tools/call",
        params,
        context,
        (start) => toolbox.call(context.customer, name, args, start),
        writeResult,
      );
    } catch (thrown) {
      if (thrown instanceof RpcError) throw thrown;
      const error = asGatewayError(thrown);
      if (!shownToModel[error.code] || isLimit(error)) throw thrown;
      return writeResult(failedResult(error));
    }
  };

  const getPrompt: Method = (params, context) => {
    const { name, arguments: args = {} } = params;
    if (typeof name !== "string" || !isTexts(args)) {
      throw new GatewayError(
        "invalid",
        'prompts/get takes a "name" and an object of "arguments" that are strings.',
      );
    }
    return asking(
      "prompts/get",
      params,
      context,
      (start) => library.getPrompt(context.customer, name, args, start),
      writeResult,
    );
  };

  const readResource: Method = (params, context) => {
    const uri = readUri(params);
    return asking(
      "resources/read",
      params,
      context,
      (start) => library.readResource(context.customer, uri, start),
      // What it says can change at any time, and its source does not say when.
      (result) => ({ ...writeResult(result), ttlMs: () => 0 }),
    );
  };

  const complete: Method = async (params, { customer, controller, input }) => {
    const { ref, argument, context } = params;
    const of = readReference(ref);
    const others = isRecord(context) ? (context["arguments"] ?? {}) : {};
    if (
      !of ||
      !isRecord(argument) ||
      typeof argument["name"] !== "string" ||
      typeof argument["value"] !== "string" ||
      !isTexts(others)
    ) {
      throw new GatewayError(
        "invalid",
        'completion/complete takes a "ref" to a prompt or resource, and an "argument" with "name" and "value".',
      );
    }
    const { name, value } = argument as { name: string; value: string };
    try {
      const given = { name, value };
      return writeResult(
        await library.complete(customer, of, given, others, controller),
      );
    } catch (thrown) {
      throw passOn(thrown, input, params);
    }
  };

  const setLevel: Method = async (params, { keep }) => {
    const logLevel = params["level"] as LogLevel;
    if (!logLevels.includes(logLevel)) {
      throw new GatewayError(
        "invalid",
        `logging/setLevel takes a "level": ${logLevels.join(", ")}.`,
      );
    }
    await requireSession(keep)(() => ({ logLevel }));
    return EMPTY;
  };

  const subscribe =
    (on: boolean): Method =>
    async (params, { keep, customer }) => {
      const uri = readUri(params);
      const edit = requireSession(keep);
      // What nobody has would never be told. To end a subscription it need not be there any more.
      if (on) await library.requireResource(customer, uri);
      await edit(({ subscriptions }) => {
        const others = subscriptions.filter((one) => one !== uri);
        if (on && others.length >= MAX_SUBSCRIPTIONS) {
          throw new GatewayError(
            "conflict",
            `A session has at most ${MAX_SUBSCRIPTIONS} subscriptions. Unsubscribe from another.`,
          );
        }
        return { subscriptions: on ? [...others, uri] : others };
      });
      wiring.subscribed(customer.principal);
      return EMPTY;
    };

  const both: Record<string, Method> = {
    "tools/list": listTools,
    ...(library.has.prompts
      ? { "prompts/list": lists("prompts", "prompts", library.prompts) }
      : {}),
    ...(library.has.resources
      ? {
          "resources/list": lists("resources", "resources", library.resources),
          "resources/templates/list": lists(
            "resourceTemplates",
            "resources",
            library.templates,
          ),
        }
      : {}),
    ...(library.has.completions ? { "completion/complete": complete } : {}),
  };
  const calls: Record<string, Method> = {
    "tools/call": callTool,
    ...(library.has.prompts ? { "prompts/get": getPrompt } : {}),
    ...(library.has.resources ? { "resources/read": readResource } : {}),
  };
  /** Removed in 2026-07-28. */
  const ofSessions: Record<string, Method> = {
    ping: () => EMPTY,
    ...(wiring.logs ? { "logging/setLevel": setLevel } : {}),
    ...(library.has.resources
      ? {
          "resources/subscribe": subscribe(true),
          "resources/unsubscribe": subscribe(false),
        }
      : {}),
  };
  const stateless = new Map(Object.entries({ ...both, ...calls }));
  const sessions = new Map([...stateless, ...Object.entries(ofSessions)]);
  const onRecord = new Set(Object.keys(calls));
  const unknown = (name: string) => (): never => {
    throw new RpcError(METHOD_NOT_FOUND, `Method not found: ${name}`, {
      status: 404,
    });
  };
  return {
    find: (name, era) =>
      (era === "stateless" ? stateless : sessions).get(name) ?? unknown(name),
    onRecord: (name) => onRecord.has(name),
  };
}

const EMPTY: Result = { fields: "" };
const MAX_SUBSCRIPTIONS = 100;
const MAX_URI = 4096;

function requireSession(
  keep: MethodContext["keep"],
): NonNullable<MethodContext["keep"]> {
  if (keep !== null) return keep;
  throw new GatewayError(
    "invalid",
    "There is no session to keep this with. Send initialize first.",
  );
}

function readCursor(params: Params): string | null {
  const cursor = params["cursor"] ?? null;
  if (cursor !== null && typeof cursor !== "string") {
    throw new GatewayError("invalid", '"cursor" must be a string.');
  }
  return cursor;
}

function readUri(params: Params): string {
  const { uri } = params;
  if (typeof uri !== "string" || uri.length > MAX_URI) {
    throw new GatewayError(
      "invalid",
      `"uri" must be a string of at most ${MAX_URI} characters.`,
    );
  }
  return uri;
}

function readReference(
  ref: unknown,
): { prompt: string } | { uri: string } | null {
  if (!isRecord(ref)) return null;
  const { type, name, uri } = ref;
  if (type === "ref/prompt" && typeof name === "string") {
    return { prompt: name };
  }
  return type === "ref/resource" && typeof uri === "string" ? { uri } : null;
}

function isTexts(value: unknown): value is Record<string, string> {
  return (
    isRecord(value) &&
    Object.values(value).every((one) => typeof one === "string")
  );
}

function writePage(
  key: string,
  page: Pick<Page, "entries" | "nextCursor" | "freshMs">,
): Result {
  const next =
    page.nextCursor === null
      ? ""
      : `,"nextCursor":${JSON.stringify(page.nextCursor)}`;
  return {
    fields: `"${key}":[${page.entries.join(",")}]${next}`,
    ttlMs: page.freshMs,
  };
}

/** What is for us to say, whatever a source says. */
const OURS = ["_meta", "resultType", "ttlMs", "cacheScope"];

function writeResult(result: Record<string, unknown>): Result {
  const failed = result["isError"] === true;
  if (!OURS.some((name) => name in result)) {
    return { fields: JSON.stringify(result).slice(1, -1), failed };
  }
  const rest = Object.fromEntries(
    Object.entries(result).filter(([name]) => !OURS.includes(name)),
  );
  return {
    fields: JSON.stringify(rest).slice(1, -1),
    meta: result["_meta"] as Result["meta"],
    failed,
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
