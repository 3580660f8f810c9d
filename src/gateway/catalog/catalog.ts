import { LRUCache } from "lru-cache";
import { asGatewayError, describeError } from "../../core/errors.ts";
import type { NameStore } from "../../core/name.ts";
import type { Identity, Principal } from "../../core/principal.ts";
import { identityKey } from "../../core/principal.ts";
import type { Clock, Log } from "../../core/runtime.ts";
import type {
  ResourceOffer,
  Source,
  SourceChange,
  TemplateOffer,
} from "../../core/source.ts";
import type { Counters, Telemetry } from "../../core/telemetry.ts";
import { noTelemetry } from "../../core/telemetry.ts";
import type { App, BuildIndex, ToolIndex } from "../../core/tool.ts";
import type { Catalog, Listed, Owner } from "./contents.ts";
import { createCatalog } from "./contents.ts";
import type { SilentApp, SourcedOffer } from "./naming.ts";
import { nameTools } from "./naming.ts";
import { createPace } from "../limits/pace.ts";
import type { Unlisted } from "./unlisted.ts";
import { unlistedOf } from "./unlisted.ts";

export type Catalogs = {
  /** The last known catalogue, loaded first when there is none; one flight at a time for each identity. */
  get(principal: Principal): Promise<Catalog>;
  /** Loaded now, whatever is in memory. */
  reload(principal: Principal): Promise<Catalog>;
  /** What is in memory, or null. Never waits. */
  peek(who: Identity): Catalog | null;
  /** For how long the catalogue in memory is good, in ms; 0 when it is being replaced, or there is none. */
  freshMs(who: Identity): number;
  /** The catalogue that is being loaded, or is about to be, because something has changed; null when none is. */
  coming(principal: Principal): Promise<Catalog> | null;
  /** Loads in the background when there is none or it is older than `maxAgeMs`. */
  warm(principal: Principal, maxAgeMs: number): void;
  /** Loads in the background what is in memory of a workspace, or of one of its members. */
  refresh(workspace: string, subject: string | null): void;
  /** How the last attempt to list each source went, by source id. Whose credential was refused says nothing. */
  health(): Readonly<Record<string, "ok" | "failing" | "unknown">>;
  /** The app with this key, when it can be shown alone. Never waits. */
  alone(who: Identity, appKey: string): Owner | null;
  /** Called when a resource has new contents, and when something was logged outside of calls. */
  onTold(listener: (change: SourceChange) => void): void;
  /** Called after each load, also one that changed nothing. */
  onLoad(listener: (principal: Principal, catalog: Catalog) => void): void;
};

/** Tools in all indexes in memory; 1,000 of them take a few MB. */
const MAX_INDEXED = 50_000;

/** A source that says all the time that its lists have changed is listened to this often. */
const RELOAD_MS = 250;

/** What some app or source is missing from is good for this long. */
const INCOMPLETE_MS = 15_000;

/** Background loads at once, so that a restart with thousands of open sessions does not flood Membrane. */
const BACKGROUND_LOADS = 8;

/**
 * The catalogues of all identities, each every source's offers under one set of names. They are
 * kept for `ttlMs`, then served once more while the next one is loaded, and for as long as loading
 * fails. One source or app that fails keeps its last known tools, takes nobody else's, and is asked again sooner.
 */
