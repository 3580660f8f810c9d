import { z } from "zod";
import { once } from "../core/once.ts";
import { shapes } from "../core/registration.ts";
import type { Management } from "../gateway/servers/management.ts";
import type { UpstreamView } from "../gateway/servers/upstreams.ts";
import { readBody, readRegistration } from "./body.ts";
import {
  etagOf,
  readPrecondition,
  requirePrecondition,
} from "./precondition.ts";
import type { Ctx, Handlers } from "./routes.ts";
import { serverResponse } from "./server-view.ts";

/**
 * GET POST         /servers
 * GET PATCH DELETE /servers/:name
 * POST             /servers/:name/tools/:tool/call
 * POST             /tools/:name/call
 */

export type GatewayRouteOptions = {
  management: Pick<
    Management,
    "upstreams" | "registry" | "switching" | "calls"
  >;
  /** Our own address for a caller who sees us at this origin. */
  base: (origin: string) => string;
};

type GatewayRoute =
  | `${"GET" | "POST"} /servers`
  | `${"GET" | "PATCH" | "DELETE"} /servers/:name`
  | "POST /servers/:name/tools/:tool/call"
  | "POST /tools/:name/call";

/** What a tool is called with. */
export const calling = once(() =>
  z.strictObject({
    params: z.record(z.string(), z.unknown()).default({}),
  }),
);

export function gatewayRoutes(
  options: GatewayRouteOptions,
): Handlers<GatewayRoute> {
  const { base, management } = options;
  const { upstreams, registry, switching, calls } = management;
  const show = (c: Ctx, view: UpstreamView, status: 200 | 201 = 200) =>
    c.json(serverResponse(view, base(c.env.origin)), status, {
      etag: etagOf(view.upstream),
    });
  const nameOf = (c: Ctx) => c.req.param("name") ?? "";

  return {
    "GET /servers": (c, principal) =>
      c.json(
        upstreams
          .list(principal)
          .map((view) => serverResponse(view, base(c.env.origin))),
      ),
    // Whoever registers a server by name wants to use it: it is connected at once, and its state says how that went.
    "POST /servers": async (c, principal) => {
      const asked = await readRegistration(c, principal);
      c.env.holdOpen();
      const { upstream } = await registry.create(principal, asked, {
        unique: true,
      });
      const { signal } = c.req.raw;
      return show(
        c,
        await switching.enable(principal, upstream.id, null, signal, {
          counted: true,
        }),
        201,
      );
    },
    "GET /servers/:name": (c, principal) =>
      show(c, upstreams.get(principal, nameOf(c))),
    "PATCH /servers/:name": async (c, principal) => {
      const { upstream } = upstreams.get(principal, nameOf(c));
      const change = await readBody(c, shapes().registrationChange);
      const precondition = requirePrecondition(c);
      return show(
        c,
        await registry.change(principal, upstream.id, change, precondition),
      );
    },
    "DELETE /servers/:name": async (c, principal) => {
      const { id } = await upstreams.remove(
        principal,
        nameOf(c),
        readPrecondition(c),
      );
      return c.json({ success: true, id });
    },
    "POST /servers/:name/tools/:tool/call": async (c, principal) => {
      const { params } = await readBody(c, calling());
      c.env.holdOpen();
      const tool = c.req.param("tool") ?? "";
      c.env.log["tool"] = tool.slice(0, 128);
      const { signal } = c.req.raw;
      return c.json({
        result: await calls.callOf(principal, nameOf(c), tool, params, signal),
      });
    },
    "POST /tools/:name/call": async (c, principal) => {
      const { params } = await readBody(c, calling());
      c.env.holdOpen();
      c.env.log["tool"] = nameOf(c).slice(0, 128);
      const { signal } = c.req.raw;
      return c.json({
        result: await calls.call(principal, nameOf(c), params, signal),
      });
    },
  };
}
