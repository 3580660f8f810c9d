import { GatewayError } from "../../core/errors.ts";
import type { Identity, Principal } from "../../core/principal.ts";
import type { View } from "../../core/session.ts";
import type {
  CompleteResult,
  GetPromptResult,
  InputRequired,
  ReadResourceResult,
  ResourceRef,
  Source,
} from "../../core/source.ts";
import type { App } from "../../core/tool.ts";
import type { Admission } from "../limits/admission.ts";
import type { Catalogs } from "./catalog.ts";
import type { Owner, Selection, Shelf } from "./contents.ts";
import type { CallStart } from "./toolbox.ts";
import {
  decodeCursor,
  encodeCursor,
  requireListed,
  withDeadline,
} from "./toolbox.ts";

/** Who asks, and for which apps. */
export type Reader = { principal: Principal; view: View };

/** A page of a list, each entry serialised. */
export type Page = {
  entries: string[];
  nextCursor: string | null;
  /** Of the whole list, not of the page; that of resources is one with that of templates. */
  digest: string;
  freshMs: () => number;
};

/** Prompts and resources out of the caller's own catalogue. */
export type Library = {
  /** Whether any source has them. */
  has: { prompts: boolean; resources: boolean; completions: boolean };
  prompts(reader: Reader, cursor: string | null): Promise<Page>;
  resources(reader: Reader, cursor: string | null): Promise<Page>;
  templates(reader: Reader, cursor: string | null): Promise<Page>;
  /**
   * Throws `not_found` for a name the caller is not shown; as all of these do, `upstream_failed` or `timeout` where that
   * may be only because an app could not be listed.
   */
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
  /** Throws `not_found` for a URI that no source of the caller has. */
  requireResource(reader: Reader, uri: string): Promise<void>;
  /** Whose a URI is for this view, as far as that is in memory; null when it is not known. */
  ownerOf(who: Identity, view: View, uri: string): App | null;
  /**
   * Tells the sources that somebody of this identity listens, and for which resources. What nobody is known to have
   * is left out; said again when the catalogue is there, it is not.
   */
  watch(
    principal: Principal,
    wanted: Iterable<{ view: View; uri: string }>,
  ): void;
  /** Whether any source wants to be told so. */
  watches: boolean;
};

