import { GatewayError } from "../../core/errors.ts";
import { paramHeaders } from "../../core/param-headers.ts";
import type { Identity, Principal } from "../../core/principal.ts";
import type { Clock, Ids, Log, OutboundFetch } from "../../core/runtime.ts";
import type { Source, SourceChange } from "../../core/source.ts";
import { isInputRequired } from "../../core/source.ts";
import type { Telemetry } from "../../core/telemetry.ts";
import { noTelemetry } from "../../core/telemetry.ts";
import type { App, CallToolResult } from "../../core/tool.ts";
import type {
  Upstream,
  UpstreamAccounts,
  UpstreamConnector,
  UpstreamStore,
} from "../../core/upstream.ts";
import {
  cleaned,
  invalidAnswer,
  readToolResult,
  requireList,
} from "./answers.ts";
import { createBreakers } from "./breaker.ts";
import { createConnector } from "./connector.ts";
import { createConversations } from "./conversation.ts";
import { createConverse } from "./converse.ts";
import { appOf } from "./listing.ts";
import type { WholeListing } from "./lists.ts";
import { createLists, isConnectOffer } from "./lists.ts";
import type { Member } from "./member.ts";
import { createMember } from "./member.ts";
import { createMembers } from "./members.ts";
import { isRecord } from "./questions.ts";
import { createStdioTransport } from "./stdio.ts";
import { createHealth } from "./health.ts";
import type { Times } from "./times.ts";
import { usualTimes } from "./times.ts";
import type { Wire } from "./wire.ts";
import { createWire } from "./wire.ts";

/** The registered MCP servers of a workspace, as a source of tools, prompts and resources. */
export type McpSource = Source & {
  connector: UpstreamConnector;
  /** Closes what nobody needs; every few seconds. */
  tick(): void;
  /** How many servers count as down. */
  down(): number;
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
  /** For how long a list counts as current that nobody has said is not. */
  freshMs: number;
  times?: Partial<Times> | undefined;
  telemetry?: Telemetry;
};

