import { LRUCache } from "lru-cache";
import {
  GatewayError,
  asGatewayError,
  describeError,
} from "../../core/errors.ts";
import { judge } from "../../core/definition.ts";
import type { Identity, Principal } from "../../core/principal.ts";
import type { Clock, Log } from "../../core/runtime.ts";
import type { Listing } from "../../core/source.ts";
import type { App, Offer } from "../../core/tool.ts";
import type {
  Upstream,
  UpstreamListing,
  UpstreamStore,
} from "../../core/upstream.ts";
import type { Breakers } from "./breaker.ts";
import { CHANGED, appOf, offersOf } from "./listing.ts";
import type { Members } from "./members.ts";
import type { Times } from "./times.ts";

/** What the servers of a workspace have for each member. The last good list of one that does not answer serves. */
export type Lists = {
  /** As it was listed less than `freshMs` ago, or as it is listed now. Throws what keeps it from being listed. */
  refresh(
    upstream: Upstream,
    principal: Principal,
    freshMs: number,
  ): Promise<Listed>;
  /** What was listed last, by whatever process. */
  last(upstream: Upstream, who: Identity): Listed | null;
  /** Puts what a server has into a listing; never throws. */
  into(
    listing: WholeListing,
    upstream: Upstream,
    principal: Principal,
  ): Promise<void>;
  /** Somebody has said that it is not so any more. */
  outdated(upstream: Upstream, who: Identity): void;
  /** Throws `conflict` for a tool that has changed and waits for approval. */
  requireApproved(upstream: Upstream, who: Identity, tool: string): void;
  /** Of all members, or of one. What is being listed now is neither kept nor waited for by who asks from now on. */
  forget(serverId: number, subject?: string): void;
};

export type Listed = { listing: UpstreamListing; fetchedAt: number };
export type WholeListing = { [Part in keyof Listing]-?: Listing[Part] & {} };

/** Offered for a server that the member has to connect to first. */
const CONNECT = "connect-account";
/** A server may have a tool of that name. */
const connectOffers = new WeakSet<Offer>();

/** True for what is offered in the place of a server's tools. */
export function isConnectOffer(offer: Offer): boolean {
  return connectOffers.has(offer);
}

/** When a list that is still being waited for may be there. */
const SOON_MS = 2000;

/** Lists in memory, in characters; the others are in the database. */
const MAX_KEPT = 67_108_864;

