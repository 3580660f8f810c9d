import { jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import { notAuthenticated } from "./wire-error.ts";

/** Who a verified token speaks for. Without a tenant it is a workspace's administrator. */
export type Claims = {
  tenantKey: string | null;
  name: string | null;
  fields: Record<string, unknown> | null;
};

/** Verifies bearer tokens of one workspace. */
export type TokenReader = {
  /** Throws 401 for anything but a valid token. */
  read(authorization: string | undefined): Promise<Claims>;
  /** From now on the token is refused, although it would verify. */
  revoke(token: string): void;
  restore(token: string): void;
  /** Makes an opaque token valid. */
  grant(token: string, tenantKey: string): void;
};

const payloadShape = z.object({
  workspaceKey: z.string().min(1).optional(),
  iss: z.string().min(1).optional(),
  tenantKey: z.string().min(1).optional(),
  id: z.string().min(1).optional(),
  name: z.string().optional(),
  fields: z.record(z.string(), z.unknown()).optional(),
  isAdmin: z.boolean().optional(),
});

/**
 * Accepts HS256, HS384 and HS512 under the workspace's secret and both generations of claims;
 * generations that disagree are refused. A token without `exp` does not expire.
 */
export function createTokenReader(options: {
  workspaceKey: string;
  secret: string;
  tokens: Record<string, { tenantKey: string }>;
  now(): number;
}): TokenReader {
  const key = new TextEncoder().encode(options.secret);
  const opaque = new Map(
    Object.entries(options.tokens).map(([token, to]) => [token, to.tenantKey]),
  );
  const revoked = new Set<string>();

  async function verified(token: string): Promise<Claims> {
    const { payload } = await jwtVerify(token, key, {
      algorithms: ["HS256", "HS384", "HS512"],
      currentDate: new Date(options.now()),
    });
    const claims = payloadShape.parse(payload);
    const workspace = agreed(claims.workspaceKey, claims.iss);
    const tenantKey = agreed(claims.tenantKey, claims.id);
    if (workspace !== options.workspaceKey) throw notAuthenticated();
    if (tenantKey === null && claims.isAdmin !== true) throw notAuthenticated();
    return {
      tenantKey,
      name: claims.name ?? null,
      fields: claims.fields ?? null,
    };
  }

  return {
    async read(authorization) {
      const token = /^bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
      if (token === undefined || revoked.has(token)) throw notAuthenticated();
      const tenantKey = opaque.get(token);
      if (tenantKey !== undefined) {
        return { tenantKey, name: null, fields: null };
      }
      return verified(token).catch(() => {
        throw notAuthenticated();
      });
    },
    revoke: (token) => void revoked.add(token),
    restore: (token) => void revoked.delete(token),
    grant: (token, tenantKey) => void opaque.set(token, tenantKey),
  };
}

function agreed(a: string | undefined, b: string | undefined): string | null {
  if (a !== undefined && b !== undefined && a !== b) throw notAuthenticated();
  return a ?? b ?? null;
}

/**
 * A tenant's HS256 token, good for two hours unless `ttlSeconds` (negative: expired already)
 * says otherwise. `generation` `"id"` names its claims as the SDK does, `"tenantKey"` as
 * Membrane's documentation does today.
 */
export async function mintToken(options: {
  workspaceKey: string;
  secret: string;
  user: string;
  name?: string;
  ttlSeconds?: number;
  generation?: "id" | "tenantKey";
  /** Milliseconds since the epoch; default: the machine's time. */
  now?: number;
}): Promise<string> {
  const seconds = Math.floor((options.now ?? Date.now()) / 1000);
  const who =
    options.generation === "tenantKey"
      ? { workspaceKey: options.workspaceKey, tenantKey: options.user }
      : { iss: options.workspaceKey, id: options.user };
  return new SignJWT({
    ...who,
    ...(options.name === undefined ? {} : { name: options.name }),
  })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setExpirationTime(seconds + (options.ttlSeconds ?? 7200))
    .sign(new TextEncoder().encode(options.secret));
}
