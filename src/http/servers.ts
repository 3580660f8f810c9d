import { z } from "zod";
import { GatewayError } from "../core/errors.ts";
import { once } from "../core/once.ts";
import type { Principal } from "../core/principal.ts";
import { shapes } from "../core/registration.ts";
import type { Clock } from "../core/runtime.ts";
import type { Management } from "../gateway/servers/management.ts";
import { createRate } from "../gateway/limits/rate.ts";
import type { UpstreamView } from "../gateway/servers/upstreams.ts";
import { sortFields } from "../gateway/servers/upstreams.ts";
import { readBody, readQuery, readRegistration } from "./body.ts";
import {
  etagOf,
  isKnown,
  readPrecondition,
  requirePrecondition,
} from "./precondition.ts";
import type { Ctx, Handlers } from "./routes.ts";
import {
  listedResponse,
  memberResponse,
  serverResponse,
  testResponse,
} from "./server-view.ts";

/**
 * GET POST         /api/v2/w/:workspace/mcp-servers
 * POST             …/mcp-servers/oauth-discovery
 * GET PATCH DELETE …/mcp-servers/:id
 * POST             …/mcp-servers/:id/credentials | enable | disable | test
 * GET              …/mcp-servers/:id/tools | prompts | resources | members | icon
 * POST             …/mcp-servers/:id/tools/:tool/approve
 * GET              …/app-connections/mcp-servers, also without a workspace, and /:id/tools there
 */

export type ServerRouteOptions = {
  management: Pick<
    Management,
    "upstreams" | "registry" | "switching" | "contents" | "icons"
  >;
  clock: Clock;
  /** Our own address for a caller who sees us at this origin. */
  base: (origin: string) => string;
};

const BASE = "/api/v2/w/:workspace/mcp-servers";
type Base = typeof BASE;
const ALIAS = "/api/v2/w/:workspace/app-connections/mcp-servers";
const SHORT = "/app-connections/mcp-servers";

type ServerRoute =
  | `${"GET" | "POST"} ${Base}`
  | `POST ${Base}/oauth-discovery`
  | `${"GET" | "PATCH" | "DELETE"} ${Base}/:id`
  | `POST ${Base}/:id/${"credentials" | "enable" | "disable" | "test"}`
  | `GET ${Base}/:id/${"tools" | "prompts" | "resources" | "members" | "icon"}`
  | `POST ${Base}/:id/tools/:tool/approve`
  | `GET ${typeof ALIAS | typeof SHORT}`
  | `GET ${typeof ALIAS | typeof SHORT}/:id/tools`;

/** In which order servers are listed. */
export const sorting = once(() =>
  z.strictObject({
    sortBy: z.enum(sortFields).optional(),
    sortOrder: z.enum(["asc", "desc"]).optional(),
  }),
);
/** Which URL is asked for what it says of OAuth. */
export const discovery = once(() => z.strictObject({ url: shapes().url }));
/** The body of what there is nothing to say for. */
export const nothing = once(() => z.strictObject({}));
/** What else goes when a server is turned off. */
export const disabling = once(() =>
  z.strictObject({
    clear_registration: z.enum(["true", "false"]).optional(),
  }),
);
/** What a member connects with. */
export const linking = once(() =>
  z.strictObject({
    /** The member's own; as it may stand in a header. */
    token: z
      .string()
      .max(8192)
      .regex(/^[\x21-\x7e]+$/, "must be printable ASCII, without spaces")
      .nullable()
      .optional(),
  }),
);
/** Which definition of a tool is approved. */
export const approval = once(() =>
  z.strictObject({
    hash: z
      .string()
      .regex(/^[0-9a-f]{64}$/, "must be a hash as GET tools gives it"),
  }),
);

/** Wrong tokens of one address a minute, after which it has to wait: a list of servers shows many icons at once. */
const ICON_FAILURES = 60;

