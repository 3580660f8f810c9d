import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { createApp } from "../app.ts";
import type { ServersAt } from "../cli/server-program.ts";
import type { ApiRequest } from "../cli/servers-api.ts";
import { createServersApi, readAnswer } from "../cli/servers-api.ts";
import type { ServerCommands } from "../cli/servers.ts";
import { createServerCommands } from "../cli/servers.ts";
import { credentialHeaders, readApiKey } from "../cli/token.ts";
import type { Config } from "../config.ts";
import { GatewayError } from "../core/errors.ts";
import type { Log } from "../core/runtime.ts";
import { operator } from "./operator.ts";
import { systemClock } from "../runtime/machine.ts";
import { ask, localUrl, probe } from "../runtime/probe.ts";
import { databaseFile } from "../store/sqlite/database.ts";
import { holderOf } from "../store/sqlite/lock.ts";
import { openRegistry } from "../store/sqlite/operate.ts";

/** Where a command was given. */
type Here = {
  config: Config;
  log: Log;
  env: Readonly<Record<string, string | undefined>>;
  /** What starts this program. */
  self: readonly string[];
  print: (text: string) => void;
};

type Command = (commands: ServerCommands) => Promise<number>;

/**
 * Runs a command for registered servers: over a running server, or on the database. Both are the same API; for the
 * database the whole product is in this process, and asked as the operator, beside a server or without one. Throws
 * what opening the database throws, and `invalid` or `unauthenticated` for what is missing.
 */
export function runServerCommand(
  at: ServersAt,
  here: Here,
  command: Command,
): Promise<number> {
  return at.url === undefined
    ? runOnDatabase(at, here, command)
    : runOver(at.url, at, here, command);
}

async function runOver(
  url: string,
  { keyFile, workspace, member }: ServersAt,
  here: Here,
  command: Command,
): Promise<number> {
  const { config, env } = here;
  if (member !== undefined) {
    throw new GatewayError(
      "invalid",
      "With --url everything is done as the member whose API key it is: leave out --member.",
    );
  }
  const base = baseOf(url);
  const credential = credentialHeaders(readApiKey(keyFile, env));
  const request: ApiRequest = async (method, path, body) =>
    readAnswer(
      await ask(`${base}${path}`, { method, ...carrying(body, credential) }),
    );
  return command(
    createServerCommands({
      api: createServersApi(request, {
        workspace: workspace ?? null,
        guess: config.MEMBRANE_WORKSPACE_KEY ?? null,
      }),
      at: readingAt(here, [base]),
      url: base,
      deadEnd: () => Promise.resolve(null),
      clock: systemClock,
      print: here.print,
    }),
  );
}

async function runOnDatabase(
  { keyFile, mayMake, ...asked }: ServersAt,
  here: Here,
  command: Command,
): Promise<number> {
  const { config, log, print } = here;
  if (keyFile !== undefined) {
    throw new GatewayError("invalid", "--key-file goes with --url.");
  }
  const who = operator(config, lookInto(config.DATA_DIR, mayMake), asked);
  const served = holderOf(config.DATA_DIR) !== null;
  await using app = createApp({ config, log, operator: who });

  const request: ApiRequest = async (method, path, body) => {
    const host = `localhost:${config.PORT}`;
    const asking = new Request(`http://localhost${path}`, {
      method,
      ...carrying(body, { host }),
    });
    const response = await app.fetch(asking, {
      address: null,
      setIdleTimeout() {},
    });
    const { status } = response;
    return readAnswer({ status, text: await response.text() });
  };
  return await command(
    createServerCommands({
      api: createServersApi(request, {
        workspace: who.workspace,
        guess: null,
      }),
      at: readingAt(here, localBases(config)),
      url: null,
      deadEnd: () => deadEnd(config, served),
      clock: systemClock,
      print,
    }),
  );
}

function carrying(
  body: object | undefined,
  headers: Record<string, string>,
): RequestInit {
  return body === undefined
    ? { headers }
    : {
        headers: { ...headers, "content-type": "application/json" },
        body: JSON.stringify(body),
      };
}

/** `mayMake`: there need not be a database yet. */
function lookInto(
  directory: string,
  mayMake: boolean,
): { workspaces(): string[] } {
  if (mayMake && !existsSync(databaseFile(directory))) {
    return { workspaces: () => [] };
  }
  using open = openRegistry(directory, systemClock);
  const found = open.workspaces();
  return { workspaces: () => found };
}

/** Why links of ours lead nowhere; null when they do not. */
async function deadEnd(
  config: Config,
  served: boolean,
): Promise<string | null> {
  if (!served) {
    return `No server runs on ${config.DATA_DIR}, so that a link would lead nowhere. Start it first: membrane-mcp serve`;
  }
  if (config.PUBLIC_URL !== undefined) return null;
  const url = localUrl(config);
  if (await probe(`${url}/health`)) return null;
  return `A link would lead to ${url}, where nobody answers. Give the command the server's own settings: HOST and PORT, or PUBLIC_URL.`;
}

function readingAt({ config, env, self }: Here, bases: readonly string[]) {
  const { PUBLIC_URL } = config;
  return {
    platform: process.platform,
    home: homedir(),
    env,
    cwd: process.cwd(),
    self,
    ours: PUBLIC_URL === undefined ? bases : [...bases, PUBLIC_URL],
  };
}

function localBases(config: Config): string[] {
  const hosts = ["localhost", "127.0.0.1", "[::1]"];
  return [
    localUrl(config),
    ...hosts.map((host) => `http://${host}:${config.PORT}`),
  ];
}

/** The address of a server, by that or by its `/mcp`; without a slash at its end. */
function baseOf(given: string): string {
  const url = URL.parse(given);
  const plain =
    url &&
    /^https?:$/.test(url.protocol) &&
    !url.username &&
    !url.password &&
    !url.search &&
    !url.hash;
  if (!plain) {
    throw new GatewayError(
      "invalid",
      "What --url says is not the http(s) URL of a server, without credentials and query.",
    );
  }
  return url.href.replace(/\/+$/, "").replace(/\/mcp$/, "");
}
