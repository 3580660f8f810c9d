#!/usr/bin/env bun
import { fstatSync } from "node:fs";
import { createApp } from "./app.ts";
import type { App } from "./app.ts";
import { DISK_FAILED, exitCodeOf, exitCodes } from "./cli/exit.ts";
import type { Commands } from "./cli/program.ts";
import { describeConfig, readConfig } from "./config.ts";
import type { Config } from "./config.ts";
import { GatewayError, asGatewayError, describeError } from "./core/errors.ts";
import { createLog } from "./runtime/log.ts";
import { systemClock } from "./runtime/machine.ts";
import type { ProcessLog } from "./runtime/log.ts";

/**
 * argv and env in, exit code out. What only some commands need is imported by them: the server starts in a few
 * hundredths of a second.
 */

const { env } = process;

function openLog(config: Config): Promise<ProcessLog> {
  return createLog({
    level: config.LOG_LEVEL,
    format: config.LOG_FORMAT ?? (isWatched() ? "pretty" : "json"),
  });
}

/** Whether standard error is a terminal; a pipe or a file is known for none without the streams of Node. */
function isWatched(): boolean {
  return fstatSync(2).isCharacterDevice() && process.stderr.isTTY;
}

function openApp(config: Config, log: ProcessLog): App {
  return createApp({
    config,
    log,
    onStorageFailure() {
      // Whoever supervises us starts us anew, and the next start looks at the file.
      log.flush();
      process.exit(DISK_FAILED);
    },
  });
}

/** What comes sooner after a signal is the same: Ctrl-C reaches us from the terminal, and through whoever runs us. */
const SAME_SIGNAL_MS = 300;

