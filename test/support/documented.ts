import { Ajv2020 } from "ajv/dist/2020.js";
import type { ValidateFunction } from "ajv/dist/2020.js";
import { once } from "../../src/core/once.ts";
import { buildDocument } from "../../src/http/api/document.ts";
import { methodsOf, routes } from "../../src/http/routes.ts";
import type { Exchange } from "./watched-fetch.ts";
import { watchFetch } from "./watched-fetch.ts";

/** The document of the API, held against what servers answer. */

const document = once(
  () => buildDocument({ version: "test", publicUrl: null }) as any,
);

/** Formats as our clients would read them. */
const options = {
  strict: false,
  allErrors: true,
  formats: {
    "date-time": (text: string) =>
      !Number.isNaN(Date.parse(text)) && new Date(text).toISOString() === text,
    uri: (text: string) => URL.canParse(text),
    uuid: /^[0-9a-f-]{36}$/,
    binary: true,
  },
} as const;

/** As the document says, and for what we send: nothing beside what it names. */
const requests = once(() => new Ajv2020(options).addSchema(document(), "api"));
const answers = once(() =>
  new Ajv2020(options).addSchema(closed(document()), "api"),
);

function closed(value: any): any {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, closed(inner)]),
  );
  const described = "properties" in copy && copy["type"] === "object";
  return described && !("additionalProperties" in copy)
    ? { ...copy, additionalProperties: false }
    : copy;
}

const compiled = new Map<string, ValidateFunction>();
function faultsOf(
  ajv: typeof requests,
  pointer: string[],
  value: unknown,
): string | null {
  const path = pointer
    .map((part) => part.replaceAll("~", "~0").replaceAll("/", "~1"))
    .map(encodeURIComponent)
    .join("/");
  const key = `${ajv === answers} ${path}`;
  let validate = compiled.get(key);
  if (!validate) {
    validate = ajv().compile({ $ref: `api#/${path}` });
    compiled.set(key, validate);
  }
  return validate(value) ? null : ajv().errorsText(validate.errors);
}

/** What is wrong with a value, by a schema of that name in the document; null for nothing. */
export const unlike = (name: string, value: unknown): string | null =>
  faultsOf(answers, ["components", "schemas", name], value);

/** The path in the document that a URL's path is of, or null. */
function templateOf(method: string, path: string): string | null {
  if (!methodsOf(path).includes(method)) return null;
  const all = Object.keys(routes)
    .filter((route) => route.startsWith(`${method} `))
    .map((route) => route.slice(method.length + 1));
  const fits = (pattern: string) =>
    new RegExp(`^${pattern.replaceAll(/:\w+/g, "[^/]+")}$`).test(path);
  const found = all.find((pattern) => pattern === path) ?? all.find(fits);
  return found?.replaceAll(/:(\w+)/g, "{$1}") ?? null;
}

/** What is wrong with an answer, or with the document; null when they agree. */
export function disagreement(asked: {
  method: string;
  path: string;
  /** What was sent, if it was text. */
  sent: string | null;
  status: number;
  type: string | null;
  /** Null for a stream. */
  text: string | null;
}): string | null {
  const { method, path, status, text } = asked;
  const template = templateOf(method, path);
  // What is not in the table is answered by no route.
  if (template === null) return null;
  const at = ["paths", template, method.toLowerCase()];
  const operation = document().paths[template][method.toLowerCase()];
  const where = `${method} ${template} ${status}`;
  let response = operation.responses[status];
  if (!response) return `${where} is not documented: ${text}`;
  let pointer = [...at, "responses", String(status)];
  if (response.$ref) {
    pointer = response.$ref.slice(2).split("/");
    response = document().components.responses[pointer.at(-1)!];
  }
  // What is only taken (202) is read without care.
  if (status < 202 && asked.sent && operation.requestBody) {
    const [type] = Object.keys(operation.requestBody.content);
    const schema = [...at, "requestBody", "content", type!, "schema"];
    const faults =
      type === "application/json" &&
      faultsOf(requests, schema, JSON.parse(asked.sent));
    if (faults) return `${where} was asked for with ${asked.sent}: ${faults}`;
  }
  if (!response.content) {
    return text === "" || text === null ? null : `${where} has a body: ${text}`;
  }
  const type = asked.type?.split(";")[0]?.trim() ?? "none";
  const documented = Object.keys(response.content).find(
    (one) => one === type || one === type.replace(/\/.*/, "/*"),
  );
  if (!documented) return `${where} is of the type ${type}: ${text}`;
  if (text === null || !/[/+]json$/.test(documented)) return null;
  const faults = faultsOf(
    answers,
    [...pointer, "content", documented, "schema"],
    JSON.parse(text),
  );
  return faults && `${where}: ${faults}\n${text}`;
}

type Seen = Parameters<typeof disagreement>[0];

/** What was answered, by origin. */
const seen = new Map<string, Promise<Seen | null>[]>();
const watch = once(() =>
  watchFetch((exchange) => {
    const { url, response } = exchange;
    // What Bun answers by itself has no request id; what was followed may have led anywhere.
    const ours = response.headers.has("x-request-id") && !response.redirected;
    if (ours) seen.get(url.origin)?.push(see(exchange));
  }),
);

/**
 * From now on, what `fetch` gets from this origin is kept. What is returned compares it with the document, and throws
 * when something is not as it stands there; it is for the end, when nobody measures time any more.
 */
export function holdToDocument(url: string): () => Promise<void> {
  const { origin } = new URL(url);
  seen.set(origin, []);
  watch();
  return async () => {
    const all = await Promise.all(seen.get(origin) ?? []);
    seen.delete(origin);
    const faults = all.flatMap((one) => (one && disagreement(one)) ?? []);
    if (faults.length > 0) {
      throw new Error(`Not as documented: ${[...new Set(faults)].join("\n")}`);
    }
  };
}

async function see({
  method,
  url,
  sent,
  response,
}: Exchange): Promise<Seen | null> {
  const type = response.headers.get("content-type");
  const streams = type?.startsWith("text/event-stream") === true;
  try {
    return {
      method,
      path: url.pathname.replace(/&.*/, ""),
      sent,
      status: response.status,
      type,
      text: streams ? null : await response.clone().text(),
    };
  } catch {
    // Cut off: there is nothing to compare.
    return null;
  }
}
