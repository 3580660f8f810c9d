import { LRUCache } from "lru-cache";
import { asGatewayError, describeError } from "../core/errors.ts";
import type { NameStore } from "../core/name.ts";
import type { Identity, Principal } from "../core/principal.ts";
import { identityKey } from "../core/principal.ts";
import type { Clock, Log } from "../core/runtime.ts";
import { DEFAULT_VIEW } from "../core/session.ts";
import type { View } from "../core/session.ts";
import type {
  PromptOffer,
  ResourceOffer,
  Source,
  TemplateOffer,
} from "../core/source.ts";
import type { BuildIndex, Tool, ToolIndex } from "../core/tool.ts";
import type { Named, SilentApp, SourcedOffer } from "./naming.ts";
import { nameTools } from "./naming.ts";
import { ownTools } from "./own-tools.ts";

/** Everything one identity can use, under its names, as it was at one moment. */
export type Catalog = {
  /** In the order of their names. */
  tools: ReadonlyMap<string, Tool>;
  /** What a session with this view is shown. */
  show(view: View): Shown;
  /** In the order of their names. */
  prompts: ReadonlyMap<string, Prompt>;
  /** In the order in which their sources list them. */
  resources: readonly (ResourceOffer & { source: string })[];
  templates: readonly (TemplateOffer & { source: string })[];
  /** Changes exactly when the prompts, or the resources and templates, do. */
  digests: { prompts: string; resources: string };
  /** For searching it; made at first use. */
  index(): ToolIndex;
  /** Name by name, `-` and `_` alike; null when there is none. */
  resolve(name: string): string | null;
  /** When its sources were asked, in milliseconds of the clock. */
  loadedAt: number;
};

/** A prompt under the name its caller knows it by. */
export type Prompt = { name: string; source: string; offer: PromptOffer };

/** The tools of one view, ready to be sent. */
export type Shown = {
  /** What the view's mode comes to: `auto` is one of the others. */
  mode: keyof typeof ownTools;
  /** Changes exactly when something in the list does. */
  digest: string;
  /** In order; each with its definition serialised once. */
  entries: readonly { name: string; json: string }[];
  /** The tool behind a shown name; null for unknown ones and for those of the gateway itself. */
  find(name: string): Tool | null;
};

export type Catalogs = {
  /** The last known catalogue, loaded first when there is none; one flight at a time for each identity. */
  get(principal: Principal): Promise<Catalog>;
  /** Loaded now, whatever is in memory. */
  reload(principal: Principal): Promise<Catalog>;
  /** What is in memory, or null. Never waits. */
  peek(who: Identity): Catalog | null;
  /** For how long the catalogue in memory is good, in ms; 0 when it is being replaced, or there is none. */
  freshMs(who: Identity): number;
  /** Loads in the background when there is none or it is older than `maxAgeMs`. */
  warm(principal: Principal, maxAgeMs: number): void;
  /** Loads in the background what is in memory of a workspace, or of one of its members. */
  refresh(workspace: string, subject: string | null): void;
  /** How the last attempt to list each source went, by source id. Whose credential was refused says nothing. */
  health(): Readonly<Record<string, "ok" | "failing" | "unknown">>;
  /** Called when a resource has new contents; null: everybody's. */
  onUpdate(listener: (who: Identity | null, uri: string) => void): void;
  /** Called after each load, also one that changed nothing. */
  onLoad(listener: (who: Identity, catalog: Catalog) => void): void;
};

/** Tools in all indexes in memory; 1,000 of them take a few MB. */
const MAX_INDEXED = 50_000;

/** Background loads at once, so that a restart with thousands of open sessions does not flood Membrane. */
const BACKGROUND_LOADS = 8;

/**
 * The catalogues of all identities, each every source's offers under one set of names. They are
 * kept for `ttlMs`, then served once more while the next one is loaded, and for as long as loading
 * fails. One source or app that fails keeps its last known tools and takes nobody else's.
 */
