import { badRequest, validationError } from "./wire-error.ts";

/** Small on purpose: a client that forgets the cursor shows it at once. */
const DEFAULT_LIMIT = 10;
const MAX_LIMIT = 1000;

/** One page, shaped for the wire. A cursor is the number of items before the page; the last page has none. Throws 400. */
export function page<T, S>(
  items: readonly T[],
  query: Record<string, string>,
  shape: (item: T) => S,
): { items: S[]; cursor?: string } {
  const limit = Number(query["limit"] ?? DEFAULT_LIMIT);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw validationError([
      {
        path: ["limit"],
        message: `must be an integer from 1 to ${MAX_LIMIT}`,
      },
    ]);
  }
  const cursor = query["cursor"] ?? "0";
  if (!/^\d{1,9}$/.test(cursor)) throw badRequest("Invalid cursor");
  const end = Number(cursor) + limit;
  const shown = items.slice(Number(cursor), end).map(shape);
  return end < items.length
    ? { items: shown, cursor: String(end) }
    : { items: shown };
}

/** A boolean as Membrane reads it in a query: `false`, `0` and nothing at all are false, anything else is true. */
export function flag(value: string | undefined): boolean | undefined {
  if (value === undefined) return undefined;
  return value !== "" && value !== "false" && value !== "0";
}

/** True when every word of the text occurs in one of the fields, whatever the case. */
export function mentions(
  text: string,
  fields: readonly (string | undefined)[],
): boolean {
  const haystack = fields.join("\n").toLowerCase();
  return words(text).every((word) => haystack.includes(word));
}

/** The items, those first whose fields share most words with the text. Our stand-in for ranking by meaning. */
export function ranked<T>(
  items: readonly T[],
  text: string,
  fields: (item: T) => readonly (string | undefined)[],
): T[] {
  const wanted = words(text);
  return items
    .map((item) => {
      const haystack = fields(item).join("\n").toLowerCase();
      return {
        item,
        score: wanted.filter((word) => haystack.includes(word)).length,
      };
    })
    .sort((a, b) => b.score - a.score)
    .map(({ item }) => item);
}

function words(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}
