import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { searchFiles } from "./suite-secrets.ts";

/** An empty directory that goes when its scope ends. What servers have stored there is searched for secrets then. */
export function temporaryDirectory(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "membrane-mcp-test-"));
  return {
    path,
    [Symbol.dispose]() {
      try {
        searchFiles(path);
      } finally {
        rmSync(path, { recursive: true, force: true });
      }
    },
  };
}
