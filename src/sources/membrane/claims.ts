import { z } from "zod";
import { GatewayError } from "../../core/errors.ts";
import { once } from "../../core/once.ts";
import type { Identity } from "../../core/principal.ts";
import { identityPart } from "../../core/principal.ts";

/**
 * What a Membrane token says, in both generations of its claims: `workspaceKey` and `tenantKey`, or the
 * older `iss` and `id` (docs.getmembrane.com, Authentication).
 */
export type Claims = Identity & { name: string | null };

const shape = once(() =>
  z.object({
    workspaceKey: identityPart.optional(),
    iss: identityPart.optional(),
    tenantKey: identityPart.optional(),
    id: identityPart.optional(),
    name: z.string().max(256).optional().catch(undefined),
  }),
);

/** Throws `unauthenticated` for claims that name no user, or two. */
export function readClaims(payload: unknown): Claims {
  const read = shape().safeParse(payload);
  if (!read.success) {
    throw refused(
      `its claim ${read.error.issues[0]?.path.join(".")} is not a string of 1 to 256 printable characters`,
    );
  }
  const { workspaceKey, iss, tenantKey, id, name } = read.data;
  if (workspaceKey !== undefined && iss !== undefined && workspaceKey !== iss) {
    throw refused("its claims workspaceKey and iss differ");
  }
  if (tenantKey !== undefined && id !== undefined && tenantKey !== id) {
    throw refused("its claims tenantKey and id differ");
  }
  const workspace = workspaceKey ?? iss;
  const subject = tenantKey ?? id;
  if (workspace === undefined) {
    throw refused("it names no workspace (workspaceKey or iss)");
  }
  if (subject === undefined) {
    throw refused(
      "it names no user (tenantKey or id); tokens for managing a workspace are not accepted here",
    );
  }
  return { workspace, subject, name: name ?? null };
}

export function refused(reason: string, cause?: unknown): GatewayError {
  return new GatewayError(
    "unauthenticated",
    `The token is not accepted: ${reason}.`,
    { cause },
  );
}

/** The one refusal that the operator can lift. */
export function neverExpires(): GatewayError {
  return refused(
    "it never expires; set ALLOW_NON_EXPIRING_TOKENS=true to accept such tokens",
  );
}
