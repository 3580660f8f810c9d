import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { cpSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { billOfMaterials } from "../../.ci/sbom.ts";
import { temporaryDirectory } from "../support/directory.ts";

/** What is built, and what is said of it. */

const root = join(import.meta.dir, "../..");
const options = { timeout: 120_000 };
let scratch: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  scratch = temporaryDirectory();
});
afterAll(() => scratch[Symbol.dispose]());

test(
  "two checkouts in different places give the same bytes",
  () => {
    const digests: string[] = [];
    for (const name of ["one", "another/place"]) {
      const folder = join(scratch.path, name);
      for (const part of [
        "src",
        "drizzle",
        ".ci",
        "package.json",
        "bun.lock",
      ]) {
        cpSync(join(root, part), join(folder, part), { recursive: true });
      }
      const build = Bun.spawnSync([process.execPath, "run", "build"], {
        cwd: folder,
        env: { ...process.env, BUILD_COMMIT: "a-commit" },
      });
      expect(build.success).toBe(true);
      const bytes = readFileSync(join(folder, "dist/membrane-mcp"));
      digests.push(createHash("sha256").update(bytes).digest("hex"));
    }
    expect(digests[0]).toBe(digests[1]!);
  },
  options,
);

test(
  "every package in the bundle is in the bill of materials",
  async () => {
    const out = join(scratch.path, "bundle");
    const { success } = await Bun.build({
      entrypoints: [join(root, "src/main.ts")],
      outdir: out,
      target: "bun",
      splitting: true,
      sourcemap: "external",
      define: { BUILD_COMMIT: '"test"' },
    });
    expect(success).toBe(true);
    const bundled = new Set(
      readdirSync(out)
        .filter((name) => name.endsWith(".map"))
        .flatMap(
          (name) =>
            (
              JSON.parse(readFileSync(join(out, name), "utf8")) as {
                sources: string[];
              }
            ).sources,
        )
        .map(
          (source) =>
            /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source)?.[1] ?? "",
        )
        .filter(Boolean),
    );
    const listed = new Set(
      billOfMaterials(root).components.map(({ name }) => name),
    );
    expect(bundled.size).toBeGreaterThan(20);
    expect([...bundled].filter((name) => !listed.has(name))).toEqual([]);
  },
  options,
);
