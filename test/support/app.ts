import { copyFileSync } from "node:fs";
import { createApp } from "../../src/app.ts";
import type { App, AppOptions } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import type { Clock, LogFields } from "../../src/core/runtime.ts";
import type { Source } from "../../src/core/source.ts";
import { mintToken } from "../../src/demo/token.ts";
import type { DemoWorkspace } from "../../src/demo/workspace.ts";
import type { World } from "../../src/demo/world.ts";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import type { Caller } from "./caller.ts";
import { createCaller } from "./caller.ts";
import { holdToDocument } from "./documented.ts";
import { freePort } from "./port.ts";
import { temporaryDirectory } from "./directory.ts";
import { openWorkspace } from "./demo-client.ts";
import {
  metricsFor,
  keepToken,
  keepSettings,
  searchFiles,
  searchMetrics,
  searchText,
  searchTraces,
  tracesFor,
  watchSecrets,
} from "./suite-secrets.ts";
import { oddWorld } from "./odd-world.ts";

/** The whole server in this process, over a demo workspace, on real sockets. */
export type Rig = AsyncDisposable &
  Omit<Caller, "close"> & {
    /** `http://127.0.0.1:<port>` */
    url: string;
    workspace: DemoWorkspace;
    directory: string;
    /** Every line that was logged. */
    lines: (LogFields & { event: string; level: string })[];
    tokenFor(user: string, claims?: TokenClaims): Promise<string>;
    restart(): Promise<void>;
    /** Forgets what has expired. */
    retain(): Promise<void>;
    /** Heartbeats, polls, and whether readers may still read. */
    tick(): void;
  };

export type TokenClaims = {
  ttlSeconds?: number;
  workspaceKey?: string;
  secret?: string;
};
export const WORKSPACE_KEY = "wk-test";
export const SECRET = "a-test-secret-of-more-than-32-bytes";

/** A list waits for a server as long as that takes: how long is what the tests that say so are about. */
const UNHURRIED = { soon: 60_000 };

export async function openRig(
  options: {
    env?: Record<string, string>;
    world?: World;
    clock?: Clock;
    sources?: Source[];
    /** Verify tokens by asking Membrane. */
    introspect?: boolean;
    /** A file to begin with. */
    database?: string;
    /** What is to be in the data directory before the start. */
    before?: (directory: string) => Promise<void>;
  } & Pick<AppOptions, "authenticator" | "servers" | "times"> = {},
): Promise<Rig> {
  const directory = temporaryDirectory();
  if (options.database) {
    copyFileSync(options.database, databaseFile(directory.path));
  }
  await options.before?.(directory.path);
  const workspace = openWorkspace(
    options.world ?? oddWorld({ bigActions: 30 }),
    {
      workspaceKey: WORKSPACE_KEY,
      secret: SECRET,
    },
  );
  const lines: Rig["lines"] = [];
  const at =
    (level: string) =>
    (event: string, fields: LogFields = {}) =>
      void lines.push({ level, event, ...fields });
  const log = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  };
  // The same after a restart.
  const port = String(freePort());
  const make = () => {
    const env = {
      PORT: port,
      DATA_DIR: directory.path,
      MEMBRANE_API_URI: workspace.url,
      MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY,
      ...(options.introspect ? {} : { MEMBRANE_WORKSPACE_SECRET: SECRET }),
      ...metricsFor(options.env),
      ...tracesFor(options.env),
      DRAIN_TIMEOUT: "200ms",
      // Tests wait by asking again, as fast as they can.
      RATE_LIMIT: "0",
      ...options.env,
    };
    keepSettings(env);
    return createApp({
      config: readConfig(env),
      log,
      ...(options.clock ? { clock: options.clock } : {}),
      ...(options.sources ? { sources: options.sources } : {}),
      ...(options.servers ? { servers: options.servers } : {}),
      ...(options.authenticator
        ? { authenticator: options.authenticator }
        : {}),
      times: { ...UNHURRIED, ...options.times },
    });
  };
  watchSecrets();
  let app: App = make();
  const url = await app.start();
  const asDocumented = holdToDocument(url);

  const tokenFor: Rig["tokenFor"] = async (user, claims = {}) => {
    const all = {
      workspaceKey: WORKSPACE_KEY,
      secret: SECRET,
      user,
      ...claims,
    };
    return keepToken(`the token of ${user}`, await mintToken(all));
  };
  const caller = createCaller(url, tokenFor);
  return {
    ...caller,
    url,
    workspace,
    directory: directory.path,
    lines,
    tokenFor,
    retain: () => app.retain(),
    tick: () => app.tick(),
    async restart() {
      await app.close();
      app = make();
      await app.start();
    },
    async [Symbol.asyncDispose]() {
      await caller.close();
      for (const { headers } of workspace.requests) {
        keepToken("a request to Membrane", headers["authorization"] ?? "");
      }
      try {
        await searchMetrics(url);
        // While there is a log of the database.
        searchFiles(directory.path);
      } finally {
        await app.close();
        await workspace.close();
        try {
          await searchTraces();
          await searchText("the log", JSON.stringify(lines));
        } finally {
          directory[Symbol.dispose]();
          await asDocumented();
        }
      }
    },
  };
}
