import { z } from "zod";
import { GatewayError } from "./core/errors.ts";
import { scopes } from "./core/principal.ts";
import { originOf } from "./core/webhook.ts";
import { SECRET_FORM, readSecret } from "./gateway/events/webhook-secrets.ts";
import { KEY_FORM, parseKeys } from "./runtime/encryption-key.ts";
import { readPairs, samplers } from "./runtime/otlp.ts";

/** Everything that can be set, from the environment. Pure: reads nothing but its argument. */

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** What a timer of the machine can wait for, in ms: less than 25 days. */
const MAX_TIMER = 2_147_483_647;

/** One for all, as every start makes those that it needs. */
const string = z.string();

/** `90s`, `5m`, `24h`, `30d`; to milliseconds. */
const duration = (fallback: string, min = 1, max = MAX_TIMER) =>
  string.default(fallback).transform((text, context) => {
    const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text.trim());
    const value = match
      ? Number(match[1]) * units[match[2] as keyof typeof units]
      : NaN;
    if (value >= min && value <= max) return value;
    context.addIssue(
      `must be a duration such as 500ms, 90s, 5m or 24h, from ${describeDuration(min)} to ${describeDuration(max === MAX_TIMER ? 24 * units.d : max)}`,
    );
    return z.NEVER;
  });

const whole =
  (min: number, max: number) =>
  (text: string, context: { addIssue(issue: string): void }) => {
    const value = /^\d+$/.test(text.trim()) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    context.addIssue(`must be a whole number from ${min} to ${max}`);
    return z.NEVER;
  };

const integer = (fallback: number, min: number, max: number) =>
  string.default(String(fallback)).transform(whole(min, max));

const toggle = (fallback: boolean) =>
  string.default(String(fallback)).transform((text, context) => {
    if (/^(true|1|on|yes)$/i.test(text)) return true;
    if (/^(false|0|off|no)$/i.test(text)) return false;
    context.addIssue("must be true or false");
    return z.NEVER;
  });

const choice = <const Names extends readonly string[]>(names: Names) =>
  z.enum(names, `must be one of ${names.join(", ")}`);

const name = string.min(1).max(256, "must have at most 256 characters");

const list = z
  .string()
  .default("")
  .transform((text) =>
    text
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== ""),
  );

const httpUrl = z.string().transform((text, context) => {
  const url = URL.parse(text);
  if (
    url &&
    /^https?:$/.test(url.protocol) &&
    !url.username &&
    !url.password &&
    !url.search &&
    !url.hash
  ) {
    return url.href.replace(/\/$/, "");
  }
  context.addIssue(
    "must be an http(s) URL without credentials, query or fragment",
  );
  return z.NEVER;
});

const origins = list.transform((values, context) =>
  values.map((value) => {
    const url = URL.parse(value);
    if (url && url.origin !== "null" && url.origin === value) return value;
    context.addIssue(
      `${value} is not an origin such as https://app.example.com`,
    );
    return z.NEVER;
  }),
);

const addresses = list.transform((values, context) =>
  values.map((value) => {
    if (isNetwork(value)) return value;
    context.addIssue(
      `${value} is not an address or a network such as 10.0.0.0/8`,
    );
    return z.NEVER;
  }),
);

/** The most of those that are named; `none` for none at all. */
const scope = (fallback: string) =>
  list.default([fallback]).transform((names, context) => {
    const known: readonly string[] = ["none", ...scopes];
    const most = Math.max(...names.map((name) => known.indexOf(name)));
    if (names.every((name) => known.includes(name)) && names.length > 0) {
      return scopes[most - 1] ?? null;
    }
    context.addIssue(`must be one of ${known.join(", ")}`);
    return z.NEVER;
  });

/** The newest first. */
const encryptionKeys = z.string().transform((text, context) => {
  const keys = parseKeys(text);
  if (keys) return keys;
  context.addIssue(
    `must be ${KEY_FORM}; to change it, the new one, a comma and the old one`,
  );
  return z.NEVER;
});

/** The newest first. */
const webhookSecrets = z.string().transform((texts, context) =>
  texts.split(",").map((text) => {
    const secret = readSecret(text.trim());
    if (secret) return secret;
    context.addIssue(
      `${SECRET_FORM} (echo whsec_$(openssl rand -base64 32)); to change it, the new one, a comma and the old one`,
    );
    return z.NEVER;
  }),
);

