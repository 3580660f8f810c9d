import { GatewayError } from "../core/errors.ts";
import type { Principal } from "../core/principal.ts";
import type { App } from "../core/tool.ts";
import type { View } from "../core/session.ts";
import type {
  CompleteResult,
  GetPromptResult,
  InputRequired,
  ReadResourceResult,
  Source,
} from "../core/source.ts";
import type { Catalog, Catalogs } from "./catalog.ts";
import type { CallStart } from "./toolbox.ts";
import { decodeCursor, encodeCursor, withDeadline } from "./toolbox.ts";

/** Who asks, and for which apps. */
export type Reader = { principal: Principal; view: View };

/** A page of a list, each entry serialised. */
export type Page = {
  entries: string[];
  nextCursor: string | null;
  freshMs: () => number;
};

/** Prompts and resources out of the caller's own catalogue. */
export type Library = {
  /** Whether any source has them. */
  has: { prompts: boolean; resources: boolean; completions: boolean };
  prompts(reader: Reader, cursor: string | null): Promise<Page>;
  resources(reader: Reader, cursor: string | null): Promise<Page>;
  templates(reader: Reader, cursor: string | null): Promise<Page>;
  /** Throws `not_found` for a name the caller is not shown. */
  getPrompt(
    reader: Reader,
    name: string,
    args: Record<string, string>,
    context: CallStart,
  ): Promise<GetPromptResult | InputRequired>;
  /** Throws `not_found` for a URI that no source of the caller has. */
  readResource(
    reader: Reader,
    uri: string,
    context: CallStart,
  ): Promise<ReadResourceResult | InputRequired>;
  /** Throws `not_found` for a prompt or resource the caller is not shown. */
  complete(
    reader: Reader,
    of: { prompt: string } | { uri: string },
    argument: { name: string; value: string },
    others: Record<string, string>,
    controller: AbortController,
  ): Promise<CompleteResult>;
};

