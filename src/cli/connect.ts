import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { ParseError } from "jsonc-parser";
import { applyEdits, modify, parse, parseTree } from "jsonc-parser";
import { GatewayError } from "../core/errors.ts";
import { clientNames } from "./arguments.ts";
import { credentialHeaders } from "./token.ts";

type ClientName = (typeof clientNames)[number];

/** Where the clients keep their files. */
export type Machine = {
  platform: NodeJS.Platform;
  home: string;
  env: Readonly<Record<string, string | undefined>>;
  /** The directory in which the command was given. */
  cwd: string;
};

/** Where the client runs, and what it is to connect to. */
export type Connecting = Machine & {
  /** The server's `/mcp`. */
  url: string;
  token: string;
  /** What starts this program. */
  self: readonly string[];
};

type Client = {
  file(on: Machine): string;
  /** The object of the file that holds servers by name. */
  servers: string;
  entry(to: Connecting): object;
  /** What is to be done after the file is written. */
  next: string;
};

const headers = ({ token }: Connecting) => credentialHeaders(token);

/** Where programs keep their settings on this system. */
function settings({ platform, home, env }: Machine): string {
  if (platform === "darwin") return join(home, "Library/Application Support");
  if (platform === "win32") return env["APPDATA"] ?? join(home, "AppData");
  return env["XDG_CONFIG_HOME"] || join(home, ".config");
}

const clients: Record<ClientName, Client> = {
  cursor: {
    file: ({ home }) => join(home, ".cursor/mcp.json"),
    servers: "mcpServers",
    entry: (to) => ({ url: to.url, headers: headers(to) }),
    next: "Switch the server on in Cursor's settings, under MCP.",
  },
  // It speaks stdio only.
  claude: {
    file: (on) => join(settings(on), "Claude/claude_desktop_config.json"),
    servers: "mcpServers",
    entry: ({ url, token, self }) => ({
      command: self[0],
      args: [...self.slice(1), "stdio", "--url", url],
      env: { MEMBRANE_ACCESS_TOKEN: token },
    }),
    next: "Start Claude Desktop anew.",
  },
  "claude-code": {
    file: ({ home }) => join(home, ".claude.json"),
    servers: "mcpServers",
    entry: (to) => ({ type: "http", url: to.url, headers: headers(to) }),
    next: "Start Claude Code anew; /mcp shows the server.",
  },
  vscode: {
    file: (on) => join(settings(on), "Code/User/mcp.json"),
    servers: "servers",
    entry: (to) => ({ type: "http", url: to.url, headers: headers(to) }),
    next: 'Start the server in VS Code with the command "MCP: List Servers".',
  },
  windsurf: {
    file: ({ home }) => join(home, ".codeium/windsurf/mcp_config.json"),
    servers: "mcpServers",
    entry: (to) => ({ serverUrl: to.url, headers: headers(to) }),
    next: "Refresh the servers in Windsurf's settings, under Cascade.",
  },
  inspector: {
    file: ({ cwd }) => join(cwd, "mcp.json"),
    servers: "mcpServers",
    entry: (to) => ({
      type: "streamable-http",
      url: to.url,
      headers: headers(to),
    }),
    next: "Run: npx @modelcontextprotocol/inspector --config mcp.json",
  },
};

/** The file in which a client keeps its servers; null for what is no client of ours. */
export function clientFile(client: string, on: Machine): string | null {
  const name = nameOf(client);
  return name === undefined ? null : clients[name].file(on);
}

/** What to put into which file, as text for a person. Throws `invalid` for an unknown client. */
export function showConnection(
  client: string,
  name: string,
  to: Connecting,
): string {
  const { file, servers, entry, next } = find(client);
  const text = JSON.stringify({ [servers]: { [name]: entry(to) } }, null, 2);
  return `Put into ${file(to)}\n\n${text}\n\n${next}`;
}

/**
 * Merges the server into the client's own file; everything else in it, comments too, stays as it is, and what it
 * was is kept beside it. Returns what was done, as text for a person. Throws `invalid` for a file that cannot be
 * understood, and then has changed nothing.
 */
