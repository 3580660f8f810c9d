/**
 * Runs the official conformance suite against the server, once per revision, over a source that has the
 * tools it asks for. Fails on every failure that expected-failures.yml does not name, and on every success
 * that it does. Prints a table and ends with `N passed, N failed`, counting scenarios.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createApp } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { mintToken } from "../../src/demo/token.ts";
import { silentLog } from "../support/clock.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { conformanceSource } from "./source.ts";

const revisions = ["2025-03-26", "2025-06-18", "2025-11-25"];
const suite = join(
  import.meta.dir,
  "../../node_modules/@modelcontextprotocol/conformance/dist/index.js",
);
const workspaceKey = "conformance";
const secret = "a secret for the conformance suite that is long enough";

type Check = { id: string; status: string; errorMessage?: string };

using directory = temporaryDirectory();
await using app = createApp({
  config: readConfig({
    PORT: "0",
    DATA_DIR: join(directory.path, "data"),
    MEMBRANE_WORKSPACE_KEY: workspaceKey,
    MEMBRANE_WORKSPACE_SECRET: secret,
  }),
  log: silentLog,
  sources: [conformanceSource],
});
const token = await mintToken({ workspaceKey, secret, user: "suite" });
// The suite cannot send headers.
const url = `${await app.start()}/mcp?token=${token}`;

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
      `--expected-failures=${join(import.meta.dir, "expected-failures.yml")}`,
      `--output-dir=${results}`,
    ],
    { stdout: "pipe", stderr: "pipe" },
  );
  const [output, complaints] = await Promise.all([
    new Response(run.stdout).text(),
    new Response(run.stderr).text(),
  ]);
  const unexpected = (await run.exited) !== 0;
  const rows = await readResults(results);
  const good = rows.filter(({ failures }) => failures.length === 0);
  const known = rows.length - good.length;
  console.log(
    `${revision}: ${good.length} of ${rows.length} scenarios pass, ${known} are known not to`,
  );
  for (const { scenario, warnings } of rows) {
    for (const warning of warnings) console.log(`  ${scenario}: ${warning}`);
  }
  passed += good.length;
  if (unexpected) {
    failed++;
    console.log(output.slice(-8000), complaints.slice(-2000));
  }
}
console.log(`${passed} passed, ${failed} failed`);
await app.close();
process.exit(failed === 0 && passed > 0 ? 0 : 1);

async function readResults(folder: string) {
  const rows = [];
  for (const name of readdirSync(folder).sort()) {
    const file = Bun.file(join(folder, name, "checks.json"));
    if (!(await file.exists())) continue;
    const checks = (await file.json()) as Check[];
    const of = (status: string) =>
      checks
        .filter((check) => check.status === status)
        .map((check) => `${check.id}: ${check.errorMessage ?? ""}`);
    rows.push({
      scenario: name.replace(/^server-|-\d{4}-\d{2}-.*$/g, ""),
      failures: of("FAILURE"),
      warnings: of("WARNING"),
    });
  }
  return rows;
}
