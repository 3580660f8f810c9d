import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { describeConfig, readConfig, settingNames } from "../src/config.ts";
import manifest from "../package.json";

/** What the README says of the whole, and what there is. */

const root = join(import.meta.dir, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");

function section(title: string): string {
  const level = /^#+/.exec(title)![0].length;
  const after = readme.split(`\n${title}\n`)[1]!;
  return after.split(new RegExp(`\n#{1,${level}} `))[0]!;
}

/** What stands in backquotes, in order. */
const quoted = (text: string) =>
  [...text.matchAll(/`([^`]+)`/g)].map(([, inner]) => inner!);

describe("the settings", () => {
  const rows = section("## Configuration")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").map((cell) => cell.trim()));

  test("are all in the table, and the table has no others", () => {
    const named = rows.flatMap(([, names]) => quoted(names!));
    expect(named.toSorted()).toEqual(settingNames.toSorted());
  });

  test("have the defaults that the table says", () => {
    const effective = new Map(
      describeConfig(readConfig({}))
        .split("\n")
        .map((line) => line.split(/=(.*)/s) as [string, string]),
    );
    const wrong = rows.flatMap(([, names, defaults]) => {
      const said = defaults!.split(",").map((text) => quoted(text)[0] ?? "");
      return quoted(names!).flatMap((name, n) => {
        // A default that is another setting is none of its own.
        const value = settingNames.some((other) => other === said[n])
          ? ""
          : (said[n] ?? "");
        const actual = effective.get(name)!;
        return actual === value ? [] : [`${name}: ${value}, but ${actual}`];
      });
    });
    expect(wrong).toEqual([]);
  });
});

test("the map of the folders has every file and folder of src, and no others", () => {
  const map = section("## Architecture").split("```")[1]!;
  let above = "";
  const named = [...map.matchAll(/^((?:src\/|  )\S+)/gm)].map(([, path]) => {
    if (path!.startsWith(" ")) return above + path!.trim();
    return (above = path!);
  });
  const missing = named.filter((path) => !exists(path));
  expect(missing).toEqual([]);
  const there = [
    ...contentsOf("src/"),
    ...contentsOf("src/gateway/").filter((path) => path.endsWith("/")),
  ];
  const unnamed = there.filter(
    (path) => !named.some((name) => name.startsWith(path)),
  );
  expect(unnamed).toEqual([]);
});

function contentsOf(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).map(
    (entry) => `${folder}${entry.name}${entry.isDirectory() ? "/" : ""}`,
  );
}

function exists(path: string): boolean {
  const found = statSync(join(root, path), { throwIfNoEntry: false });
  return found?.isDirectory() === path.endsWith("/");
}

test("every link within it leads to a heading", () => {
  const anchors = new Set(
    [...readme.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title!
        .toLowerCase()
        .replace(/[^\w -]/g, "")
        .replaceAll(" ", "-"),
    ),
  );
  const links = [...readme.matchAll(/\]\(#([^)]+)\)/g)].map(([, to]) => to!);
  expect(links.length).toBeGreaterThan(5);
  expect(links.filter((to) => !anchors.has(to))).toEqual([]);
});

test("every script that it runs is there", () => {
  const run = [...readme.matchAll(/bun(?:@1\.4\.5)? run ([\w:]+)/g)];
  const names = new Set(run.map(([, name]) => name!));
  expect([...names].filter((name) => !(name in manifest.scripts))).toEqual([]);
});

test("every dependency has its reason", () => {
  const decisions = section("## Decisions");
  const unnamed = Object.keys(manifest.dependencies).filter(
    (name) =>
      !decisions.includes(`\`${name}\``) &&
      !decisions.includes(`\`${name.replace(/^@opentelemetry\//, "")}\``),
  );
  expect(unnamed).toEqual([]);
});
