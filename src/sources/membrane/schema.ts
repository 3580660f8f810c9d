/**
 * Makes a Membrane "DataSchema" a JSON Schema that every MCP client takes. It is passed through, not
 * rebuilt: what is valid stays as it is, Membrane's own keywords are translated or dropped, and what would
 * make a client refuse the whole tool list is mended.
 */

type Json = Record<string, unknown>;

export type CleanSchema = {
  schema: { type: "object" } & Json;
  /** The action takes something else than an object: it is the property `input` of the arguments. */
  wrapped: boolean;
};

const TYPES = new Set([
  "string",
  "number",
  "integer",
  "boolean",
  "object",
  "array",
  "null",
]);
/** Names in use for types that JSON Schema spells otherwise. */
const TYPE_ALIASES: Record<string, Json> = {
  date: { type: "string", format: "date" },
  datetime: { type: "string", format: "date-time" },
  "date-time": { type: "string", format: "date-time" },
  file: { type: "string" },
  text: { type: "string" },
  int: { type: "integer" },
  float: { type: "number" },
  bool: { type: "boolean" },
};
const FORMATS = new Set([
  "date-time",
  "date",
  "time",
  "duration",
  "email",
  "idn-email",
  "hostname",
  "idn-hostname",
  "ipv4",
  "ipv6",
  "uri",
  "uri-reference",
  "iri",
  "iri-reference",
  "uri-template",
  "uuid",
  "json-pointer",
  "relative-json-pointer",
  "regex",
  "binary",
  "byte",
  "password",
  "int32",
  "int64",
  "float",
  "double",
]);
const FORMAT_ALIASES: Record<string, string> = {
  datetime: "date-time",
  url: "uri",
};
const COUNTS = new Set([
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "minProperties",
  "maxProperties",
  "minContains",
  "maxContains",
]);
const NUMBERS = new Set(["minimum", "maximum", "multipleOf"]);
const SCHEMAS = new Set([
  "additionalProperties",
  "additionalItems",
  "contains",
  "propertyNames",
  "not",
  "if",
  "then",
  "else",
  "unevaluatedItems",
  "unevaluatedProperties",
  "contentSchema",
]);
const SCHEMA_MAPS = new Set([
  "properties",
  "patternProperties",
  "$defs",
  "definitions",
  "dependentSchemas",
]);
const SCHEMA_LISTS = new Set(["allOf", "anyOf", "oneOf", "prefixItems"]);
/** Membrane's hints for its own user interface and inference. */
const DROPPED = new Set([
  "isSensitive",
  "isImplied",
  "isRichText",
  "section",
  "allowCustom",
  "referenceRecords",
  "referenceCollection",
  "referenceCollectionPath",
  "referenceCollectionUri",
  "referenceUdm",
]);
/** Keywords of JSON Schema that begin with `$`; an object with any other such key alone is a formula. */
const DOLLARS = new Set([
  "$ref",
  "$defs",
  "$schema",
  "$id",
  "$comment",
  "$anchor",
  "$dynamicRef",
  "$dynamicAnchor",
  "$vocabulary",
]);

const MAX_DEPTH = 32;
const MAX_NODES = 20_000;
const MAX_PATTERN = 1000;

/** Never throws, whatever it is given. */
export function cleanInputSchema(source: unknown): CleanSchema {
  if (!isObject(source) || isFormula(source)) {
    return { schema: { type: "object" }, wrapped: false };
  }
  const wrapped = isOtherThanObject(source);
  const context: Context = {
    root: source,
    refPrefix: wrapped ? "#/properties/input" : "#",
    nodes: 0,
  };
  const cleaned = clean(source, context, 0);
  if (!wrapped) return { schema: { ...cleaned, type: "object" }, wrapped };
  return {
    schema: { type: "object", properties: { input: cleaned } },
    wrapped,
  };
}

type Context = { root: Json; refPrefix: string; nodes: number };

function isOtherThanObject(schema: Json): boolean {
  const types = readTypes(schema["type"]);
  return types !== null && !types.includes("object");
}

/** The valid types among what is given; null when nothing is said. */
function readTypes(value: unknown): string[] | null {
  const given = Array.isArray(value) ? value : [value];
  const types = given
    .filter((type): type is string => typeof type === "string")
    .map((type) => type.trim().toLowerCase())
    .flatMap((type) => {
      const alias = Object.hasOwn(TYPE_ALIASES, type) && TYPE_ALIASES[type];
      return alias ? [String(alias["type"])] : TYPES.has(type) ? [type] : [];
    });
  return types.length > 0 ? [...new Set(types)] : null;
}

