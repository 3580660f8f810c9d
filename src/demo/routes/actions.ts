import { Hono } from "hono";
import { z } from "zod";
import { actionSelector, type Viewer } from "../access.ts";
import { actionsAt } from "../action-query.ts";
import { checked } from "../checked.ts";
import { page } from "../paging.ts";
import { actionShape } from "../shapes.ts";
import type { Action, Connection } from "../tenants.ts";
import { accessDenied, jsonResponse } from "../wire-error.ts";
import type { Env, RouteContext } from "./env.ts";

const wrappedBody = z.object({
  input: z.unknown().optional(),
  meta: z.record(z.string(), z.unknown()).optional(),
});

const actBody = z
  .strictObject({
    id: z.string().optional(),
    key: z.string().optional(),
    api: z.unknown().optional(),
    code: z.string().optional(),
    integrationId: z.string().optional(),
    integrationKey: z.string().optional(),
    connectionId: z.string().optional(),
    connectionKey: z.string().optional(),
    input: z.unknown().optional(),
    meta: z.record(z.string(), z.unknown()).optional(),
  })
  .refine(
    (body) =>
      [body.id, body.key, body.api, body.code].filter(
        (style) => style !== undefined,
      ).length === 1,
    { message: "Exactly one of id, key, api, code is required" },
  )
  .refine((body) => body.api === undefined && body.code === undefined, {
    message: "This workspace runs actions by id or key only",
  });

const instanceQuery = z
  .object({
    parentId: z.string().optional(),
    parentKey: z.string().optional(),
    integrationId: z.string().optional(),
    integrationKey: z.string().optional(),
    connectionId: z.string().optional(),
    connectionKey: z.string().optional(),
  })
  .refine((query) => (query.parentId ?? query.parentKey) !== undefined, {
    message: "parentId or parentKey is required",
  });

/**
 * `GET /actions`, `/actions/:action`, `/action?…`, `/action-instance?…`; `POST …/run` of the last
 * three; `POST /act`. The body is `{input, meta}`, but for an instance it is the input itself.
 * Nobody may make actions here: `POST /actions` is 403.
 */
export function actionRoutes({ access, runs }: RouteContext): Hono<Env> {
  type Named = { action: Action; connection: Connection | null };

  async function run(
    viewer: Viewer,
    { action, connection }: Named,
    sent: { input?: unknown; meta?: Record<string, unknown> | undefined },
    signal: AbortSignal,
  ): Promise<Response> {
    return jsonResponse(
      await runs.run({
        tenant: viewer.tenant,
        action,
        connection,
        input: sent.input,
        meta: sent.meta,
        signal,
      }),
    );
  }

  function instance(viewer: Viewer, query: Record<string, string>): Named {
    const { parentId, parentKey, ...place } = checked(instanceQuery, query);
    return {
      action: access.select(viewer, { ...place, id: parentId, key: parentKey }),
      connection: access.connectionFor(viewer, place),
    };
  }

  return new Hono<Env>()
    .get("/actions", (c) => {
      const query = c.req.query();
      return jsonResponse(
        page(actionsAt(access, c.get("viewer"), query), query, actionShape),
      );
    })
    .post("/actions", () => {
      throw accessDenied("Actions cannot be made with this token");
    })
    .get("/actions/:action", (c) =>
      jsonResponse(
        actionShape(access.action(c.get("viewer"), c.req.param("action"))),
      ),
    )
    .post("/actions/:action/run", (c) => {
      const viewer = c.get("viewer");
      const query = checked(actionSelector, c.req.query());
      const connection = access.connectionFor(viewer, query);
      const named = c.req.param("action");
      const action =
        query.integrationKey === undefined
          ? access.action(viewer, named)
          : access.select(viewer, { ...query, id: named });
      return run(
        viewer,
        { action, connection },
        checked(wrappedBody, c.get("body") ?? {}),
        c.req.raw.signal,
      );
    })
    .get("/action", (c) =>
      jsonResponse(
        actionShape(
          access.select(
            c.get("viewer"),
            checked(actionSelector, c.req.query()),
          ),
        ),
      ),
    )
    .post("/action/run", (c) => {
      const viewer = c.get("viewer");
      const selector = checked(actionSelector, c.req.query());
      return run(
        viewer,
        {
          action: access.select(viewer, selector),
          connection: access.connectionFor(viewer, selector),
        },
        checked(wrappedBody, c.get("body") ?? {}),
        c.req.raw.signal,
      );
    })
    .get("/action-instance", (c) => {
      const { action, connection } = instance(c.get("viewer"), c.req.query());
      return jsonResponse({
        ...actionShape(action),
        connectionId: connection?.id,
        parentId: action.id,
      });
    })
    .post("/action-instance/run", (c) => {
      const viewer = c.get("viewer");
      return run(
        viewer,
        instance(viewer, c.req.query()),
        { input: c.get("body") },
        c.req.raw.signal,
      );
    })
    .post("/act", (c) => {
      const viewer = c.get("viewer");
      const body = checked(actBody, c.get("body"));
      return run(
        viewer,
        {
          action: access.select(viewer, body),
          connection: access.connectionFor(viewer, body),
        },
        body,
        c.req.raw.signal,
      );
    });
}
