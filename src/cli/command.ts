import type { ErrorCode } from "../core/errors.ts";
import { GatewayError } from "../core/errors.ts";

const commands = ["serve", "demo", "config", "version", "help"] as const;
export type Command = (typeof commands)[number];

/** What the process exits with (sysexits.h). */
export const exitCodes = {
  invalid: 64,
  unauthenticated: 77,
  forbidden: 77,
  not_found: 66,
  conflict: 75,
  rate_limited: 75,
  needs_authorization: 77,
  upstream_failed: 69,
  timeout: 69,
  internal: 70,
} satisfies Record<ErrorCode, number>;

export const usage = `membrane-mcp: a user's connected apps as MCP tools

Usage: membrane-mcp [command]

  serve     serve Membrane users (default)
  demo      serve an embedded demo workspace on loopback, with a token to try it
  config    print the configuration in effect, secrets hidden
  version   print the version

Settings come from the environment; see the README, or: membrane-mcp config`;

/** The command that the arguments name; `serve` when there are none. Throws `invalid`. */
export function parseCommand(args: readonly string[]): Command {
  const [name = "serve", ...rest] = args;
  if (name === "--help" || name === "-h") return "help";
  if (name === "--version" || name === "-v") return "version";
  const command = commands.find((known) => known === name);
  if (!command) {
    throw new GatewayError("invalid", `Unknown command: ${name}\n\n${usage}`);
  }
  if (rest.includes("--help") || rest.includes("-h")) return "help";
  if (rest.length > 0) {
    throw new GatewayError(
      "invalid",
      `${command} takes no arguments. Settings come from the environment.`,
    );
  }
  return command;
}
