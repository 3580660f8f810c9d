import { asGatewayError } from "../../core/errors.ts";
import type { Principal } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";
import type { Upstream, UpstreamConnector } from "../../core/upstream.ts";
import { bounded } from "./about.ts";
import type { Breakers } from "./breaker.ts";
import { openConnection, tooSlow } from "./connection.ts";
import { fetchListing } from "./listing.ts";
import type { Lists } from "./lists.ts";
import type { Members } from "./members.ts";
import { NOBODY } from "./rpc.ts";
import type { Wire } from "./wire.ts";

/** {@link UpstreamConnector} over the connections of the source. */
export function createConnector(wiring: {
  wireFor: (upstream: Upstream, principal: () => Principal) => Wire;
  members: Members;
  lists: Lists;
  breakers: Breakers;
  clock: Clock;
  client: { name: string; version: string };
  connectTimeoutMs: number;
}): UpstreamConnector {
  const { members, lists, breakers, clock, connectTimeoutMs } = wiring;
  return {
    async probe(upstream, principal, signal) {
      const startedAt = clock.monotonic();
      const late = AbortSignal.timeout(connectTimeoutMs);
      const limit = AbortSignal.any([signal, late]);
      const explain = (thrown: unknown): never => {
        throw late.aborted ? tooSlow(upstream.name, thrown) : thrown;
      };
      const connection = await openConnection({
        upstream,
        wire: wiring.wireFor(upstream, () => principal),
        client: wiring.client,
        aside: { request: (_asked, reply) => reply(NOBODY), notification() {} },
        ended() {},
        missed() {},
        signal: limit,
        timeoutMs: connectTimeoutMs,
      }).catch(explain);
      try {
        const latencyMs = Math.round(clock.monotonic() - startedAt);
        const listing = await fetchListing(connection, limit, () => {}).catch(
          explain,
        );
        // On record when it answers in use: a look stores nothing here.
        breakers.forget(upstream.id);
        return {
          latencyMs,
          negotiationPath: connection.path,
          about: bounded(connection.about),
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
        const listed = await lists.refresh(upstream, principal, 0);
        return { ...listed, stale: false };
      } catch (error) {
        const last = lists.last(upstream, principal);
        if (!last || asGatewayError(error).code === "needs_authorization") {
          throw error;
        }
        return { ...last, stale: true };
      }
    },

    drop(serverId, subject) {
      members.drop(serverId, subject);
      breakers.forget(serverId);
      lists.forget(serverId, subject);
    },
  };
}