export function createCatalogs(wiring: {
  sources: readonly Source[];
  names: NameStore;
  clock: Clock;
  log: Log;
  buildIndex: BuildIndex;
  /** Up to how many tools mode `auto` shows as they are. */
  autoStatic: number;
  ttlMs: number;
  /** All catalogues in memory together, in bytes of serialised definitions. */
  maxBytes: number;
  loadTimeoutMs: number;
}): Catalogs {
  const { sources, names, clock, log } = wiring;
  const listeners: ((who: Identity, catalog: Catalog) => void)[] = [];

  const health: Record<string, "ok" | "failing" | "unknown"> =
    Object.fromEntries(sources.map(({ id }) => [id, "unknown"]));

  const updateListeners: ((who: Identity | null, uri: string) => void)[] = [];

  /** All that was listed, by source and app. */
  type Listed = {
    offers: SourcedOffer[];
    resources: (ResourceOffer & { source: string })[];
    templates: (TemplateOffer & { source: string })[];
  };
  type Loaded = {
    catalog: Catalog;
    listed: Listed;
    bytes: number;
    /** Who asked for it last. */
    principal: Principal;
  };

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
    fetchMethod: async (_key, previous, { context: principal, options }) => {
      const startedAt = clock.monotonic();
      const loaded = await load(principal, previous?.listed ?? nothing);
      // Its age counts from the question: what changed while Membrane answered may not be in it.
      options.ttl = Math.max(1, wiring.ttlMs - (clock.monotonic() - startedAt));
      // After it is in the cache, so that listeners find it there.
      queueMicrotask(() => {
        try {
          for (const listener of listeners) listener(principal, loaded.catalog);
        } catch (error) {
          log.error("change of a catalogue could not be told", {
            reason: describeError(error),
          });
        }
      });
      return loaded;
    },
  });

  async function load(principal: Principal, previous: Listed): Promise<Loaded> {
    const startedAt = clock.monotonic();
    const askedAt = clock.now();
    const listed: Listed = { offers: [], resources: [], templates: [] };
    const silent: SilentApp[] = [];
    let lastError: unknown;
    let answered = 0;
    await Promise.all(
      sources.map(async (source) => {
        /** What it listed last time, of one app or of all. */
        const keep = (appRef?: string) => {
          const same = (one: { source: string }, ref: string) =>
            one.source === source.id && (appRef ?? ref) === ref;
          const { offers, resources, templates } = previous;
          listed.offers.push(
            ...offers.filter((one) => same(one, one.offer.app.ref)),
          );
          listed.resources.push(
            ...resources.filter((one) => same(one, one.app.ref)),
          );
          listed.templates.push(
            ...templates.filter((one) => same(one, one.app.ref)),
          );
        };
        try {
          const {
            offers,
            prompts = [],
            resources = [],
            templates = [],
            failed,
            idle = [],
          } = await source.list(
            principal,
            AbortSignal.timeout(wiring.loadTimeoutMs),
          );
          answered++;
          health[source.id] = "ok";
          const by = <T>(ones: T[]) =>
            ones.map((one) => ({ ...one, source: source.id }));
          for (const offer of [...offers, ...prompts]) {
            listed.offers.push({ source: source.id, offer });
          }
          listed.resources.push(...by(resources));
          listed.templates.push(...by(templates));
          for (const { appRef, appKey } of [...failed, ...idle]) {
            silent.push({ source: source.id, appRef, appKey });
          }
          for (const { appRef, appKey, message } of failed) {
            log.warn("app could not be listed", {
              source: source.id,
              app: appKey,
              workspace: principal.workspace,
              user: principal.subject,
              reason: message,
            });
            keep(appRef);
          }
        } catch (error) {
          lastError = error;
          if (asGatewayError(error).code !== "unauthenticated") {
            health[source.id] = "failing";
          }
          log.warn("source could not be listed", {
            source: source.id,
            workspace: principal.workspace,
            user: principal.subject,
            reason: describeError(error),
          });
          keep();
        }
      }),
    );
    if (answered === 0 && sources.length > 0) throw lastError;

    const { named, give } = nameTools(
      listed.offers,
      names.list(principal),
      silent,
    );
    // A name must be on record before a caller sees it.
    if (give.length > 0) await names.give(principal, give);
    const { catalog, bytes } = createCatalog(named, listed, askedAt, {
      autoStatic: wiring.autoStatic,
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
      tools: catalog.tools.size,
      ms: Math.round(clock.monotonic() - startedAt),
    });
    return { catalog, listed, bytes, principal };
  }

  let running = 0;
  const waiting = new Map<string, Principal>();
  function warmNext(): void {
    const [next] = waiting;
    if (next === undefined || running >= BACKGROUND_LOADS) return;
    waiting.delete(next[0]);
    running++;
    cache
      .fetch(next[0], { context: next[1], forceRefresh: true })
      // The failure is in the log; whoever asks for the catalogue gets it again.
      .catch(() => {})
      .finally(() => {
        running--;
        warmNext();
      });
    warmNext();
  }

  for (const source of sources) {
    source.onChange?.(({ who, uri }) => {
      if (uri !== undefined) {
        for (const listener of updateListeners) listener(who, uri);
        return;
      }
      const changed = who ? [identityKey(who)] : [...cache.keys()];
      for (const key of changed) {
        const known = cache.peek(key, { allowStale: true });
        if (known) waiting.set(key, known.principal);
      }
      warmNext();
    });
  }

  return {
    async get(principal) {
      const key = identityKey(principal);
      // By far the most frequent case, without the bookkeeping of a fetch.
      const fresh = cache.getRemainingTTL(key) > 0 && cache.get(key);
      if (fresh) return fresh.catalog;
      return (await cache.forceFetch(key, { context: principal })).catalog;
    },
    reload: async (principal) =>
      (
        await cache.forceFetch(identityKey(principal), {
          context: principal,
          forceRefresh: true,
          allowStale: false,
        })
      ).catalog,
    peek: (who) =>
      cache.peek(identityKey(who), { allowStale: true })?.catalog ?? null,
    freshMs: (who) =>
      Math.max(0, Math.round(cache.getRemainingTTL(identityKey(who)))),
    warm(principal, maxAgeMs) {
      const key = identityKey(principal);
      const known = cache.peek(key, { allowStale: true });
      if (known && clock.now() - known.catalog.loadedAt < maxAgeMs) return;
      waiting.set(key, principal);
      warmNext();
    },
    refresh(workspace, subject) {
      for (const key of cache.keys()) {
        const principal = cache.peek(key, { allowStale: true })?.principal;
        const meant =
          principal?.workspace === workspace &&
          (subject === null || principal.subject === subject);
        if (meant) waiting.set(key, principal);
      }
      warmNext();
    },
    health: () => health,
    onLoad: (listener) => void listeners.push(listener),
    onUpdate: (listener) => void updateListeners.push(listener),
  };
}

