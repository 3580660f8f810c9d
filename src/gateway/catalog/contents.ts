import { LRUCache } from "lru-cache";
import type { GatewayError } from "../../core/errors.ts";
import { DEFAULT_VIEW } from "../../core/session.ts";
import type { View } from "../../core/session.ts";
import type {
  PromptOffer,
  ResourceOffer,
  TemplateOffer,
} from "../../core/source.ts";
import type { App, Tool, ToolIndex } from "../../core/tool.ts";
import type { Named } from "./naming.ts";
import { compareNames } from "./naming.ts";
import { ownTools } from "./own-tools.ts";
import { readTemplate } from "./template.ts";
import type { Unlisted } from "./unlisted.ts";
import { suspect, unlistedError } from "./unlisted.ts";

/** Everything one identity can use, under its names, as it was at one moment. */
export type Catalog = {
  /** How many tools there are in all. */
  size: number;
  /** What a session with this view is shown of the tools, whatever else its mode lets it find. */
  show(view: View): Shown;
  /** What the view's apps or its server have, in every mode. */
  select(view: View): Selection;
  /** The best first. */
  search(view: View, query: string, limit: number): Tool[];
  /**
   * What is to be thrown for something that the view does not have, when it may be of an app that could not be listed;
   * else null. `name`: in this view; null when it says nothing of its app. `has`: whether a source has such things.
   */
  unlisted(
    view: View,
    what: string,
    name: string | null,
    has: (source: string) => boolean,
  ): GatewayError | null;
  /** When its sources were asked, in milliseconds of the clock. */
  loadedAt: number;
};

/** A prompt under the name its caller knows it by. */
export type Prompt = { name: string; source: string; offer: PromptOffer };

/** Something that one source listed. */
export type Listed<T> = T & { source: string };

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

/** What a view is about. Whatever has a name or a URI has it once: of two that are alike the first is there. */
export type Selection = {
  /** In the order of their names. */
  tools: ReadonlyMap<string, Tool>;
  /** Name by name, `-` and `_` alike; null when there is none. */
  resolve(name: string): string | null;
  prompts: Shelf<Prompt>;
  resources: Shelf<Listed<ResourceOffer>>;
  templates: Shelf<Listed<TemplateOffer>>;
  /** Change exactly when the prompts, or the resources and templates, do. */
  digests: { prompts: string; resources: string };
  /** Whose a URI is: the server's that is shown alone, an app's that lists it, or one's that has a template for it. */
  owner(uri: string): Owner | null;
};

export type Owner = { source: string; app: App };

/** A list, ready to be sent in pages. */
export type Shelf<T> = {
  /** In order; each serialised once. */
  entries: readonly { key: string; json: string }[];
  find(key: string): T | null;
  /** Where the entry is; null when there is none. */
  position(key: string): number | null;
};

/** An entry of a shelf, and what it says. */
type Item<T> = { key: string; json: string; value: T };

/** All that was listed for one identity. */
export type Contents = {
  named: readonly Named[];
  resources: readonly Listed<ResourceOffer>[];
  templates: readonly Listed<TemplateOffer>[];
  unlisted: readonly Unlisted[];
};

