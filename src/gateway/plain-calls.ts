import { GatewayError, asGatewayError, hungUp } from "../core/errors.ts";
import { createIdle } from "../core/idle.ts";
import type { NewEntry } from "../core/journal.ts";
import type { Principal } from "../core/principal.ts";
import type { Log } from "../core/runtime.ts";
import { DEFAULT_VIEW } from "../core/session.ts";
import { isInputRequired } from "../core/source.ts";
import type { CallToolResult } from "../core/tool.ts";
import type { Admission } from "./limits/admission.ts";
import type { CallJournal } from "./events/execution.ts";
import { openCallRecord } from "./events/execution.ts";
import type { Toolbox } from "./catalog/toolbox.ts";
import type { UpstreamContents } from "./servers/upstream-contents.ts";
import type { Upstreams } from "./servers/upstreams.ts";

/** Calls of tools for those who speak no MCP: one request, one result, nothing in between. */
export type PlainCalls = {
  /**
   * Calls a tool by the name that it has in the caller's catalogue. Throws what the toolbox throws, and `conflict` for a
   * tool that asks its user something. `rate_limited` for one call too many.
   */
  call(
    principal: Principal,
    name: string,
    args: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<CallToolResult>;
  /** Calls a tool of one server by the name that it has there. Also throws what keeps the caller from using that server. */
  callOf(
    principal: Principal,
    server: string,
    tool: string,
    args: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<CallToolResult>;
  /** Resolves when nothing is running. */
  idle(): Promise<void>;
};

export function createPlainCalls({
  toolbox,
  upstreams,
  contents,
  journal,
  log,
  admission,
}: {
  toolbox: Toolbox;
  journal: CallJournal;
  log: Log;
  upstreams: Pick<Upstreams, "get">;
  contents: Pick<UpstreamContents, "requireUsable">;
  admission: Pick<Admission, "enter">;
}): PlainCalls {
  let running = 0;
  const idle = createIdle(() => running > 0);

  const call: PlainCalls["call"] = async (principal, name, args, signal) => {
    const controller = new AbortController();
    const place = admission.enter(principal, controller.signal);
    const leave = () => controller.abort(hungUp());
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave);
    const record = openCallRecord({ journal, log });
    const entries: NewEntry[] = [];
    running++;
    try {
      if (place.ready) await place.ready;
      const result = await toolbox.call(
        { principal, view: DEFAULT_VIEW, enable: null },
        name,
        args,
        {
          controller,
          capabilities: {},
          input: null,
          logLevel: null,
          progress() {},
          log() {},
          completed() {},
          note: (entry) => void entries.push(entry),
          onRecord: record.begin,
          hangUp() {},
        },
      );
      if (!isInputRequired(result)) return result;
      throw asksItsUser(name);
    } catch (thrown) {
      throw explain(name, thrown);
    } finally {
      place.leave();
      signal.removeEventListener("abort", leave);
      await record.end(entries);
      running--;
      idle.ended();
    }
  };

  const nameOf: Toolbox["nameOf"] = (principal, app, tool, since) =>
    toolbox.nameOf(principal, app, tool, since).catch((thrown: unknown) => {
      throw explain(tool, thrown);
    });

  return {
    call,
    async callOf(principal, server, tool, args, signal) {
      const { upstream } = upstreams.get(principal, server);
      contents.requireUsable(principal, upstream);
      const { uuid, slug, updatedAt } = upstream;
      const name = await nameOf(
        principal,
        { ref: uuid, key: slug },
        tool,
        updatedAt,
      );
      if (name === null) {
        throw new GatewayError(
          "not_found",
          `${upstream.name} has no tool ${tool}.`,
        );
      }
      return call(principal, name, args, signal);
    },
    idle: idle.wait,
  };
}

const codes: Partial<Record<GatewayError["code"], string>> = {
  upstream_failed: "upstream_unreachable",
  timeout: "upstream_timeout",
};

/** What a server answers that has to ask for something: the client cannot be asked, or its user has to open a URL. */
const asks: ReadonlySet<unknown> = new Set([-32021, -32042]);

function asksItsUser(name: string, rpc?: GatewayError["rpc"]): GatewayError {
  return new GatewayError(
    "conflict",
    `${name} asks its user something first, which takes an MCP client: call it by way of /mcp.`,
    { data: { code: "input_required", ...(rpc ? { rpc } : {}) } },
  );
}

/** With the codes that REST clients know. A server's own JSON-RPC error says why it refused, so it is told. */
function explain(name: string, thrown: unknown): unknown {
  const error = asGatewayError(thrown);
  if (asks.has(error.rpc?.code)) return asksItsUser(name, error.rpc);
  const code = error.rpc ? "upstream_error" : codes[error.code];
  if (code === undefined || error.data?.["code"] !== undefined) return thrown;
  const { rpc, retryAfterMs } = error;
  return new GatewayError(error.code, error.message, {
    cause: error.cause,
    ...(rpc ? { rpc } : {}),
    data: { ...error.data, code, ...(rpc ? { rpc } : {}) },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
