import { basename, isAbsolute, resolve } from "node:path";
import type { ParseError } from "jsonc-parser";
import { parse } from "jsonc-parser";
import { GatewayError } from "../core/errors.ts";
import type { Machine } from "./connect.ts";
import { clientFile } from "./connect.ts";
import { readText } from "./token.ts";

/** What the clients' files say of servers, in the terms in which we register them. */

/** One server of a file. */
export type Entry = { name: string } & (
  | {
      registration: EntryRegistration;
      /** False when it was switched off there. */
      enabled: boolean;
    }
  /** Why it cannot be taken over. */
  | { refused: string }
  /** Why it need not be. */
  | { skipped: string }
);

export type EntryRegistration = { name: string } & (
  | {
      transport: "http" | "sse";
      url: string;
      authentication:
        | { type: "none" }
        | { type: "bearer"; token: string }
        | { type: "headers"; headers: Record<string, string> };
    }
  | {
      transport: "stdio";
      command: string;
      args: string[];
      cwd: string | null;
      env: Record<string, string>;
    }
);

/** Where entries are read, and what is known there. */
export type Reading = Machine & {
  /** Addresses of this gateway, without a slash at their end. */
  ours: readonly string[];
  /** What starts this program. */
  self: readonly string[];
};

/**
 * What is in a client's own file, or in a file. Throws `not_found` or `invalid` for a file that cannot be read, or has
 * no servers in it.
 */
export function readEntries(source: string, at: Reading): Entry[] {
  const file = clientFile(source, at) ?? resolve(at.cwd, source);
  const entries = parseEntries(readText(file), at);
  if (entries) return entries;
  throw new GatewayError(
    "invalid",
    `${file} is not the JSON that was expected there: an object with mcpServers, or servers, in it.`,
    { data: { reason: "damaged" } },
  );
}

/**
 * The servers in the text of a file, which may have comments; those for all projects, and, in that of Claude Code,
 * those for the project of this directory. Null when it is not such a file.
 */
export function parseEntries(text: string, at: Reading): Entry[] | null {
  const errors: ParseError[] = [];
  const whole: unknown = parse(text.replace(/^\uFEFF/, ""), errors, {
    allowTrailingComma: true,
  });
  if (errors.length > 0 || !isRecord(whole)) return null;
  const { mcpServers, servers, projects } = whole;
  const project = isRecord(projects) ? projects[at.cwd] : undefined;
  // Of two of one name Claude Code takes the project's.
  const found = [
    isRecord(project) ? project["mcpServers"] : undefined,
    mcpServers ?? servers,
  ].filter((group) => group !== undefined);
  if (found.length === 0 || !found.every(isRecord)) return null;
  return found.flatMap((group) =>
    Object.entries(group).map(([name, entry]) => readEntry(name, entry, at)),
  );
}

function readEntry(name: string, given: unknown, at: Reading): Entry {
  if (!isRecord(given)) return { name, refused: "It is no object." };
  try {
    const entry = withoutNulls(given);
    for (const [field, why] of Object.entries(foreign)) {
      if (field in entry) throw refusal(`Its ${field} ${why}.`);
    }
    const enabled = entry["disabled"] !== true && entry["enabled"] !== false;
    const url = entry["url"] ?? entry["serverUrl"];
    if (url !== undefined && entry["type"] !== "stdio") {
      const registration = readRemote(name, entry, url, at);
      return isOurs(registration.url, at.ours)
        ? { name, skipped: "this gateway itself" }
        : { name, registration, enabled };
    }
    if (entry["command"] === undefined) {
      throw refusal("It has neither a url nor a command.");
    }
    const registration = readProgram(name, entry, at);
    return isBridge(registration, at.self)
      ? { name, skipped: "this gateway itself, by way of membrane-mcp stdio" }
      : { name, registration, enabled };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return { name, refused: error.message };
  }
}

/** Why an entry cannot be taken over. */
function refusal(why: string): GatewayError {
  return new GatewayError("invalid", why);
}

/** What only the client itself can make anything of. */
const foreign: Record<string, string> = {
  envFile: "is not read. Put the variables into env",
  headersHelper: "is not run. Put the headers into headers",
};

