/**
 * Builds the executable of this platform, dist/membrane-mcp.
 *
 *     bun .ci/build.ts [--entry FILE] [--out FILE]
 */
import { parseArgs } from "node:util";
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { compile } from "./compile.ts";

const root = join(import.meta.dir, "..");
const { values } = parseArgs({
  options: { entry: { type: "string" }, out: { type: "string" } },
});
const out = values.out ?? join(root, "dist/membrane-mcp");
if (values.out === undefined) {
  rmSync(dirname(out), { recursive: true, force: true });
}
mkdirSync(dirname(out), { recursive: true });
await compile({ entry: values.entry ?? join(root, "src/main.ts"), out });
