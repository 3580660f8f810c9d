import { readdirSync } from "node:fs";
import { join } from "node:path";

const revisions = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];
const suite = join(
  import.meta.dir,
  "../../node_modules/@modelcontextprotocol/conformance/dist/index.js",
);
type Check = { id: string; status: string; errorMessage?: string };

/**
 * Runs the official conformance suite against a URL, once per revision, and prints what fails: a warning is a
 * failure too. Counts scenarios. Results are kept in the directory.
 */
export async function runSuite(
  url: string,
  directory: string,
): Promise<{ passed: number; failed: number }> {
  let passed = 0;
  let failed = 0;
  for (const revision of revisions) {
    const results = join(directory, revision);
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
  return { passed, failed };
}

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
