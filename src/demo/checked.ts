import type { z } from "zod";
import { validationError } from "./wire-error.ts";

/** The value as the shape reads it; throws Membrane's 400, which says `is required` of what is missing. */
export function checked<T>(shape: z.ZodType<T>, value: unknown): T {
  const parsed = shape.safeParse(value, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw validationError(
    parsed.error.issues.map((issue) => ({
      path: issue.path,
      message:
        issue.path.length > 0 &&
        issue.input === undefined &&
        issue.code !== "custom" &&
        issue.code !== "unrecognized_keys"
          ? "Required"
          : issue.message,
    })),
  );
}
