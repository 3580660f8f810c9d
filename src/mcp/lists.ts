import type { Session, View } from "../core/session.ts";
import type { Catalog } from "../gateway/catalog/contents.ts";
import { notificationText } from "./jsonrpc.ts";

/** The lists whose changes are told. */
export const listNames = ["tools", "prompts", "resources"] as const;
export type ListName = (typeof listNames)[number];

/** Where a session keeps the digest of each list that it was last told of. */
export const listedAs = {
  tools: "listed",
  prompts: "listedPrompts",
  resources: "listedResources",
} as const satisfies Record<ListName, keyof Session>;

/** Changes exactly when the list of this view does. */
export function digestOf(catalog: Catalog, view: View, list: ListName): string {
  return list === "tools"
    ? catalog.show(view).digest
    : catalog.select(view).digests[list];
}

export const changedText = {
  tools: notificationText("notifications/tools/list_changed"),
  prompts: notificationText("notifications/prompts/list_changed"),
  resources: notificationText("notifications/resources/list_changed"),
} satisfies Record<ListName, string>;
