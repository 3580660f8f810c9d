import { dependencies, version } from "../package.json";

/** Set by the build. */
declare const BUILD_COMMIT: string;

/** Ours, from package.json. */
export { version };

/** What this program is made of, by name. `commit` is that of the build; from source there is none. */
export function versions(): Record<string, string> {
  return {
    "membrane-mcp": version,
    commit: typeof BUILD_COMMIT === "string" ? BUILD_COMMIT : "none (source)",
    bun: Bun.version,
    "@modelcontextprotocol/sdk": dependencies["@modelcontextprotocol/sdk"],
    "@membranehq/sdk": dependencies["@membranehq/sdk"],
  };
}
