import { GatewayError } from "../../core/errors.ts";
import type {
  PromptOffer,
  ResourceOffer,
  TemplateOffer,
} from "../../core/source.ts";
import type { App, Offer } from "../../core/tool.ts";
import type { Upstream, UpstreamListing } from "../../core/upstream.ts";
import { cleanInputSchema } from "../membrane/schema.ts";
import type { Connection } from "./connection.ts";
import type { Examine, ListName } from "./items.ts";
import { loadExaminers } from "./items.ts";
import { isRecord } from "./questions.ts";
import type { Params } from "./rpc.ts";

/** What a server lists: fetched within limits, and made into offers. */

const MAX_PAGES = 50;
const MAX_ITEMS = 1000;
/** All items of one list together, in characters: each member has a list of their own, in memory and on disk. */
const MAX_LIST = 4_194_304;
/** What is told of those that are left out of one list; of the rest, how many they are. */
const MAX_DROPPED = 10;

const lists = {
  tools: { method: "tools/list", capability: "tools" },
  prompts: { method: "prompts/list", capability: "prompts" },
  resources: { method: "resources/list", capability: "resources" },
  resourceTemplates: {
    method: "resources/templates/list",
    capability: "resources",
  },
} as const;

/** Asks for all that the server says it has. Throws what the first request throws that must not fail. */
export async function fetchListing(
  connection: Connection,
  signal: AbortSignal,
  /** Told of what was left out, for the log. */
  dropped: (what: string) => void,
): Promise<UpstreamListing> {
  const { capabilities } = connection.about;
  const examine = await loadExaminers();
  // One list that cannot be had ends the others.
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const fetchList = async (name: ListName): Promise<Params[]> => {
    const { method, capability } = lists[name];
    if (!isRecord(capabilities[capability])) return [];
    const left = createDropped(name, dropped);
    try {
      return await fetchPages(connection, { name, method }, either, {
        examine: examine[name],
        dropped: left.one,
      });
    } catch (error) {
      // Servers with resources need not have templates, and say so in their own ways.
      const unknown =
        name === "resourceTemplates" &&
        error instanceof GatewayError &&
        error.rpc !== undefined;
      if (unknown) return [];
      over.abort(error);
      throw error;
    } finally {
      left.rest();
    }
  };
  const [tools, prompts, resources, resourceTemplates] = await Promise.all([
    fetchList("tools"),
    fetchList("prompts"),
    fetchList("resources"),
    fetchList("resourceTemplates"),
  ]);
  return { tools, prompts, resources, resourceTemplates };
}

function createDropped(name: ListName, tell: (what: string) => void) {
  let count = 0;
  return {
    one(fault: string) {
      if (count++ < MAX_DROPPED) tell(`${name}: ${fault}`);
    },
    rest() {
      const more = count - MAX_DROPPED;
      if (more > 0) tell(`${name}: ${more} more`);
    },
  };
}

async function fetchPages(
  connection: Connection,
  { name, method }: { name: ListName; method: string },
  signal: AbortSignal,
  { examine, dropped }: { examine: Examine; dropped: (fault: string) => void },
): Promise<Params[]> {
  const found = new Map<string, Params>();
  const seen = new Set<string>();
  let cursor: string | undefined;
  let size = 0;
  for (let page = 0; ; page++) {
    const result = await connection.request(
      method,
      cursor === undefined ? {} : { cursor },
      { signal },
    );
    const items = result[name];
    if (!Array.isArray(items)) {
      throw new GatewayError(
        "upstream_failed",
        `Its answer to ${method} has no list of ${name}.`,
        { data: { failureClass: "invalid_response" } },
      );
    }
    for (const item of items) {
      // Those that are no good, too: reading them takes as long.
      size += JSON.stringify(item)?.length ?? 0;
      if (size > MAX_LIST) {
        dropped(`more than ${MAX_LIST} characters`);
        return [...found.values()];
      }
      const examined = examine(item);
      if ("fault" in examined) dropped(examined.fault);
      else if (found.size >= MAX_ITEMS) {
        dropped(`more than ${MAX_ITEMS}`);
        return [...found.values()];
      } else if (!found.has(examined.key)) {
        found.set(examined.key, examined.item);
      }
    }
    const { nextCursor } = result;
    if (typeof nextCursor !== "string" || nextCursor === "") break;
    if (seen.has(nextCursor) || page + 1 >= MAX_PAGES) {
      dropped("its pages never end");
      break;
    }
    seen.add(nextCursor);
    cursor = nextCursor;
  }
  return [...found.values()];
}

/** The app that a server is in its members' catalogues. */
export function appOf({ uuid, slug, name }: Upstream): App {
  return { ref: uuid, key: slug, name };
}

/** Shown instead of a tool whose definition waits for approval. */
export const CHANGED =
  "This tool has changed on its server and waits for the approval of an administrator. It cannot be called until then.";

/** What a listing offers; `blocked`: tools that wait for approval. */
export function offersOf(
  app: App,
  { tools, prompts, resources, resourceTemplates }: UpstreamListing,
  blocked: ReadonlySet<string>,
): {
  offers: Offer[];
  prompts: PromptOffer[];
  resources: ResourceOffer[];
  templates: TemplateOffer[];
} {
  return {
    offers: tools.map((item) => {
      const {
        name,
        execution: _tasks,
        ...rest
      } = item as { name: string } & Params;
      const { outputSchema, ...tool } = rest as Params;
      const shown = blocked.has(name)
        ? { description: CHANGED, inputSchema: { type: "object" } }
        : {
            ...tool,
            ...(isUsableOutput(outputSchema) ? { outputSchema } : {}),
            description: describe(item, app),
          };
      return {
        app,
        ref: name,
        key: name,
        name: titleOf(item),
        tool: shown as Offer["tool"],
      };
    }),
    prompts: prompts.map((item) => {
      const { name, ...prompt } = item as { name: string } & Params;
      return {
        app,
        ref: name,
        key: name,
        name: titleOf(item),
        prompt: { ...prompt, description: describe(item, app) },
      };
    }),
    resources: resources.map((item) => ({
      app,
      resource: { ...item, name: item["name"] ?? item["uri"] } as never,
    })),
    templates: resourceTemplates.map((item) => ({
      app,
      template: { ...item, name: item["name"] ?? item["uriTemplate"] } as never,
    })),
  };
}

/** Clients refuse a whole list for one that they cannot compile, or whose root is no object. */
function isUsableOutput(schema: unknown): boolean {
  return (
    isRecord(schema) &&
    schema["type"] === "object" &&
    Bun.deepEquals(cleanInputSchema(schema).schema, schema)
  );
}

function titleOf(item: Params): string {
  const { title, name } = item;
  return typeof title === "string" && title !== "" ? title : String(name);
}

/** Models choose by it, and some servers leave it out. */
function describe(item: Params, app: App): string {
  const { description } = item;
  return typeof description === "string" && description !== ""
    ? description
    : `${app.name}: ${titleOf(item)}`;
}