const webhookUrl = z.string().transform((text, context) => {
  const url = URL.parse(text);
  const fine =
    url &&
    /^https?:$/.test(url.protocol) &&
    !url.username &&
    !url.password &&
    !url.href.includes("#");
  if (fine) return url.href;
  context.addIssue("must be an http(s) URL without credentials and fragment");
  return z.NEVER;
});

function isNetwork(text: string): boolean {
  // Not imported: few set it, and it takes a millisecond of the start.
  const { isIP } = process.getBuiltinModule("node:net");
  const [address = "", bits, ...rest] = text.split("/");
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  if (bits === undefined) return true;
  return /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 6 ? 128 : 32);
}

const destinations = list.transform((values, context) =>
  values.map((value) => {
    if (isNetwork(value) || isHostName(value.replace(/^\*\./, "")))
      return value;
    context.addIssue(
      `${value} is not an address, a network such as 10.0.0.0/8, or a host name such as my-server or *.example.internal, without a port`,
    );
    return z.NEVER;
  }),
);

/** A name that is none other to a URL: no address in another notation. */
function isHostName(text: string): boolean {
  const labels = text.split(".");
  return (
    labels.every((label) => /^[\w-]+$/.test(label)) &&
    URL.parse(`http://${text}/`)?.hostname === text.toLowerCase() &&
    !isNetwork(text)
  );
}

/** A private key in PEM, or a JWK with a private or symmetric part. */
function isSecret(text: string): boolean {
  if (text.includes("PRIVATE KEY")) return true;
  try {
    const jwk: unknown = JSON.parse(text);
    return (
      typeof jwk === "object" && jwk !== null && ("d" in jwk || "k" in jwk)
    );
  } catch {
    return false;
  }
}

const host = z
  .string()
  .transform((host) => host.replace(/^\[(.*)\]$/, "$1"))
  .refine(
    (host) =>
      /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$|:/.test(host) && host !== "0",
    "must be an address or a host name, such as 127.0.0.1, 0.0.0.0 or ::1",
  )
  .default("127.0.0.1");

/** Whether one port cannot be listened to at both. */
function meet(one: string, other: string): boolean {
  const wide = /^(0\.0\.0\.0|::|localhost)$/;
  return one === other || wide.test(one) || wide.test(other);
}

/** Guessing it has to be out of the question: nothing counts the tries. */
const MIN_METRICS_TOKEN = 16;

/** As OpenTelemetry writes lists of names and values. */
const pairs = z
  .string()
  .default("")
  .refine(
    (text) => readPairs(text) !== null,
    "must be name=value pairs with commas between them, values in percent-encoding",
  );

