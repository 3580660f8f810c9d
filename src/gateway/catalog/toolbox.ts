import { GatewayError, asGatewayError } from "../../core/errors.ts";
import type { NewEntry } from "../../core/journal.ts";
import type { Principal } from "../../core/principal.ts";
import type { Clock, Log } from "../../core/runtime.ts";
import { DEFAULT_VIEW } from "../../core/session.ts";
import type { View } from "../../core/session.ts";
import type { CallContext, InputRequired, Source } from "../../core/source.ts";
import { isInputRequired } from "../../core/source.ts";
import type { Counters, Telemetry } from "../../core/telemetry.ts";
import { noTelemetry } from "../../core/telemetry.ts";
import type { App, CallToolResult, Tool } from "../../core/tool.ts";
import { CALL_TOOL, ENABLE_TOOLS, SEARCH_TOOLS } from "../../core/tool.ts";
import type { Admission } from "../limits/admission.ts";
import type { Catalogs } from "./catalog.ts";
import type { Catalog } from "./contents.ts";
import type { Execution } from "../events/execution.ts";
import { cutEntry, executionEntry } from "../events/execution.ts";
import { MAX_SEARCH_LIMIT, SEARCH_LIMIT } from "./own-tools.ts";

const MAX_QUERY = 1000;
/** An app that could not be listed is tried again for whoever asks for something of it, this often. */
const RELIST_MS = 5000;

/** Whoever asks for tools: a verified caller and what it has chosen to see. */
export type Customer = {
  principal: Principal;
  view: View;
  /** Keeps a new set of enabled tools; null when there is no session or chat to keep it in. */
  enable: ((names: string[]) => Promise<void>) | null;
};

export type ToolPage = {
  /** Serialised definitions, in order. */
  definitions: string[];
  /** Where the next page begins, or null. */
  nextCursor: string | null;
  /** Of the whole list, not of the page. */
  digest: string;
  /** For how long a client may take it for current, in ms. */
  freshMs: () => number;
};

/** What a call begins with. The toolbox aborts it when its time is up. */
export type CallStart = Omit<
  CallContext,
  "signal" | "timeoutMs" | "onRecord"
> & {
  controller: AbortController;
  /** Takes what the journal is to say of a call that has ended; called before it settles. Whoever answers writes it. */
  note(entry: NewEntry): void;
  /** `ifCut`: what the journal is to say when the call is cut off. */
  onRecord(ifCut?: NewEntry): Promise<void>;
};

export type Toolbox = {
  /** Throws `invalid` for a cursor that is not ours. */
  list(customer: Customer, cursor: string | null): Promise<ToolPage>;
  /** The tool that the caller means by a name; null for none, and for the gateway's own. */
  find(customer: Omit<Customer, "enable">, name: string): Promise<Tool | null>;
  /**
   * The name that the caller knows an app's tool by; null when it has none. `since`: when the app was changed last; an
   * older catalogue is loaded anew before it says no. Throws as `call` does for an app that could not be listed.
   */
  nameOf(
    principal: Principal,
    app: Pick<App, "ref" | "key">,
    toolRef: string,
    since: number,
  ): Promise<string | null>;
  /**
   * Calls one shown tool, once. Throws `not_found` for a name the caller is not shown, but `upstream_failed` or
   * `timeout` where its app could not be listed; `timeout` when the deadline passes, `rate_limited` when its app is
   * asked too much, and what the source throws. A tool that failed is an `isError` result.
   */
  call(
    customer: Customer,
    name: string,
    args: Record<string, unknown>,
    context: CallStart,
  ): Promise<CallToolResult | InputRequired>;
};

