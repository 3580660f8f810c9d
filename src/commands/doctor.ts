import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  statfsSync,
  statSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import type { Config } from "../config.ts";
import type { Finding } from "./doctor-reach.ts";
import {
  examineCollector,
  examineMembrane,
  examinePublicUrl,
  examineWebhook,
  fault,
  isLoopback,
} from "./doctor-reach.ts";
import { keyFile, readKeyFile } from "../runtime/encryption-key.ts";
import { localUrl, probe } from "../runtime/probe.ts";
import { createVault } from "../runtime/vault.ts";
import { databaseFile } from "../store/sqlite/database.ts";
import { examine } from "../store/sqlite/operate.ts";

const MB = 1024 * 1024;
const LOW_DISK = 512 * MB;
const NO_DISK = 64 * MB;
/** Looks at all that serving needs, in the order in which a start would meet it. Changes nothing. */
export async function examineAll(
  config: Config,
  token: string | null,
): Promise<Finding[]> {
  const running = await runningServer(config);
  return [
    ...examineDirectory(config),
    ...examineDatabase(config, running),
    ...examineListener(config, running),
    ...examineMetrics(config, running),
    ...(await examineMembrane(config, token)),
    ...(await examinePublicUrl(config)),
    ...examineSafety(config),
    ...(await examineWebhook(config)),
    ...(await examineCollector(config)),
  ];
}

function examineDirectory({ DATA_DIR: directory }: Config): Finding[] {
  const check = "data directory";
  const path = resolve(directory);
  let there = path;
  while (!existsSync(there) && lstatSync(there, QUIET) === undefined) {
    there = dirname(there);
  }
  try {
    if (!statSync(there).isDirectory()) throw new Error("not a directory");
    accessSync(there, constants.W_OK | constants.X_OK);
    // To root everything is writable, but for what nothing can be made in.
    if (/^\/(proc|sys)(\/|$)/.test(there)) throw new Error("not for files");
  } catch (error) {
    return [
      {
        check,
        level: "fault",
        message: `${path} cannot be used: ${there} is ${describe(error)}. Give the user of the server write access, or set DATA_DIR to another directory.`,
      },
    ];
  }
  if (there !== path) {
    return [
      { check, level: "ok", message: `${path} will be made at the start.` },
    ];
  }
  const { mode } = statSync(path);
  const found: Finding[] = [];
  if ((mode & 0o077) !== 0) {
    found.push({
      check,
      level: "warning",
      message: `${path} is open to other users of this machine (mode ${(mode & 0o777).toString(8)}). Run: chmod 700 ${path}`,
    });
  }
  const { bavail, bsize } = statfsSync(path);
  const free = bavail * bsize;
  if (free < LOW_DISK) {
    found.push({
      check,
      level: free < NO_DISK ? "fault" : "warning",
      message: `${path} has ${Math.round(free / MB)} MB left. Free some space.`,
    });
  }
  return found.length > 0
    ? found
    : [
        {
          check,
          level: "ok",
          message: `${path}, ${Math.round(free / MB / 1024)} GB free.`,
        },
      ];
}

function examineDatabase(config: Config, running: boolean): Finding[] {
  const check = "database";
  const file = databaseFile(config.DATA_DIR);
  try {
    const { version, newest, bytes, walBytes, keyCheck, heldBy } = examine(
      config.DATA_DIR,
    );
    const key = examineKey(config, keyCheck);
    if (heldBy !== null && !running) {
      return [
        {
          check,
          level: "fault",
          message: `${config.DATA_DIR} is in use by ${heldBy}, which does not answer on ${config.HOST}:${config.PORT}. Stop it, or set DATA_DIR to another directory.`,
        },
      ];
    }
    if (version === null) {
      return [
        { check, level: "ok", message: `${file} will be made at the start.` },
        ...key,
      ];
    }
    const size = `${Math.ceil(bytes / MB)} MB, log ${Math.ceil(walBytes / MB)} MB`;
    return [
      {
        check,
        level: "ok",
        message:
          version < newest
            ? `${file} is whole (${size}); the start will bring it from schema ${version} to ${newest}.`
            : `${file} is whole (${size}).`,
      },
      ...key,
    ];
  } catch (error) {
    return [fault(check, error)];
  }
}

