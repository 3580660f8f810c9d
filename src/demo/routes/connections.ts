import { Hono } from "hono";
import { actionsAt } from "../action-query.ts";
import { flag, mentions, page } from "../paging.ts";
import { actionShape, connectionShape, isConnected } from "../shapes.ts";
import type { Connection } from "../tenants.ts";
import { connectionIsDefunct, jsonResponse } from "../wire-error.ts";
import type { Env, RouteContext } from "./env.ts";

/**
 * `GET /`, `/:connection`, `/:connection/actions`, `/:connection/actions/:action`,
 * `POST /:connection/actions/:action/run` (whose body is the input itself),
 * `POST /:connection/refresh-credentials`.
 */
export function connectionRoutes({ access, runs }: RouteContext): Hono<Env> {
  return new Hono<Env>()
    .get("/", (c) => {
      const query = c.req.query();
      const found = access
        .connections(c.get("viewer"))
        .filter((connection) => isWanted(connection, query));
      return jsonResponse(page(found, query, connectionShape));
    })
    .get("/:connection", (c) =>
      jsonResponse(
        connectionShape(
          access.connection(c.get("viewer"), c.req.param("connection")),
        ),
      ),
    )
    .post("/:connection/refresh-credentials", (c) => {
      const connection = access.connection(
        c.get("viewer"),
        c.req.param("connection"),
      );
      if (!isConnected(connection)) {
        throw connectionIsDefunct(connection.world.name);
      }
      return jsonResponse(connectionShape(connection));
    })
    .get("/:connection/actions", (c) => {
      const viewer = c.get("viewer");
      const { id } = access.connection(viewer, c.req.param("connection"));
      const query = { ...c.req.query(), connectionId: id };
      return jsonResponse(
        page(actionsAt(access, viewer, query), query, actionShape),
      );
    })
    .get("/:connection/actions/:action", (c) => {
      const viewer = c.get("viewer");
      const connection = access.connection(viewer, c.req.param("connection"));
      return jsonResponse(
        actionShape(access.actionOn(viewer, connection, c.req.param("action"))),
      );
    })
    .post("/:connection/actions/:action/run", async (c) => {
      const viewer = c.get("viewer");
      const connection = access.connection(viewer, c.req.param("connection"));
      return jsonResponse(
        await runs.run({
          tenant: viewer.tenant,
          action: access.actionOn(viewer, connection, c.req.param("action")),
          connection,
          input: c.get("body"),
          meta: undefined,
          signal: c.req.raw.signal,
        }),
      );
    });
}

function isWanted(
  connection: Connection,
  query: Record<string, string>,
): boolean {
  const { world, integration, tenant } = connection;
  const connected = isConnected(connection);
  const tenantId = query["tenantId"] ?? query["userId"];
  return (
    (world.archived !== true || flag(query["includeArchived"]) === true) &&
    equal(flag(query["connected"]), connected) &&
    equal(flag(query["disconnected"]), !connected) &&
    equal(flag(query["isTest"]), false) &&
    equal(query["integrationKey"], integration?.world.key) &&
    equal(query["integrationId"], integration?.id) &&
    equal(query["connectorId"], `cnt_${integration?.world.key ?? world.key}`) &&
    equal(query["externalAppId"], integration?.world.externalAppId) &&
    (tenantId === undefined || [tenant.id, tenant.key].includes(tenantId)) &&
    mentions(query["search"] ?? "", [
      world.key,
      world.name,
      integration?.world.name,
    ])
  );
}

function equal<T>(wanted: T | undefined, actual: T | undefined): boolean {
  return wanted === undefined || wanted === actual;
}
