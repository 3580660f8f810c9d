import { paramHeaderFault } from "../../core/param-headers.ts";
import type { UpstreamListing } from "../../core/upstream.ts";
import { cleanInputSchema } from "../membrane/schema.ts";
import { isRecord } from "./questions.ts";
import type { Params } from "./rpc.ts";

/** The items of a server's lists: one that is no good costs only itself. */

export type ListName = keyof UpstreamListing;

/** The item as it can be shown, and what tells it from the others; or what is wrong with it. */
export type Examine = (
  item: unknown,
) => { key: string; item: Params } | { fault: string };

/** In characters of JSON. */
const MAX_ITEM = 262_144;
const MAX_NAME = 128;
const MAX_URI = 4096;

/** By what the official clients take: they refuse a whole list for one item that is otherwise. */
export async function loadExaminers(): Promise<Record<ListName, Examine>> {
  const { isSpecType } = await import("@modelcontextprotocol/client");

  const examiner =
    (
      key: string,
      max: number,
      fits: (item: Params) => boolean,
      fit: (item: Params) => Params = (item) => item,
    ): Examine =>
    (given) => {
      if (!isRecord(given)) return { fault: "one that is no object" };
      const name = given[key];
      if (typeof name !== "string" || name === "" || name.length > max) {
        return { fault: `one whose ${key} is not of 1 to ${max} characters` };
      }
      // Whatever could end a line of a log or a header.
      if (/\p{Cc}/u.test(name)) {
        return { fault: `one whose ${key} has control characters` };
      }
      if (JSON.stringify(given).length > MAX_ITEM) {
        return { fault: `${name}: it is too large` };
      }
      const described = withText(given, "description");
      const item = fits(shown(described)) ? described : fit(described);
      if (!fits(shown(item))) {
        return { fault: `${name}: it is not what the protocol says` };
      }
      const fault = paramHeaderFault(item["inputSchema"] ?? {});
      return fault === null
        ? { key: name, item }
        : { fault: `${name}: ${fault}` };
    };

  return {
    tools: examiner("name", MAX_NAME, isSpecType.Tool, withCleanSchema),
    prompts: examiner("name", MAX_NAME, isSpecType.Prompt),
    resources: examiner("uri", MAX_URI, isSpecType.Resource),
    resourceTemplates: examiner(
      "uriTemplate",
      MAX_URI,
      isSpecType.ResourceTemplate,
    ),
  };
}

/** What of it is shown as it is. */
function shown({ outputSchema: _checkedWhenShown, ...item }: Params): Params {
  return { name: item["uri"] ?? item["uriTemplate"], ...item };
}

/** Without the member, unless it is a text. */
function withText(item: Params, member: string): Params {
  const { [member]: text, ...rest } = item;
  return text === undefined || typeof text === "string" ? item : rest;
}

/** Some servers write what is JSON Schema, but more than clients expect. */
function withCleanSchema(tool: Params): Params {
  const { inputSchema } = tool;
  return isRecord(inputSchema) && inputSchema["type"] === "object"
    ? { ...tool, inputSchema: cleanInputSchema(inputSchema).schema }
    : tool;
}
