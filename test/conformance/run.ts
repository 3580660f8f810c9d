/**
 * Runs the official conformance suite against the server, built as an executable, once per revision, over a source
 * that has what it asks for. Fails on every failure and every warning. Prints a table and ends with
 * `N passed, N failed`, counting scenarios.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { compile } from "../../.ci/compile.ts";
import { mintToken } from "../../src/demo/token.ts";
import { freePort, launch } from "../support/binary.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { addAuthorization } from "./add-authorization.ts";

const revisions = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];
const suite = join(
  import.meta.dir,
  "../../node_modules/@modelcontextprotocol/conformance/dist/index.js",
);
const workspaceKey = "conformance";
const secret = "a secret for the conformance suite that is long enough";

type Check = { id: string; status: string; errorMessage?: string };

using directory = temporaryDirectory();
const executable = join(directory.path, "server");
await compile({ entry: join(import.meta.dir, "server.ts"), out: executable });
const port = await freePort();
const server = launch(
  [executable],
  {
    PORT: String(port),
    DATA_DIR: join(directory.path, "data"),
    MEMBRANE_WORKSPACE_KEY: workspaceKey,
    MEMBRANE_WORKSPACE_SECRET: secret,
  },
  directory.path,
);
await server.printed(String(port));
const token = await mintToken({ workspaceKey, secret, user: "suite" });
using proxy = addAuthorization(token, new URL(`http://127.0.0.1:${port}/mcp`));
const { url } = proxy;

let passed = 0;
let failed = 0;
for (const revision of revisions) {
  const results = join(directory.path, revision);
  const run = Bun.spawn(
    [
      process.execPath,
      suite,
      "server",
      `--url=${url}`,
      "--suite=all",
      `--spec-version=${revision}`,
      `--output-dir=${results}`,
    ],
    { stdout: "pipe", stderr: "pipe" },
  );
  const [output, complaints] = await Promise.all([
    new Response(run.stdout).text(),
    new Response(run.stderr).text(),
  ]);
  const code = await run.exited;
  const rows = await readResults(results);
  const good = rows.filter(({ faults }) => faults.length === 0);
  console.log(`${revision}: ${good.length} of ${rows.length} scenarios pass`);
  for (const { scenario, faults } of rows) {
    for (const fault of faults) console.log(`  ${scenario}: ${fault}`);
  }
  passed += good.length;
  failed += rows.length - good.length;
  if (code !== 0 && good.length === rows.length) {
    failed++;
    console.log(output.slice(-8000), complaints.slice(-2000));
  }
}
console.log(`${passed} passed, ${failed} failed`);
server.kill("SIGTERM");
await server.exited;
process.exit(failed === 0 && passed > 0 ? 0 : 1);

async function readResults(folder: string) {
  const rows = [];
  for (const name of readdirSync(folder).sort()) {
    const file = Bun.file(join(folder, name, "checks.json"));
    if (!(await file.exists())) continue;
    const checks = (await file.json()) as Check[];
    rows.push({
      scenario: name.replace(/^server-|-\d{4}-\d{2}-.*$/g, ""),
      faults: checks
        .filter(({ status }) => status !== "SUCCESS" && status !== "INFO")
        .map((check) => `${check.status} ${check.id}: ${check.errorMessage}`),
    });
  }
  return rows;
}
