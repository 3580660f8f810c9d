import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { mintToken } from "../../src/demo/token.ts";
import { temporaryDirectory } from "./directory.ts";
import { freePort } from "./port.ts";
import {
  metricsFor,
  keepSettings,
  keepToken,
  searchMetrics,
  searchText,
  watchSecrets,
} from "./suite-secrets.ts";

const root = join(import.meta.dir, "../..");
export const executable = join(root, "dist/membrane-mcp");

/** Builds `dist/membrane-mcp` when it is missing or older than what it is made of. */
export async function ensureBuilt(): Promise<void> {
  const built = existsSync(executable) ? statSync(executable).mtimeMs : 0;
  const sources = [
    ...new Glob("{src,drizzle,.ci}/**/*").scanSync({ cwd: root, dot: true }),
    "package.json",
    "bun.lock",
  ];
  if (sources.every((file) => statSync(join(root, file)).mtimeMs < built))
    return;
  // Another process of tests may build it too, or run it already.
  const own = `${executable}.${process.pid}`;
  const build = Bun.spawn([process.execPath, "run", "build", "--out", own], {
    cwd: root,
    stdout: "ignore",
    stderr: "pipe",
  });
  const errors = await new Response(build.stderr).text();
  if ((await build.exited) !== 0) {
    throw new Error(`The build failed:\n${errors}`);
  }
  renameSync(own, executable);
}

/** One run of a program. */
export type Run = {
  pid: number;
  exited: Promise<number>;
  stdout(): string;
  stderr(): string;
  /** Waits until standard output or error contains the text. */
  printed(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
};

/** `before`: a program that starts it, with its arguments. */
export function run(
  args: string[],
  env: Record<string, string>,
  cwd: string,
  before: string[] = [],
): Run {
  return launch([...before, executable, ...args], env, cwd);
}

/** Whether a program is there, and succeeds. */
export function succeeds(...command: string[]): boolean {
  try {
    return Bun.spawnSync(command).success;
  } catch {
    return false;
  }
}

/** What it says of itself is searched for secrets when it has ended: all that a server says, and of others the errors. */
export function launch(
  command: string[],
  env: Record<string, string>,
  cwd: string,
): Run {
  watchSecrets();
  keepSettings(env);
  const child = Bun.spawn(command, {
    cwd,
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const out = gather(child.stdout);
  const err = gather(child.stderr);
  return {
    pid: child.pid,
    exited: Promise.all([child.exited, out.done, err.done]).then(
      async ([code]) => {
        const said = command.includes("serve") ? out.text() : "";
        await searchText(command.join(" "), said + err.text());
        return code;
      },
    ),
    stdout: out.text,
    stderr: err.text,
    async printed(text) {
      while (!out.text().includes(text) && !err.text().includes(text)) {
        const more = await Promise.race([
          out.more(),
          err.more(),
          child.exited.then(() => null),
        ]);
        if (more === null && !`${out.text()}${err.text()}`.includes(text)) {
          throw new Error(
            `It has ended without printing ${text}:\n${out.text()}${err.text()}`,
          );
        }
      }
    },
    kill: (signal) => child.kill(signal),
  };
}

function gather(stream: ReadableStream<Uint8Array>) {
  let text = "";
  let next = Promise.withResolvers<true>();
  const done = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      text += decoder.decode(chunk, { stream: true });
      next.resolve(true);
      next = Promise.withResolvers();
    }
  })();
  return { text: () => text, more: () => next.promise, done };
}

/** The executable serving, on a data directory and a port that outlive its runs. */
export type Server = AsyncDisposable & {
  url: string;
  dataDir: string;
  run(): Run;
  /** Starts it again, with other settings if given. */
  start(env?: Record<string, string>): Promise<void>;
  /** SIGKILL, and waits until it is gone. */
  kill9(): Promise<void>;
  tokenFor(user: string): Promise<string>;
};

export const WORKSPACE_KEY = "wk-test";
export const SECRET = "a-test-secret-of-more-than-32-bytes";

export async function openServer(
  apiUri: string,
  env: Record<string, string> = {},
): Promise<Server> {
  await ensureBuilt();
  const directory = temporaryDirectory();
  const cwd = join(directory.path, "cwd");
  const dataDir = join(directory.path, "data");
  mkdirSync(cwd);
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  const settings = (more: Record<string, string>) => ({
    PORT: String(port),
    DATA_DIR: dataDir,
    MEMBRANE_API_URI: apiUri,
    MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY,
    MEMBRANE_WORKSPACE_SECRET: SECRET,
    ...metricsFor(env),
    NO_PROXY: "127.0.0.1",
    ...env,
    ...more,
  });
  let current: Run;
  const start = async (more: Record<string, string> = {}) => {
    current = run(["serve"], settings(more), cwd);
    await current.printed('"event":"listening"');
  };
  await start();
  const kill9 = async () => {
    current.kill("SIGKILL");
    await current.exited;
  };
  return {
    url,
    dataDir,
    run: () => current,
    start,
    kill9,
    tokenFor: async (user) =>
      keepToken(
        `the token of ${user}`,
        await mintToken({ workspaceKey: WORKSPACE_KEY, secret: SECRET, user }),
      ),
    async [Symbol.asyncDispose]() {
      try {
        await searchMetrics(url);
        await kill9();
      } finally {
        directory[Symbol.dispose]();
      }
    },
  };
}
