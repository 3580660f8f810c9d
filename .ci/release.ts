/**
 * Builds the executables of every platform, with their checksums and the list of what they are made of:
 *
 *     bun run build:release [TARGET …]
 *
 *     dist/membrane-mcp-<platform>[.exe]
 *     dist/SHA256SUMS
 *     dist/membrane-mcp.cdx.json        CycloneDX
 *
 * The Bun of each platform comes from npm, at this version and with these digests.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile } from "./compile.ts";
import { billOfMaterials } from "./sbom.ts";

const VERSION = "1.4.5";
const targets: Record<string, { bun: string; integrity: string }> = {
  "linux-x64": {
    bun: "bun-linux-x64",
    integrity:
      "sha512-IWX9BELoGHAUtMonkeSaNaZwXzRk+oDw6Mk+HBFXd3KHYIBNBsIGRupMZPcgNoDbJpLu6gAJjIoIVPZtt1aJ1g==",
  },
  "linux-x64-musl": {
    bun: "bun-linux-x64-musl",
    integrity:
      "sha512-10QoW/YfTgnURaGEaHpJCiXjLI2e5iTtfVDaA5JKcyUzaa1cq6cVUY9/Uq5XkYzvtRjHLRe9Oj/lTDIQcxy8HQ==",
  },
  "linux-arm64": {
    bun: "bun-linux-aarch64",
    integrity:
      "sha512-4BXmsSKnjOrlGWqZV4x/oWa7AVoR+B6lCXddMzOAXBIm3t50eslg9wb66gmtW1AamEQ1l1CDvmmruysEhqOWMg==",
  },
  "linux-arm64-musl": {
    bun: "bun-linux-aarch64-musl",
    integrity:
      "sha512-XCNc+WvvMAdNNb+OWTogpy+N9wm62fkVeEVLb6how0RZhW5LPi6c7BlkeVCuWps7XjEl2saFpHFa20/1E+PAHg==",
  },
  "darwin-x64": {
    bun: "bun-darwin-x64",
    integrity:
      "sha512-qkLPMGHZM9NI6CeHTWwVezzmlo6cC4Ta7yUAjYIWXS366qQcOlcp75t2uZyiuVRBMPS0h9qE0tCcvCHGaFqjJg==",
  },
  "darwin-arm64": {
    bun: "bun-darwin-aarch64",
    integrity:
      "sha512-4MIFXHmctH2EhAxLXm2/qxNtv17dFtLJylvaOCsrgq6KSqHTs6eW5YSrJjRbJxYUJaR901fsN8JfZOa+CsWpWQ==",
  },
  "windows-x64": {
    bun: "bun-windows-x64",
    integrity:
      "sha512-FNvply651vcE/GHgNWz6mZvhmkwBuu8Hw54oNzA+CQog+HW+542rXQmZqNHRkFxazD9L3xi+iTtvO3engAgJfw==",
  },
};

const root = join(import.meta.dir, "..");
const dist = join(root, "dist");
const wanted =
  process.argv.length > 2 ? process.argv.slice(2) : Object.keys(targets);
for (const name of wanted) {
  if (!targets[name]) {
    throw new Error(
      `Unknown target: ${name}. There are: ${Object.keys(targets).join(", ")}.`,
    );
  }
}
if (Bun.version !== VERSION) {
  throw new Error(`Bun ${VERSION} is needed, this is ${Bun.version}.`);
}
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
const work = mkdtempSync(join(tmpdir(), "membrane-mcp-release-"));
try {
  for (const name of wanted) {
    const { bun, integrity } = targets[name]!;
    const suffix = name.startsWith("windows") ? ".exe" : "";
    console.log(name);
    await compile({
      entry: join(root, "src/main.ts"),
      out: join(dist, `membrane-mcp-${name}${suffix}`),
      target: bun,
      bun: fetchBun(bun, integrity),
    });
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
writeFileSync(
  join(dist, "membrane-mcp.cdx.json"),
  `${JSON.stringify(billOfMaterials(root), null, 2)}\n`,
);
const sums = readdirSync(dist)
  .toSorted()
  .map((name) => {
    const digest = createHash("sha256").update(readFileSync(join(dist, name)));
    return `${digest.digest("hex")}  ${name}\n`;
  });
writeFileSync(join(dist, "SHA256SUMS"), sums.join(""));

/** The executable of a platform's Bun. Throws when it is not the one that was pinned. */
function fetchBun(name: string, integrity: string): string {
  const folder = join(work, name);
  mkdirSync(folder);
  run("npm", "pack", `@oven/${name}@${VERSION}`, "--pack-destination", folder);
  const archive = join(folder, `oven-${name}-${VERSION}.tgz`);
  const digest = createHash("sha512").update(readFileSync(archive));
  if (`sha512-${digest.digest("base64")}` !== integrity) {
    throw new Error(`${name} ${VERSION} is not the package that was pinned.`);
  }
  run("tar", "-xzf", archive, "-C", folder);
  const bin = join(folder, "package/bin");
  return existsSync(join(bin, "bun.exe"))
    ? join(bin, "bun.exe")
    : join(bin, "bun");
}

function run(...command: string[]): void {
  const { success, stderr } = Bun.spawnSync(command);
  if (!success) throw new Error(`${command.join(" ")}\n${stderr}`);
}
