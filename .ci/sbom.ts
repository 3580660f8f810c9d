import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "jsonc-parser";

/** Of the lock file: name@version, registry, dependencies, integrity. */
type Locked = [
  string,
  string,
  { dependencies?: Record<string, string> },
  string,
];
type Manifest = {
  name: string;
  version: string;
  license: string;
  dependencies: Record<string, string>;
};

/**
 * A CycloneDX 1.6 bill of materials of what the executable carries: Bun, and every package that the product
 * depends on, at any depth, with the digest that the lock file demands. The same for the same checkout.
 */
export function billOfMaterials(root: string) {
  const read = (file: string) => readFileSync(join(root, file), "utf8");
  const manifest = JSON.parse(read("package.json")) as Manifest;
  const { packages } = parse(read("bun.lock"), [], {
    allowTrailingComma: true,
  }) as { packages: Record<string, Locked> };

  /** A package's own copy of a dependency, or the one that is shared. */
  function resolve(parent: string, name: string): string | null {
    for (let at = parent; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) {
      if (packages[`${at}/${name}`]) return `${at}/${name}`;
      if (!at.includes("/")) break;
    }
    return packages[name] ? name : null;
  }

  const found = new Map<string, string[]>();
  const queue = Object.keys(manifest.dependencies).map((name) =>
    resolve("", name),
  );
  const direct = queue.filter((key) => key !== null);
  for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
    if (key === null || found.has(key)) continue;
    const parent = key;
    const needs = Object.keys(packages[key]![2].dependencies ?? {})
      .map((name) => resolve(parent, name))
      .filter((dependency) => dependency !== null);
    found.set(key, needs);
    queue.push(...needs);
  }

  const reference = (key: string) => {
    const id = packages[key]![0];
    const at = id.lastIndexOf("@");
    return `pkg:npm/${id.slice(0, at).replace("@", "%40")}@${id.slice(at + 1)}`;
  };
  const component = (key: string) => {
    const [id, , , integrity] = packages[key]!;
    const at = id.lastIndexOf("@");
    const [algorithm, digest] = integrity.split("-") as [string, string];
    const license = licenseOf(id.slice(0, at));
    return {
      type: "library",
      "bom-ref": reference(key),
      name: id.slice(0, at),
      version: id.slice(at + 1),
      purl: reference(key),
      hashes: [
        {
          alg: algorithm.replace("sha", "SHA-"),
          content: Buffer.from(digest, "base64").toString("hex"),
        },
      ],
      ...(license ? { licenses: [{ license: { name: license } }] } : {}),
    };
  };
  function licenseOf(name: string): string | null {
    const file = join("node_modules", name, "package.json");
    if (!existsSync(join(root, file))) return null;
    const { license } = JSON.parse(read(file)) as { license?: unknown };
    return typeof license === "string" ? license : null;
  }

  const keys = [...found.keys()].toSorted();
  const product = `pkg:generic/${manifest.name}@${manifest.version}`;
  const bun = `pkg:npm/bun@${Bun.version}`;
  const unique = new Map(keys.map((key) => [reference(key), key]));
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: {
        type: "application",
        "bom-ref": product,
        name: manifest.name,
        version: manifest.version,
        licenses: [{ license: { id: manifest.license } }],
      },
    },
    components: [
      {
        type: "platform",
        "bom-ref": bun,
        name: "bun",
        version: Bun.version,
        purl: bun,
      },
      ...[...unique.values()].map(component),
    ],
    dependencies: [
      { ref: product, dependsOn: [bun, ...direct.map(reference)].toSorted() },
      ...[...unique].map(([ref, key]) => ({
        ref,
        dependsOn: [...new Set(found.get(key)!.map(reference))].toSorted(),
      })),
    ],
  };
}
