/**
 * Arguments that a call repeats in its headers, for those between (MCP 2026-07-28, basic/transports/streamable-http,
 * "Custom Headers from Tool Parameters").
 */

type Mirrored = { header: string; path: string[] };
const known = new WeakMap<object, Mirrored[]>();

/** The parameters that a tool's schema marks with `x-mcp-header`, by the only way that leads to one: `properties`. */
export function mirrored(schema: unknown): Mirrored[] {
  if (!isRecord(schema)) return [];
  let found = known.get(schema);
  if (found) return found;
  found = [];
  const walk = (at: unknown, path: string[], into: Mirrored[]) => {
    if (!isRecord(at)) return;
    const name = at["x-mcp-header"];
    if (typeof name === "string" && path.length > 0) {
      into.push({ header: `Mcp-Param-${name}`, path });
    }
    const { properties } = at;
    if (!isRecord(properties)) return;
    for (const [key, child] of Object.entries(properties)) {
      walk(child, [...path, key], into);
    }
  };
  walk(schema, [], found);
  known.set(schema, found);
  return found;
}

/** The headers that say what `args` say. */
export function paramHeaders(
  schema: unknown,
  args: Record<string, unknown>,
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const { header, path } of mirrored(schema)) {
    const value = path.reduce<unknown>(
      (at, key) =>
        isRecord(at) && Object.hasOwn(at, key) ? at[key] : undefined,
      args,
    );
    if (["string", "number", "boolean"].includes(typeof value)) {
      headers[header] = encode(String(value));
    }
  }
  return headers;
}

const MARKED = /^=\?base64\?.*\?=$/;
const PLAIN = /^[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?$|^$/;

function encode(value: string): string {
  return PLAIN.test(value) && !MARKED.test(value)
    ? value
    : `=?base64?${Buffer.from(value).toString("base64")}?=`;
}

/** RFC 9110, "token". */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** What is wrong with the marks of a schema, which makes its tool unusable; null when nothing is. */
export function paramHeaderFault(schema: unknown): string | null {
  const names = new Set<string>();
  const visit = (at: unknown, reachable: boolean): string | null => {
    if (Array.isArray(at)) {
      return firstFault(at.map((one) => () => visit(one, false)));
    }
    if (!isRecord(at)) return null;
    if (Object.hasOwn(at, "x-mcp-header")) {
      const name = at["x-mcp-header"];
      if (!reachable) return "x-mcp-header stands where no header can be";
      if (typeof name !== "string" || !TOKEN.test(name)) {
        return "x-mcp-header is not the name of a header";
      }
      if (!["string", "integer", "boolean"].includes(String(at["type"]))) {
        return `x-mcp-header ${name} stands for what is no string, integer or boolean`;
      }
      if (names.has(name.toLowerCase())) {
        return `x-mcp-header ${name} stands for two parameters`;
      }
      names.add(name.toLowerCase());
    }
    return firstFault(
      Object.entries(at).map(([key, child]) => () => {
        if (key === "properties" && isRecord(child)) {
          return firstFault(
            Object.values(child).map((one) => () => visit(one, reachable)),
          );
        }
        return DATA.has(key) ? null : visit(child, false);
      }),
    );
  };
  if (!isRecord(schema)) return null;
  const { "x-mcp-header": ofRoot, ...rest } = schema;
  return ofRoot === undefined
    ? visit(rest, true)
    : "x-mcp-header stands where no header can be";
}

/** Members of a schema whose values are not schemas. */
const DATA: ReadonlySet<string> = new Set([
  "const",
  "default",
  "enum",
  "example",
  "examples",
]);

function firstFault(checks: (() => string | null)[]): string | null {
  for (const check of checks) {
    const fault = check();
    if (fault !== null) return fault;
  }
  return null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
