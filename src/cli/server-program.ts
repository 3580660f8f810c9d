import type { Command } from "commander";
import { Option } from "commander";
import { GatewayError } from "../core/errors.ts";
import { authTypes } from "../core/upstream.ts";
import { identity } from "./arguments.ts";
import type { ImportOptions } from "./importing.ts";
import type { AddOptions, AddTarget } from "./registration.ts";
import type { LoginOptions, ServerCommands } from "./servers.ts";

/** The servers that are meant, and as whom: of a running server, or of the database of this machine. */
export type ServersAt = {
  url?: string;
  keyFile?: string;
  workspace?: string;
  member?: string;
  /** A database is made where there is none. */
  mayMake: boolean;
};

type Asked = Omit<ServersAt, "mayMake">;

type Json = { json: boolean };

/** Adds what can be done with registered servers to their group. `args`: all that the program was given. */
export function addServerCommands(
  group: Command,
  args: readonly string[],
  runAt: (
    at: ServersAt,
    command: (commands: ServerCommands) => Promise<number>,
  ) => Promise<void>,
): void {
  const run = (
    asked: Asked,
    command: (commands: ServerCommands) => Promise<number>,
    mayMake = false,
  ) => runAt({ ...asked, mayMake }, command);

  const add = (usage: string, description: string) =>
    group
      .command(usage)
      .description(description)
      .exitOverride()
      .option(
        "--url <url>",
        "those of this running server, with the key of MEMBRANE_MCP_API_KEY (default: those in DATA_DIR, also beside its server)",
      )
      .option("--key-file <file>", "with --url: the API key is in this file")
      .option(
        "--workspace <key>",
        "the workspace (default: MEMBRANE_WORKSPACE_KEY, or the only one there is)",
        identity,
      )
      .option("--member <id>", "without --url: act as this user", identity);
  const named = (usage: string, description: string) =>
    add(`${usage} <server>`, description);
  const json = (command: Command) =>
    command.option("--json", "print JSON", false);

  group.addHelpText(
    "after",
    "\nA server is named by its slug, its id, or a name that only one has.",
  );
  add(
    "add <name> [target...]",
    "register one by its URL, or, after --, the command that starts it",
  )
    .usage("[options] <name> <url> | <name> [options] -- <command> [args...]")
    .addOption(
      new Option("--transport <transport>", "of a URL").choices([
        "http",
        "sse",
      ]),
    )
    .addOption(
      new Option("--auth <type>", "how it lets us in").choices(authTypes),
    )
    .option("--token-file <file>", "its token or key is in this file, or -")
    .option("--headers-file <file>", "its headers are in this file, or -")
    .option("--client-id <id>", "OAuth client that you have registered there")
    .option("--client-secret-file <file>", "its secret is in this file, or -")
    .option(
      "--env <name>",
      "give a command this variable of ours; may be repeated",
      (name: string, names: string[]) => [...names, name],
      [],
    )
    .option("--cwd <dir>", "where a command runs (default: here)")
    .option("--slug <slug>", "what its tools and /mcp/SLUG are called by")
    .option("--description <text>", "what it is for")
    .option("--pin", "tools that change wait for servers approve", false)
    .option("--no-enable", "register it, and leave it off")
    .action((name: string, given: string[], options: AddOptions & Asked) => {
      const target = targetOf(given, args);
      return run(
        options,
        (servers) => servers.add(name, target, options),
        true,
      );
    });
  json(add("list", "the servers")).action((options: Asked & Json) =>
    run(options, (servers) => servers.list(options)),
  );
  json(named("show", "all that is known of one, and its tools")).action(
    (name: string, options: Asked & Json) =>
      run(options, (servers) => servers.show(name, options)),
  );
  json(named("test", "connect to one, and say how that went")).action(
    (name: string, options: Asked & Json) =>
      run(options, (servers) => servers.test(name, options)),
  );
  named("enable", "turn one on; connect it first where that is due").action(
    (name: string, options: Asked) =>
      run(options, (servers) => servers.enable(name)),
  );
  named("disable", "turn one off")
    .option(
      "--clear-registration",
      "also forget its OAuth registration, and what members have granted",
      false,
    )
    .action((name: string, options: Asked & { clearRegistration: boolean }) =>
      run(options, (servers) => servers.disable(name, options)),
    );
  named("remove", "forget one, with all that belongs to it").action(
    (name: string, options: Asked) =>
      run(options, (servers) => servers.remove(name)),
  );
  named("login", "connect a member to one, by a link for their browser")
    .option("--no-wait", "print the link, and do not wait")
    .option(
      "--token-file <file>",
      "for --auth direct_auth: the member's own token is in this file, or -",
    )
    .action((name: string, options: LoginOptions & Asked) =>
      run(options, (servers) => servers.login(name, options)),
    );
  named("approve", "let a tool of a pinned server be called as it is now")
    .argument("<tool>")
    .action((name: string, tool: string, options: Asked) =>
      run(options, (servers) => servers.approve(name, tool)),
    );
  add(
    "import <source>",
    "register those of a file with mcpServers, or of cursor, claude, claude-code, vscode or windsurf",
  )
    .option("--dry-run", "only say what would be done, secrets hidden", false)
    .option("--no-enable", "register them, and leave them off")
    .action((source: string, options: ImportOptions & Asked) =>
      run(options, (servers) => servers.import(source, options), true),
    );
}

/** What stands after `--` is a command, whatever it looks like. */
function targetOf(
  given: readonly string[],
  args: readonly string[],
): AddTarget {
  const dashes = args.indexOf("--");
  const command = dashes < 0 ? [] : args.slice(dashes + 1);
  const [url, ...more] = given.slice(0, given.length - command.length);
  if (url !== undefined && more.length === 0 && command.length === 0) {
    return { url };
  }
  if (url === undefined && command.length > 0) return { command };
  throw new GatewayError(
    "invalid",
    "A server is added by its URL, or by a command after --: membrane-mcp servers add NAME URL, or membrane-mcp servers add NAME -- COMMAND ARGS.",
  );
}
