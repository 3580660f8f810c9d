import { isAbsolute, resolve } from "node:path";
import { GatewayError } from "../core/errors.ts";
import type { AuthType } from "../core/upstream.ts";
import type { EntryRegistration } from "./entries.ts";
import { readText } from "./token.ts";

/** What is said on the command line of a server that is to be added, in the terms of the management API. */

export type AddTarget = { url: string } | { command: readonly string[] };

export type AddOptions = {
  transport?: "http" | "sse";
  auth?: AuthType;
  tokenFile?: string;
  headersFile?: string;
  clientId?: string;
  clientSecretFile?: string;
  /** Names of variables. */
  env: string[];
  cwd?: string;
  slug?: string;
  description?: string;
  pin: boolean;
  enable: boolean;
};

/** As the API takes it. */
type Registration = { name: string; [field: string]: unknown };

/** Throws `invalid` for what does not go together, and `not_found` for a file that is not there. */
export function readRegistration(
  name: string,
  target: AddTarget,
  options: AddOptions,
  at: {
    cwd: string;
    env: Readonly<Record<string, string | undefined>>;
    /** The server runs somewhere else. */
    remote: boolean;
  },
): Registration {
  const { slug, description, pin } = options;
  const about = {
    name,
    ...(slug === undefined ? {} : { slug }),
    ...(description === undefined ? {} : { description }),
    ...(pin ? { pinned: true } : {}),
  };
  if ("url" in target) {
    if (options.env.length > 0) throw only("--env", "a command");
    if (options.cwd !== undefined) throw only("--cwd", "a command");
    return {
      ...about,
      url: target.url,
      ...(options.transport ? { transport: options.transport } : {}),
      authentication: authenticationOf(options),
    };
  }
  const remoteOnly = [
    ["--transport", options.transport],
    ["--auth", options.auth],
    ["--token-file", options.tokenFile],
    ["--headers-file", options.headersFile],
    ["--client-id", options.clientId],
    ["--client-secret-file", options.clientSecretFile],
  ].find(([, value]) => value !== undefined);
  if (remoteOnly) throw only(remoteOnly[0]!, "a URL");
  if (at.remote) {
    throw invalid(
      "A server that is a program is added on the machine that runs it: there, without --url.",
    );
  }
  const [command = "", ...args] = target.command;
  return {
    ...about,
    transport: "stdio",
    command: wholePath(command, options, at),
    args,
    // What is tried here is to go the same way later, wherever the server was started.
    cwd: resolve(at.cwd, options.cwd ?? "."),
    env: Object.fromEntries(
      options.env.map((variable) => [variable, valueOf(variable, at.env)]),
    ),
  };
}

/** `./run` is of where the command is given, unless it is to run somewhere else. */
function wholePath(
  command: string,
  { cwd }: AddOptions,
  at: { cwd: string },
): string {
  const path = /[/\\]/.test(command) && !isAbsolute(command);
  return path && cwd === undefined ? resolve(at.cwd, command) : command;
}

function valueOf(
  variable: string,
  env: Readonly<Record<string, string | undefined>>,
): string {
  const value = env[variable];
  if (value !== undefined) return value;
  throw invalid(
    `--env ${variable}: there is no such variable in the environment here. The server is given the value that it has now.`,
  );
}

function authenticationOf(options: AddOptions): Record<string, unknown> {
  const { tokenFile, headersFile, clientId, clientSecretFile } = options;
  const implied =
    tokenFile !== undefined
      ? "bearer"
      : headersFile !== undefined
        ? "headers"
        : clientId !== undefined
          ? "oauth"
          : "none";
  const type = options.auth ?? implied;
  const secret = type === "bearer" || type === "api_key";
  if (tokenFile !== undefined && !secret) {
    throw only("--token-file", "--auth bearer or api_key");
  }
  if (headersFile !== undefined && type !== "headers") {
    throw only("--headers-file", "--auth headers");
  }
  if (clientId !== undefined && type !== "oauth") {
    throw only("--client-id", "--auth oauth");
  }
  if (clientSecretFile !== undefined && clientId === undefined) {
    throw invalid("--client-secret-file goes with --client-id.");
  }
  if (secret) {
    if (tokenFile === undefined) throw missing("--token-file", type);
    return { type, token: readSecret(tokenFile) };
  }
  if (type === "headers") {
    if (headersFile === undefined) throw missing("--headers-file", type);
    return { type, headers: readHeaders(readText(headersFile)) };
  }
  if (clientId === undefined) return { type };
  const client =
    clientSecretFile === undefined
      ? { clientId }
      : { clientId, clientSecret: readSecret(clientSecretFile) };
  return { type, ...client };
}

function readSecret(file: string): string {
  const text = readText(file).trim();
  if (text !== "") return text;
  throw invalid(`${file} is empty. Put the secret into it.`);
}

/** Lines `Name: value`; empty ones, and those that begin with `#`, say nothing. Never shows what is in them. */
export function readHeaders(text: string): Record<string, string> {
  const lines = text
    .split(/\r?\n/)
    .map((line, i) => ({ line: line.trim(), n: i + 1 }))
    .filter(({ line }) => line !== "" && !line.startsWith("#"));
  const headers = lines.map(({ line, n }) => {
    const [, name, value] = /^([^\s:]+):\s*(.+)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) return [name, value];
    throw invalid(`Line ${n} of the headers is not of the form "Name: value".`);
  });
  return Object.fromEntries(headers);
}

/** Without what may be secret: values of headers and variables, arguments, and what stands before a URL's host and after its path. */
export function describeRegistration(registration: EntryRegistration): string {
  if (registration.transport === "stdio") {
    const { command, args, env } = registration;
    const names = Object.keys(env);
    return [
      command,
      args.length > 0 ? ` with ${args.length} arguments` : "",
      names.length > 0 ? `, env ${names.join(", ")} (set)` : "",
    ].join("");
  }
  const { transport, authentication } = registration;
  const parsed = URL.parse(registration.url);
  const url = parsed
    ? `${parsed.origin}${parsed.pathname}${parsed.search && "?…"}`
    : "no URL";
  switch (authentication.type) {
    case "none":
      return `${url} (${transport})`;
    case "bearer":
      return `${url} (${transport}), bearer (set)`;
    case "headers":
      return `${url} (${transport}), headers ${Object.keys(authentication.headers).join(", ")} (set)`;
  }
}

function only(option: string, whose: string): GatewayError {
  return invalid(`${option} is for ${whose} only.`);
}

function missing(option: string, type: AuthType): GatewayError {
  return invalid(
    `--auth ${type} takes ${option} FILE (- for standard input): a secret is never an argument.`,
  );
}

function invalid(message: string): GatewayError {
  return new GatewayError("invalid", message);
}
