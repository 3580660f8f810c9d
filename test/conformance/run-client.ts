/**
 * Runs the client scenarios of the official conformance suite against our OAuth client, one after the other, once per
 * revision. Fails on every failure and every warning. Prints a table and ends with `N passed, N failed`. Extensions
 * that no gateway uses on behalf of a person (client credentials, enterprise-managed authorization, DPoP, workload
 * identities, skills) are of no revision, and not run. Names of scenarios as arguments: those only.
 */
import { join } from "node:path";
import { Glob } from "bun";
import { temporaryDirectory } from "../support/directory.ts";

const revisions = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];
const suite = join(
  import.meta.dir,
  "../../node_modules/@modelcontextprotocol/conformance/dist/index.js",
);
const only = process.argv.slice(2);

type Check = { id: string; status: string; errorMessage?: string };

async function run(...args: string[]): Promise<[number, string]> {
  const child = Bun.spawn([process.execPath, suite, ...args], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return [await child.exited, out + err];
}

async function checksIn(folder: string): Promise<Check[]> {
  for (const file of new Glob("**/checks.json").scanSync(folder)) {
    return (await Bun.file(join(folder, file)).json()) as Check[];
  }
  return [];
}

using directory = temporaryDirectory();
let passed = 0;
let failed = 0;
for (const revision of revisions) {
  const [, list] = await run("list", "--client", `--spec-version=${revision}`);
  const scenarios = [...list.matchAll(/^ {2}- (\S+) \[(.*)\]/gm)]
    .filter(([, , versions]) => versions!.split(",").includes(revision))
    .map(([, name]) => name!)
    .filter((name) => only.length === 0 || only.includes(name));
  let good = 0;
  const faults: string[] = [];
  for (const scenario of scenarios) {
    const folder = join(directory.path, revision, scenario.replace("/", "-"));
    const [code, output] = await run(
      "client",
      `--command=${process.execPath} ${join(import.meta.dir, "client.ts")}`,
      `--scenario=${scenario}`,
      `--spec-version=${revision}`,
      `--output-dir=${folder}`,
    );
    const bad = (await checksIn(folder))
      .filter(({ status }) => status === "FAILURE" || status === "WARNING")
      .map((check) => `${check.status} ${check.id}: ${check.errorMessage}`);
    if (code === 0 && bad.length === 0) good++;
    else {
      faults.push(`  ${scenario}: ${bad.join("; ") || output.slice(-2000)}`);
    }
  }
  console.log(`${revision}: ${good} of ${scenarios.length} scenarios pass`);
  for (const fault of faults) console.log(fault);
  passed += good;
  failed += scenarios.length - good;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