function clean(schema: Json, context: Context, depth: number): Json {
  if (depth > MAX_DEPTH || ++context.nodes > MAX_NODES) return {};
  const kept: [string, unknown][] = [];
  for (const [keyword, value] of Object.entries(schema)) {
    const mended = cleanKeyword(keyword, value, schema, context, depth);
    if (mended !== undefined) kept.push([keyword, mended]);
  }
  const cleaned: Json = Object.fromEntries(kept);
  mendType(schema, cleaned);
  mendItems(schema, cleaned, context, depth);
  mendExclusive(schema, cleaned, "minimum", "exclusiveMinimum");
  mendExclusive(schema, cleaned, "maximum", "exclusiveMaximum");
  mendChoices(schema, cleaned);
  return cleaned;
}

/** The value to keep, or undefined to drop the keyword. */
function cleanKeyword(
  keyword: string,
  value: unknown,
  schema: Json,
  context: Context,
  depth: number,
): unknown {
  if (DROPPED.has(keyword) || /^ui[A-Z]/.test(keyword)) return undefined;
  // Left to those who mend several keywords together.
  if (["type", "items", "enum"].includes(keyword)) return undefined;
  if (/^exclusiveM(in|ax)imum$/.test(keyword)) return undefined;
  if (isFormula(value)) return undefined;
  if (SCHEMA_MAPS.has(keyword)) return cleanMap(keyword, value, context, depth);
  if (SCHEMAS.has(keyword)) {
    if (typeof value === "boolean") return value;
    return isObject(value) ? clean(value, context, depth + 1) : undefined;
  }
  if (SCHEMA_LISTS.has(keyword)) return cleanList(value, context, depth);
  if (COUNTS.has(keyword)) {
    return Number.isSafeInteger(value) && Number(value) >= 0
      ? value
      : undefined;
  }
  if (NUMBERS.has(keyword)) {
    const fine = Number.isFinite(value);
    return fine && !(keyword === "multipleOf" && Number(value) <= 0)
      ? value
      : undefined;
  }
  switch (keyword) {
    case "title":
    case "description":
    case "$comment":
      return typeof value === "string" ? value : undefined;
    case "$schema":
    case "$id":
    case "$anchor":
    case "$dynamicRef":
    case "$dynamicAnchor":
    case "$vocabulary":
      // Each names something that a client would have to find.
      return keyword === "$schema" && typeof value === "string"
        ? value
        : undefined;
    case "$ref":
      return cleanRef(value, context);
    case "required":
      return cleanRequired(value);
    case "pattern":
      return isPattern(value) ? value : undefined;
    case "format":
      return cleanFormat(value);
    case "examples":
      return Array.isArray(value) ? value : undefined;
    case "readOnly":
    case "writeOnly":
    case "deprecated":
    case "uniqueItems":
      return typeof value === "boolean" ? value : undefined;
    case "dependentRequired":
    case "dependencies":
      return isObject(value) ? cleanDependencies(value) : undefined;
    case "const":
    case "default":
      return value;
    default:
      // Unknown keywords mean nothing to a validator, and perhaps something to a reader.
      return schema === context.root && value === null ? undefined : value;
  }
}

function cleanMap(
  keyword: string,
  value: unknown,
  context: Context,
  depth: number,
): Json | undefined {
  if (!isObject(value)) return undefined;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => keyword !== "patternProperties" || isPattern(name))
      .map(([name, schema]) => [
        name,
        // Clients take objects only here, though JSON Schema has true and false too.
        isObject(schema) && !isFormula(schema)
          ? clean(schema, context, depth + 1)
          : {},
      ]),
  );
}

function cleanList(
  value: unknown,
  context: Context,
  depth: number,
): unknown[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const schemas = value
    .filter((schema) => isObject(schema) && !isFormula(schema))
    .map((schema: Json) => clean(schema, context, depth + 1));
  return schemas.length > 0 ? schemas : undefined;
}

/** Only what is in the schema itself; nothing is ever fetched. */
function cleanRef(value: unknown, context: Context): string | undefined {
  if (typeof value !== "string" || !value.startsWith("#")) return undefined;
  const path = value.slice(1);
  if (path !== "" && !path.startsWith("/")) return undefined;
  let at: unknown = context.root;
  for (const part of path.split("/").slice(1)) {
    const name = decodeFragment(part)
      .replaceAll("~1", "/")
      .replaceAll("~0", "~");
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, name)) {
      return undefined;
    }
    at = (at as Json)[name];
  }
  return isObject(at) ? context.refPrefix + path : undefined;
}

