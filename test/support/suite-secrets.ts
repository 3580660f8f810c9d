import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { once } from "../../src/core/once.ts";
import { readApiKey } from "../../src/gateway/api-key-text.ts";
import { keyFile } from "../../src/runtime/encryption-key.ts";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import { openCollector } from "./collector.ts";
import { createSentinels } from "./sentinels.ts";
import { watchFetch } from "./watched-fetch.ts";

/**
 * The search for secrets that every test makes, whatever else it is about: those that it configures, mints, sends and
 * is given are remembered, and whoever closes a server has what it logged, told and stored searched for all of them.
 *
 * A secret is what lets somebody in, or signs: credentials of callers, of members and of servers, keys, codes, tickets,
 * cookies of logins. What a tool is called with and answers is its caller's own, may well be a secret, and is kept for
 * as long as its session's streams can be resumed: only a test whose tool tells a credential has to say so.
 */
const secrets = createSentinels();
const answered = createSentinels();
const answers = new Set<unknown>();

/** Simpler ones, as tests make up, are found everywhere. */
const MIN_LENGTH = 16;
const MIN_CHARACTERS = 8;

export function keepSecret(place: string, secret: string | Uint8Array): void {
  const characters = new Set<unknown>(secret as string);
  if (secret.length < MIN_LENGTH || characters.size < MIN_CHARACTERS) return;
  (answers.has(secret) ? answered : secrets).keep(place, secret);
}

/** A credential that a tool tells its caller: it may be stored with what the session is told, and is nowhere else. */
export function answeredSecret(secret: string): string {
  answers.add(secret);
  return secret;
}

/** Settings that are secret, and what their parts are. */
const settings: Record<string, (value: string) => (string | Uint8Array)[]> = {
  MEMBRANE_WORKSPACE_SECRET: (value) => [value],
  MEMBRANE_TOKEN: (value) => [tokenPart(value)],
  METRICS_TOKEN: (value) => [value],
  ENCRYPTION_KEY: (value) => value.split(",").map((key) => readKey(key.trim())),
  WEBHOOK_SECRET: webhookSecrets,
  WEBHOOK_RECEIVE_SECRET: webhookSecrets,
  WEBHOOK_URL: webhookParts,
  OTEL_EXPORTER_OTLP_HEADERS: (value) => [
    ...new URLSearchParams(value.replaceAll(",", "&")).values(),
  ],
};

export function keepSettings(env: Record<string, string | undefined>): void {
  for (const [name, parts] of Object.entries(settings)) {
    const value = env[name];
    if (value) for (const part of parts(value)) keepSecret(name, part);
  }
}

/** What nobody else may know of a token or an API key: the rest of it says whose it is. */
function tokenPart(token: string): string {
  return readApiKey(token)?.secret ?? token.split(".")[2] ?? token;
}

/** Remembers a token of a member, and returns it. */
export function keepToken(place: string, token: string): string {
  keepSecret(place, tokenPart(token));
  return token;
}

function readKey(text: string): Uint8Array {
  return Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? "hex" : "base64");
}

function webhookSecrets(value: string): Uint8Array[] {
  return value
    .split(/[\s,]+/)
    .map((one) => Buffer.from(one.replace("whsec_", ""), "base64"));
}

function queryParts(address: string): string[] {
  return [...(URL.parse(address)?.searchParams.values() ?? [])];
}

/** Its path may be a credential, too, and is shown to nobody. */
function webhookParts(address: string): string[] {
  const path = URL.parse(address)?.pathname.slice(1) ?? "";
  return [decodeURIComponent(path), ...queryParts(address)];
}

