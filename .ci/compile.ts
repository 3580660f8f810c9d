import { existsSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";

/** One executable. */
export type Compiling = {
  entry: string;
  out: string;
  /** Of Bun's names, such as `bun-linux-arm64-musl`; default: this platform. */
  target?: string;
  /** The Bun of that target. */
  bun?: string;
};

/** The commit that is built, short; with a mark when the tree differs from it. */
function commit(): string {
  const git = (...args: string[]) =>
    Bun.spawnSync(["git", ...args], { cwd: join(import.meta.dir, "..") });
  const given = process.env["BUILD_COMMIT"];
  if (given) return given;
  try {
    const head = git("rev-parse", "--short=12", "HEAD");
    if (!head.success) return "unknown";
    const changed = git("status", "--porcelain").stdout.length > 0;
    return `${head.stdout.toString().trim()}${changed ? "-changed" : ""}`;
  } catch {
    return "unknown";
  }
}

/**
 * Start-up decides the flags: bytecode, chunks that are loaded when they are needed, and little compiling at
 * first. The executable reads no configuration of Bun's from where it is started.
 */
export async function compile(options: Compiling): Promise<void> {
  const { entry, out, target, bun } = options;
  const flags = [
    "--compile",
    "--compile-jit-policy=10",
    "--minify",
    "--bytecode",
    "--format=esm",
    "--splitting",
    "--sourcemap",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    `--define=BUILD_COMMIT=${JSON.stringify(commit())}`,
    ...(target ? [`--target=${target}`] : []),
    ...(bun ? [`--compile-executable-path=${bun}`] : []),
  ];
  // Source maps are in the executable; the copies that Bun leaves beside it are of no use.
  const folder = `${out}.building`;
  const built = join(folder, basename(out));
  try {
    const build = Bun.spawn(
      [process.execPath, "build", ...flags, entry, "--outfile", built],
      { stdout: "ignore", stderr: "pipe" },
    );
    const errors = await new Response(build.stderr).text();
    if ((await build.exited) !== 0) throw new Error(errors);
    renameSync(existsSync(built) ? built : `${built}.exe`, out);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
