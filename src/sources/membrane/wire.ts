import { z } from "zod";
import { once } from "../../core/once.ts";

/** Membrane's objects, as far as they are looked at. Anything odd beside an id and a name costs itself only. */

const text = once(() => z.string().nullish().catch(null));
const flag = once(() => z.boolean().nullish().catch(null));

export const connectionShape = once(() =>
  z.object({
    id: z.string().min(1),
    key: text(),
    name: z.string().catch(""),
    connected: flag(),
    disconnected: flag(),
    isDeactivated: flag(),
    archivedAt: z.unknown().optional(),
    state: text(),
    integration: z
      .object({ id: text(), key: text(), name: text(), logoUri: text() })
      .nullish()
      .catch(null),
    connectorId: text(),
    externalAppId: text(),
  }),
);
export type Connection = z.infer<ReturnType<typeof connectionShape>>;

export const actionShape = once(() =>
  z.object({
    id: z.string().min(1),
    key: text(),
    name: z.string().min(1),
    description: text(),
    type: text(),
    state: text(),
    isDeactivated: flag(),
    archivedAt: z.unknown().optional(),
    inputSchema: z.unknown().optional(),
    connectionId: text(),
    integrationId: text(),
    parentId: text(),
    isUniversal: flag(),
    revision: z.union([z.string(), z.number()]).nullish().catch(null),
    config: z
      .object({
        request: z.object({ method: text() }).nullish().catch(null),
      })
      .nullish()
      .catch(null),
  }),
);
export type Action = z.infer<ReturnType<typeof actionShape>>;

export const pageShape = once(() =>
  z.object({
    items: z.array(z.unknown()),
    cursor: z.union([z.string(), z.number()]).nullish(),
  }),
);

export const runShape = once(() =>
  z.object({
    output: z.unknown().optional(),
    actionRunId: z.string().nullish().catch(null),
  }),
);

const DEFUNCT = new Set(["BUILDING", "DISCONNECTING"]);

export function isUsableConnection(connection: Connection): boolean {
  return (
    connection.connected !== false &&
    connection.disconnected !== true &&
    connection.isDeactivated !== true &&
    !connection.archivedAt &&
    !DEFUNCT.has(connection.state ?? "")
  );
}

export function isUsableAction(action: Action): boolean {
  return (
    action.isDeactivated !== true &&
    !action.archivedAt &&
    (action.state ?? "READY") === "READY"
  );
}