/** `bytes`: about what it takes in memory. */
export function createCatalog(
  { named, resources, templates, unlisted }: Contents,
  loadedAt: number,
  options: {
    /** Up to how many tools mode `auto` shows as they are. */
    autoStatic: number;
    index: (tools: readonly Tool[], digest: string) => ToolIndex;
    /** See `alone` of a source. */
    alone: (appKey: string) => Owner | null;
  },
): { catalog: Catalog; bytes: number } {
  const tools = named
    .filter((one): one is Tool => "tool" in one.offer)
    .map(toolItem);
  const prompts = named
    .filter((one): one is Prompt => "prompt" in one.offer)
    .map(promptItem);
  const resourceItems = resources.map((value) => ({
    key: value.resource.uri,
    json: JSON.stringify(value.resource),
    value,
  }));
  const templateItems = templates.map((value) => ({
    key: value.template.uriTemplate,
    json: JSON.stringify(value.template),
    value,
    fits: later(() => readTemplate(value.template.uriTemplate)),
  }));

  /** Which of what was listed a view is about, and whether under its own names. */
  function selector({ server, apps }: View) {
    if (server === null) {
      const wanted = apps && new Set(apps);
      return {
        alone: null,
        has: (_source: string, { key }: Pick<App, "ref" | "key">) =>
          !wanted || wanted.has(key),
      };
    }
    const alone = options.alone(server);
    return {
      alone,
      has: (source: string, { ref }: Pick<App, "ref" | "key">) =>
        alone?.source === source && alone.app.ref === ref,
    };
  }

  function computeSelection(view: View): Selection & { items: ToolItems } {
    const { alone, has } = selector(view);
    const ofOffers = <T extends Tool | Prompt>(
      items: readonly Item<T>[],
      named: (value: T) => Item<T>,
    ): Map<string, Item<T>> => {
      const own = items.filter(({ value }) =>
        has(value.source, value.offer.app),
      );
      if (view.server === null) return firstOfEach(own);
      return firstOfEach(
        own
          .map(({ value }) => named({ ...value, name: value.offer.ref }))
          .sort((a, b) => compareNames(a.key, b.key)),
      );
    };
    const items = ofOffers(tools, toolItem);
    const ofApps = <I extends Item<Listed<{ app: App }>>>(
      items: readonly I[],
    ) => firstOfEach(items.filter(({ value }) => has(value.source, value.app)));
    const shelves = later(() => {
      const templates = ofApps(templateItems);
      return {
        prompts: createShelf(ofOffers(prompts, promptItem)),
        resources: createShelf(ofApps(resourceItems)),
        templates: createShelf(templates),
        fitting: (uri: string) =>
          templates.values().find(({ fits }) => fits()(uri))?.value ?? null,
      };
    });
    const folded = later(() => {
      const loose = new Map<string, string>();
      for (const name of items.keys()) {
        if (!loose.has(fold(name))) loose.set(fold(name), name);
      }
      return loose;
    });
    const digests = later(() => {
      const { prompts, resources, templates } = shelves();
      return {
        prompts: digestOf(prompts),
        resources: digestOf(resources, templates),
      };
    });
    return {
      items,
      tools: new Map([...items].map(([name, { value }]) => [name, value])),
      resolve: (name) =>
        items.has(name) ? name : (folded().get(fold(name)) ?? null),
      get prompts() {
        return shelves().prompts;
      },
      get resources() {
        return shelves().resources;
      },
      get templates() {
        return shelves().templates;
      },
      get digests() {
        return digests();
      },
      owner(uri) {
        if (view.server !== null) return alone;
        const { resources, fitting } = shelves();
        const found = resources.find(uri) ?? fitting(uri);
        return found && { source: found.source, app: found.app };
      },
    };
  }

  function computeShown(view: View): Shown {
    const { items } = selections(view);
    const mode =
      view.mode !== "auto"
        ? view.mode
        : items.size > options.autoStatic
          ? "search"
          : "static";
    const own = ownTools[mode].map((tool) => ({
      name: tool.name,
      json: JSON.stringify(tool),
    }));
    // A server's own name may be one of ours.
    const taken = new Set(own.map(({ name }) => name));
    const wanted = {
      static: () => [...items.keys()],
      dynamic: () => [...new Set(view.enabled)].sort(compareNames),
      search: () => [],
    }[mode]();
    const names = wanted.filter((name) => items.has(name) && !taken.has(name));
    const entries = [
      ...own,
      ...names.map((name) => ({ name, json: items.get(name)!.json })),
    ];
    const allowed = new Set(names);
    const hash = new Bun.CryptoHasher("sha256");
    for (const entry of entries) hash.update(entry.json).update("\n");
    return {
      mode,
      entries,
      digest: hash.digest("base64url").slice(0, 16),
      find: (name) => (allowed.has(name) ? items.get(name)!.value : null),
    };
  }

  // Views repeat: nearly all sessions of an identity share one or two, and a session keeps its own.
  const max = Math.min(
    256,
    Math.max(16, Math.floor(100_000 / (named.length + resources.length + 1))),
  );
  const selections = perView(
    max,
    ({ server, apps }) => JSON.stringify([server, apps]),
    computeSelection,
  );
  const show = perView(
    max,
    ({ mode, server, apps, enabled }) =>
      JSON.stringify([mode, server, apps, enabled]),
    computeShown,
  );
  let bytes = 1;
  for (const items of [tools, prompts, resourceItems, templateItems]) {
    for (const { json } of items) bytes += json.length * 3;
  }
  return {
    bytes,
    catalog: {
      size: tools.length,
      loadedAt,
      show,
      select: selections,
      unlisted(view, what, name, has) {
        if (unlisted.length === 0) return null;
        const shown = selector(view);
        const mine = unlisted.filter(
          ({ source, app }) => has(source) && shown.has(source, app),
        );
        const found = suspect(mine, view.server === null ? name : null);
        return found && unlistedError(what, found);
      },
      search(view, query, limit) {
        if (view.server !== null) {
          const own = selections(view).tools;
          const all: View = { ...DEFAULT_VIEW, server: view.server };
          return options
            .index([...own.values()], show(all).digest)
            .search(query, null, limit)
            .map((name) => own.get(name)!);
        }
        const whole = selections(DEFAULT_VIEW).tools;
        return options
          .index([...whole.values()], show(DEFAULT_VIEW).digest)
          .search(query, view.apps, limit)
          .map((name) => whole.get(name)!);
      },
    },
  };
}

