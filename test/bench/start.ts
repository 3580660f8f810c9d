/**
 * Start-up and idle memory of the executable beside a hello-world of Bun's, compiled alike, in one run:
 *
 *     bun run bench:start
 */
import {
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile } from "../../.ci/compile.ts";

const RUNS = 21;
const directory = mkdtempSync(join(tmpdir(), "membrane-mcp-start-"));
const hello = join(directory, "hello");
const ours = join(directory, "membrane-mcp");
writeFileSync(
  `${hello}.ts`,
  'Bun.serve({ hostname: "127.0.0.1", port: Number(process.env.PORT), fetch: () => new Response("hello") });\nconsole.error("listening");\n',
);
await compile({ entry: `${hello}.ts`, out: hello });
await compile({ entry: join(import.meta.dir, "../../src/main.ts"), out: ours });

async function start(command: string[], port: number) {
  const data = join(directory, "data");
  rmSync(data, { recursive: true, force: true });
  const startedAt = performance.now();
  const child = Bun.spawn(command, {
    env: { PORT: String(port), DATA_DIR: data },
    stdout: "ignore",
    stderr: "pipe",
  });
  // Both say so on standard error as soon as they listen.
  await child.stderr.getReader().read();
  const ms = performance.now() - startedAt;
  // Until what the start began has settled.
  await Bun.sleep(300);
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  const mb = Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
  child.kill("SIGKILL");
  await child.exited;
  return { ms, mb };
}

const median = (values: number[]) =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!;
const results = {
  hello: [] as { ms: number; mb: number }[],
  ours: [] as { ms: number; mb: number }[],
};
try {
  for (let run = 0; run < RUNS; run++) {
    results.hello.push(await start([hello], 3194));
    results.ours.push(await start([ours, "serve"], 3195));
  }
  const row = (
    name: string,
    of: (which: "ours" | "hello") => number,
    unit: string,
  ) =>
    console.log(
      `| ${name} | ${of("ours").toFixed(1)} ${unit} | ${of("hello").toFixed(1)} ${unit} | ${(of("ours") / of("hello")).toFixed(1)} |`,
    );
  console.log("| | membrane-mcp | hello world | ratio |\n|---|---:|---:|---:|");
  row(
    "start to listening",
    (which) => median(results[which].map(({ ms }) => ms)),
    "ms",
  );
  row(
    "memory when idle (RSS)",
    (which) => median(results[which].map(({ mb }) => mb)),
    "MB",
  );
  row(
    "file",
    (which) => statSync(which === "ours" ? ours : hello).size / 1024 / 1024,
    "MB",
  );
} finally {
  rmSync(directory, { recursive: true, force: true });
}
