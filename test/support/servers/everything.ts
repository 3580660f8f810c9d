import { join } from "node:path";
import { launch } from "../binary.ts";
import { freePort } from "../port.ts";
import type { Command } from "../mcp-clients.ts";

const program = join(
  import.meta.dir,
  "../../../node_modules/@modelcontextprotocol/server-everything/dist/index.js",
);
const preload = join(import.meta.dir, "loopback.ts");

/** The reference server that everybody tries first, as a process of its own. */
export async function openEverything(
  mode: "streamableHttp" | "sse",
): Promise<AsyncDisposable & { url: string; pid: number }> {
  const port = freePort();
  const run = launch(
    [process.execPath, "--preload", preload, program, mode],
    { PORT: String(port), PATH: process.env["PATH"] ?? "" },
    import.meta.dir,
  );
  await run.printed(`port ${port}`);
  return {
    url: `http://127.0.0.1:${port}/${mode === "sse" ? "sse" : "mcp"}`,
    pid: run.pid,
    async [Symbol.asyncDispose]() {
      run.kill("SIGKILL");
      await run.exited;
    },
  };
}

/** How it is started over stdio. */
export const everythingCommand: Command = {
  command: process.execPath,
  args: [program, "stdio"],
};
