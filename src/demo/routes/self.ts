import { Hono } from "hono";
import { tenantShape } from "../shapes.ts";
import { accessDenied, jsonResponse } from "../wire-error.ts";
import type { Env } from "./env.ts";

/** `GET /` and `PATCH /`, which changes nothing. A token without a tenant is 403. */
export function selfRoutes(workspaceKey: string): Hono<Env> {
  return new Hono<Env>().on(["GET", "PATCH"], "/", (c) => {
    const { tenant } = c.get("viewer");
    if (tenant === null) throw accessDenied("This token has no tenant");
    return jsonResponse({
      ...tenantShape(tenant),
      isBillable: false,
      workspaceKey,
    });
  });
}