/** Remembers every credential that `fetch` in this process brings or gets. */
export const watchSecrets = once(() =>
  watchFetch(({ url, headers, sent, response }) => {
    const of = `${url.pathname} `;
    for (const name of ["authorization", "x-api-key"]) {
      const value = headers.get(name)?.replace(/^\w+ /, "");
      if (value) keepSecret(of + name, tokenPart(value));
    }
    for (const name of ["token", "ticket", "code", "state", "key"]) {
      const value = url.searchParams.get(name);
      if (value) keepSecret(of + name, tokenPart(value));
    }
    for (const cookie of [
      ...(headers.get("cookie")?.split("; ") ?? []),
      ...response.headers.getSetCookie(),
    ]) {
      keepSecret(`${of}cookie`, cookie.replace(/^[^=]*=([^;]*).*/, "$1"));
    }
    if (!/api-keys|webhooks|mcp-servers/.test(url.pathname)) return;
    if (sent !== null) keepFields(of, sent);
    if (response.status === 200 || response.status === 201) {
      reading.push(
        response
          .clone()
          .text()
          .then((text) => keepFields(of, text))
          .catch(() => {}),
      );
    }
  }),
);
const reading: Promise<void>[] = [];

const FIELDS = /^(token|secret|key|clientSecret)$/;

/** Secrets in the JSON of the management API. */
function keepFields(of: string, text: string): void {
  const walk = (value: unknown, inside: boolean): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [name, field] of Object.entries(value)) {
      const secret = inside || FIELDS.test(name);
      if (typeof field === "string") {
        if (secret) {
          keepSecret(of + name, tokenPart(field.replace("whsec_", "")));
        }
        if (name !== "url") continue;
        const parts = of.includes("webhooks") ? webhookParts : queryParts;
        for (const part of parts(field)) keepSecret(of + name, part);
      } else walk(field, name === "headers" || name === "env");
    }
  };
  try {
    walk(JSON.parse(text), false);
  } catch {
    // It was to be refused.
  }
}

/** Throws when a secret is in there. */
export async function searchText(where: string, text: string): Promise<void> {
  await Promise.all(reading.splice(0));
  complain(where, [...secrets.foundIn(text), ...answered.foundIn(text)]);
}

const METRICS_TOKEN = "metrics-token-of-the-suite";

/** Settings of every server that has no metrics of its own. */
export const metricsFor = (env: Record<string, string> = {}) =>
  "METRICS_PORT" in env ? {} : { METRICS_TOKEN };

/** Throws when a secret is in the metrics of a server; those of one that is gone or has none are not there. */
export async function searchMetrics(url: string): Promise<void> {
  const headers = { authorization: `Bearer ${METRICS_TOKEN}` };
  const scraped = await fetch(`${url}/metrics`, { headers }).then(
    (answer) => answer.text(),
    () => "",
  );
  await searchText("the metrics", scraped);
}

/** Where the spans of all servers go that have no collector of their own. */
const collector = once(() => openCollector());
export const tracesFor = (env: Record<string, string> = {}) =>
  "OTEL_EXPORTER_OTLP_ENDPOINT" in env
    ? {}
    : { OTEL_EXPORTER_OTLP_ENDPOINT: collector().url };

/** Throws when a secret is in the spans that came since this was last asked. */
export function searchTraces(): Promise<void> {
  return searchText("the spans", collector().take());
}

/** Throws when a secret is in what servers have stored in data directories in there. */
export function searchFiles(directory: string): void {
  for (const name of readdirSync(directory, { recursive: true })) {
    const file = join(directory, String(name));
    if (basename(file) !== basename(databaseFile(""))) continue;
    const data = dirname(file);
    if (existsSync(keyFile(data)) && statSync(keyFile(data)).isFile()) {
      for (const key of readFileSync(keyFile(data), "utf8").split(/[\s,]+/)) {
        keepSecret("the key file", readKey(key));
      }
    }
    for (const stored of readdirSync(data)) {
      if (!/^(membrane-mcp\.db|instance\.)/.test(stored)) continue;
      const bytes = readIfThere(join(data, stored));
      if (bytes) complain(stored, secrets.foundIn(bytes));
    }
  }
}

/** A file that a server which is just ending takes away is not there any more. */
function readIfThere(file: string): Uint8Array | null {
  try {
    return statSync(file).isFile() ? readFileSync(file) : null;
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return null;
    throw error;
  }
}

function complain(where: string, places: string[]): void {
  if (places.length === 0) return;
  throw new Error(`A secret has leaked into ${where}: ${places.join(", ")}`);
}