export function createLists(wiring: {
  store: UpstreamStore;
  members: Members;
  breakers: Breakers;
  clock: Clock;
  log: Log;
  /** Told when a list has come that somebody did not wait for. */
  late: (who: Identity) => void;
  freshMs: number;
  times: Times;
}): Lists {
  const { store, members, breakers, clock, log, times } = wiring;
  /** `at`: in monotonic ms; -Infinity when it is known to be out of date. */
  const kept = new LRUCache<string, Listed & { at: number }>({
    maxSize: MAX_KEPT,
    sizeCalculation: ({ listing }) => JSON.stringify(listing).length,
  });
  type Flight = { work: Promise<Listed> };
  const flights = new Map<string, Flight>();
  const keyOf = (
    { id }: Pick<Upstream, "id">,
    { subject }: { subject: string },
  ) => `${id} ${subject}`;
  const last = (upstream: Upstream, { subject }: Identity) =>
    store.listing(upstream.id, subject);

  async function ask(
    upstream: Upstream,
    principal: Principal,
    isCurrent: () => boolean,
  ): Promise<Listed> {
    breakers.require(upstream);
    const at = clock.monotonic();
    const signal = AbortSignal.timeout(times.list);
    let listing: UpstreamListing;
    try {
      listing = await members.of(upstream, principal).list(signal);
    } catch (thrown) {
      const error = signal.aborted ? slow(upstream) : thrown;
      breakers.judge(upstream, error, at);
      throw error;
    }
    breakers.succeeded(upstream);
    const listed = { listing, fetchedAt: clock.now(), at };
    if (!isCurrent()) return listed;
    await note(upstream, listing, listed.fetchedAt);
    if (!isCurrent()) return listed;
    kept.set(keyOf(upstream, principal), listed);
    if (!Bun.deepEquals(last(upstream, principal)?.listing, listing)) {
      const { subject } = principal;
      await store.saveListing(upstream.id, subject, listing, listed.fetchedAt);
    }
    return listed;
  }

  const judged = (upstream: Upstream, listing: UpstreamListing, now: number) =>
    judge(listing.tools, store.definitions(upstream.id), upstream.pinned, now);

  /** Puts definitions that are new on record, before anybody is shown them. */
  async function note(
    upstream: Upstream,
    listing: UpstreamListing,
    now: number,
  ): Promise<void> {
    const { add, changed, blocked } = judged(upstream, listing, now);
    if (add.length > 0) await store.addDefinitions(upstream.id, add);
    for (const tool of changed) {
      log.warn("tool has changed", {
        server: upstream.slug,
        workspace: upstream.workspace,
        tool: tool.slice(0, 128),
        waits: blocked.has(tool),
      });
    }
  }

  function refresh(
    upstream: Upstream,
    principal: Principal,
    freshMs: number,
  ): Promise<Listed> {
    const key = keyOf(upstream, principal);
    const known = kept.get(key);
    if (known && clock.monotonic() - known.at < freshMs) {
      return Promise.resolve(known);
    }
    const flight = flights.get(key);
    if (flight) return flight.work;
    const isCurrent = () => flights.get(key) === mine;
    const mine: Flight = {
      work: ask(upstream, principal, isCurrent).finally(() => {
        if (isCurrent()) flights.delete(key);
      }),
    };
    flights.set(key, mine);
    return mine.work;
  }

  async function into(
    listing: WholeListing,
    upstream: Upstream,
    principal: Principal,
  ): Promise<void> {
    const app = appOf(upstream);
    const add = (listed: UpstreamListing) => {
      const blocked = upstream.pinned
        ? judged(upstream, listed, clock.now()).blocked
        : new Set<string>();
      const made = offersOf(app, listed, blocked);
      listing.offers.push(...made.offers);
      listing.prompts.push(...made.prompts);
      listing.resources.push(...made.resources);
      listing.templates.push(...made.templates);
    };
    const work = refresh(upstream, principal, wiring.freshMs);
    try {
      const found = await Promise.race([work, Bun.sleep(times.soon)]);
      if (found) return add(found.listing);
      work.then(
        () => wiring.late(principal),
        () => {},
      );
      throw slow(upstream, SOON_MS);
    } catch (error) {
      const told = asGatewayError(error);
      const { code, message } = told;
      const names = { appRef: app.ref, appKey: app.key };
      const before = last(upstream, principal);
      const unconnected = code === "needs_authorization";
      if (before) add(before.listing);
      else if (unconnected) listing.offers.push(connectOffer(app));
      if (unconnected) listing.idle.push(names);
      else if (!before) listing.failed.push({ ...names, message, error: told });
      else {
        log.warn("server could not be listed; its last list serves", {
          server: upstream.slug,
          workspace: upstream.workspace,
          user: principal.subject,
          reason: describeError(error),
        });
      }
    }
  }

  return {
    refresh,
    last,
    into,
    outdated(upstream, who) {
      const known = kept.get(keyOf(upstream, who));
      if (known) known.at = -Infinity;
    },
    requireApproved(upstream, who, tool) {
      if (!upstream.pinned) return;
      const listing = (kept.get(keyOf(upstream, who)) ?? last(upstream, who))
        ?.listing;
      const now = clock.now();
      // Without a list nobody knows what the tool is now.
      if (listing && !judged(upstream, listing, now).blocked.has(tool)) return;
      throw new GatewayError("conflict", CHANGED, {
        data: { code: "tool_changed", serverId: upstream.id, tool },
      });
    },
    forget(serverId, subject) {
      const meant = (key: string) =>
        subject === undefined
          ? key.startsWith(`${serverId} `)
          : key === keyOf({ id: serverId }, { subject });
      for (const of of [kept, flights]) {
        for (const key of [...of.keys()].filter(meant)) of.delete(key);
      }
    },
  };
}

function slow({ name }: Upstream, retryAfterMs?: number): GatewayError {
  return new GatewayError("timeout", `${name} does not answer in time.`, {
    data: { failureClass: "transport" },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function connectOffer(app: App): Offer {
  const offer: Offer = {
    app,
    ref: CONNECT,
    key: CONNECT,
    name: `Connect ${app.name}`,
    tool: {
      description: `${app.name} is available after the user has connected an account. Call this to get the link for that; afterwards its tools are listed.`,
      inputSchema: { type: "object" },
    },
  };
  connectOffers.add(offer);
  return offer;
}