/** Lists and calls tools out of the caller's own catalogue. */
export function createToolbox(wiring: {
  catalogs: Catalogs;
  sources: readonly Source[];
  pageSize: number;
  callTimeoutMs: number;
  /** Whether the journal keeps arguments and results. */
  recordContents: boolean;
  admission: Pick<Admission, "toward">;
  log: Log;
  clock: Clock;
  telemetry?: Telemetry;
}): Toolbox {
  const { catalogs, pageSize, callTimeoutMs, clock, log } = wiring;
  const { telemetry = noTelemetry } = wiring;
  const sources = new Map(wiring.sources.map((source) => [source.id, source]));

  async function enableTools(
    { principal, enable, view }: Customer,
    args: Record<string, unknown>,
  ): Promise<CallToolResult> {
    const wanted = args["tools"];
    if (
      !Array.isArray(wanted) ||
      !wanted.every((name) => typeof name === "string")
    ) {
      throw new GatewayError(
        "invalid",
        `${ENABLE_TOOLS} takes {"tools": [names]}.`,
      );
    }
    if (enable === null) {
      throw new GatewayError("invalid", NOTHING_KEEPS);
    }
    const { resolve } = (await catalogs.get(principal)).select(view);
    const enabled = new Set<string>();
    const unknown: string[] = [];
    for (const name of new Set<string>(wanted)) {
      const found = resolve(name);
      // A server's own tool of that name is never shown beside ours.
      if (found === null || found === ENABLE_TOOLS) unknown.push(name);
      else enabled.add(found);
    }
    await enable([...enabled]);
    return {
      content: [{ type: "text", text: "Tools enabled" }],
      structuredContent: { enabled: [...enabled], unknown },
    };
  }

  /** All that a view could show. */
  const everything = ({ apps, server }: View): View => ({
    ...DEFAULT_VIEW,
    apps,
    server,
  });

  async function searchTools(
    { view }: Customer,
    catalog: Catalog,
    args: Record<string, unknown>,
  ): Promise<CallToolResult> {
    const { query, limit = SEARCH_LIMIT } = args;
    if (
      typeof query !== "string" ||
      query.length > MAX_QUERY ||
      !Number.isInteger(limit) ||
      Number(limit) < 1
    ) {
      throw new GatewayError(
        "invalid",
        `${SEARCH_TOOLS} takes {"query": text of at most ${MAX_QUERY} characters, "limit"?: 1 to ${MAX_SEARCH_LIMIT}}.`,
      );
    }
    const tools = catalog
      .search(view, query, Math.min(Number(limit), MAX_SEARCH_LIMIT))
      .map(({ name, offer }) => ({ name, ...offer.tool }));
    return {
      content: [{ type: "text", text: JSON.stringify({ tools }) }],
      structuredContent: { tools },
    };
  }

  return {
    async list({ principal, view }, cursor) {
      const catalog = await catalogs.get(principal);
      const { entries, digest, mode, find } = catalog.show(view);
      let start = 0;
      if (cursor !== null) {
        const after = decodeCursor(cursor);
        // The tool itself may be gone by now; the list is in order of names but for our own, which come first.
        start = entries.findIndex(({ name }) => name === after) + 1;
        if (start === 0) {
          start = entries.findIndex(
            ({ name }) => find(name) !== null && name > after,
          );
          if (start < 0) start = entries.length;
        }
      }
      const page = entries.slice(start, start + pageSize);
      const last = page.at(-1);
      return {
        definitions: page.map(({ json }) => json),
        nextCursor:
          last && start + pageSize < entries.length
            ? encodeCursor(last.name)
            : null,
        digest,
        // What is enabled can change with the next call.
        freshMs: () => (mode === "dynamic" ? 0 : catalogs.freshMs(principal)),
      };
    },

    async find({ principal, view }, name) {
      return (await catalogs.get(principal)).show(view).find(name);
    },

    async nameOf(principal, app, toolRef, since) {
      const nameIn = (catalog: Catalog) => {
        const { entries, find } = catalog.show(DEFAULT_VIEW);
        const wanted = ({ name }: { name: string }) => {
          const offer = find(name)?.offer;
          return offer?.app.ref === app.ref && offer.ref === toolRef;
        };
        return entries.find(wanted)?.name ?? null;
      };
      const none = (catalog: Catalog) => {
        const view = { ...DEFAULT_VIEW, server: app.key };
        requireListed(catalogs, { principal, view }, catalog, toolRef);
        return null;
      };
      let catalog = await catalogs.get(principal);
      // What is being loaded already may be too old as well.
      for (let tries = 0; tries < 2; tries++) {
        const name = nameIn(catalog);
        if (name !== null) return name;
        if (catalog.loadedAt > since) return none(catalog);
        catalog = await catalogs.reload(principal);
      }
      return nameIn(catalog) ?? none(catalog);
    },

    async call(customer, asked, given, context) {
      let name = asked;
      let args = given;
      if (name === ENABLE_TOOLS && customer.view.mode === "dynamic") {
        return enableTools(customer, args);
      }
      let catalog = await catalogs.get(customer.principal);
      let { view } = customer;
      if (catalog.show(view).mode === "search") {
        if (name === SEARCH_TOOLS) return searchTools(customer, catalog, args);
        if (name === CALL_TOOL) {
          ({ name, args } = readCall(args));
          view = everything(view);
        }
      }
      let tool = catalog.show(view).find(name);
      const coming = tool ? null : catalogs.coming(customer.principal);
      if (coming) {
        // Of a server that has just been registered, for example.
        catalog = await coming;
        tool = catalog.show(view).find(name);
      }
      const source = tool && sources.get(tool.source);
      if (!tool || !source) {
        requireListed(catalogs, customer, catalog, name);
        const gone = customer.view.enabled.includes(name);
        throw new GatewayError(
          "not_found",
          gone
            ? `${name} was enabled, but the user's apps do not offer it any more. List the tools again.`
            : name === ENABLE_TOOLS && keepsNothing(customer)
              ? NOTHING_KEEPS
              : `Unknown tool: ${name}`,
        );
      }
      const { controller, note, onRecord, ...rest } = context;
      // It may have been cancelled while the catalogue was loaded.
      controller.signal.throwIfAborted();
      const { principal } = customer;
      const app = tool.offer.app.key;
      const startedAt = clock.monotonic();
      const measured = (outcome: Counters["toolCalls"]["outcome"]) => {
        const labels = { source: source.id };
        telemetry.count("toolCalls", { ...labels, outcome });
        const ms = clock.monotonic() - startedAt;
        telemetry.observe("toolCall", ms, labels);
      };
      const ended = (outcome: Execution["outcome"]) => {
        const durationMs = clock.monotonic() - startedAt;
        note(
          executionEntry(
            { principal, tool: name, app, durationMs, args, outcome },
            wiring.recordContents,
          ),
        );
      };
      let recorded = true;
      wiring.admission.toward(principal, source.id, tool.offer.app);
      try {
        const result = await withDeadline(controller, callTimeoutMs, name, () =>
          source.call(principal, tool.offer, args, {
            ...rest,
            onRecord: () =>
              onRecord(cutEntry(principal, { tool: name, app })).catch(
                (error) => {
                  recorded = false;
                  throw error;
                },
              ),
            signal: controller.signal,
            timeoutMs: callTimeoutMs,
          }),
        );
        if (isInputRequired(result)) measured("input_required");
        else {
          measured(result.isError ? "tool_error" : "ok");
          ended({ result });
        }
        return result;
      } catch (error) {
        // What is on no record has not been done either.
        if (recorded) ended({ thrown: error });
        const { code } = asGatewayError(error);
        const cancelled = controller.signal.aborted && code !== "timeout";
        measured(cancelled ? "cancelled" : code);
        const reason = failureOf(error);
        if (reason !== null) {
          const { workspace, subject } = principal;
          log.warn("tool did not answer", {
            workspace,
            user: subject,
            app,
            tool: name,
            reason,
          });
        }
        throw error;
      }
    },
  };
}

