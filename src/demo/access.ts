import { z } from "zod";
import {
  byIdOrKey,
  type Action,
  type Connection,
  type Integration,
  type Tenant,
  type Tenants,
} from "./tenants.ts";
import { notFound } from "./wire-error.ts";

/** Who is asking; without a tenant, the workspace's administrator, who sees every tenant. */
export type Viewer = { tenant: Tenant | null };

/** How an action is named in a query. */
export type ActionSelector = {
  id?: string | undefined;
  key?: string | undefined;
  integrationId?: string | undefined;
  integrationKey?: string | undefined;
  connectionId?: string | undefined;
  connectionKey?: string | undefined;
};

/** What one viewer can see. Another tenant's things are not found. */
export type Access = {
  connections(viewer: Viewer): Connection[];
  actions(viewer: Viewer): Action[];
  integrations(): readonly Integration[];
  /** By id or key; throws 404. */
  connection(viewer: Viewer, idOrKey: string): Connection;
  integration(idOrKey: string): Integration;
  action(viewer: Viewer, idOrKey: string): Action;
  /** Throws 404; a key alone finds the first action that has it. */
  select(viewer: Viewer, selector: ActionSelector): Action;
  /** What can be run on the connection: its own actions, its integration's, the catalogue's for its app. */
  actionsOn(viewer: Viewer, connection: Connection): Action[];
  /** The connection's own action of that id or key, or else its integration's or the catalogue's. */
  actionOn(viewer: Viewer, connection: Connection, idOrKey: string): Action;
  /** The connection that a selector names; null when it names none. */
  connectionFor(
    viewer: Viewer,
    selector: Pick<ActionSelector, "connectionId" | "connectionKey">,
  ): Connection | null;
};

/** The fields of {@link ActionSelector} among a request's query. */
export const actionSelector = z.object({
  id: z.string().optional(),
  key: z.string().optional(),
  integrationId: z.string().optional(),
  integrationKey: z.string().optional(),
  connectionId: z.string().optional(),
  connectionKey: z.string().optional(),
});

/** Looks things up on a viewer's behalf. */
export function createAccess(tenants: Tenants): Access {
  function connections(viewer: Viewer): Connection[] {
    return viewer.tenant === null
      ? tenants.all().flatMap((tenant) => tenant.connections)
      : viewer.tenant.connections;
  }

  function actions(viewer: Viewer): Action[] {
    if (viewer.tenant !== null) return viewer.tenant.actions;
    return [...new Set(tenants.all().flatMap((tenant) => tenant.actions))];
  }

  function connection(viewer: Viewer, idOrKey: string): Connection {
    const found = byIdOrKey(connections(viewer), idOrKey);
    if (found === null || found.world.archived === true) {
      throw notFound("Connection");
    }
    return found;
  }

  function integration(idOrKey: string): Integration {
    const found = byIdOrKey(tenants.integrations, idOrKey);
    if (found === null) throw notFound("Integration");
    return found;
  }

  function action(viewer: Viewer, idOrKey: string): Action {
    const found = byIdOrKey(actions(viewer), idOrKey);
    if (found === null) throw notFound("Action");
    return found;
  }

  function actionsOn(viewer: Viewer, on: Connection): Action[] {
    return actions(viewer).filter(
      (one) =>
        one.connection === on ||
        (one.connection === null &&
          (one.integration === null
            ? one.world.externalAppId !== undefined &&
              one.world.externalAppId === on.integration?.world.externalAppId
            : one.integration === on.integration)),
    );
  }

  function actionOn(viewer: Viewer, on: Connection, idOrKey: string): Action {
    const all = actionsOn(viewer, on);
    const own = all.filter((one) => one.connection === on);
    const found = byIdOrKey([...own, ...all], idOrKey);
    if (found === null) throw notFound("Action");
    return found;
  }

  function connectionFor(
    viewer: Viewer,
    selector: Pick<ActionSelector, "connectionId" | "connectionKey">,
  ): Connection | null {
    const { connectionId, connectionKey } = selector;
    if (connectionId === undefined && connectionKey === undefined) return null;
    const found = connections(viewer).find(
      (one) =>
        one.world.archived !== true &&
        (connectionId === undefined
          ? one.world.key === connectionKey
          : one.id === connectionId),
    );
    if (found === undefined) throw notFound("Connection");
    return found;
  }

  function select(viewer: Viewer, selector: ActionSelector): Action {
    const named = selector.id ?? selector.key;
    if (named === undefined) throw notFound("Action");
    const wanted = selector.integrationId ?? selector.integrationKey;
    if (wanted !== undefined) {
      const at = integration(wanted);
      const found = byIdOrKey(
        actions(viewer).filter((one) => one.integration === at),
        named,
      );
      if (found === null) throw notFound("Action");
      return found;
    }
    const on = connectionFor(viewer, selector);
    if (on !== null && selector.id === undefined) {
      return actionOn(viewer, on, named);
    }
    return action(viewer, named);
  }

  return {
    connections,
    actions,
    integrations: () => tenants.integrations,
    connection,
    integration,
    action,
    select,
    actionsOn,
    actionOn,
    connectionFor,
  };
}
