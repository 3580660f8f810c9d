import type { Offer, WireTool } from "../../core/tool.ts";
import { nameSafe } from "../../core/tool.ts";
import { cleanInputSchema } from "./schema.ts";
import type { Action, Connection } from "./wire.ts";

/** The actions of one connection, as offers. */
export function createOffers(
  connection: Connection,
  all: readonly Connection[],
  actions: readonly Action[],
): { offer: Offer; wrapped: boolean }[] {
  const { integration } = connection;
  const appName = integration?.name || connection.name || "App";
  const appKey = appKeyOf(connection);
  const shared = all.some(
    (other) =>
      other.id !== connection.id &&
      Boolean(integration?.key) &&
      other.integration?.key === integration?.key,
  );
  const app = { ref: connection.id, key: appKey, name: appName };
  return actions.map((action) => {
    const { schema, wrapped } = cleanInputSchema(action.inputSchema);
    const title = `${appName}: ${action.name}`;
    const description = [
      // Two accounts of one app: which of them this is.
      shared && connection.name !== ""
        ? `${title} (${connection.name})`
        : title,
      ...(action.description ? [action.description] : []),
    ].join("\n");
    const icon = integration?.logoUri;
    const tool: Offer["tool"] = {
      title,
      description,
      inputSchema: schema as WireTool["inputSchema"],
      annotations: annotations(action),
      ...(icon?.startsWith("https://") ? { icons: [{ src: icon }] } : {}),
      _meta: Object.fromEntries(
        Object.entries({
          "membrane/actionId": action.id,
          "membrane/connectionId": connection.id,
          "membrane/integrationKey": integration?.key,
          "membrane/actionType": action.type,
          "membrane/revision": action.revision,
        }).filter(([, value]) => value !== undefined && value !== null),
      ),
    };
    return {
      offer: {
        app,
        ref: action.id,
        key: action.key || null,
        name: action.name,
        tool,
      },
      wrapped,
    };
  });
}

/** What the type of an action says of its effect. Where it says nothing MCP's cautious defaults hold. */
function annotations(action: Action): NonNullable<WireTool["annotations"]> {
  const open = { openWorldHint: true };
  switch (action.type) {
    case "list-data-records":
    case "find-data-record-by-id":
    case "match-data-record":
    case "search-data-record":
      return { ...open, readOnlyHint: true };
    case "create-data-record":
      return {
        ...open,
        readOnlyHint: false,
        destructiveHint: false,
        idempotentHint: false,
      };
    case "find-or-create-data-record":
      return {
        ...open,
        readOnlyHint: false,
        destructiveHint: false,
        idempotentHint: true,
      };
    case "update-data-record":
    case "delete-data-record":
      return {
        ...open,
        readOnlyHint: false,
        destructiveHint: true,
        idempotentHint: true,
      };
    case "api-request-to-external-app":
    case "api-request-to-your-app":
    case "http-request":
    case "api-request":
      return { ...open, ...requestAnnotations(action.config?.request?.method) };
    default:
      return open;
  }
}

function requestAnnotations(method: string | null | undefined) {
  switch (method?.toUpperCase()) {
    case "GET":
    case "HEAD":
      return { readOnlyHint: true };
    case "PUT":
    case "DELETE":
      return {
        readOnlyHint: false,
        destructiveHint: true,
        idempotentHint: true,
      };
    case "PATCH":
      return { readOnlyHint: false, destructiveHint: true };
    case "POST":
      return { readOnlyHint: false };
    default:
      return {};
  }
}

/** What the names of a connection's tools begin with. */
export function appKeyOf({ integration, key, name }: Connection): string {
  return integration?.key || nameSafe(key || name).toLowerCase();
}
