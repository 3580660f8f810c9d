/**
 * An MCP server over stdio, as a program: `bun stdio-server.ts [--era=legacy|both|stateless]`. It has the tools of the
 * other test servers, and some that only a process can have. `legacy`, unless said, is the older SDK.
 */
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { object, say } from "./definitions.ts";
import type { ToolDefinition } from "./definitions.ts";
import { createKit } from "./kit.ts";
import { buildV1 } from "./with-v1.ts";
import { createV2 } from "./with-v2.ts";

const string = { type: "string" } as const;

const own: ToolDefinition[] = [
  {
    name: "pid",
    description: "The process id of this server",
    run: () => say(String(process.pid)),
  },
  {
    name: "env",
    description: "A variable of the environment",
    inputSchema: object({ name: string }),
    run: (_turn, { name }) => say(process.env[String(name)] ?? "unset"),
  },
  {
    name: "env_names",
    description: "The names of all variables of the environment, as JSON",
    run: () => say(JSON.stringify(Object.keys(process.env).sort())),
  },
  {
    name: "spawn_child",
    description: "Starts a process that sleeps; its process id",
    run() {
      const child = Bun.spawn(["sleep", "3600"], {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      });
      return say(String(child.pid));
    },
  },
  {
    name: "crash",
    description: "Ends the process at once",
    run: () => process.exit(1),
  },
  {
    name: "complain",
    description: "Writes to standard error",
    inputSchema: object({ words: string }),
    run(_turn, { words }) {
      console.error(String(words));
      return say("complained");
    },
  },
  {
    name: "ignore_end",
    description: "From now on neither the end of its input nor SIGTERM ends it",
    run() {
      process.on("SIGTERM", () => {});
      setInterval(() => {}, 1_000_000);
      return say("ignored");
    },
  },
];

const era = /^--era=(.*)$/.exec(process.argv[2] ?? "")?.[1] ?? "legacy";
const kit = createKit(own);
const about = { name: "stdio", instructions: "Over standard input." };
if (era === "legacy") {
  await buildV1(kit, about).connect(new StdioServerTransport());
} else {
  const { build } = createV2(kit, about);
  serveStdio(() => build(true), {
    legacy: era === "stateless" ? "reject" : "serve",
  });
}
