import { Hono } from "hono";
import { z } from "zod";
import { checked } from "./checked.ts";
import { faultShape, type Faults } from "./faults.ts";
import type { Recorder } from "./recorder.ts";
import type { Runs } from "./runs.ts";
import type { WorldControl } from "./tenants.ts";
import type { TokenReader } from "./token.ts";
import { errorResponse, jsonResponse } from "./wire-error.ts";
import type { ElementState, WorldAction } from "./app.ts";

const states = [
  "BUILDING",
  "CLIENT_ACTION_REQUIRED",
  "CONFIGURATION_ERROR",
  "SETUP_FAILED",
  "READY",
  "DISCONNECTING",
] as const satisfies readonly ElementState[];

const connectionPatch = z.strictObject({
  name: z.string().exactOptional(),
  connected: z.boolean().exactOptional(),
  archived: z.boolean().exactOptional(),
  deactivated: z.boolean().exactOptional(),
  state: z.enum(states).exactOptional(),
});

const connectionSpec = connectionPatch.extend({
  id: z.string().exactOptional(),
  key: z.string(),
  name: z.string(),
  integrationKey: z.string().exactOptional(),
});

const actionSpec = z.strictObject({
  at: z.union([
    z.strictObject({ integrationKey: z.string() }),
    z.strictObject({ connection: z.string() }),
  ]),
  key: z.string(),
  name: z.string(),
  description: z.string().exactOptional(),
  inputSchema: z.unknown().optional(),
  outputSchema: z.unknown().optional(),
  /** What every run returns; without it, a run returns its input. */
  output: z.unknown().optional(),
});

/**
 * For tests that reach the workspace from another process, without any credential:
 *
 *     POST DELETE  /faults
 *     GET DELETE   /requests
 *     GET          /runs[?tenant=]
 *     POST         /gates/:gate                      opens it
 *     POST         /tokens/revoke, /tokens/restore   {token}
 *     POST         /tenants/:tenant/connections
 *     PATCH DELETE /tenants/:tenant/connections/:connection
 *     PUT          /tenants/:tenant/actions
 *     DELETE       /tenants/:tenant/actions/:action
 */
export function controlRoutes(options: {
  faults: Faults;
  recorder: Recorder;
  runs: Runs;
  tokens: TokenReader;
  world: WorldControl;
}): Hono {
  const { faults, recorder, runs, tokens, world } = options;
  const ok = () => jsonResponse({ ok: true });
  const app = new Hono();
  app.onError((thrown) => errorResponse(thrown));

  app.post("/faults", async (c) => {
    faults.add(checked(faultShape, await c.req.json()));
    return ok();
  });
  app.delete("/faults", () => {
    faults.clear();
    return ok();
  });
  app.get("/requests", () => jsonResponse({ items: recorder.requests }));
  app.delete("/requests", () => {
    recorder.clear();
    return ok();
  });
  app.get("/runs", (c) => jsonResponse(runs.counts(c.req.query("tenant"))));
  app.post("/gates/:gate", (c) => {
    runs.openGate(c.req.param("gate"));
    return ok();
  });
  app.post("/tokens/revoke", async (c) => {
    tokens.revoke(checked(tokenBody, await c.req.json()).token);
    return ok();
  });
  app.post("/tokens/restore", async (c) => {
    tokens.restore(checked(tokenBody, await c.req.json()).token);
    return ok();
  });
  app.post("/tenants/:tenant/connections", async (c) => {
    const spec = checked(connectionSpec, await c.req.json());
    return jsonResponse({
      id: world.addConnection(c.req.param("tenant"), spec),
    });
  });
  app.patch("/tenants/:tenant/connections/:connection", async (c) => {
    const patch = checked(connectionPatch, await c.req.json());
    const { tenant, connection } = c.req.param();
    world.changeConnection(tenant, connection, patch);
    return ok();
  });
  app.delete("/tenants/:tenant/connections/:connection", (c) => {
    const { tenant, connection } = c.req.param();
    world.removeConnection(tenant, connection);
    return ok();
  });
  app.put("/tenants/:tenant/actions", async (c) => {
    const sent = checked(actionSpec, await c.req.json());
    const { at, output, description, ...rest } = sent;
    const action: WorldAction = {
      ...rest,
      ...(description === undefined ? {} : { description }),
      run: (input) => ("output" in sent ? output : input),
    };
    return jsonResponse({
      id: world.putAction(c.req.param("tenant"), at, action),
    });
  });
  app.delete("/tenants/:tenant/actions/:action", (c) => {
    const { tenant, action } = c.req.param();
    world.removeAction(tenant, action);
    return ok();
  });
  return app;
}

const tokenBody = z.strictObject({ token: z.string() });