export function serverRoutes(
  options: ServerRouteOptions,
): Handlers<ServerRoute> {
  const { base, management } = options;
  const { upstreams, registry, switching, contents, icons } = management;
  const failures = createRate(
    options.clock,
    ICON_FAILURES,
    60_000,
    "icons",
    "Too many icons that are not there. Wait a moment.",
  );

  const baseOf = (c: Ctx) => base(c.env.origin);
  const show = (c: Ctx, view: UpstreamView, status: 200 | 201 = 200) =>
    c.json(serverResponse(view, baseOf(c)), status, {
      etag: etagOf(view.upstream),
    });

  const list = (c: Ctx, principal: Principal) => {
    const { sortBy, sortOrder } = readQuery(c, sorting());
    return c.json(
      upstreams
        .list(principal, sortBy, sortOrder)
        .map((view) => serverResponse(view, baseOf(c))),
    );
  };
  const tools = async (c: Ctx, principal: Principal) => {
    c.env.holdOpen();
    const { signal } = c.req.raw;
    return c.json(
      listedResponse(await contents.tools(principal, idOf(c), signal)),
    );
  };

  return {
    [`GET ${BASE}`]: list,
    [`GET ${ALIAS}`]: list,
    [`GET ${SHORT}`]: list,
    [`POST ${BASE}`]: async (c, principal) => {
      const asked = await readRegistration(c, principal);
      return show(c, await registry.create(principal, asked), 201);
    },
    [`POST ${BASE}/oauth-discovery`]: async (c, principal) => {
      const { url } = await readBody(c, discovery());
      c.env.holdOpen();
      return c.json(await switching.discover(principal, url));
    },

    [`GET ${BASE}/:id`]: (c, principal) =>
      show(c, upstreams.get(principal, idOf(c))),
    [`PATCH ${BASE}/:id`]: async (c, principal) => {
      const id = idOf(c);
      upstreams.get(principal, id);
      const change = await readBody(c, shapes().registrationChange);
      const precondition = requirePrecondition(c);
      return show(
        c,
        await registry.change(principal, id, change, precondition),
      );
    },
    [`DELETE ${BASE}/:id`]: async (c, principal) => {
      const { id } = await upstreams.remove(
        principal,
        idOf(c),
        readPrecondition(c),
      );
      return c.json({ success: true, id });
    },

    [`POST ${BASE}/:id/credentials`]: async (c, principal) => {
      const { token = null } = await readBody(c, linking());
      const linked = await upstreams.link(principal, idOf(c), token);
      return c.json({
        success: true,
        serverId: linked.serverId,
        ...memberResponse(linked),
      });
    },
    [`POST ${BASE}/:id/enable`]: async (c, principal) => {
      const id = idOf(c);
      await readBody(c, nothing());
      c.env.holdOpen();
      return show(
        c,
        await switching.enable(
          principal,
          id,
          readPrecondition(c),
          c.req.raw.signal,
        ),
      );
    },
    [`POST ${BASE}/:id/disable`]: async (c, principal) => {
      const id = idOf(c);
      await readBody(c, nothing());
      const query = readQuery(c, disabling());
      const clearRegistration = query.clear_registration === "true";
      return show(
        c,
        await switching.disable(
          principal,
          id,
          { clearRegistration },
          readPrecondition(c),
        ),
      );
    },
    [`POST ${BASE}/:id/test`]: async (c, principal) => {
      const id = idOf(c);
      await readBody(c, nothing());
      c.env.holdOpen();
      return c.json(
        testResponse(
          await switching.test(principal, id, c.req.raw.signal),
          baseOf(c),
        ),
      );
    },

    [`GET ${BASE}/:id/tools`]: tools,
    [`GET ${ALIAS}/:id/tools`]: tools,
    [`GET ${SHORT}/:id/tools`]: tools,
    [`POST ${BASE}/:id/tools/:tool/approve`]: async (c, principal) => {
      const id = idOf(c);
      const { hash } = await readBody(c, approval());
      const tool = c.req.param("tool") ?? "";
      await contents.approve(principal, id, tool, hash);
      return c.json({ success: true, tool, hash });
    },
    [`GET ${BASE}/:id/prompts`]: async (c, principal) => {
      c.env.holdOpen();
      const { signal } = c.req.raw;
      return c.json(
        listedResponse(await contents.prompts(principal, idOf(c), signal)),
      );
    },
    [`GET ${BASE}/:id/resources`]: async (c, principal) => {
      c.env.holdOpen();
      const { signal } = c.req.raw;
      return c.json(
        listedResponse(await contents.resources(principal, idOf(c), signal)),
      );
    },
    [`GET ${BASE}/:id/members`]: (c, principal) =>
      c.json(upstreams.members(principal, idOf(c)).map(memberResponse)),
    [`GET ${BASE}/:id/icon`]: icon,
  };

  function icon(c: Ctx): Response {
    const id = Number(
      /^[1-9]\d{0,14}$/.exec(c.req.param("id") ?? "")?.[0] ?? 0,
    );
    const workspace = c.req.param("workspace") ?? "";
    const found = icons.find(workspace, id, c.req.query("token") ?? "");
    if (!found) {
      failures.take(c.env.address ?? "");
      return c.json({ error: "Not Found" }, 404);
    }
    const etag = `"${found.etag.replaceAll('"', "")}"`;
    const headers = {
      etag,
      "cache-control": "private, max-age=86400",
      "content-security-policy": "sandbox; default-src 'none'",
    };
    if (isKnown(c, etag)) {
      return new Response(null, { status: 304, headers });
    }
    return new Response(found.bytes as Uint8Array<ArrayBuffer>, {
      headers: {
        ...headers,
        "content-type": found.type,
        "content-disposition": 'inline; filename="icon"',
      },
    });
  }
}

/** The id in the path. Throws `invalid` for what none can look like. */
function idOf(c: Ctx): number {
  const text = c.req.param("id") ?? "";
  const id = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(id)) return id;
  throw new GatewayError(
    "invalid",
    "The id of a server is a number, such as 42.",
  );
}