export function createLibrary(wiring: {
  catalogs: Catalogs;
  sources: readonly Source[];
  pageSize: number;
  callTimeoutMs: number;
  admission: Pick<Admission, "toward">;
}): Library {
  const { admission, catalogs, pageSize, callTimeoutMs } = wiring;
  const sources = new Map(wiring.sources.map((source) => [source.id, source]));
  type Method = "getPrompt" | "readResource" | "complete" | "watch";
  const some = (method: Method) =>
    wiring.sources.some((source) => source[method] !== undefined);

  type Selected = {
    selection: Selection;
    /** Throws where what is unknown may be so only because its app could not be listed. */
    listed(what: string, name: string | null, method: Method): void;
  };
  async function look(reader: Reader): Promise<Selected> {
    const catalog = await catalogs.get(reader.principal);
    return {
      selection: catalog.select(reader.view),
      listed: (what, name, method) =>
        requireListed(
          catalogs,
          reader,
          catalog,
          what,
          name,
          (source) => sources.get(source)?.[method] !== undefined,
        ),
    };
  }
  const select = async (reader: Reader) => (await look(reader)).selection;

  function page(
    { principal }: Reader,
    { entries, position }: Shelf<unknown>,
    digest: string,
    cursor: string | null,
  ): Page {
    let start = 0;
    if (cursor !== null) {
      const last = position(decodeCursor(cursor));
      if (last === null) throw new GatewayError("invalid", "Invalid cursor");
      start = last + 1;
    }
    const part = entries.slice(start, start + pageSize);
    const last = part.at(-1);
    return {
      entries: part.map(({ json }) => json),
      nextCursor:
        last && start + pageSize < entries.length
          ? encodeCursor(last.key)
          : null,
      digest,
      freshMs: () => catalogs.freshMs(principal),
    };
  }

  function promptOf({ selection, listed }: Selected, name: string) {
    const prompt = selection.prompts.find(name);
    const source = prompt && sources.get(prompt.source);
    if (!source?.getPrompt) {
      listed(name, name, "getPrompt");
      throw new GatewayError("not_found", `Unknown prompt: ${name}`);
    }
    return { prompt: prompt!, source };
  }

  function readableOf({ selection, listed }: Selected, uri: string) {
    const found = selection.owner(uri);
    const source = found && sources.get(found.source);
    if (!source?.readResource) {
      listed(uri, null, "readResource");
      throw unknownResource(uri);
    }
    return { app: found!.app, source };
  }

  /** The same without waiting; null for what is not in memory. */
  function known(who: Identity, view: View, uri: string): Owner | null {
    return view.server === null
      ? (catalogs.peek(who)?.select(view).owner(uri) ?? null)
      : catalogs.alone(who, view.server);
  }

  return {
    has: {
      prompts: some("getPrompt"),
      resources: some("readResource"),
      completions: some("complete"),
    },
    watches: some("watch"),

    async prompts(reader, cursor) {
      const { prompts, digests } = await select(reader);
      return page(reader, prompts, digests.prompts, cursor);
    },

    async resources(reader, cursor) {
      const { resources, digests } = await select(reader);
      return page(reader, resources, digests.resources, cursor);
    },

    async templates(reader, cursor) {
      const { templates, digests } = await select(reader);
      return page(reader, templates, digests.resources, cursor);
    },

    async getPrompt(reader, name, args, { controller, ...context }) {
      const { prompt, source } = promptOf(await look(reader), name);
      controller.signal.throwIfAborted();
      admission.toward(reader.principal, source.id, prompt.offer.app);
      return withDeadline(controller, callTimeoutMs, name, () =>
        source.getPrompt!(reader.principal, prompt.offer, args, {
          ...context,
          signal: controller.signal,
          timeoutMs: callTimeoutMs,
        }),
      );
    },

    async readResource(reader, uri, { controller, ...context }) {
      const { app, source } = readableOf(await look(reader), uri);
      controller.signal.throwIfAborted();
      admission.toward(reader.principal, source.id, app);
      return withDeadline(controller, callTimeoutMs, uri, () =>
        source.readResource!(
          reader.principal,
          { app, uri },
          { ...context, signal: controller.signal, timeoutMs: callTimeoutMs },
        ),
      );
    },

    async complete(reader, of, argument, others, controller) {
      const selected = await look(reader);
      const { source, of: target } =
        "prompt" in of
          ? promptTarget(selected, of.prompt)
          : templateTarget(selected, of.uri);
      if (!source.complete) return { completion: { values: [] } };
      const { app } = "prompt" in target ? target.prompt : target;
      admission.toward(reader.principal, source.id, app);
      return withDeadline(controller, callTimeoutMs, argument.name, () =>
        source.complete!(
          reader.principal,
          { of: target, argument, others },
          controller.signal,
        ),
      );
    },

    async requireResource(reader, uri) {
      readableOf(await look(reader), uri);
    },

    ownerOf: (who, view, uri) => known(who, view, uri)?.app ?? null,

    watch(principal, wanted) {
      const bySource = new Map<string, Map<string, ResourceRef>>();
      for (const { view, uri } of wanted) {
        const owner = known(principal, view, uri);
        if (!owner) continue;
        const { source, app } = owner;
        const refs = bySource.get(source) ?? new Map<string, ResourceRef>();
        bySource.set(source, refs.set(`${app.ref} ${uri}`, { app, uri }));
      }
      for (const source of wiring.sources) {
        const refs = bySource.get(source.id)?.values() ?? [];
        source.watch?.(principal, [...refs]);
      }
    },
  };

  function promptTarget(selected: Selected, name: string) {
    const { prompt, source } = promptOf(selected, name);
    return { source, of: { prompt: prompt.offer } };
  }

  /** A reference to a template names the template itself, or a URI. */
  function templateTarget(selected: Selected, uri: string) {
    const named = selected.selection.templates.find(uri);
    const { app, source } = named
      ? { app: named.app, source: sources.get(named.source)! }
      : readableOf(selected, uri);
    return { source, of: { app, uri } };
  }
}

function unknownResource(uri: string): GatewayError {
  return new GatewayError("not_found", `Resource not found: ${uri}`, {
    data: { uri },
  });
}
