import { Hono } from "hono";
import type { Access, Viewer } from "../access.ts";
import { actionsAt } from "../action-query.ts";
import { flag, mentions, page } from "../paging.ts";
import { actionShape, connectionShape, integrationShape } from "../shapes.ts";
import type { Integration } from "../tenants.ts";
import { jsonResponse } from "../wire-error.ts";
import type { Env } from "./env.ts";

/** `GET /`, `/:integration`, `/:integration/actions`, `/:integration/actions/:action`. */
export function integrationRoutes({ access }: { access: Access }): Hono<Env> {
  function withConnection(viewer: Viewer, integration: Integration) {
    const own = viewer.tenant?.connections.find(
      (one) => one.integration === integration && one.world.archived !== true,
    );
    return {
      ...integrationShape(integration),
      connection: own === undefined ? undefined : connectionShape(own),
    };
  }

  return new Hono<Env>()
    .get("/", (c) => {
      const query = c.req.query();
      const found = access
        .integrations()
        .filter(
          ({ world }) =>
            (world.archived !== true || flag(query["includeArchived"])) &&
            mentions(query["search"] ?? "", [
              world.key,
              world.name,
              world.description,
            ]),
        );
      return jsonResponse(
        page(found, query, (one) => withConnection(c.get("viewer"), one)),
      );
    })
    .get("/:integration", (c) =>
      jsonResponse(
        withConnection(
          c.get("viewer"),
          access.integration(c.req.param("integration")),
        ),
      ),
    )
    .get("/:integration/actions", (c) => {
      const { id } = access.integration(c.req.param("integration"));
      const query = { ...c.req.query(), integrationId: id };
      return jsonResponse(
        page(actionsAt(access, c.get("viewer"), query), query, actionShape),
      );
    })
    .get("/:integration/actions/:action", (c) =>
      jsonResponse(
        actionShape(
          access.select(c.get("viewer"), {
            integrationId: c.req.param("integration"),
            key: c.req.param("action"),
          }),
        ),
      ),
    );
}