export function writeConnection(
  client: string,
  name: string,
  to: Connecting,
  now: number,
): string {
  const { file, servers, entry, next } = find(client);
  let path = file(to);
  let kept: string | null = null;
  try {
    path = followLinks(path);
    const before = existsSync(path) ? readText(path) : null;
    const bom = before?.startsWith(BOM) ? BOM : "";
    const body = before?.slice(bom.length) ?? "";
    const text = body.trim() === "" ? "{}" : body;
    checkShape(text, servers, path);
    const after = insert(text, [servers, name], entry(to));
    if (after === body) return `${path} says so already.`;
    if (before !== null) {
      const at = new Date(now).toISOString().replaceAll(/[:.]/g, "-");
      kept = `${path}.before-${at}`;
      copyFileSync(path, kept);
      chmodSync(kept, 0o600);
    }
    mkdirSync(dirname(path), { recursive: true });
    const partial = `${path}.${crypto.randomUUID()}.partial`;
    // It holds a token now. A file that is open to others already is its owner's choice.
    const mode = before === null ? 0o600 : statSync(path).mode & 0o777;
    const whole = bom + (after.endsWith("\n") ? after : `${after}\n`);
    writeFileSync(partial, whole, { mode, flag: "wx" });
    renameSync(partial, path);
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause;
    throw new GatewayError(
      "conflict",
      `${path} could not be written: ${(cause as Error).message}. Put in by hand what the command shows without --write.`,
      { data: { reason: "not_writable" }, cause },
    );
  }
  return `${path} names the server "${name}" now.${kept ? ` What it was is in ${kept}.` : ""} ${next}`;
}

const BOM = "\uFEFF";

/** Settings are often links into a repository of dotfiles, whose file may not be there yet. */
function followLinks(path: string): string {
  for (let links = 0; links < 40; links++) {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found?.isSymbolicLink()) return path;
    path = resolve(dirname(path), readlinkSync(path));
  }
  return path;
}

/** Throws `invalid` for what is no text: writing it back would change it. */
function readText(path: string): string {
  const bytes = readFileSync(path);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      bytes,
    );
  } catch {
    throw unexpected(path);
  }
}

/** Sets the value at the path. What stands around it keeps its own layout. */
function insert(text: string, path: string[], value: object): string {
  const eol = text.includes("\r\n") ? "\r\n" : "\n";
  const [edit] = modify(text, path, value, {});
  if (edit?.length === 0 && edit.content.startsWith(",")) {
    const json = JSON.stringify(value, null, 2).replaceAll("\n", `${eol}    `);
    const content = `,${eol}    ${JSON.stringify(path.at(-1))}: ${json}`;
    return applyEdits(text, [{ ...edit, content }]);
  }
  const formattingOptions = { insertSpaces: true, tabSize: 2, eol };
  return applyEdits(text, modify(text, path, value, { formattingOptions }));
}

function nameOf(client: string): ClientName | undefined {
  return clientNames.find((known) => known === client);
}

function find(client: string): Client {
  const name = nameOf(client);
  if (name === undefined) {
    throw new GatewayError(
      "invalid",
      `Unknown client: ${client}. Those known are: ${clientNames.join(", ")}.`,
    );
  }
  return clients[name];
}

function checkShape(text: string, servers: string, path: string): void {
  const errors: ParseError[] = [];
  const value: unknown = parse(text, errors, { allowTrailingComma: true });
  // Of two alike the first would be changed, and the last be read.
  const names = parseTree(text)?.children?.map(
    ({ children }) => children?.[0]?.value as unknown,
  );
  const twice = (names ?? []).filter((name) => name === servers).length > 1;
  const isObject = (thing: unknown) =>
    typeof thing === "object" && thing !== null && !Array.isArray(thing);
  const inner = isObject(value)
    ? (value as Record<string, unknown>)[servers]
    : null;
  if (
    errors.length > 0 ||
    twice ||
    !isObject(value) ||
    !(inner === undefined || isObject(inner))
  ) {
    throw unexpected(path);
  }
}

function unexpected(path: string): GatewayError {
  return new GatewayError(
    "invalid",
    `${path} is not the JSON that was expected there. Nothing was changed. Mend it, or put in by hand what the command shows without --write.`,
    { data: { reason: "damaged" } },
  );
}
