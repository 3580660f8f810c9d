import { definitionHash, judge, suspicions } from "../../core/definition.ts";
import { GatewayError, asGatewayError } from "../../core/errors.ts";
import { causeOf } from "../../core/journal.ts";
import type { Principal } from "../../core/principal.ts";
import type { Clock, Log } from "../../core/runtime.ts";
import type {
  Upstream,
  UpstreamConnector,
  UpstreamListing,
  UpstreamOAuth,
  UpstreamStore,
} from "../../core/upstream.ts";
import { neededError } from "../accounts/needed.ts";
import { createRate } from "../limits/rate.ts";
import { failureOf } from "./upstream-switch.ts";
import type { UpstreamRef, Upstreams } from "./upstreams.ts";
import { hasOwnAccounts } from "./upstreams.ts";

/** What one server has for a member, and what is to be thought of it. */
export type UpstreamContents = {
  /**
   * All throw `conflict` ("server_disabled") for a server that is off, `needs_authorization` with what the member has
   * to do, `upstream_failed` or `timeout` when there is nothing to show, and `rate_limited` when one of them is asked
   * of one server more than ten times a minute.
   */
  tools(
    principal: Principal,
    ref: UpstreamRef,
    signal: AbortSignal,
  ): Promise<Listed<{ tools: JudgedTool[]; pinned: boolean }>>;
  prompts(
    principal: Principal,
    ref: UpstreamRef,
    signal: AbortSignal,
  ): Promise<Listed<Pick<UpstreamListing, "prompts">>>;
  resources(
    principal: Principal,
    ref: UpstreamRef,
    signal: AbortSignal,
  ): Promise<Listed<Pick<UpstreamListing, "resources" | "resourceTemplates">>>;
  /** Approves a definition that one of its tools has had. Throws `not_found` when none has this hash. */
  approve(
    principal: Principal,
    ref: UpstreamRef,
    tool: string,
    hash: string,
  ): Promise<void>;
  /** Throws what keeps the member from using it now; nothing when there is no such thing. */
  requireUsable(principal: Principal, upstream: Upstream): void;
};

/** `stale`: from when it answered last. */
export type Listed<T> = T & { fetchedAt: number; stale: boolean };

export type JudgedTool = Record<string, unknown> & {
  hash: string;
  /** `changed`: nobody may call it before somebody approves what it is now. */
  status: "approved" | "changed";
  suspicious: string[];
};

const LISTS = 10;
const LISTS_MS = 60_000;

export function createUpstreamContents(options: {
  upstreams: Pick<Upstreams, "get" | "record">;
  store: UpstreamStore;
  connector: Pick<UpstreamConnector, "listing">;
  oauth: Pick<UpstreamOAuth, "authorizeUrl">;
  clock: Clock;
  log: Log;
}): UpstreamContents {
  const { upstreams, store, connector, clock, log } = options;
  const rate = createRate(
    clock,
    LISTS,
    LISTS_MS,
    "lists",
    `A server's lists can be fetched ${LISTS} times a minute. Wait a moment.`,
  );

  /** What the member has to do first. */
  const needed = (
    upstream: Upstream,
    principal: Principal,
    code: "mcp_auth_required" | "mcp_auth_expired" = "mcp_auth_required",
  ) =>
    neededError(upstream, code, () =>
      options.oauth.authorizeUrl(upstream, principal),
    );

  function requireUsable(principal: Principal, upstream: Upstream): void {
    const { state, enabled, name, id } = upstream;
    if (state === "authorize") throw needed(upstream, principal);
    if (state !== "ready" || !enabled) {
      throw new GatewayError(
        "conflict",
        `${name} is disabled. Enable it first.`,
        {
          data: { code: "server_disabled", serverId: id },
        },
      );
    }
    if (!hasOwnAccounts(upstream)) return;
    const own = store.credential(id, principal.subject);
    if (own?.status === "active") return;
    throw needed(
      upstream,
      principal,
      own?.status === "expired" ? "mcp_auth_expired" : "mcp_auth_required",
    );
  }

  async function list(
    principal: Principal,
    ref: UpstreamRef,
    kind: string,
    signal: AbortSignal,
  ) {
    const { upstream } = upstreams.get(principal, ref);
    requireUsable(principal, upstream);
    const { workspace, subject } = principal;
    rate.take(JSON.stringify([workspace, subject, upstream.id, kind]));
    try {
      return {
        upstream,
        ...(await connector.listing(upstream, principal, signal)),
      };
    } catch (thrown) {
      throw explain(upstream, principal, thrown);
    }
  }

  function explain(
    upstream: Upstream,
    principal: Principal,
    thrown: unknown,
  ): GatewayError {
    const error = asGatewayError(thrown);
    if (error.code === "needs_authorization") {
      return error.data?.["code"] === undefined
        ? needed(upstream, principal)
        : error;
    }
    const { stored, class: failureClass } = failureOf(error, clock.now());
    const slow = error.code === "timeout";
    return new GatewayError(
      slow ? "timeout" : "upstream_failed",
      slow ? "The server did not answer in time." : stored.message,
      {
        cause: thrown,
        data: {
          code: slow ? "upstream_timeout" : "upstream_unreachable",
          serverId: upstream.id,
          failureClass,
        },
      },
    );
  }

  return {
    requireUsable,

    async tools(principal, ref, signal) {
      const { upstream, listing, fetchedAt, stale } = await list(
        principal,
        ref,
        "tools",
        signal,
      );
      const { tools } = listing;
      const { id, slug, workspace, pinned } = upstream;
      const { add, changed, blocked } = judge(
        tools,
        store.definitions(id),
        pinned,
        clock.now(),
      );
      if (add.length > 0) await store.addDefinitions(id, add);
      for (const tool of changed) {
        log.warn("tool changed", { server: slug, workspace, tool, pinned });
      }
      return {
        tools: tools.map((tool) => ({
          ...tool,
          hash: definitionHash(tool),
          status: blocked.has(String(tool["name"])) ? "changed" : "approved",
          suspicious: suspicions(tool),
        })),
        pinned,
        fetchedAt,
        stale,
      };
    },

    async prompts(principal, ref, signal) {
      const { listing, fetchedAt, stale } = await list(
        principal,
        ref,
        "prompts",
        signal,
      );
      return { prompts: listing.prompts, fetchedAt, stale };
    },

    async resources(principal, ref, signal) {
      const { listing, fetchedAt, stale } = await list(
        principal,
        ref,
        "resources",
        signal,
      );
      const { resources, resourceTemplates } = listing;
      return { resources, resourceTemplates, fetchedAt, stale };
    },

    async approve(principal, ref, tool, hash) {
      const { upstream } = upstreams.get(principal, ref);
      const { subject } = principal;
      const found = await store.approve(
        upstream.id,
        tool,
        hash,
        subject,
        clock.now(),
        causeOf(principal),
      );
      if (!found) {
        throw new GatewayError(
          "not_found",
          "No tool of this server has had a definition with this hash.",
        );
      }
      upstreams.record(principal, "tool approved", upstream);
    },
  };
}
