import { z } from "zod";
import type { ApiKey } from "../core/api-key.ts";
import { GatewayError } from "../core/errors.ts";
import { once } from "../core/once.ts";
import { identityPart, scopes } from "../core/principal.ts";
import type { ApiKeys } from "../gateway/keys.ts";
import type { Clock } from "../core/runtime.ts";
import type { Ctx, Handlers } from "./routes.ts";

/**
 * GET POST /api/v2/w/:workspace/api-keys
 * DELETE   /api/v2/w/:workspace/api-keys/:id
 */

export type KeyRouteOptions = { keys: ApiKeys; clock: Clock };

type KeyRoute =
  | `${"GET" | "POST"} /api/v2/w/:workspace/api-keys`
  | "DELETE /api/v2/w/:workspace/api-keys/:id";

const DAY_MS = 24 * 3600_000;

/** What somebody says of a key to be made. */
export const keyShape = once(() =>
  z
    .strictObject({
      name: identityPart,
      scope: z.enum(scopes),
      memberId: identityPart.optional(),
      expiresInDays: z.int().min(1).max(3650).optional(),
      /** Null: never. */
      expiresAt: z.iso.datetime({ offset: true }).nullable().optional(),
    })
    .refine(
      (key) => key.expiresInDays === undefined || key.expiresAt === undefined,
      "expiresInDays and expiresAt exclude each other",
    ),
);

export function keyRoutes({
  keys,
  clock,
}: KeyRouteOptions): Handlers<KeyRoute> {
  return {
    "GET /api/v2/w/:workspace/api-keys": (c, principal) =>
      c.json(keys.list(principal).map(shown)),
    "POST /api/v2/w/:workspace/api-keys": async (c, principal) => {
      const asked = await readBody(c);
      const { name, scope, memberId, expiresInDays, expiresAt } = asked;
      const until =
        expiresInDays !== undefined
          ? clock.now() + expiresInDays * DAY_MS
          : typeof expiresAt === "string"
            ? Date.parse(expiresAt)
            : expiresAt;
      const { key, apiKey } = await keys.mint(principal, {
        name,
        scope,
        ...(memberId === undefined ? {} : { subject: memberId }),
        ...(until === undefined ? {} : { expiresAt: until }),
      });
      return c.json({ ...shown(apiKey), key }, 201);
    },
    "DELETE /api/v2/w/:workspace/api-keys/:id": async (c, principal) => {
      const { id } = await keys.revoke(principal, c.req.param("id") ?? "");
      return c.json({ success: true, id });
    },
  };
}

async function readBody(c: Ctx) {
  let json: unknown;
  try {
    json = await c.req.json();
  } catch {
    throw new GatewayError("invalid", "The body is not JSON.");
  }
  const read = keyShape().safeParse(json);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  const where = issue!.path.join(".");
  throw new GatewayError(
    "invalid",
    where === "" ? `${issue!.message}.` : `${where}: ${issue!.message}.`,
  );
}

function shown(key: ApiKey) {
  const at = (time: number | null) =>
    time === null ? null : new Date(time).toISOString();
  return {
    id: key.id,
    name: key.name,
    scope: key.scope,
    memberId: key.subject,
    createdByMemberId: key.createdBy,
    createdWithKeyId: key.createdWith,
    createdAt: at(key.createdAt),
    expiresAt: at(key.expiresAt),
    lastUsedAt: at(key.lastUsedAt),
    revokedAt: at(key.revokedAt),
  };
}
