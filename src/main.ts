#!/usr/bin/env bun
import { createApp } from "./app.ts";
import type { App } from "./app.ts";
import { exitCodes, parseCommand, usage } from "./cli/command.ts";
import { describeConfig, readConfig } from "./config.ts";
import type { Config } from "./config.ts";
import { GatewayError, asGatewayError, describeError } from "./core/errors.ts";
import { createLog } from "./runtime/log.ts";
import type { ProcessLog } from "./runtime/log.ts";
import { version } from "./version.ts";

/** argv and env in, exit code out. */

function openLog(config: Config): Promise<ProcessLog> {
  return createLog({
    level: config.LOG_LEVEL,
    format: config.LOG_FORMAT ?? (process.stderr.isTTY ? "pretty" : "json"),
  });
}

/** Serves until SIGTERM or SIGINT; a second signal does not wait for running calls. */
async function run(app: App, log: ProcessLog, ready: (url: string) => void) {
  const stopped = Promise.withResolvers<number>();
  let signals = 0;
  const stop = (signal: string) => {
    if (++signals > 1) {
      log.flush();
      process.exit(exitCodes.internal);
    }
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

async function serve(config: Config): Promise<number> {
  const log = await openLog(config);
  return run(createApp({ config, log }), log, () => {});
}

/** The server, and beside it on loopback a small Membrane of our own. */
async function demo(config: Config): Promise<number> {
  if (!isLoopback(config.HOST)) {
    throw new GatewayError(
      "invalid",
      "The demo listens on loopback only: its token is printed on the screen. Unset HOST.",
    );
  }
  // Loaded for the demo alone.
  const { openDemo } = await import("./demo/demo.ts");
  await using workspace = await openDemo(config.DATA_DIR);
  const log = await openLog(config);
  const app = createApp({
    config: { ...config, ...workspace.settings },
    log,
  });
  // Awaited: the workspace is closed when this function returns.
  return await run(app, log, (url) => console.log(workspace.welcome(url)));
}

function isLoopback(host: string): boolean {
  return (
    host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host)
  );
}

async function main(): Promise<number> {
  // Whatever is written is for this user alone.
  process.umask(0o077);
  const command = parseCommand(process.argv.slice(2));
  switch (command) {
    case "help":
      console.log(usage);
      return 0;
    case "version":
      console.log(`membrane-mcp ${version} (Bun ${Bun.version})`);
      return 0;
    case "config":
      console.log(describeConfig(readConfig(process.env)));
      return 0;
    case "serve":
      return serve(readConfig(process.env));
    case "demo":
      return demo(readConfig(process.env));
  }
}

main().then(
  (code) => process.exit(code),
  (thrown: unknown) => {
    const error = asGatewayError(thrown);
    console.error(
      `membrane-mcp: ${error.code === "internal" ? describeError(thrown) : error.message}`,
    );
    process.exit(exitCodes[error.code]);
  },
);