/** Serves until SIGTERM or SIGINT; a second signal does not wait for running calls. */
async function run(app: App, log: ProcessLog, ready: (url: string) => void) {
  const stopped = Promise.withResolvers<number>();
  let firstAt: number | null = null;
  const stop = (signal: string) => {
    const now = systemClock.monotonic();
    if (firstAt !== null) {
      if (now - firstAt < SAME_SIGNAL_MS) return;
      log.flush();
      process.exit(exitCodes.internal);
    }
    firstAt = now;
    log.info("stopping", { signal });
    app.close().then(
      () => stopped.resolve(0),
      (error: unknown) => {
        log.error("stopping failed", { reason: describeError(error) });
        stopped.resolve(exitCodes.internal);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  process.on("unhandledRejection", (reason) => {
    log.error("unhandled rejection", { reason: describeError(reason) });
  });
  ready(await app.start());
  log.flush();
  const code = await stopped.promise;
  log.flush();
  return code;
}

/** What starts this program: the executable, or Bun and this file. */
function self(): string[] {
  return Bun.main.startsWith("/$bunfs/") || Bun.main.startsWith("B:/~BUN/")
    ? [process.execPath]
    : [process.execPath, Bun.main];
}

/** `/mcp` of the server that clients are to reach. Throws `invalid` when nobody says which. */
function mcpUrl(given: string | undefined, config: Config): string {
  const base = given ?? config.PUBLIC_URL;
  if (base === undefined) {
    throw new GatewayError(
      "invalid",
      "The address of the server is not known. Name it with --url, or set PUBLIC_URL.",
    );
  }
  const url = URL.parse(base);
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new GatewayError(
      "invalid",
      "What --url or PUBLIC_URL says is not an http(s) URL.",
    );
  }
  url.pathname = url.pathname.replace(/\/+$/, "");
  if (url.pathname.endsWith("/sse")) {
    throw new GatewayError(
      "invalid",
      `${url.origin}${url.pathname} is of the older transport. Name the server's /mcp.`,
    );
  }
  if (!url.pathname.endsWith("/mcp")) {
    url.pathname = `${url.pathname.replace(/\/$/, "")}/mcp`;
  }
  return url.href;
}

const registry = async () => {
  const { openRegistry } = await import("./store/sqlite/operate.ts");
  return openRegistry(readConfig(env).DATA_DIR, systemClock);
};
const print = (text: string) => console.log(text);
const printJson = (value: unknown) => print(JSON.stringify(value, null, 2));

const commands: Commands = {
  async serve() {
    const config = readConfig(env);
    const log = await openLog(config);
    return run(openApp(config, log), log, () => {});
  },

  /** The server, and beside it on loopback a small Membrane of our own. */
  async demo() {
    const config = readConfig(env);
    const { isLoopback } = await import("./commands/doctor-reach.ts");
    if (!isLoopback(config.HOST)) {
      throw new GatewayError(
        "invalid",
        "The demo listens on loopback only: its token is printed on the screen. Unset HOST.",
      );
    }
    const { openDemo } = await import("./demo/demo.ts");
    await using workspace = await openDemo(config.DATA_DIR);
    const log = await openLog(config);
    const app = openApp({ ...config, ...workspace.settings }, log);
    // Awaited: the workspace is closed when this function returns.
    return await run(app, log, (url) => {
      workspace.tell(url);
      print(workspace.welcome(url));
    });
  },

  async stdio(options) {
    const { readToken } = await import("./cli/token.ts");
    const { bridgeStdio } = await import("./cli/stdio.ts");
    const token = readToken(options, env);
    const config = readConfig({ LOG_LEVEL: "warn", ...env });
    const log = await openLog(config);
    const warn = log.warn;
    if (options.url !== undefined) {
      await bridgeStdio({ url: mcpUrl(options.url, config), token, warn });
      log.flush();
      return 0;
    }
    const { temporaryDirectory } = await import("./runtime/directory.ts");
    // Several clients may each start one, so by default each has a directory of its own.
    using directory = env["DATA_DIR"] ? null : temporaryDirectory();
    const app = openApp(
      directory ? { ...config, DATA_DIR: directory.path } : config,
      log,
    );
    await app.begin();
    await bridgeStdio({
      url: "http://localhost/mcp",
      token,
      warn,
      fetch(request) {
        request.headers.set("host", "localhost");
        return app.fetch(request, { address: null, setIdleTimeout() {} });
      },
    });
    await app.close();
    log.flush();
    return 0;
  },

  async config() {
    print(describeConfig(readConfig(env)));
    return 0;
  },

  async routes() {
    const { routes } = await import("./http/routes.ts");
    const { formatTable } = await import("./cli/table.ts");
    const rows = Object.entries(routes).map(([route, access]) => [
      ...route.split(" "),
      access,
    ]);
    print(formatTable(["METHOD", "PATH", "ACCESS"], rows));
    return 0;
  },

  async version() {
    const { versions } = await import("./version.ts");
    const { sqliteVersion } = await import("./store/sqlite/operate.ts");
    for (const [name, version] of [
      ...Object.entries(versions()),
      ["sqlite", sqliteVersion()],
    ]) {
      print(`${name} ${version}`);
    }
    return 0;
  },

  async doctor({ json }) {
    const { examineAll } = await import("./commands/doctor.ts");
    const { formatTable } = await import("./cli/table.ts");
    const token = env["MEMBRANE_ACCESS_TOKEN"] ?? null;
    const findings = await examineAll(readConfig(env), token);
    if (json) printJson(findings);
    else {
      print(
        formatTable(
          ["", "CHECK", "FINDING"],
          findings.map(({ level, check, message }) => [
            level.toUpperCase(),
            check,
            message,
          ]),
        ),
      );
    }
    return findings.some(({ level }) => level === "fault") ? 1 : 0;
  },

  async health() {
    const { localUrl, probe } = await import("./runtime/probe.ts");
    const url = `${localUrl(readConfig(env))}/health`;
    const answer = await probe(url);
    if (answer?.status === 200) {
      print(answer.text);
      return 0;
    }
    throw new GatewayError(
      "upstream_failed",
      answer
        ? `${url} answers with status ${answer.status}: ${answer.text}`
        : `Nobody answers at ${url}.`,
    );
  },

  async connect(client, { url, name, write, ...options }) {
    const { homedir } = await import("node:os");
    const { showConnection, writeConnection } =
      await import("./cli/connect.ts");
    const { readToken } = await import("./cli/token.ts");
    const to = {
      platform: process.platform,
      home: homedir(),
      env,
      cwd: process.cwd(),
      url: mcpUrl(url, readConfig(env)),
      token: readToken(options, env),
      self: self(),
    };
    print(
      write
        ? writeConnection(client, name, to, systemClock.now())
        : showConnection(client, name, to),
    );
    return 0;
  },

  async tokenMint({ user, name, ttl }) {
    const config = readConfig(env);
    const {
      MEMBRANE_WORKSPACE_KEY: workspaceKey,
      MEMBRANE_WORKSPACE_SECRET: secret,
    } = config;
    if (workspaceKey === undefined || secret === undefined) {
      throw new GatewayError(
        "invalid",
        "A token is signed with the workspace's secret. Set MEMBRANE_WORKSPACE_KEY and MEMBRANE_WORKSPACE_SECRET.",
      );
    }
    const { mintToken } = await import("./demo/token.ts");
    print(
      await mintToken({
        workspaceKey,
        secret,
        user,
        ttlSeconds: ttl / 1000,
        ...(name === undefined ? {} : { name }),
      }),
    );
    return 0;
  },

  async tokenInspect(options) {
    const { readToken } = await import("./cli/token.ts");
    const { inspectToken } = await import("./commands/inspect-token.ts");
    const { lines, accepted } = await inspectToken(
      readToken(options, env),
      readConfig(env),
    );
    print(lines.join("\n"));
    return accepted ? 0 : exitCodes.unauthenticated;
  },

  async sessionsList({ json, ...of }) {
    const { sessionTable } = await import("./commands/sessions.ts");
    using open = await registry();
    const sessions = open.sessions(of);
    if (json) printJson(sessions);
    else print(sessionTable(sessions));
    return 0;
  },

  async sessionsShow(id, { json }) {
    const { getSession, sessionLines } = await import("./commands/sessions.ts");
    using open = await registry();
    const session = getSession(open, id);
    if (json) printJson(session);
    else print(sessionLines(session));
    return 0;
  },

  async sessionsEnd(id) {
    const { endSession } = await import("./commands/sessions.ts");
    using open = await registry();
    await endSession(open, id);
    print(`Session ${id} has ended.`);
    return 0;
  },

  async chatsList({ json, ...of }) {
    const { chatTable } = await import("./commands/sessions.ts");
    using open = await registry();
    const chats = open.chats(of);
    if (json) printJson(chats);
    else print(chatTable(chats));
    return 0;
  },

  async audit(options) {
    const { auditPages, auditTable } = await import("./commands/audit.ts");
    const { missedInAudit } = await import("./core/told.ts");
    using open = await registry();
    const entries = [];
    const line = (told: unknown) => print(JSON.stringify(told));
    let pruned = false;
    for await (const page of auditPages(options, readConfig(env), open)) {
      if (options.json) page.entries.forEach(line);
      else entries.push(...page.entries);
      pruned ||= page.pruned;
    }
    if (!options.json) print(auditTable(entries));
    if (!pruned) return 0;
    const missed = missedInAudit(systemClock.now());
    if (options.json) line(missed);
    else console.error(missed.message);
    return 0;
  },

  async keysCreate(options) {
    const { createKey } = await import("./commands/api-keys.ts");
    using open = await registry();
    const { key, apiKey, words } = await createKey(
      options,
      readConfig(env),
      open,
    );
    if (options.json) printJson({ ...apiKey, key });
    else {
      // The key alone, so that a script can take it.
      print(key);
      console.error(words);
    }
    return 0;
  },

  async keysList({ workspace, json }) {
    const { listKeys, keyTable } = await import("./commands/api-keys.ts");
    using open = await registry();
    const keys = listKeys(open, workspace);
    if (json) printJson(keys);
    else print(keyTable(keys));
    return 0;
  },

  async keysRevoke(id) {
    const { revokeKey } = await import("./commands/api-keys.ts");
    using open = await registry();
    const revoked = await revokeKey(open, id);
    print(`API key ${revoked.id} (${revoked.name}) is good no more.`);
    return 0;
  },

  async servers(at, command) {
    const { runServerCommand } = await import("./commands/servers.ts");
    const config = readConfig({ LOG_LEVEL: "warn", ...env });
    const log = await openLog(config);
    const here = { config, log, env, self: self(), print };
    try {
      return await runServerCommand(at, here, command);
    } finally {
      log.flush();
    }
  },

  async backup(file) {
    const { backUpDirectory } = await import("./store/sqlite/operate.ts");
    const version = backUpDirectory(readConfig(env).DATA_DIR, file);
    print(
      `${file} is a checked copy of the database (schema ${version}). The key of the secrets in it is not: keep a copy of that elsewhere.`,
    );
    return 0;
  },

  async restore(file) {
    const { restoreDirectory } = await import("./store/sqlite/operate.ts");
    const { DATA_DIR } = readConfig(env);
    const kept = restoreDirectory(DATA_DIR, file, systemClock);
    print(
      `${DATA_DIR} holds what ${file} holds.${kept ? ` What it was is in ${kept}.` : ""}`,
    );
    return 0;
  },

  async migrate() {
    const { migrateDirectory } = await import("./store/sqlite/operate.ts");
    const { DATA_DIR } = readConfig(env);
    const { from, to } = migrateDirectory(DATA_DIR, systemClock);
    print(
      from === to
        ? `The database in ${DATA_DIR} is of schema ${to} already.`
        : `The database in ${DATA_DIR} was brought from schema ${from} to ${to}.`,
    );
    return 0;
  },
};

/** To serve takes no parser of commands: to load it and to describe them all is a tenth of the start. */
async function main(args: readonly string[]): Promise<number> {
  if (args.length === 0 || args.join(" ") === "serve") return commands.serve();
  const { runProgram } = await import("./cli/program.ts");
  return runProgram(args, commands);
}

// Whatever is written is for this user alone.
process.umask(0o077);
// A proxy that leads out of this machine does not lead back into it.
env["NO_PROXY"] = env["no_proxy"] = [
  env["NO_PROXY"] ?? env["no_proxy"],
  "127.0.0.1,localhost,::1",
]
  .filter(Boolean)
  .join(",");
main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (thrown: unknown) => {
    const error = asGatewayError(thrown);
    console.error(
      `membrane-mcp: ${error.code === "internal" ? describeError(thrown) : error.message}`,
    );
    process.exit(exitCodeOf(error));
  },
);
