import {
  GatewayError,
  asGatewayError,
  describeError,
} from "../../core/errors.ts";
import { paramHeaders } from "../../core/param-headers.ts";
import type { Identity, Principal } from "../../core/principal.ts";
import { identityKey } from "../../core/principal.ts";
import type { Clock, Ids, Log, OutboundFetch } from "../../core/runtime.ts";
import type {
  CallContext,
  InputRequired,
  Listing,
  Source,
  SourceChange,
} from "../../core/source.ts";
import { isInputRequired } from "../../core/source.ts";
import type { App, CallToolResult } from "../../core/tool.ts";
import type {
  Upstream,
  UpstreamAccounts,
  UpstreamConnector,
  UpstreamListing,
  UpstreamStore,
} from "../../core/upstream.ts";
import { createBreakers } from "./breaker.ts";
import type { Params } from "./connection.ts";
import { OWN, openConnection } from "./connection.ts";
import { createConversations } from "./conversation.ts";
import { isDown } from "./failure.ts";
import { appOf, fetchListing, offersOf } from "./listing.ts";
import type { Member } from "./member.ts";
import { createMember } from "./member.ts";
import { createMembers } from "./members.ts";
import { isRecord, safeElicitations, safeQuestions } from "./questions.ts";
import { createStdioTransport } from "./stdio.ts";
import type { Wire } from "./wire.ts";
import { createWire } from "./wire.ts";

/** The registered MCP servers of a workspace, as a source of tools, prompts and resources. */
export type McpSource = Source & {
  connector: UpstreamConnector;
  /** Closes what nobody needs; every few seconds. */
  tick(): void;
  /** Closes all. Processes that were started have a moment to leave. */
  close(): void;
};

export type McpSourceOptions = {
  store: UpstreamStore;
  accounts: UpstreamAccounts;
  outbound: OutboundFetch;
  clock: Clock;
  ids: Ids;
  log: Log;
  client: { name: string; version: string };
  /** Names this gateway to others, so that a circle is noticed. */
  gatewayId: string;
  /** Members that are connected to a server at the same time. */
  maxConnections: number;
  /** For how long a list is taken for current that nobody has said is not. */
  freshMs: number;
};

/** After this a list goes on without the server; what it lists then is told when it comes. */
const SOON_MS = 4000;
const LIST_MS = 30_000;
const CONNECT_MS = 15_000;
/** Lists of one member change at most this often. */
const CHANGE_MS = 1000;

/** Offered for a server that the member has to connect to first. */
const CONNECT = "connect-account";

type Kept = {
  listing: UpstreamListing;
  fetchedAt: number;
  /** In monotonic ms; -Infinity when it is known to be out of date. */
  at: number;
};