const nothing = { offers: [], resources: [], templates: [] };

function createCatalog(
  named: readonly Named[],
  { resources, templates }: Pick<Catalog, "resources" | "templates">,
  loadedAt: number,
  options: {
    index: (tools: readonly Tool[], digest: string) => ToolIndex;
    autoStatic: number;
  },
): { catalog: Catalog; bytes: number } {
  const list = named.filter((one): one is Tool => "tool" in one.offer);
  const prompts = new Map(
    named
      .filter((one): one is Prompt => "prompt" in one.offer)
      .map((prompt) => [prompt.name, prompt]),
  );
  const tools = new Map(list.map((tool) => [tool.name, tool]));
  const json = new Map(
    list.map(({ name, offer }) => [
      name,
      JSON.stringify({ name, ...offer.tool }),
    ]),
  );
  const folded = new Map<string, string>();
  for (const { name } of list) {
    const loose = fold(name);
    if (!folded.has(loose)) folded.set(loose, name);
  }
  // Views repeat: nearly all sessions of an identity share one or two, and a session keeps its own.
  const shown = new LRUCache<string, Shown>({
    max: Math.min(256, Math.max(16, Math.floor(100_000 / (list.length + 1)))),
  });
  const shownTo = new WeakMap<View, Shown>();

  function compute(view: View): Shown {
    const apps = view.apps && new Set(view.apps);
    const visible = (name: string) => {
      const tool = tools.get(name);
      return tool !== undefined && (!apps || apps.has(tool.offer.app.key));
    };
    const all = () => list.map(({ name }) => name).filter(visible);
    const mode =
      view.mode !== "auto"
        ? view.mode
        : all().length > options.autoStatic
          ? "search"
          : "static";
    const names = {
      static: all,
      dynamic: () => [...new Set(view.enabled)].filter(visible).sort(),
      search: () => [],
    }[mode]();
    const entries = [
      ...ownTools[mode].map((tool) => ({
        name: tool.name,
        json: JSON.stringify(tool),
      })),
      ...names.map((name) => ({ name, json: json.get(name)! })),
    ];
    const allowed = new Set(names);
    const hash = new Bun.CryptoHasher("sha256");
    for (const entry of entries) hash.update(entry.json).update("\n");
    return {
      mode,
      entries,
      digest: hash.digest("base64url").slice(0, 16),
      find: (name) => (allowed.has(name) ? tools.get(name)! : null),
    };
  }

  const catalog: Catalog = {
    tools,
    prompts,
    resources,
    templates,
    digests: {
      prompts: digestOf([...prompts.values()]),
      resources: digestOf([resources, templates]),
    },
    loadedAt,
    index: () => options.index(list, catalog.show(DEFAULT_VIEW).digest),
    resolve: (name) =>
      tools.has(name) ? name : (folded.get(fold(name)) ?? null),
    show(view) {
      let known = shownTo.get(view);
      if (known) return known;
      const key = JSON.stringify([view.mode, view.apps, view.enabled]);
      known = shown.get(key) ?? compute(view);
      shown.set(key, known);
      shownTo.set(view, known);
      return known;
    },
  };
  let bytes = 1;
  for (const definition of json.values()) bytes += definition.length * 3;
  return { catalog, bytes };
}

function digestOf(value: unknown): string {
  return Bun.hash(JSON.stringify(value)).toString(36);
}

/** `-` and `_` are interchangeable where a person or a model writes a name. */
function fold(name: string): string {
  return name.replaceAll("-", "_");
}
