import type { z } from "zod";
import { deeperThan } from "../core/depth.ts";
import { GatewayError } from "../core/errors.ts";
import type { Ctx } from "./routes.ts";

/** Levels that JSON may be nested. */
const MAX_DEPTH = 64;

/**
 * The body of a request as the schema has it; no body is an empty object. Throws `invalid`, naming the member that is
 * wrong or not known.
 */
export async function readBody<Schema extends z.ZodType>(
  c: Ctx,
  schema: Schema,
): Promise<z.output<Schema>> {
  const bytes = new Uint8Array(await c.req.raw.arrayBuffer());
  if (deeperThan(bytes, MAX_DEPTH)) {
    throw new GatewayError(
      "invalid",
      `The body is nested more than ${MAX_DEPTH} levels deep.`,
    );
  }
  let json: unknown = {};
  try {
    if (bytes.length > 0) {
      json = JSON.parse(
        new TextDecoder("utf-8", { fatal: true }).decode(bytes),
      );
    }
  } catch {
    throw new GatewayError("invalid", "The body is not JSON.");
  }
  return check(schema, json);
}

/** The query of a request, of which each parameter may be given once. */
export function readQuery<Schema extends z.ZodType>(
  c: Ctx,
  schema: Schema,
): z.output<Schema> {
  const { searchParams } = new URL(c.req.url);
  const given: Record<string, string> = {};
  for (const [name, value] of searchParams) {
    if (Object.hasOwn(given, name)) {
      throw new GatewayError("invalid", `${name}: is given twice.`);
    }
    Object.defineProperty(given, name, { value, enumerable: true });
  }
  return check(schema, given);
}

function check<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): z.output<Schema> {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const issue = read.error.issues[0]!;
  const where = issue.path.map(String);
  if (issue.code === "unrecognized_keys") {
    const name = [...where, issue.keys[0]].join(".");
    throw new GatewayError("invalid", `${name}: is not known here.`);
  }
  // Of a name that is wrong, what is wrong with it stands inside.
  const { message } =
    issue.code === "invalid_key" ? (issue.issues[0] ?? issue) : issue;
  const sentence = message.replace(/\.?$/, ".");
  throw new GatewayError(
    "invalid",
    where.length === 0 ? sentence : `${where.join(".")}: ${sentence}`,
  );
}
