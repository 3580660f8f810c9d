import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { Glob } from "bun";

const root = join(import.meta.dir, "..");
const src = join(root, "src");

/** Which folders each folder may import besides itself; `type:` marks those for types only. */
const mayImport: Record<string, string[]> = {
  core: [],
  gateway: ["core"],
  store: ["core"],
  sources: ["core"],
  runtime: ["core"],
  mcp: ["core", "gateway"],
  http: ["core", "gateway"],
  demo: ["core"],
  cli: ["core", "type:http"],
};

/** What wires the others sees all of them. */
const seesAll = new Set([".", "commands"]);

/** The folders that a package belongs to. A package that is not named here may not be imported at all. */
const owners: Record<string, string[]> = {
  zod: ["core", "sources", "mcp", "http", "demo", "."],
  "drizzle-orm": ["store"],
  "bun:sqlite": ["store", "demo"],
  "@membranehq/sdk": ["sources"],
  "@modelcontextprotocol/client": ["sources"],
  "lru-cache": ["gateway", "store", "sources"],
  jose: ["sources", "demo", "commands"],
  "pino-pretty": ["runtime"],
  "ipaddr.js": ["runtime"],
  "prom-client": ["runtime"],
  "@opentelemetry/api": ["runtime"],
  "@opentelemetry/sdk-trace": ["runtime"],
  "@opentelemetry/exporter-trace-otlp-proto": ["runtime"],
  "@opentelemetry/resources": ["runtime"],
  hono: ["http", "demo"],
  "swagger-ui-dist": ["http"],
  commander: ["cli"],
  "jsonc-parser": ["cli"],
  bun: [".", "http"],
};

/** Where a connection can begin. URLs that somebody typed or a server named have the first only. */
const waysOut: Record<string, string> = {
  "runtime/connections.ts": "to addresses that were checked",
  "runtime/probe.ts": "to URLs that the operator has configured",
  "runtime/tracing.ts": "to the collector that the operator has configured",
  "demo/connection-webhooks.ts": "to the server that runs the demo",
  "cli/stdio.ts": "to the server that the user has named",
  "config.ts": "none: node:net tells addresses from names",
  "http/caller-address.ts": "none: node:net compares addresses",
};

type Import = { from: string; to: string; typeOnly: boolean };

/** Without comments and template texts, so that a specifier in prose is not an import. */
function code(file: string): string {
  return readFileSync(file, "utf8")
    .replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, "$1")
    .replace(/`[^`]*`/g, "``");
}

function importsOf(file: string): Import[] {
  const from = relative(src, file);
  const found: Import[] = [];
  const pattern =
    /\b(import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s*)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/g;
  for (const match of code(file).matchAll(pattern)) {
    const specifier = match[3] ?? match[4]!;
    found.push({
      from,
      to: specifier.startsWith(".")
        ? normalize(join(dirname(from), specifier))
        : specifier,
      typeOnly: match[2] !== undefined,
    });
  }
  return found;
}

const files = [...new Glob("**/*.ts").scanSync(src)].sort();
const imports = files.flatMap((file) => importsOf(join(src, file)));
const local = imports.filter(({ to }) => files.includes(to));
const folder = (file: string) =>
  file.includes("/") ? file.split("/")[0]! : ".";

describe("layering", () => {
  test("every import is of a folder that the importing folder may know", () => {
    const wrong = local.filter(({ from, to, typeOnly }) => {
      const [own, other] = [folder(from), folder(to)];
      if (own === other || seesAll.has(own)) return false;
      const allowed = mayImport[own] ?? [];
      return !(
        allowed.includes(other) ||
        (typeOnly && allowed.includes(`type:${other}`))
      );
    });
    expect(wrong).toEqual([]);
  });

  test("every package is imported only by the folders that own it", () => {
    const wrong = imports.filter(({ from, to, typeOnly }) => {
      if (to.startsWith("node:") || to.startsWith(".") || files.includes(to)) {
        return false;
      }
      if (/^(\.\.\/)|\.(sql|json)$/.test(to)) return false;
      const name = to.startsWith("@")
        ? to.split("/").slice(0, 2).join("/")
        : to.split("/")[0]!;
      if (name === "@modelcontextprotocol/sdk") {
        return !(
          (/^core\/(tool|source)\.ts$/.test(from) && typeOnly) ||
          from === "cli/stdio.ts"
        );
      }
      return !owners[name]?.includes(folder(from));
    });
    expect(wrong).toEqual([]);
  });

  test("no file imports itself by way of others, not even for types", () => {
    const edges = Map.groupBy(local, ({ from }) => from);
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: string[]) => {
      const at = path.indexOf(file);
      if (at >= 0) return circles.push([...path.slice(at), file].join(" → "));
      if (done.has(file)) return;
      for (const { to } of edges.get(file) ?? []) visit(to, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(circles).toEqual([]);
  });

  test("only main.ts reads the environment and only the machine's clock reads the time", () => {
    const wrong = files.filter((file) => {
      if (["main.ts", "runtime/log.ts", "runtime/machine.ts"].includes(file)) {
        return false;
      }
      // The demo is a system of its own, with a clock of its own.
      const text = code(join(src, file));
      return (
        /\bprocess\.env\b|\bBun\.env\b/.test(text) ||
        (folder(file) !== "demo" &&
          /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(/.test(text))
      );
    });
    expect(wrong).toEqual([]);
  });

  test("nothing opens connections but the files that are there to do so", () => {
    const opens =
      /(?<![.\w])fetch\((?![^)]*\) \{)|\b(globalThis|self)\.fetch\b|\bBun\.(connect|fetch|FetchSession|udpSocket|S3Client|s3)\b|\bnew (WebSocket|EventSource|XMLHttpRequest)\b|["']node:(https?|http2|net|tls|dgram|dns(\/promises)?)["']|["']@opentelemetry\/exporter-/;
    const found = files.filter((file) =>
      opens.test(code(join(src, file)).replace(/^import type [^;]*;/gm, "")),
    );
    expect(found).toEqual(Object.keys(waysOut).sort());
  });

  test("nothing under src looks like a test", () => {
    expect(
      files.filter((file) => /\b(test|spec|mock|fixture)s?\b/.test(file)),
    ).toEqual([]);
  });
});