export function createMcpSource(options: McpSourceOptions): McpSource {
  const { store, accounts, outbound, clock, log } = options;
  const conversations = createConversations(options.ids.secret);
  const breakers = createBreakers(clock);
  const listeners: ((change: SourceChange) => void)[] = [];
  const tell = (change: SourceChange) => {
    for (const listener of listeners) listener(change);
  };
  const kept = new Map<string, Kept>();
  const flights = new Map<string, Promise<Kept>>();
  const keyOf = (upstream: Upstream, who: Identity) =>
    `${upstream.id} ${identityKey(who)}`;

  const members = createMembers(options.maxConnections, (upstream, first) => {
    const who: Identity = {
      workspace: first.workspace,
      subject: first.subject,
    };
    const key = keyOf(upstream, who);
    const listChanged = coalesce(CHANGE_MS, () => {
      const known = kept.get(key);
      if (known) known.at = -Infinity;
      tell({ who });
    });
    const member: Member = createMember({
      upstream,
      principal: first,
      wire: wireFor(upstream, () => member.principal),
      client: options.client,
      clock,
      connectTimeoutMs: CONNECT_MS,
      dropped: (what) =>
        log.warn("left out of a server's list", {
          server: upstream.slug,
          workspace: upstream.workspace,
          reason: what.slice(0, 300),
        }),
      heard: {
        listChanged,
        reconnected: listChanged,
        updated: (uri) => tell({ who, uri }),
        logged: (level, data, logger) =>
          tell({
            who,
            log: {
              app: appOf(member.upstream),
              level,
              data,
              ...(logger === undefined ? {} : { logger }),
            },
          }),
      },
    });
    return member;
  });

  function wireFor(upstream: Upstream, principal: () => Principal): Wire {
    return createWire({
      upstream,
      access: () => accounts.access(upstream, principal()),
      outbound,
      via: () => [...(principal().via ?? []), options.gatewayId],
      spawn: (server, env) => createStdioTransport(server, env, log),
    });
  }

  const usable = ({ enabled, state }: Upstream) => enabled && state === "ready";

  /** The server that an offer came from. Throws `not_found` when it is gone, `conflict` when it is off. */
  function upstreamOf(who: Identity, app: App): Upstream {
    const found = store
      .list(who.workspace)
      .find(({ uuid }) => uuid === app.ref);
    if (!found) {
      throw new GatewayError(
        "not_found",
        `${app.name} is not registered any more. List the tools again.`,
      );
    }
    if (usable(found)) return found;
    throw new GatewayError("conflict", `${app.name} is disabled.`, {
      data: { code: "server_disabled", serverId: found.id },
    });
  }

  /** Throws `upstream_failed` for a server that is known to be down. */
  function requireUp({ id, name }: Upstream): void {
    const retryAfterMs = breakers.closedFor(id);
    if (retryAfterMs === 0) return;
    throw new GatewayError(
      "upstream_failed",
      `${name} does not answer at present.`,
      {
        retryAfterMs,
        data: { code: "upstream_unreachable", failureClass: "transport" },
      },
    );
  }

  /** What the member has of a server: as it was listed a moment ago, or as it lists now. */
  function refresh(
    upstream: Upstream,
    principal: Principal,
    freshMs: number,
  ): Promise<Kept> {
    const key = keyOf(upstream, principal);
    const known = kept.get(key);
    if (known && clock.monotonic() - known.at < freshMs) {
      return Promise.resolve(known);
    }
    const flight = flights.get(key);
    if (flight) return flight;
    const mine = ask(upstream, principal).finally(() => flights.delete(key));
    flights.set(key, mine);
    return mine;
  }

  async function ask(upstream: Upstream, principal: Principal): Promise<Kept> {
    const key = keyOf(upstream, principal);
    requireUp(upstream);
    const at = clock.monotonic();
    let listing: UpstreamListing;
    try {
      const signal = AbortSignal.timeout(LIST_MS);
      listing = await members
        .of(upstream, principal)
        .list(signal)
        .catch((error: unknown) => {
          throw signal.aborted ? slow(upstream) : error;
        });
      breakers.succeeded(upstream.id);
    } catch (error) {
      if (isDown(error)) breakers.failed(upstream.id);
      throw error;
    }
    const now = { listing, fetchedAt: clock.now(), at };
    const before =
      kept.get(key)?.listing ?? saved(upstream, principal)?.listing;
    kept.set(key, now);
    if (!Bun.deepEquals(before, listing)) {
      await store.saveListing(
        upstream.id,
        principal.subject,
        listing,
        now.fetchedAt,
      );
    }
    return now;
  }

  const saved = (upstream: Upstream, { subject }: Identity) =>
    store.listing(upstream.id, subject);

  /** Puts what one server has into a listing. */
  async function listInto(
    listing: Required<Omit<Listing, "idle">> & { idle: Listing["idle"] & {} },
    upstream: Upstream,
    principal: Principal,
  ): Promise<void> {
    const app = appOf(upstream);
    const add = (found: UpstreamListing) => {
      const made = offersOf(app, found, new Set());
      listing.offers.push(...made.offers);
      listing.prompts.push(...made.prompts);
      listing.resources.push(...made.resources);
      listing.templates.push(...made.templates);
    };
    const work = refresh(upstream, principal, options.freshMs);
    try {
      const found = await Promise.race([work, Bun.sleep(SOON_MS)]);
      if (found) return add(found.listing);
      // Whoever waits for the list waits no longer; what comes late is told.
      work.then(
        () => tell({ who: principal }),
        () => {},
      );
      throw slow(upstream);
    } catch (error) {
      const { code, message } = asGatewayError(error);
      const last = saved(upstream, principal);
      if (last) add(last.listing);
      else if (code === "needs_authorization") {
        listing.offers.push(connectOffer(app));
      }
      const names = { appRef: app.ref, appKey: app.key };
      if (code === "needs_authorization") listing.idle.push(names);
      else if (last) {
        log.warn("server could not be listed", {
          server: upstream.slug,
          workspace: upstream.workspace,
          user: principal.subject,
          reason: describeError(error),
        });
      } else listing.failed.push({ ...names, message });
    }
  }

  /** Runs what may ask its caller something, and comes back with the answers. */
  async function converse(
    upstream: Upstream,
    principal: Principal,
    what: string,
    request: {
      method: string;
      params: Params;
      headers?: Record<string, string>;
    },
    context: CallContext,
  ): Promise<Params | InputRequired> {
    const { input, logLevel } = context;
    const owner = JSON.stringify([
      principal.workspace,
      principal.subject,
      upstream.uuid,
      what,
    ]);
    const begin = () => {
      requireUp(upstream);
      const member = members.of(upstream, principal);
      const { method, params, headers } = request;
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
          },
        ),
      );
    };
    const state = input?.state ?? null;
    const waiting = state !== null && conversations.knows(state);
    const conversation = waiting ? conversations.resume(owner, state) : begin();
    if (waiting) conversation.answer(input!.responses);
    let result: Params | InputRequired;
    try {
      result = await conversation.next(context);
    } catch (error) {
      throw explain(upstream, error, context.signal);
    }
    if (!isInputRequired(result)) {
      breakers.succeeded(upstream.id);
      return cleaned(result);
    }
    const fault = safeQuestions(result);
    if (fault !== null) {
      throw new GatewayError(
        "upstream_failed",
        `${upstream.name} asks for what cannot be asked: ${fault}`,
      );
    }
    const { resultType, inputRequests, requestState } = result;
    return {
      resultType,
      ...(inputRequests ? { inputRequests } : {}),
      ...(requestState === undefined ? {} : { requestState }),
    };
  }

  function explain(
    upstream: Upstream,
    error: unknown,
    signal: AbortSignal,
  ): unknown {
    if (signal.aborted) return error;
    if (isDown(error)) breakers.failed(upstream.id);
    const { rpc } = asGatewayError(error);
    if (rpc?.code === URL_ELICITATION_REQUIRED) {
      const fault = safeElicitations(rpc.data);
      if (fault !== null) {
        return new GatewayError(
          "upstream_failed",
          `${upstream.name} asks for what cannot be asked: ${fault}`,
        );
      }
    }
    return error;
  }

  const connector: UpstreamConnector = {
    async probe(upstream, principal, signal) {
      const startedAt = clock.monotonic();
      const limit = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]);
      const connection = await openConnection({
        upstream,
        wire: wireFor(upstream, () => principal),
        client: options.client,
        aside: { request: (_asked, reply) => reply(NONE), notification() {} },
        closed() {},
        signal: limit,
        timeoutMs: CONNECT_MS,
      });
      try {
        const latencyMs = Math.round(clock.monotonic() - startedAt);
        const listing = await fetchListing(connection, limit, () => {});
        breakers.succeeded(upstream.id);
        const { about, path } = connection;
        return {
          latencyMs,
          negotiationPath: path,
          about,
          componentCounts: {
            tools: listing.tools.length,
            prompts: listing.prompts.length,
            resources: listing.resources.length,
            resourceTemplates: listing.resourceTemplates.length,
          },
        };
      } finally {
        connection.close();
      }
    },

    async listing(upstream, principal) {
      try {
        const { listing, fetchedAt } = await refresh(upstream, principal, 0);
        return { listing, fetchedAt, stale: false };
      } catch (error) {
        const last = saved(upstream, principal);
        if (!last || asGatewayError(error).code === "needs_authorization") {
          throw error;
        }
        return { ...last, stale: true };
      }
    },

    drop(serverId, subject) {
      members.drop(serverId, subject);
      breakers.forget(serverId);
      for (const key of kept.keys()) {
        if (key.startsWith(`${serverId} `)) kept.delete(key);
      }
    },
  };

  return {
    id: "servers",
    logs: true,
    connector,

    async list(principal) {
      const listing = {
        offers: [],
        prompts: [],
        resources: [],
        templates: [],
        failed: [],
        idle: [],
      };
      await Promise.all(
        store
          .list(principal.workspace)
          .filter(usable)
          .map((upstream) => listInto(listing, upstream, principal)),
      );
      return listing;
    },

    async call(principal, offer, args, context) {
      const upstream = upstreamOf(principal, offer.app);
      if (offer.ref === CONNECT) return connected(upstream, principal);
      await context.onRecord();
      context.signal.throwIfAborted();
      const result = await converse(
        upstream,
        principal,
        `tool ${offer.ref}`,
        {
          method: "tools/call",
          params: { name: offer.ref, arguments: args },
          headers: paramHeaders(offer.tool.inputSchema, args),
        },
        context,
      );
      return isInputRequired(result)
        ? result
        : readToolResult(upstream, result);
    },

    async getPrompt(principal, offer, args, context) {
      const upstream = upstreamOf(principal, offer.app);
      const result = await converse(
        upstream,
        principal,
        `prompt ${offer.ref}`,
        {
          method: "prompts/get",
          params: { name: offer.ref, arguments: args },
        },
        context,
      );
      return (
        isInputRequired(result)
          ? result
          : requireList(upstream, result, "messages")
      ) as never;
    },

    async readResource(principal, { app, uri }, context) {
      const upstream = upstreamOf(principal, app);
      const result = await converse(
        upstream,
        principal,
        `resource ${uri}`,
        { method: "resources/read", params: { uri } },
        context,
      );
      return (
        isInputRequired(result)
          ? result
          : requireList(upstream, result, "contents")
      ) as never;
    },

    async complete(principal, { of, argument, others }, signal) {
      const app = "prompt" in of ? of.prompt.app : of.app;
      const upstream = upstreamOf(principal, app);
      const member = members.of(upstream, principal);
      const { about } = await member.connection(signal);
      if (!isRecord(about.capabilities["completions"])) {
        return { completion: { values: [] } };
      }
      const ref =
        "prompt" in of
          ? { type: "ref/prompt", name: of.prompt.ref }
          : { type: "ref/resource", uri: of.uri };
      const result = await member.request(
        "completion/complete",
        () => ({ ref, argument, context: { arguments: others } }),
        { signal },
      );
      if (!isRecord(result["completion"])) throw invalidAnswer(upstream);
      return cleaned(result) as never;
    },

    instructions: (who) =>
      store
        .list(who.workspace)
        .filter(usable)
        .flatMap((upstream) => {
          const text = upstream.about?.instructions;
          return text ? [{ app: appOf(upstream), text }] : [];
        }),

    watch(principal, resources) {
      for (const upstream of store.list(principal.workspace).filter(usable)) {
        const uris = resources
          .filter(({ app }) => app.ref === upstream.uuid)
          .map(({ uri }) => uri);
        if (uris.length === 0 && !saysChanges(upstream)) continue;
        if (breakers.closedFor(upstream.id) > 0 || !members.hasRoom()) continue;
        members.of(upstream, principal).watch(uris);
      }
    },

    onChange: (listener) => void listeners.push(listener),
    tick: members.closeIdle,
    close: members.closeAll,
  };

  /** For a member who has to connect first: says where, or that it is done. */
  async function connected(
    upstream: Upstream,
    principal: Principal,
  ): Promise<CallToolResult> {
    await refresh(upstream, principal, 0);
    tell({ who: principal });
    return {
      content: [
        {
          type: "text",
          text: `Your account is connected to ${upstream.name}. List the tools again.`,
        },
      ],
    };
  }
}