type ToolItems = ReadonlyMap<string, Item<Tool>>;

function toolItem(value: Tool): Item<Tool> {
  const { name, offer } = value;
  return { key: name, json: JSON.stringify({ name, ...offer.tool }), value };
}

function promptItem(value: Prompt): Item<Prompt> {
  const { name, offer } = value;
  return { key: name, json: JSON.stringify({ name, ...offer.prompt }), value };
}

function firstOfEach<I extends { key: string }>(
  items: readonly I[],
): Map<string, I> {
  const first = new Map<string, I>();
  for (const item of items) {
    if (!first.has(item.key)) first.set(item.key, item);
  }
  return first;
}

function createShelf<T>(items: ReadonlyMap<string, Item<T>>): Shelf<T> {
  const entries = [...items.values()];
  const positions = later(
    () => new Map(entries.map(({ key }, position) => [key, position])),
  );
  return {
    entries,
    find: (key) => items.get(key)?.value ?? null,
    position: (key) => positions().get(key) ?? null,
  };
}

function digestOf(...shelves: Shelf<unknown>[]): string {
  const hash = new Bun.CryptoHasher("sha256");
  for (const { entries } of shelves) {
    for (const { json } of entries) hash.update(json).update("\n");
    hash.update("\n");
  }
  return hash.digest("base64url").slice(0, 16);
}

/** Computes once for each view, by what of it counts; for the view of a session without looking at it again. */
function perView<T>(
  max: number,
  keyOf: (view: View) => string,
  compute: (view: View) => T & {},
): (view: View) => T {
  const byKey = new LRUCache<string, T & {}>({ max });
  const byView = new WeakMap<View, T & {}>();
  return (view) => {
    let known = byView.get(view);
    if (known) return known;
    const key = keyOf(view);
    known = byKey.get(key) ?? compute(view);
    byKey.set(key, known);
    byView.set(view, known);
    return known;
  };
}

function later<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** `-` and `_` are interchangeable where a person or a model writes a name. */
function fold(name: string): string {
  return name.replaceAll("-", "_");
}
