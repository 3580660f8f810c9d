import { GatewayError } from "../core/errors.ts";
import type { Precondition } from "../gateway/servers/upstreams.ts";
import type { Ctx } from "./routes.ts";

/** Optimistic locking (RFC 9110 §13): the version of a thing is its ETag. */

export function etagOf({ version }: { version: number }): string {
  return `"${version}"`;
}

/** What `If-Match` says; null without one. */
export function readPrecondition(c: Ctx): Precondition {
  const header = c.req.header("if-match");
  if (header === undefined) return null;
  const tags = new Set(header.split(",").map((tag) => tag.trim()));
  // Weak tags never match here.
  return (version) => tags.has("*") || tags.has(`"${version}"`);
}

/** The same, for what must not be done blindly. */
export function requirePrecondition(
  c: Ctx,
  what = "the server",
): NonNullable<Precondition> {
  const precondition = readPrecondition(c);
  if (precondition !== null) return precondition;
  throw new GatewayError(
    "conflict",
    `Somebody else may have changed ${what}. Read it, and send its ETag in If-Match with the change.`,
    { data: { code: "precondition_required" } },
  );
}

/** True when the caller has the answer of this tag already (`If-None-Match`), so that 304 is enough. */
export function isKnown(c: Ctx, etag: string): boolean {
  const known = c.req.header("if-none-match")?.split(",") ?? [];
  return known.some((tag) => tag.trim().replace(/^W\//, "") === etag);
}