export function createLibrary(wiring: {
  catalogs: Catalogs;
  sources: readonly Source[];
  pageSize: number;
  callTimeoutMs: number;
}): Library {
  const { catalogs, pageSize, callTimeoutMs } = wiring;
  const sources = new Map(wiring.sources.map((source) => [source.id, source]));
  const some = (method: "getPrompt" | "readResource" | "complete") =>
    wiring.sources.some((source) => source[method] !== undefined);

  const shows = ({ apps }: View, app: string) =>
    apps === null || apps.includes(app);

  /** `keyed`: key and entry, in an order that stays. */
  function page(
    reader: Reader,
    listed: [string, object][],
    cursor: string | null,
  ): Page {
    // Of two alike the first is the one that is read.
    const keyed = [...new Map(listed.toReversed())].toReversed();
    let start = 0;
    if (cursor !== null) {
      const after = decodeCursor(cursor);
      start = keyed.findIndex(([key]) => key === after) + 1;
      if (start === 0) throw new GatewayError("invalid", "Invalid cursor");
    }
    const part = keyed.slice(start, start + pageSize);
    const last = part.at(-1);
    return {
      entries: part.map(([, entry]) => JSON.stringify(entry)),
      nextCursor:
        last && start + pageSize < keyed.length ? encodeCursor(last[0]) : null,
      freshMs: () => catalogs.freshMs(reader.principal),
    };
  }

  function promptOf(catalog: Catalog, { view }: Reader, name: string) {
    const prompt = catalog.prompts.get(name);
    if (!prompt || !shows(view, prompt.offer.app.key)) {
      throw new GatewayError("not_found", `Unknown prompt: ${name}`);
    }
    return { prompt, source: sources.get(prompt.source)! };
  }

  /** Whose a URI is: an app that lists it, or has a template for it. */
  function ownerOf(catalog: Catalog, { view }: Reader, uri: string): Owner {
    const found =
      catalog.resources.find(
        ({ app, resource }) => resource.uri === uri && shows(view, app.key),
      ) ??
      catalog.templates.find(
        ({ app, template }) =>
          shows(view, app.key) && fits(template.uriTemplate, uri),
      );
    if (!found) throw unknownResource(uri);
    return { app: found.app, source: sources.get(found.source)! };
  }

  return {
    has: {
      prompts: some("getPrompt"),
      resources: some("readResource"),
      completions: some("complete"),
    },

    async prompts(reader, cursor) {
      const catalog = await catalogs.get(reader.principal);
      const keyed = [...catalog.prompts.values()]
        .filter(({ offer }) => shows(reader.view, offer.app.key))
        .map(({ name, offer }): [string, object] => [
          name,
          { name, ...offer.prompt },
        ]);
      return page(reader, keyed, cursor);
    },

    async resources(reader, cursor) {
      const catalog = await catalogs.get(reader.principal);
      const keyed = catalog.resources
        .filter(({ app }) => shows(reader.view, app.key))
        .map(({ resource }): [string, object] => [resource.uri, resource]);
      return page(reader, keyed, cursor);
    },

    async templates(reader, cursor) {
      const catalog = await catalogs.get(reader.principal);
      const keyed = catalog.templates
        .filter(({ app }) => shows(reader.view, app.key))
        .map(({ template }): [string, object] => [
          template.uriTemplate,
          template,
        ]);
      return page(reader, keyed, cursor);
    },

    async getPrompt(reader, name, args, { controller, ...context }) {
      const catalog = await catalogs.get(reader.principal);
      const { prompt, source } = promptOf(catalog, reader, name);
      controller.signal.throwIfAborted();
      return withDeadline(controller, callTimeoutMs, name, () =>
        source.getPrompt!(reader.principal, prompt.offer, args, {
          ...context,
          signal: controller.signal,
          timeoutMs: callTimeoutMs,
        }),
      );
    },

    async readResource(reader, uri, { controller, ...context }) {
      const catalog = await catalogs.get(reader.principal);
      const { app, source } = ownerOf(catalog, reader, uri);
      controller.signal.throwIfAborted();
      return withDeadline(controller, callTimeoutMs, uri, () =>
        source.readResource!(
          reader.principal,
          { app, uri },
          { ...context, signal: controller.signal, timeoutMs: callTimeoutMs },
        ),
      );
    },

    async complete(reader, of, argument, others, controller) {
      const catalog = await catalogs.get(reader.principal);
      const target =
        "prompt" in of
          ? promptTarget(catalog, reader, of.prompt)
          : templateTarget(catalog, reader, of.uri);
      const { source } = target;
      if (!source.complete) return { completion: { values: [] } };
      return withDeadline(controller, callTimeoutMs, argument.name, () =>
        source.complete!(
          reader.principal,
          {
            of: target.of,
            argument,
            others,
          },
          controller.signal,
        ),
      );
    },
  };

  function promptTarget(catalog: Catalog, reader: Reader, name: string) {
    const { prompt, source } = promptOf(catalog, reader, name);
    return { source, of: { prompt: prompt.offer } };
  }

  /** A reference to a template names the template itself, or a URI. */
  function templateTarget(catalog: Catalog, reader: Reader, uri: string) {
    const named = catalog.templates.find(
      ({ app, template }) =>
        template.uriTemplate === uri && shows(reader.view, app.key),
    );
    const { app, source } = named
      ? { app: named.app, source: sources.get(named.source)! }
      : ownerOf(catalog, reader, uri);
    return { source, of: { app, uri } };
  }
}

type Owner = { app: App; source: Source };

function unknownResource(uri: string): GatewayError {
  return new GatewayError("not_found", `Resource not found: ${uri}`, {
    data: { uri },
  });
}

/** Whether a URI is one of a template (RFC 6570): every expression stands for some characters. */
function fits(template: string, uri: string): boolean {
  const [first = "", ...rest] = template.split(/\{[^}]*\}/);
  const last = rest.pop();
  if (last === undefined) return uri === template;
  if (!uri.startsWith(first)) return false;
  let at = first.length;
  for (const text of rest) {
    const found = uri.indexOf(text, at + 1);
    if (found < 0) return false;
    at = found + text.length;
  }
  return uri.endsWith(last) && uri.length - last.length > at;
}