export function createCatalogs(wiring: {
  sources: readonly Source[];
  names: NameStore;
  clock: Clock;
  log: Log;
  telemetry?: Telemetry;
  buildIndex: BuildIndex;
  /** Up to how many tools mode `auto` shows as they are. */
  autoStatic: number;
  ttlMs: number;
  /** All catalogues in memory together, in bytes of serialised definitions. */
  maxBytes: number;
  loadTimeoutMs: number;
}): Catalogs {
  const { sources, names, clock, log } = wiring;
  const { telemetry = noTelemetry } = wiring;
  const listeners: ((principal: Principal, catalog: Catalog) => void)[] = [];
  const toldListeners: ((change: SourceChange) => void)[] = [];

  const health: Record<string, "ok" | "failing" | "unknown"> =
    Object.fromEntries(sources.map(({ id }) => [id, "unknown"]));

  /** All that was listed, in the order of the sources. */
  type AllListed = {
    offers: SourcedOffer[];
    resources: Listed<ResourceOffer>[];
    templates: Listed<TemplateOffer>[];
  };
  type Answered = {
    listed: AllListed;
    silent: SilentApp[];
    unlisted: Unlisted[];
    /** Everything has answered. */
    whole: boolean;
    error?: unknown;
  };
  type Loaded = {
    catalog: Catalog;
    listed: AllListed;
    whole: boolean;
    bytes: number;
    /** When its sources were asked, whatever the time is set to meanwhile. */
    askedAt: number;
    /** Who asked for it last. */
    principal: Principal;
  };

  /** What is being loaded, by identity, and by whom it is not awaited. */
  const flights = new Map<string, { principal: Principal }>();
  /** What is to be loaded: nobody waits for it, or what is being loaded was asked for too early. */
  const waiting = new Map<string, Principal>();
  const inBackground = new Set<string>();

  // A catalogue that was loaded again and has not changed keeps its index.
  const indexes = new LRUCache<string, ToolIndex>({
    maxSize: MAX_INDEXED,
    // One that is larger than that alone is made for each search.
    maxEntrySize: MAX_INDEXED,
    dispose: (index) => index.close(),
  });
  const cache = new LRUCache<string, Loaded, Principal>({
    maxSize: wiring.maxBytes,
    sizeCalculation: (loaded) => loaded.bytes,
    ttl: wiring.ttlMs,
    ttlResolution: 0,
    perf: { now: () => clock.monotonic() },
    allowStale: true,
    noDeleteOnFetchRejection: true,
    noDeleteOnStaleGet: true,
    fetchMethod: async (key, previous, { context: principal, options }) => {
      const startedAt = clock.monotonic();
      const flight = { principal };
      flights.set(key, flight);
      // What has changed until now will be in it.
      waiting.delete(key);
      try {
        const loaded = await load(principal, previous?.listed ?? nothing);
        const lasts = loaded.whole
          ? wiring.ttlMs
          : Math.min(wiring.ttlMs, INCOMPLETE_MS);
        // Its age counts from the question: what changed while Membrane answered may not be in it.
        options.ttl = Math.max(1, lasts - (clock.monotonic() - startedAt));
        // After it is in the cache, so that listeners find it there.
        setImmediate(tellLoaded, principal, loaded.catalog);
        return loaded;
      } finally {
        // Until the cache has it, another load would be taken for this one.
        setImmediate(() => {
          if (flights.get(key) === flight) flights.delete(key);
          inBackground.delete(key);
          warmNext();
        });
      }
    },
  });

  function tellLoaded(principal: Principal, catalog: Catalog): void {
    try {
      for (const listener of listeners) listener(principal, catalog);
    } catch (error) {
      log.error("change of a catalogue could not be told", {
        reason: describeError(error),
      });
    }
  }

  /** Asks one source. With an `error` it did not answer, and all that it listed last time stays; null: it had nothing to answer. */
  async function ask(
    source: Source,
    principal: Principal,
    previous: AllListed,
  ): Promise<Answered | null> {
    const kept = keep(source.id, previous);
    const startedAt = clock.monotonic();
    const fetched = (outcome: Counters["catalogFetches"]["outcome"]) => {
      const labels = { source: source.id };
      telemetry.count("catalogFetches", { ...labels, outcome });
      telemetry.observe("catalogFetch", clock.monotonic() - startedAt, labels);
    };
    try {
      const answer = await source.list(
        principal,
        AbortSignal.timeout(wiring.loadTimeoutMs),
      );
      if (answer === null) return null;
      const {
        offers,
        prompts = [],
        resources = [],
        templates = [],
        failed,
        idle = [],
      } = answer;
      health[source.id] = "ok";
      fetched(failed.length > 0 ? "partial" : "ok");
      for (const { appKey, message } of failed) {
        log.warn("app could not be listed", {
          source: source.id,
          app: appKey,
          workspace: principal.workspace,
          user: principal.subject,
          reason: message,
        });
      }
      const by = <T>(ones: T[]) =>
        ones.map((one) => ({ ...one, source: source.id }));
      const gone = new Set(failed.map(({ appRef }) => appRef));
      const keptApps = [
        ...kept.offers.map(({ offer }) => offer.app),
        ...[...kept.resources, ...kept.templates].map(({ app }) => app),
      ];
      return {
        whole: failed.length === 0,
        unlisted: unlistedOf(
          source.id,
          failed,
          new Set(keptApps.map(({ ref }) => ref)),
        ),
        listed: {
          offers: [...offers, ...prompts]
            .map((offer) => ({ source: source.id, offer }))
            .concat(kept.offers.filter((one) => gone.has(one.offer.app.ref))),
          resources: inOrder(by(resources), kept.resources, gone),
          templates: inOrder(by(templates), kept.templates, gone),
        },
        silent: [...failed, ...idle].map(({ appRef, appKey }) => ({
          source: source.id,
          appRef,
          appKey,
        })),
      };
    } catch (error) {
      const refused = asGatewayError(error).code === "unauthenticated";
      if (!refused) health[source.id] = "failing";
      fetched(refused ? "refused" : "failed");
      log.warn("source could not be listed", {
        source: source.id,
        workspace: principal.workspace,
        user: principal.subject,
        reason: describeError(error),
      });
      return { listed: kept, silent: [], unlisted: [], whole: false, error };
    }
  }

  async function load(
    principal: Principal,
    previous: AllListed,
  ): Promise<Loaded> {
    const startedAt = clock.monotonic();
    const loadedAt = clock.now();
    const asked = await Promise.all(
      sources.map((source) => ask(source, principal, previous)),
    );
    const answers = asked.filter((answer) => answer !== null);
    const errors = answers.filter((answer) => "error" in answer);
    if (errors.length === answers.length && errors.length > 0) {
      throw errors[0]!.error;
    }
    const listed: AllListed = {
      offers: answers.flatMap((answer) => answer.listed.offers),
      resources: answers.flatMap((answer) => answer.listed.resources),
      templates: answers.flatMap((answer) => answer.listed.templates),
    };
    const silent = answers.flatMap((answer) => answer.silent);
    const { named, give } = nameTools(
      listed.offers,
      names.list(principal),
      silent,
    );
    // A name must be on record before a caller sees it.
    if (give.length > 0) await names.give(principal, give);
    const { resources, templates } = listed;
    const unlisted = answers.flatMap((answer) => answer.unlisted);
    const contents = { named, resources, templates, unlisted };
    const { catalog, bytes } = createCatalog(contents, loadedAt, {
      autoStatic: wiring.autoStatic,
      alone: (appKey) => alone(principal, appKey),
      index(list, digest) {
        const key = `${identityKey(principal)} ${digest}`;
        const made = indexes.get(key);
        if (made) return made;
        const index = wiring.buildIndex(list);
        indexes.set(key, index, { size: list.length + 1 });
        return index;
      },
    });
    log.debug("catalogue loaded", {
      workspace: principal.workspace,
      user: principal.subject,
      tools: catalog.size,
      ms: Math.round(clock.monotonic() - startedAt),
    });
    const whole = answers.every((answer) => answer.whole);
    return { catalog, listed, whole, bytes, askedAt: startedAt, principal };
  }

  function alone(who: Identity, appKey: string): Owner | null {
    for (const source of sources) {
      const app = source.alone?.(who, appKey) ?? null;
      if (app) return { source: source.id, app };
    }
    return null;
  }

  function warmNext(): void {
    for (const [key, principal] of waiting) {
      if (inBackground.size >= BACKGROUND_LOADS) return;
      // What it has asked may be what has changed since; it is asked again after that.
      if (flights.has(key)) continue;
      inBackground.add(key);
      cache
        .fetch(key, { context: principal, forceRefresh: true })
        // The failure is in the log; whoever asks for the catalogue gets it again.
        .catch(() => {});
    }
  }

  /** Whose catalogue is here, or is being loaded for the first time: what has just changed may not be in it. */
  const principalOf = (key: string) =>
    (cache.peek(key, { allowStale: true }) ?? flights.get(key))?.principal;
  const known = () => new Set([...cache.keys(), ...flights.keys()]);

  const reloads = createPace(RELOAD_MS);
  function reloadKnown(key: string): void {
    const principal = principalOf(key);
    if (!principal) return;
    waiting.set(key, principal);
    warmNext();
  }

  for (const source of sources) {
    source.onChange?.((change) => {
      const { who, uri, completed, log: logged } = change;
      if ((uri ?? completed ?? logged) !== undefined) {
        for (const listener of toldListeners) listener(change);
        return;
      }
      if (who) {
        const key = identityKey(who);
        return reloads.run(key, () => reloadKnown(key));
      }
      reloads.run(EVERYBODY, () => {
        for (const key of known()) reloads.run(key, () => reloadKnown(key));
      });
    });
  }

  const reload = async (principal: Principal) =>
    (
      await cache.forceFetch(identityKey(principal), {
        context: principal,
        forceRefresh: true,
        allowStale: false,
      })
    ).catalog;

  return {
    async get(principal) {
      const key = identityKey(principal);
      // By far the most frequent case, without the bookkeeping of a fetch.
      const fresh = cache.getRemainingTTL(key) > 0 && cache.get(key);
      if (fresh) return fresh.catalog;
      return (await cache.forceFetch(key, { context: principal })).catalog;
    },
    reload,
    coming(principal) {
      const key = identityKey(principal);
      const loading = flights.has(key);
      if (!waiting.has(key)) return loading ? reload(principal) : null;
      const again = () => reload(principal);
      // What is being loaded was asked for before the change.
      return loading ? again().then(again, again) : again();
    },
    peek: (who) =>
      cache.peek(identityKey(who), { allowStale: true })?.catalog ?? null,
    freshMs: (who) =>
      Math.max(0, Math.round(cache.getRemainingTTL(identityKey(who)))),
    warm(principal, maxAgeMs) {
      const key = identityKey(principal);
      const known = cache.peek(key, { allowStale: true });
      if (known && clock.monotonic() - known.askedAt < maxAgeMs) return;
      if (flights.has(key)) return;
      waiting.set(key, principal);
      warmNext();
    },
    refresh(workspace, subject) {
      for (const key of known()) {
        const principal = principalOf(key);
        const meant =
          principal?.workspace === workspace &&
          (subject === null || principal.subject === subject);
        if (meant) waiting.set(key, principal);
      }
      warmNext();
    },
    health: () => health,
    alone,
    onLoad: (listener) => void listeners.push(listener),
    onTold: (listener) => void toldListeners.push(listener),
  };
}

/** In place of an identity. */
const EVERYBODY = "";

const nothing = { offers: [], resources: [], templates: [] };

/** What one source listed last time. */
function keep(
  source: string,
  {
    offers,
    resources,
    templates,
  }: {
    offers: SourcedOffer[];
    resources: Listed<ResourceOffer>[];
    templates: Listed<TemplateOffer>[];
  },
) {
  const own = (one: { source: string }) => one.source === source;
  return {
    offers: offers.filter(own),
    resources: resources.filter(own),
    templates: templates.filter(own),
  };
}

/**
 * What was listed now, and of the apps that could not be listed what was before. They stay where they were among the
 * others: of two that have the same URI the first is the one that counts.
 */
function inOrder<T extends { app: App }>(
  now: T[],
  before: T[],
  gone: ReadonlySet<string>,
): T[] {
  const kept = before.filter(({ app }) => gone.has(app.ref));
  if (kept.length === 0) return now;
  const ranks = new Map<string, number>();
  for (const { app } of [...before, ...now]) {
    if (!ranks.has(app.ref)) ranks.set(app.ref, ranks.size);
  }
  return [...now, ...kept].sort(
    (a, b) => ranks.get(a.app.ref)! - ranks.get(b.app.ref)!,
  );
}
