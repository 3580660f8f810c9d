import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { requirements } from "./requirements.ts";

const cited = new Set(
  ["**/*.test.ts", "contract/*.ts"]
    .flatMap((files) => [...new Glob(files).scanSync({ cwd: import.meta.dir })])
    .flatMap((file) =>
      [
        ...readFileSync(join(import.meta.dir, file), "utf8").matchAll(
          /^ *\/\/ Demanded: (.+)$/gm,
        ),
      ].flatMap(([, ids]) => ids!.split(", ")),
    ),
);

test("everything that is demanded is cited by a test", () => {
  expect(Object.keys(requirements).filter((id) => !cited.has(id))).toEqual([]);
});

test("nothing is cited that is not demanded", () => {
  expect([...cited].filter((id) => !(id in requirements))).toEqual([]);
});