/** Of what kind a failure of the other side is; null for other errors. Its words may repeat what it was sent. */
function failureOf(thrown: unknown): string | null {
  const { code, rpc, data, cause } = asGatewayError(thrown);
  if (rpc || (code !== "upstream_failed" && code !== "timeout")) return null;
  return [code, data?.["failureClass"], data?.["reason"], data?.["status"]]
    .concat(innermostCode(cause))
    .filter((part) => typeof part === "string" || typeof part === "number")
    .join(" ");
}

/** Such as `ECONNRESET`. */
function innermostCode(cause: unknown): unknown {
  const { code, cause: inside } = (cause ?? {}) as {
    code?: unknown;
    cause?: unknown;
  };
  return inside === undefined ? code : innermostCode(inside);
}

/**
 * Throws when something may be unknown only because its app could not be listed, which is tried again. `name` and `has`
 * are those of `unlisted` of the catalogue.
 */
export function requireListed(
  catalogs: Pick<Catalogs, "warm">,
  { principal, view }: Pick<Customer, "principal" | "view">,
  catalog: Catalog,
  what: string,
  name: string | null = what,
  has: (source: string) => boolean = () => true,
): void {
  const error = catalog.unlisted(view, what, name, has);
  if (error === null) return;
  catalogs.warm(principal, RELIST_MS);
  throw error;
}

/** The arguments of `call-tool`. */
function readCall(given: Record<string, unknown>) {
  const { name, arguments: args = {} } = given;
  const isObject =
    typeof args === "object" && args !== null && !Array.isArray(args);
  if (typeof name !== "string" || !isObject) {
    throw new GatewayError(
      "invalid",
      `${CALL_TOOL} takes {"name": a tool's name, "arguments": an object}.`,
    );
  }
  return { name, args: args as Record<string, unknown> };
}

/**
 * Runs until it settles, is aborted, or its time is up. A source that ignores the signal does not keep
 * the caller waiting.
 */
export function withDeadline<T>(
  controller: AbortController,
  ms: number,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const { signal } = controller;
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason as Error);
    const expire = () =>
      controller.abort(
        new GatewayError(
          "timeout",
          `${name} did not answer within ${Math.round(ms / 1000)} s. Whether it took effect is unknown.`,
        ),
      );
    const timer = setTimeout(expire, ms);
    signal.addEventListener("abort", aborted);
    work()
      .then(resolve, reject)
      .finally(() => {
        clearTimeout(timer);
        signal.removeEventListener("abort", aborted);
      });
  });
}

export function encodeCursor(name: string): string {
  return Buffer.from(name).toString("base64url");
}

export function decodeCursor(cursor: string): string {
  const name = Buffer.from(cursor, "base64url").toString();
  if (name === "" || encodeCursor(name) !== cursor) {
    throw new GatewayError("invalid", "Invalid cursor");
  }
  return name;
}

const NOTHING_KEEPS = `${ENABLE_TOOLS} needs a session, or a chat, to keep the choice in. Send initialize first, or x-chat-id.`;

/** Without a session or a chat, what asks for `dynamic` gets `search`. */
const keepsNothing = ({ enable, view }: Customer) =>
  enable === null && view.mode === "search";