const schema = z
  .object({
    PORT: integer(3000, 0, 65535),
    HOST: host,
    PUBLIC_URL: httpUrl.optional(),
    ALLOWED_ORIGINS: origins,
    ALLOWED_HOSTS: list,
    TRUSTED_PROXIES: addresses,
    OUTBOUND_ALLOW: destinations,
    OAUTH_CLIENT_ID_URL: httpUrl
      .refine((url) => url.startsWith("https:"), "must be an https URL")
      .optional(),
    DATA_DIR: z.string().min(1).default("./data"),
    MEMBRANE_API_URI: httpUrl.default("https://api.getmembrane.com"),
    MEMBRANE_WORKSPACE_KEY: name.optional(),
    MEMBRANE_WORKSPACE_SECRET: z.string().min(1).optional(),
    MEMBRANE_PUBLIC_KEY: z
      .string()
      .min(1)
      .refine(
        (text) => !isSecret(text),
        "is a private or secret key, and anybody who reads it can sign tokens. Set it to the public one",
      )
      .optional(),
    MEMBRANE_JWKS_URL: httpUrl.optional(),
    TOKEN_SCOPES: scope("apps:read"),
    ENCRYPTION_KEY: encryptionKeys.optional(),
    WEBHOOK_URL: webhookUrl.optional(),
    WEBHOOK_SECRET: webhookSecrets.optional(),
    WEBHOOK_RECEIVE_SECRET: webhookSecrets.optional(),
    TOKEN_IN_QUERY: toggle(true),
    ALLOW_NON_EXPIRING_TOKENS: toggle(false),
    ALLOW_SHORT_SECRET: toggle(false),
    CALL_TIMEOUT: duration("65s", 100),
    CATALOG_TTL: duration("1m", 100),
    CATALOG_POLL: duration("5m", 100),
    CATALOG_CACHE_BYTES: integer(134_217_728, 1_048_576, 2 ** 40),
    TOOLS_PAGE_SIZE: integer(1500, 1, 100_000),
    AUTO_STATIC_TOOLS: integer(40, 0, 100_000),
    PROGRESS_INTERVAL: duration("5s", 10),
    SESSION_TTL: duration("30d", 1000, 3650 * units.d),
    SESSION_CACHE: integer(2000, 1, 1_000_000),
    SESSION_MAX_EVENTS: integer(1000, 10, 1_000_000),
    SESSION_MAX_BYTES: integer(8_388_608, 65_536, 2 ** 40),
    USER_MAX_BYTES: integer(268_435_456, 0, 2 ** 40),
    DATABASE_MAX_BYTES: integer(8_589_934_592, 0, 2 ** 40),
    RECORD_CONTENTS: toggle(false),
    EVENT_TTL: duration("24h", 1000, 3650 * units.d),
    RATE_LIMIT: integer(200, 0, 1_000_000),
    RATE_LIMIT_BURST: integer(1000, 1, 1_000_000),
    RATE_LIMIT_SERVER: integer(1000, 0, 1_000_000),
    RATE_LIMIT_GLOBAL: integer(10_000, 0, 1_000_000),
    MAX_CALLS: integer(50, 0, 100_000),
    MAX_QUEUED_CALLS: integer(50, 0, 100_000),
    MAX_STREAMS: integer(500, 0, 1_000_000),
    MAX_SESSIONS: integer(10_000, 0, 10_000_000),
    MAX_SESSIONS_WORKSPACE: integer(100_000, 0, 100_000_000),
    JOURNAL_TTL: duration("90d", 1000, 3650 * units.d),
    JOURNAL_MAX: integer(1_000_000, 1000, 100_000_000),
    JOURNAL_MAX_BYTES: integer(1_073_741_824, 1_048_576, 2 ** 40),
    AUDIT_TTL: duration("365d", 1000, 3650 * units.d),
    AUDIT_MAX: integer(100_000, 1000, 10_000_000),
    MAX_BODY_BYTES: integer(4_194_304, 1024, 2 ** 30),
    MAX_JSON_DEPTH: integer(64, 8, 1000),
    DRAIN_TIMEOUT: duration("25s"),
    LOG_LEVEL: choice(["debug", "info", "warn", "error", "silent"]).default(
      "info",
    ),
    LOG_FORMAT: choice(["json", "pretty"]).optional(),
    METRICS_PORT: z.string().transform(whole(0, 65535)).optional(),
    METRICS_HOST: host,
    METRICS_TOKEN: z
      .string()
      .regex(
        /^[\w.~+/-]+=*$/,
        "must be of the characters that a bearer token has: letters, digits, -._~+/",
      )
      .min(
        MIN_METRICS_TOKEN,
        `must have at least ${MIN_METRICS_TOKEN} characters`,
      )
      .optional(),
    OTEL_EXPORTER_OTLP_ENDPOINT: httpUrl.optional(),
    OTEL_EXPORTER_OTLP_HEADERS: pairs,
    OTEL_SERVICE_NAME: name.default("membrane-mcp"),
    OTEL_RESOURCE_ATTRIBUTES: pairs,
    OTEL_TRACES_SAMPLER: choice(samplers).default("parentbased_always_on"),
    OTEL_TRACES_SAMPLER_ARG: z
      .string()
      .default("1")
      .transform((text, context) => {
        const value = /^\d*\.?\d+$/.test(text.trim()) ? Number(text) : NaN;
        if (value >= 0 && value <= 1) return value;
        context.addIssue("must be a number from 0 to 1");
        return z.NEVER;
      }),
  })
  .check(({ value, issues }) => {
    const fault = (name: string, message: string) =>
      issues.push({ code: "custom", path: [name], message, input: value });
    const keys = [
      "MEMBRANE_WORKSPACE_SECRET",
      "MEMBRANE_PUBLIC_KEY",
      "MEMBRANE_JWKS_URL",
    ] as const;
    const set = keys.filter((name) => value[name] !== undefined);
    if (set.length > 1) {
      fault(set[1]!, `cannot be combined with ${set[0]}; choose one`);
    }
    if (set.length > 0 && value.MEMBRANE_WORKSPACE_KEY === undefined) {
      fault(
        "MEMBRANE_WORKSPACE_KEY",
        `is needed beside ${set[0]}: tokens of other workspaces are refused`,
      );
    }
    const { PORT, HOST, METRICS_PORT, METRICS_HOST } = value;
    if (METRICS_PORT === PORT && PORT !== 0 && meet(HOST, METRICS_HOST)) {
      fault(
        "METRICS_PORT",
        "is that of the server itself (PORT); set another one, or METRICS_TOKEN alone to have /metrics there",
      );
    }
    const { DATABASE_MAX_BYTES: room, JOURNAL_MAX_BYTES: journal } = value;
    if (room > 0 && room < journal * 2) {
      fault(
        "DATABASE_MAX_BYTES",
        `must be at least twice JOURNAL_MAX_BYTES (${journal}), or 0 for no limit`,
      );
    }
    const { WEBHOOK_URL: webhook, WEBHOOK_SECRET: signing } = value;
    if (webhook !== undefined && signing === undefined) {
      fault("WEBHOOK_SECRET", `is needed beside WEBHOOK_URL: ${SECRET_FORM}`);
    }
    if (webhook === undefined && signing !== undefined) {
      fault(
        "WEBHOOK_URL",
        "is needed beside WEBHOOK_SECRET; to receive webhooks only, set WEBHOOK_RECEIVE_SECRET instead",
      );
    }
    const secret = value.MEMBRANE_WORKSPACE_SECRET;
    if (
      secret !== undefined &&
      Buffer.byteLength(secret) < 32 &&
      !value.ALLOW_SHORT_SECRET
    ) {
      fault(
        "MEMBRANE_WORKSPACE_SECRET",
        "is shorter than 32 bytes and could be guessed; set ALLOW_SHORT_SECRET=true to use it all the same",
      );
    }
  });