export function createMcpSource(options: McpSourceOptions): McpSource {
  const { store, accounts, clock, log } = options;
  const times = { ...usualTimes, ...options.times };
  const listeners: ((change: SourceChange) => void)[] = [];
  const tell = (change: SourceChange) => {
    for (const listener of listeners) listener(change);
  };
  const breakers = createBreakers(clock, createHealth({ store, clock, log }));
  const usable = ({ enabled, state }: Upstream) => enabled && state === "ready";
  const now = ({ workspace, id }: Upstream) => {
    const found = store.find(workspace, id);
    return found && usable(found) ? found : null;
  };
  const members = createMembers(
    options.maxConnections,
    now,
    (upstream, first) => open(upstream, first),
  );
  const lists = createLists({
    store,
    members,
    breakers,
    clock,
    log,
    late: (who) => tell({ who }),
    freshMs: options.freshMs,
    times,
  });
  const converse = createConverse({
    conversations: createConversations(options.ids.secret, times.patience),
    members,
    breakers,
    telemetry: options.telemetry ?? noTelemetry,
  });

  function wireFor(upstream: Upstream, principal: () => Principal): Wire {
    return createWire({
      upstream,
      access: () => accounts.access(upstream, principal()),
      outbound: options.outbound,
      via: () => [...(principal().via ?? []), options.gatewayId],
      takenMs: times.connect,
      spawn: (server, env, fault) =>
        createStdioTransport(server, env, log, fault),
    });
  }

  function open(upstream: Upstream, first: Principal): Member {
    const who: Identity = {
      workspace: first.workspace,
      subject: first.subject,
    };
    const changed = () => {
      lists.outdated(upstream, who);
      tell({ who });
    };
    // Each kind by itself: one that changes all the time delays no other.
    const changes = new Map<string, () => void>();
    const changedIn = (kind: string) => {
      const known = changes.get(kind) ?? coalesce(times.changed, changed);
      changes.set(kind, known);
      known();
    };
    const member: Member = createMember({
      upstream,
      principal: first,
      wire: wireFor(upstream, () => member.principal),
      client: options.client,
      clock,
      times,
      dropped: (what) =>
        log.warn("left out of a server's list", {
          server: upstream.slug,
          workspace: upstream.workspace,
          reason: what.slice(0, 300),
        }),
      heard: {
        listChanged: changedIn,
        missed: changed,
        completed: (completed) => tell({ who, completed }),
        updated: (uri) => tell({ who, uri, app: appOf(member.upstream) }),
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
  }

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

  /** For a member who had to connect first: throws where that is done, or says that it is. */
  async function connected(
    upstream: Upstream,
    principal: Principal,
  ): Promise<CallToolResult> {
    await lists.refresh(upstream, principal, 0);
    tell({ who: principal });
    const text = `${upstream.name} is connected to the user's account. List the tools again.`;
    return { content: [{ type: "text", text }] };
  }

  /** Whether a server that counts as down is there again, when it is time. */
  function findOut(upstream: Upstream, principal: Principal): void {
    lists.refresh(upstream, principal, 0).then(
      () => tell({ who: principal }),
      () => {},
    );
  }

  return {
    id: "mcp",
    logs: true,
    connector: createConnector({
      wireFor,
      members,
      lists,
      breakers,
      clock,
      client: options.client,
      connectTimeoutMs: times.connect,
    }),

    async list(principal) {
      const listing: WholeListing = {
        offers: [],
        prompts: [],
        resources: [],
        templates: [],
        failed: [],
        idle: [],
      };
      const upstreams = store.list(principal.workspace).filter(usable);
      if (upstreams.length === 0) return null;
      await Promise.all(
        upstreams.map((upstream) => lists.into(listing, upstream, principal)),
      );
      return listing;
    },

    async call(principal, offer, args, context) {
      const upstream = upstreamOf(principal, offer.app);
      if (isConnectOffer(offer)) return connected(upstream, principal);
      lists.requireApproved(upstream, principal, offer.ref);
      await context.onRecord();
      context.signal.throwIfAborted();
      const asked = {
        method: "tools/call",
        params: { name: offer.ref, arguments: args },
        headers: paramHeaders(offer.tool.inputSchema, args),
      };
      const result = await converse(upstream, principal, asked, context);
      return isInputRequired(result)
        ? result
        : readToolResult(upstream, result);
    },

    async getPrompt(principal, offer, args, context) {
      const upstream = upstreamOf(principal, offer.app);
      const asked = {
        method: "prompts/get",
        params: { name: offer.ref, arguments: args },
      };
      const result = await converse(upstream, principal, asked, context);
      return requireList(upstream, result, "messages") as never;
    },

    async readResource(principal, { app, uri }, context) {
      const upstream = upstreamOf(principal, app);
      const asked = { method: "resources/read", params: { uri } };
      const result = await converse(upstream, principal, asked, context);
      return requireList(upstream, result, "contents") as never;
    },

    async complete(principal, { of, argument, others }, signal) {
      const app = "prompt" in of ? of.prompt.app : of.app;
      const upstream = upstreamOf(principal, app);
      breakers.require(upstream);
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

    alone(who, appKey) {
      const found = store
        .list(who.workspace)
        .find((upstream) => upstream.slug === appKey && usable(upstream));
      return found ? appOf(found) : null;
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
        if (breakers.isDown(upstream.id)) {
          findOut(upstream, principal);
          continue;
        }
        if (!members.hasRoom()) continue;
        members.of(upstream, principal).watch(uris);
      }
    },

    onChange: (listener) => void listeners.push(listener),
    tick: members.tidy,
    down: breakers.down,
    close: members.closeAll,
  };
}

function saysChanges({ about }: Upstream): boolean {
  return ["tools", "prompts", "resources"].some((name) => {
    const capability = about?.capabilities[name];
    return isRecord(capability) && capability["listChanged"] === true;
  });
}

/** At once, and then at most every `ms`; the last one is never lost. */
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