function readRemote(
  name: string,
  entry: Record<string, unknown>,
  given: unknown,
  at: Reading,
) {
  const url = fill(textOf(given, "url"), at);
  return {
    name,
    url,
    transport: transportOf(entry["type"] ?? entry["transport"], url),
    authentication: authenticationOf(
      fillAll(textsOf(entry["headers"] ?? {}, "headers"), at),
    ),
  } as const;
}

function transportOf(type: unknown, url: string): "http" | "sse" {
  switch (type) {
    case "sse":
      return "sse";
    case undefined:
      // Clients try one and then the other; an address that ends so is of the older one.
      return /\/sse\/?$/.test(URL.parse(url)?.pathname ?? "") ? "sse" : "http";
    case "http":
    case "streamable-http":
    case "streamable_http":
    case "streamableHttp":
      return "http";
  }
  throw refusal(`Its type ${JSON.stringify(type)} is not known.`);
}

function authenticationOf(headers: Record<string, string>) {
  const [first, ...others] = Object.entries(headers);
  if (first === undefined) return { type: "none" } as const;
  const [name, value] = first;
  const token = /^bearer +(\S+)$/i.exec(value)?.[1];
  return others.length === 0 &&
    name.toLowerCase() === "authorization" &&
    token !== undefined
    ? ({ type: "bearer", token } as const)
    : ({ type: "headers", headers } as const);
}

function readProgram(
  name: string,
  entry: Record<string, unknown>,
  at: Reading,
) {
  const { args = [] } = entry;
  if (!Array.isArray(args)) throw refusal("Its args are no list.");
  const command = fill(textOf(entry["command"], "command"), at);
  const cwd =
    entry["cwd"] === undefined ? null : fill(textOf(entry["cwd"], "cwd"), at);
  const relative =
    cwd === null
      ? /[/\\]/.test(command) && !isAbsolute(command) && command
      : !isAbsolute(cwd) && cwd;
  if (relative) {
    throw refusal(
      `Only its client knows where ${relative} is. Write the whole path into the file.`,
    );
  }
  return {
    name,
    transport: "stdio",
    command,
    args: args.map((arg) => fill(textOf(arg, "args"), at)),
    cwd,
    env: fillAll(textsOf(entry["env"] ?? {}, "env"), at),
  } as const;
}

/** With what the placeholders stand for. Throws, by name, for those that only the client could fill. */
function fill(text: string, { env, home }: Machine): string {
  return text.replace(/\$\{([^}]*)\}/g, (placeholder, inside: string) => {
    if (inside === "userHome") return home;
    const [, name, fallback] =
      /^(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(inside) ?? [];
    const value = name === undefined ? undefined : (env[name] ?? fallback);
    if (value !== undefined) return value;
    throw refusal(
      name === undefined || name.startsWith("workspaceFolder")
        ? `Only its client knows what ${placeholder} stands for. Write the value into the file.`
        : `It needs ${placeholder}, and ${name} is not set in the environment here.`,
    );
  });
}

const fillAll = (texts: Record<string, string>, at: Machine) =>
  Object.fromEntries(
    Object.entries(texts).map(([name, text]) => [name, fill(text, at)]),
  );

function textOf(value: unknown, field: string): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") {
    return String(value);
  }
  throw refusal(`Its ${field} cannot be read: a text was expected.`);
}

function textsOf(value: unknown, field: string): Record<string, string> {
  if (!isRecord(value)) throw refusal(`Its ${field} are no object.`);
  return Object.fromEntries(
    Object.entries(withoutNulls(value)).map(([name, each]) => [
      name,
      textOf(each, `${field} ${name}`),
    ]),
  );
}

/** True for our own `/mcp` and `/sse`, and what is below them. */
function isOurs(url: string, ours: readonly string[]): boolean {
  const parsed = URL.parse(url);
  if (!parsed) return false;
  const path = `${parsed.origin}${parsed.pathname}`;
  return ours.some(
    (base) =>
      path.startsWith(base) &&
      /^\/(mcp|sse)(?![^/&])/.test(path.slice(base.length)),
  );
}

/** True for what starts this program, by whatever path, as a bridge. */
function isBridge(
  { command, args }: { command: string; args: string[] },
  self: readonly string[],
): boolean {
  const line = [command, ...args];
  const rest = /^membrane-mcp(\.exe)?$/.test(basename(command))
    ? args
    : self.every((part, i) => line[i] === part)
      ? line.slice(self.length)
      : [];
  return rest.includes("stdio");
}

function withoutNulls(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).filter(([, each]) => each !== null),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