function decodeFragment(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function cleanRequired(value: unknown): string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const names = value.filter((name) => typeof name === "string");
  return names.length > 0 ? [...new Set(names)] : undefined;
}

function cleanDependencies(value: Json): Json | undefined {
  const entries = Object.entries(value).filter(
    ([, names]) =>
      Array.isArray(names) && names.every((name) => typeof name === "string"),
  );
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}

/** Compiled, never run: whether it backtracks is the business of whoever validates with it. */
function isPattern(value: unknown): value is string {
  if (typeof value !== "string" || value.length > MAX_PATTERN) return false;
  try {
    return new RegExp(value, "u") instanceof RegExp;
  } catch {
    return false;
  }
}

function cleanFormat(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  const name = value.trim().toLowerCase();
  const format = Object.hasOwn(FORMAT_ALIASES, name)
    ? FORMAT_ALIASES[name]!
    : name;
  return FORMATS.has(format) ? format : undefined;
}

function mendType(schema: Json, cleaned: Json): void {
  const given = schema["type"];
  const types = readTypes(given);
  if (types === null) return;
  cleaned["type"] = Array.isArray(given) && types.length > 1 ? types : types[0];
  if (Array.isArray(given) || cleaned["format"] !== undefined) return;
  const name = String(given).trim().toLowerCase();
  const alias = Object.hasOwn(TYPE_ALIASES, name) && TYPE_ALIASES[name];
  if (alias && alias["format"]) cleaned["format"] = alias["format"];
}

function mendItems(
  schema: Json,
  cleaned: Json,
  context: Context,
  depth: number,
): void {
  const items = schema["items"];
  if (isFormula(items)) return;
  if (isObject(items)) cleaned["items"] = clean(items, context, depth + 1);
  else if (typeof items === "boolean") cleaned["items"] = items;
  else if (Array.isArray(items) && cleaned["prefixItems"] === undefined) {
    // How drafts before 2020-12 wrote a tuple.
    const tuple = cleanList(items, context, depth);
    if (tuple) cleaned["prefixItems"] = tuple;
  }
}

/** Draft 4 had a boolean beside the limit. */
function mendExclusive(
  schema: Json,
  cleaned: Json,
  limit: "minimum" | "maximum",
  exclusive: "exclusiveMinimum" | "exclusiveMaximum",
): void {
  const value = schema[exclusive];
  if (Number.isFinite(value)) cleaned[exclusive] = value;
  else if (value === true && cleaned[limit] !== undefined) {
    cleaned[exclusive] = cleaned[limit];
    delete cleaned[limit];
  }
}

/** Lists to choose from: `enum`, Membrane's records with names, and collections to look ids up in. */
function mendChoices(schema: Json, cleaned: Json): void {
  const notes: string[] = [];
  const custom = schema["allowCustom"] === true;
  let values = Array.isArray(schema["enum"]) ? schema["enum"] : null;

  const records = schema["referenceRecords"];
  if (Array.isArray(records)) {
    const named = records
      .filter(isObject)
      .filter(({ id }) => typeof id === "string" || typeof id === "number");
    if (named.length > 0) {
      values ??= named.map(({ id }) => id);
      notes.push(
        `${custom ? "For example" : "One of"}: ${named
          .slice(0, 50)
          .map(({ id, name }) =>
            typeof name === "string" && name !== id ? `${id} (${name})` : id,
          )
          .join(", ")}`,
      );
    }
  }
  if (values && values.length > 0) {
    if (!custom) cleaned["enum"] = values;
    else if (cleaned["examples"] === undefined) cleaned["examples"] = values;
  }
  const collection = schema["referenceCollection"];
  const key = isObject(collection) ? collection["key"] : undefined;
  if (typeof key === "string") notes.push(`The id of a record in ${key}`);

  if (notes.length === 0) return;
  const description = cleaned["description"];
  cleaned["description"] = [
    ...(typeof description === "string" && description !== ""
      ? [description]
      : []),
    ...notes,
  ].join(" – ");
}

/** `{ $var: … }` and its like: evaluated by Membrane against the current input. */
function isFormula(value: unknown): boolean {
  if (!isObject(value)) return false;
  const [key, ...more] = Object.keys(value);
  return (
    key !== undefined &&
    more.length === 0 &&
    key.startsWith("$") &&
    !DOLLARS.has(key)
  );
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
