import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "../mcp-clients.ts";

/** How `stdio-server.ts` is started. */
export const stdioServer = (
  era: "legacy" | "both" | "stateless" = "legacy",
  env: Record<string, string> = {},
): Command => ({
  command: process.execPath,
  args: [join(import.meta.dir, "stdio-server.ts"), `--era=${era}`],
  env,
});

/** Whether such a process runs; one that has ended and that nobody has waited for does not. */
export function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = `/proc/${pid}/stat`;
  return !(existsSync(stat) && / Z /.test(readFileSync(stat, "utf8")));
}