export type Config = z.output<typeof schema>;

/** Names of all settings, in the order they are shown. */
export const settingNames = Object.keys(schema.shape) as (keyof Config)[];

const secretNames: ReadonlySet<string> = new Set([
  "MEMBRANE_WORKSPACE_SECRET",
  "ENCRYPTION_KEY",
  "METRICS_TOKEN",
  "OTEL_EXPORTER_OTLP_HEADERS",
  "WEBHOOK_SECRET",
  "WEBHOOK_RECEIVE_SECRET",
]);

/**
 * Reads the environment. An empty variable counts as unset. Throws `invalid`, naming every fault at
 * once and never a value, which may be a secret in the wrong place.
 */
export function readConfig(
  env: Readonly<Record<string, string | undefined>>,
): Config {
  const given = Object.fromEntries(
    settingNames
      .map((name) => [name, env[name]] as const)
      .filter(([, value]) => value !== undefined && value !== ""),
  );
  // Used once, so not compiled first.
  const read = schema.safeParse(given, { jitless: true });
  if (read.success) return read.data;
  const faults = read.error.issues.map(
    (issue) => `  ${issue.path[0]?.toString()}: ${issue.message}`,
  );
  throw new GatewayError(
    "invalid",
    `The configuration has ${faults.length === 1 ? "a fault" : `${faults.length} faults`}:\n${faults.join("\n")}`,
  );
}

/** The configuration as `NAME=value` lines, secrets as `(set)`. */
export function describeConfig(config: Config): string {
  return settingNames
    .map((name) => {
      const value = config[name];
      if (value === undefined) return `${name}=`;
      if (secretNames.has(name)) return `${name}=${value ? "(set)" : ""}`;
      if (value === null) return `${name}=none`;
      if (name === "WEBHOOK_URL") {
        return `${name}=${originOf(String(value))}`;
      }
      if (Array.isArray(value)) return `${name}=${value.join(",")}`;
      return `${name}=${durationNames.has(name) ? describeDuration(Number(value)) : String(value)}`;
    })
    .join("\n");
}

const durationNames: ReadonlySet<string> = new Set([
  "CALL_TIMEOUT",
  "CATALOG_TTL",
  "CATALOG_POLL",
  "PROGRESS_INTERVAL",
  "SESSION_TTL",
  "EVENT_TTL",
  "JOURNAL_TTL",
  "AUDIT_TTL",
  "DRAIN_TIMEOUT",
]);

function describeDuration(ms: number): string {
  const unit = (["d", "h", "m", "s"] as const).find(
    (name) => ms % units[name] === 0,
  );
  return unit ? `${ms / units[unit]}${unit}` : `${ms}ms`;
}