const URL_ELICITATION_REQUIRED = -32042;
const NONE = {
  error: { code: -32601, message: "The client does not answer this." },
};

/** What the caller's client can do, as revisions without sessions say it. */
function capabilitiesOf({ capabilities }: CallContext) {
  const { elicitation } = capabilities;
  const forms = isRecord(elicitation) && Object.keys(elicitation).length === 0;
  return forms ? { ...capabilities, elicitation: { form: {} } } : capabilities;
}

function saysChanges({ about }: Upstream): boolean {
  return ["tools", "prompts", "resources"].some((name) => {
    const capability = about?.capabilities[name];
    return isRecord(capability) && capability["listChanged"] === true;
  });
}

/** Without what a server says of the protocol: that is for us to say. */
function cleaned(result: Params): Params {
  const { resultType: _ours, _meta, ...rest } = result;
  const meta = isRecord(_meta)
    ? Object.entries(_meta).filter(([key]) => !key.startsWith(OWN))
    : [];
  return meta.length === 0
    ? rest
    : { ...rest, _meta: Object.fromEntries(meta) };
}

function readToolResult(upstream: Upstream, result: Params): CallToolResult {
  const { content, structuredContent, toolResult } = result;
  if (Array.isArray(content)) return result as CallToolResult;
  // Revision 2024-10-07 had this, and some servers leave out what they have said in the other way.
  const only = structuredContent ?? toolResult;
  if (only === undefined) throw invalidAnswer(upstream);
  return {
    ...result,
    content: [{ type: "text", text: JSON.stringify(only) }],
  } as CallToolResult;
}

function requireList(upstream: Upstream, result: Params, name: string): Params {
  if (!Array.isArray(result[name])) throw invalidAnswer(upstream);
  return result;
}

function invalidAnswer({ name }: Upstream): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `${name} has answered with something else than its protocol says.`,
    { data: { failureClass: "invalid_response" } },
  );
}

function slow({ name }: Upstream): GatewayError {
  return new GatewayError("timeout", `${name} does not answer in time.`, {
    data: { failureClass: "transport" },
  });
}

function connectOffer(app: App) {
  return {
    app,
    ref: CONNECT,
    key: CONNECT,
    name: `Connect ${app.name}`,
    tool: {
      description: `${app.name} is available after the user has connected an account. Call this to get the link for that; afterwards its tools are listed.`,
      inputSchema: { type: "object" as const },
    },
  };
}

/** At once, and then at most every `ms`; nothing is lost. */
function coalesce(ms: number, work: () => void): () => void {
  let timer: Timer | null = null;
  let again = false;
  const run = () => {
    again = false;
    work();
    timer = setTimeout(() => {
      timer = null;
      if (again) run();
    }, ms);
    timer.unref();
  };
  return () => {
    if (timer === null) run();
    else again = true;
  };
}
