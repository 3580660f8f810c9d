import { GatewayError } from "../../core/errors.ts";
import { paramHeaderFault } from "../../core/param-headers.ts";
import type {
  PromptOffer,
  ResourceOffer,
  TemplateOffer,
} from "../../core/source.ts";
import type { App, Offer } from "../../core/tool.ts";
import type { Upstream, UpstreamListing } from "../../core/upstream.ts";
import { cleanInputSchema } from "../membrane/schema.ts";
import type { Connection } from "./connection.ts";
import { isRecord } from "./questions.ts";
import type { Params } from "./rpc.ts";

/** What a server lists: fetched within limits, and made into offers. An item that is no good costs only itself. */

const MAX_PAGES = 50;
const MAX_ITEMS = 1000;
/** One item, in characters of JSON. */
const MAX_ITEM = 262_144;
/** All items of one list together: each member has a list of their own, in memory and on disk. */
const MAX_LIST = 4_194_304;
const MAX_NAME = 128;
const MAX_URI = 4096;

const lists = {
  tools: { method: "tools/list", capability: "tools" },
  prompts: { method: "prompts/list", capability: "prompts" },
  resources: { method: "resources/list", capability: "resources" },
  resourceTemplates: {
    method: "resources/templates/list",
    capability: "resources",
  },
} as const;
type ListName = keyof typeof lists;

/** Asks for all that the server says it has. Throws what the first request throws that must not fail. */
export async function fetchListing(
  connection: Connection,
  signal: AbortSignal,
  /** Told of what was left out, for the log. */
  dropped: (what: string) => void,
): Promise<UpstreamListing> {
  const { capabilities } = connection.about;
  const fetchList = async (name: ListName): Promise<Params[]> => {
    const { method, capability } = lists[name];
    if (!isRecord(capabilities[capability])) return [];
    try {
      return await fetchPages(connection, name, method, signal, dropped);
    } catch (error) {
      // Servers with resources need not have templates, and say so in their own ways.
      const unknown =
        name === "resourceTemplates" &&
        error instanceof GatewayError &&
        error.rpc !== undefined;
      if (unknown) return [];
      throw error;
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

async function fetchPages(
  connection: Connection,
  name: ListName,
  method: string,
  signal: AbortSignal,
  dropped: (what: string) => void,
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
      const [key, fault] = examine[name](item);
      // Those that are no good, too: reading them takes as long.
      size += JSON.stringify(item).length;
      if (size > MAX_LIST) {
        dropped(`${name}: more than ${MAX_LIST} characters`);
        return [...found.values()];
      }
      if (fault !== null) dropped(`${name}: ${fault}`);
      else if (found.size >= MAX_ITEMS) {
        dropped(`${name}: more than ${MAX_ITEMS}`);
        return [...found.values()];
      } else if (!found.has(key)) found.set(key, item as Params);
    }
    const { nextCursor } = result;
    if (typeof nextCursor !== "string" || nextCursor === "") break;
    if (seen.has(nextCursor) || page + 1 >= MAX_PAGES) {
      dropped(`${name}: its pages never end`);
      break;
    }
    seen.add(nextCursor);
    cursor = nextCursor;
  }
  return [...found.values()];
}

type Examined = [key: string, fault: string | null];

const examine: Record<ListName, (item: unknown) => Examined> = {
  tools: (item) =>
    examined(item, "name", MAX_NAME, (tool) => {
      const { inputSchema } = tool;
      if (!isRecord(inputSchema) || inputSchema["type"] !== "object") {
        return "its inputSchema is not that of an object";
      }
      return paramHeaderFault(inputSchema);
    }),
  prompts: (item) => examined(item, "name", MAX_NAME, () => null),
  resources: (item) => examined(item, "uri", MAX_URI, () => null),
  resourceTemplates: (item) =>
    examined(item, "uriTemplate", MAX_URI, () => null),
};

function examined(
  item: unknown,
  key: string,
  max: number,
  more: (item: Params) => string | null,
): Examined {
  if (!isRecord(item)) return ["", "one that is no object"];
  const name = item[key];
  if (typeof name !== "string" || name === "" || name.length > max) {
    return ["", `one whose ${key} is not of 1 to ${max} characters`];
  }
  // eslint-disable-next-line no-control-regex -- whatever could end a line of a log or a header
  if (/[\u0000-\u001f\u007f]/.test(name)) {
    return ["", `one whose ${key} has control characters`];
  }
  if (JSON.stringify(item).length > MAX_ITEM) {
    return [name, `${name}: it is too large`];
  }
  const fault = more(item);
  return [name, fault === null ? null : `${name}: ${fault}`];
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
