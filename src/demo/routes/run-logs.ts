import { Hono } from "hono";
import type { DemoDatabase } from "../database.ts";
import { jsonResponse, notFound } from "../wire-error.ts";
import type { Env } from "./env.ts";

/** `GET /:run` and `/:run/details`, which has no exchange with a vendor to show. */
export function runLogRoutes({
  database,
}: {
  database: Pick<DemoDatabase, "findRun">;
}): Hono<Env> {
  function find(env: Env["Variables"]["viewer"], id: string) {
    const found = database.findRun(id);
    if (
      found === null ||
      (env.tenant !== null && found.tenantKey !== env.tenant.key)
    ) {
      throw notFound("Action run");
    }
    const { tenantKey: _, ...log } = found;
    return log;
  }

  return new Hono<Env>()
    .get("/:run", (c) =>
      jsonResponse(find(c.get("viewer"), c.req.param("run"))),
    )
    .get("/:run/details", (c) =>
      jsonResponse({
        ...find(c.get("viewer"), c.req.param("run")),
        requests: [],
      }),
    );
}
