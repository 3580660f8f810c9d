import { z } from "zod";
import { httpStatus } from "../front.ts";
import { limit, mcpErrorMessage } from "./mcp.ts";
import type { Answer, ErrorStatus, Operation } from "./operation.ts";
import { errorStatuses, refusal } from "./operation.ts";
import type { Access } from "../routes.ts";

/** Which errors a route answers, and what they look like. */

const problem = z
  .looseObject({
    title: z.enum(Object.keys(httpStatus)),
    status: z.int(),
    code: z.enum(Object.keys(httpStatus)),
    requestId: z.string().optional(),
    limit: limit.optional(),
    detail: z.union([
      z.string(),
      z.looseObject({ code: z.string(), message: z.string().optional() }),
    ]),
  })
  .meta({
    id: "Problem",
    description:
      "RFC 9457. `detail` is a sentence; or, where there is a code to act on (`missing_scope`, `mcp_auth_required`, `mcp_auth_expired`, `server_disabled`, `authorization_required`, `upstream_unreachable`, `upstream_timeout`, `version_mismatch`, …), an object with it.",
  });

/** Before a route is looked for, or its body read. */
const refused: ReadonlySet<number> = new Set([400, 403, 413, 415, 503, 508]);
/** By the front door alone. */
const refusedOnly: ReadonlySet<number> = new Set([413, 415, 508]);

/** The statuses of every error that a route of this access can answer. */
export function errorsOf(
  access: Access,
  path: string,
  { body, errors = [] }: Operation,
): ErrorStatus[] {
  const credential =
    access !== "public" && access !== "link" && access !== "metrics token";
  const found = new Set<ErrorStatus>([
    ...([400, 403, 500, 503, 508] as const),
    ...(body ? ([413, 415] as const) : []),
    ...(credential ? ([401, 429, 502, 504] as const) : []),
    ...(credential && path.includes(":workspace") ? ([404] as const) : []),
    ...errors,
  ]);
  return [...found].sort((a, b) => a - b);
}

/** One of them, and a name under which it is the same for every route. */
export function errorAnswer(
  access: Access,
  status: ErrorStatus,
  { errors = [], errorsAs }: Operation,
): { name: string; answer: Answer } {
  const thrown =
    !refusedOnly.has(status) &&
    (access !== "public" || status === 500 || errors.includes(status));
  const style = thrown ? (errorsAs ?? "problem") : "refused";
  const before = refused.has(status) || style === "mcp";
  const content: Record<string, z.ZodType> = {
    ...(before ? { "application/json": refusal } : {}),
    ...(style === "page" ? { "text/html": z.string() } : {}),
    // What fails before a route is known is a problem everywhere.
    ...(style === "problem" ||
    (style === "page" && access !== "link") ||
    status === 500
      ? { "application/problem+json": problem }
      : {}),
    ...(style === "mcp" && status !== 401
      ? { "application/json": z.union([mcpErrorMessage, refusal]) }
      : {}),
  };
  const challenges = thrown && (status === 401 || status === 403);
  const passes = status === 429 || status === 503;
  return {
    name: `${style === "page" && access === "link" ? "link" : style}-${status}`,
    answer: {
      description: errorStatuses[status],
      content,
      headers: [
        ...(challenges ? (["WWW-Authenticate"] as const) : []),
        ...(passes ? (["Retry-After"] as const) : []),
      ],
    },
  };
}