/** Whether what is sealed can be opened. `keyCheck`: of the database; null when there is nothing. */
function examineKey(
  { DATA_DIR, ENCRYPTION_KEY }: Config,
  keyCheck: string | null,
): Finding[] {
  const check = "encryption key";
  const keys = ENCRYPTION_KEY ?? null;
  const from = keys ? "ENCRYPTION_KEY" : keyFile(DATA_DIR);
  try {
    const vault = createVault({
      keys,
      directory: DATA_DIR,
      sealed: () => ({ keyCheck: () => keyCheck, keepKeyCheck() {} }),
    });
    if (keyCheck !== null) vault.verify(keyCheck);
    else if (keys === null && readKeyFile(DATA_DIR) === null) {
      return [
        {
          check,
          level: "ok",
          message: `${from} will be made when there is the first secret to seal.`,
        },
      ];
    }
    return [
      keyCheck !== null && vault.outdated(keyCheck)
        ? {
            check,
            level: "warning",
            message: `Secrets are still sealed with an older key of ${from}: keep it listed until a server has been started with both, and has logged that it is done.`,
          }
        : {
            check,
            level: "ok",
            message: `That in ${from} is good. Without a copy of it, elsewhere than the backups, they hold secrets that nobody can read.`,
          },
    ];
  } catch (error) {
    return [fault(check, error)];
  }
}

function examineListener(config: Config, running: boolean): Finding[] {
  const check = "listener";
  const where = `${config.HOST}:${config.PORT}`;
  if (running) {
    return [{ check, level: "ok", message: `A server answers on ${where}.` }];
  }
  return [examinePort(check, config.HOST, config.PORT, "PORT or HOST")];
}

function examineMetrics(config: Config, running: boolean): Finding[] {
  const { METRICS_PORT: port, METRICS_HOST: host } = config;
  if (port === undefined || running) return [];
  const check = "metrics";
  return [examinePort(check, host, port, "METRICS_PORT or METRICS_HOST")];
}

function examinePort(
  check: string,
  hostname: string,
  port: number,
  settings: string,
): Finding {
  const where = `${hostname}:${port}`;
  try {
    void Bun.serve({
      hostname,
      port,
      reusePort: false,
      fetch: () => new Response(),
    }).stop(true);
    return { check, level: "ok", message: `${where} is free.` };
  } catch (error) {
    return {
      check,
      level: "fault",
      message: `Cannot listen on ${where} (${(error as { code?: string }).code ?? "unknown"}). Set ${settings}, or stop what listens there.`,
    };
  }
}

const QUIET = { throwIfNoEntry: false } as const;

function describe(error: unknown): string {
  const { code, message } = error as Error & { code?: string };
  if (code === "EACCES" || code === "EROFS") return "not writable";
  return code === "ENOENT" ? "a link to nothing" : message;
}

function examineSafety(config: Config): Finding[] {
  const found: Finding[] = [];
  const warn = (check: string, message: string) =>
    found.push({ check, level: "warning", message });
  if (
    !isLoopback(config.HOST) &&
    config.PUBLIC_URL === undefined &&
    config.ALLOWED_HOSTS.length === 0
  ) {
    warn(
      "hosts",
      `The server listens on ${config.HOST}, but answers only to requests for that name and for loopback. Set PUBLIC_URL or ALLOWED_HOSTS to the name that clients use.`,
    );
  }
  if (config.ALLOW_NON_EXPIRING_TOKENS) {
    warn(
      "tokens",
      "Tokens without an expiry are accepted: one that leaks is good for ever.",
    );
  }
  if (config.ALLOW_SHORT_SECRET) {
    warn("tokens", "A short workspace secret is accepted, and can be guessed.");
  }
  return found;
}

async function runningServer(config: Config): Promise<boolean> {
  const answer = await probe(`${localUrl(config)}/health`);
  return answer !== null && answer.text.includes('"checks"');
}
