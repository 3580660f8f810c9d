import { Command, CommanderError, Option } from "commander";
import { GatewayError } from "../core/errors.ts";
import type { Scope } from "../core/principal.ts";
import { scopes } from "../core/principal.ts";
import {
  clientNames,
  duration,
  identity,
  scope,
  units,
  wholeNumber,
} from "./arguments.ts";
import type { ServersAt } from "./server-program.ts";
import type { ServerCommands } from "./servers.ts";
import type { TokenOptions } from "./token.ts";

/** What the commands do. Each resolves with the exit code; what goes to standard output is its own. */
export type Commands = {
  serve(): Promise<number>;
  demo(): Promise<number>;
  stdio(options: StdioOptions): Promise<number>;
  config(): Promise<number>;
  routes(): Promise<number>;
  version(): Promise<number>;
  doctor(options: { json: boolean }): Promise<number>;
  health(): Promise<number>;
  connect(client: string, options: ConnectOptions): Promise<number>;
  tokenMint(options: MintOptions): Promise<number>;
  tokenInspect(options: TokenOptions): Promise<number>;
  sessionsList(options: ListOptions): Promise<number>;
  sessionsShow(id: string, options: { json: boolean }): Promise<number>;
  sessionsEnd(id: string): Promise<number>;
  chatsList(options: ListOptions): Promise<number>;
  audit(options: AuditOptions): Promise<number>;
  keysCreate(options: KeyOptions): Promise<number>;
  keysList(options: { workspace?: string; json: boolean }): Promise<number>;
  keysRevoke(id: string): Promise<number>;
  /** Runs one of the commands for registered servers, where they are. */
  servers(
    at: ServersAt,
    command: (commands: ServerCommands) => Promise<number>,
  ): Promise<number>;
  backup(file: string): Promise<number>;
  restore(file: string): Promise<number>;
  migrate(): Promise<number>;
};

export type StdioOptions = TokenOptions & { url?: string };
export type ConnectOptions = TokenOptions & {
  url?: string;
  name: string;
  write: boolean;
};
export type MintOptions = { user: string; name?: string; ttl: number };
export type KeyOptions = {
  name: string;
  scopes: Scope;
  member?: string;
  /** How long it is good, in ms; may be infinite. */
  expires: number;
  workspace?: string;
  json: boolean;
};
export type AuditOptions = {
  workspace?: string;
  /** Separated by commas. */
  types?: string;
  user?: string;
  /** How far back, in ms. */
  since?: number;
  request?: string;
  limit: number;
  json: boolean;
};
export type ListOptions = { user?: string; limit: number; json: boolean };

/** Runs what `args` (without the program's name) ask for. Throws `invalid` for what is no command of ours. */
export async function runProgram(
  args: readonly string[],
  commands: Commands,
): Promise<number> {
  let code = 0;
  const run =
    <A extends unknown[]>(command: (...args: A) => Promise<number>) =>
    async (...args: A) => {
      code = await command(...args);
    };
  const program = new Command("membrane-mcp")
    .description("A user's connected apps as MCP tools")
    .configureOutput({ writeErr: () => {} })
    .exitOverride()
    .allowExcessArguments(false)
    .helpCommand("help [command]", "show how a command is used")
    .addHelpText(
      "after",
      "\nSettings come from the environment; membrane-mcp config shows them.",
    )
    .option("-V, --version", "print the versions");

  const add = (parent: Command, usage: string, description: string) =>
    parent.command(usage).description(description).exitOverride();
  const withToken = (command: Command) =>
    command.option(
      "--token-file <file>",
      "the token is in this file, instead of MEMBRANE_ACCESS_TOKEN",
    );
  const asJson = (command: Command) =>
    command.option("--json", "print JSON", false);
  const asList = (command: Command) =>
    asJson(command)
      .option("--user <id>", "of this user only")
      .option("--limit <number>", "at most this many", wholeNumber, 100);

  program
    .command("serve", { isDefault: true })
    .description("serve Membrane users (the default)")
    .exitOverride()
    .action(
      run(() =>
        program.opts()["version"] ? commands.version() : commands.serve(),
      ),
    );
  add(
    program,
    "demo",
    "serve an embedded demo workspace on loopback, with a token to try it",
  ).action(run(() => commands.demo()));
  withToken(
    add(
      program,
      "stdio",
      "be an MCP server on standard input and output, for one token",
    ).option("--url <url>", "bridge to this server instead of being one"),
  ).action(run((options: StdioOptions) => commands.stdio(options)));
  withToken(
    add(
      program,
      "connect <client>",
      "show, or write, the configuration of a client",
    )
      .addHelpText("after", `\nClients: ${clientNames.join(", ")}`)
      .option("--url <url>", "address of the server (default: PUBLIC_URL)")
      .option("--name <name>", "what the client calls it", "membrane")
      .option("--write", "merge it into the client's own file", false),
  ).action(
    run((client: string, options: ConnectOptions) =>
      commands.connect(client, options),
    ),
  );
  asJson(
    add(
      program,
      "doctor",
      "check everything that serving needs, with the cure for what is wrong",
    ),
  ).action(run((options: { json: boolean }) => commands.doctor(options)));
  add(
    program,
    "health",
    "ask the server that runs on HOST and PORT whether it is well",
  ).action(run(() => commands.health()));
  add(
    program,
    "config",
    "print the configuration in effect, secrets hidden",
  ).action(run(() => commands.config()));
  add(
    program,
    "routes",
    "print every route and what it asks of its caller",
  ).action(run(() => commands.routes()));
  add(program, "version", "print the versions").action(
    run(() => commands.version()),
  );

  const token = add(program, "token", "tokens of the workspace");
  add(token, "mint", "make a token of a user, with the workspace secret")
    .requiredOption("--user <id>", "whose it is", identity)
    .option("--name <name>", "the user's name")
    .option("--ttl <duration>", "how long it is good", duration, 7_200_000)
    .action(run((options: MintOptions) => commands.tokenMint(options)));
  withToken(
    add(
      token,
      "inspect",
      "what a token says, and whether it would be accepted",
    ),
  ).action(run((options: TokenOptions) => commands.tokenInspect(options)));

  const sessions = add(program, "sessions", "sessions in DATA_DIR");
  asList(add(sessions, "list", "the sessions, newest first")).action(
    run((options: ListOptions) => commands.sessionsList(options)),
  );
  asJson(add(sessions, "show <id>", "one session")).action(
    run((id: string, options: { json: boolean }) =>
      commands.sessionsShow(id, options),
    ),
  );
  add(sessions, "end <id>", "end a session, also of a running server").action(
    run((id: string) => commands.sessionsEnd(id)),
  );
  const chats = add(program, "chats", "chats in DATA_DIR");
  asList(add(chats, "list", "the chats, newest first")).action(
    run((options: ListOptions) => commands.chatsList(options)),
  );

  add(program, "audit", "what has happened, newest first")
    .option("--types <types>", "of these types only, such as key_created")
    .option("--user <id>", "what concerns this user only")
    .option(
      "--since <duration>",
      "not what is longer ago, such as 30d",
      duration,
    )
    .option("--request <id>", "what this request has done")
    .option(
      "--workspace <key>",
      "whose it is (default: MEMBRANE_WORKSPACE_KEY, or the only one in DATA_DIR)",
      identity,
    )
    .option("--limit <number>", "at most this many", wholeNumber, 100)
    .option("--json", "print JSON, one entry a line", false)
    .action(run((options: AuditOptions) => commands.audit(options)));

  const keys = add(program, "keys", "API keys in DATA_DIR");
  asJson(
    add(
      keys,
      "create",
      "make an API key, also for a running server; it is shown once",
    )
      .requiredOption("--name <name>", "what it is for", identity)
      .requiredOption(
        "--scopes <scopes>",
        `what it may do: ${scopes.join(", ")}; each includes those before it`,
        scope,
      )
      .option("--member <id>", "the user whom it acts as", identity)
      .option(
        "--workspace <key>",
        "whose it is (default: MEMBRANE_WORKSPACE_KEY, or the only one in DATA_DIR)",
        identity,
      )
      .addOption(
        new Option("--expires <duration>", "how long it is good, or never")
          // Null would be taken for no value.
          .argParser((text) => (text === "never" ? Infinity : duration(text)))
          .default(90 * units.d, "90d"),
      ),
  ).action(run((options: KeyOptions) => commands.keysCreate(options)));
  asJson(
    add(keys, "list", "the API keys, newest first").option(
      "--workspace <key>",
      "of this workspace only",
      identity,
    ),
  ).action(
    run((options: { workspace?: string; json: boolean }) =>
      commands.keysList(options),
    ),
  );
  add(keys, "revoke <id>", "end an API key, at once").action(
    run((id: string) => commands.keysRevoke(id)),
  );
  const servers = add(program, "servers", "MCP servers that are registered");
  // They are many, and the start of the server would pay for them.
  if (args.includes("servers")) {
    const { addServerCommands } = await import("./server-program.ts");
    addServerCommands(servers, args, (at, command) =>
      run(() => commands.servers(at, command))(),
    );
  }

  add(
    program,
    "backup <file>",
    "write a consistent, checked copy of the database, also while serving",
  ).action(run((file: string) => commands.backup(file)));
  add(
    program,
    "restore <file>",
    "put a backup in the place of the database, which is kept",
  ).action(run((file: string) => commands.restore(file)));
  add(
    program,
    "migrate",
    "bring the database to this version, as the next start would",
  ).action(run(() => commands.migrate()));

  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help was asked for, and has been printed; or a group was named without its command.
    if (error.exitCode === 0) return 0;
    throw new GatewayError("invalid", wordsFor(error, program, args));
  }
  return code;
}

/**
 * What is wrong with a command line. It may hold a token or a key that somebody took for an argument, and does not
 * repeat what could be one.
 */
function wordsFor(
  { code, message }: CommanderError,
  program: Command,
  args: readonly string[],
): string {
  const [name = "", second = ""] = args.filter((arg) => !arg.startsWith("-"));
  const known = program.commands.some((command) => command.name() === name);
  const unknown = (word: string) =>
    `Unknown command${WORD.test(word) ? `: ${word}` : ""}. membrane-mcp --help lists the commands.`;
  if (code === "commander.unknownCommand") return unknown(second);
  if (code === "commander.help") {
    return name === "help"
      ? unknown(second)
      : `${name} needs a command; membrane-mcp help ${name} lists them.`;
  }
  if (code === "commander.excessArguments" && !known) return unknown(name);
  const words = message
    .replace(/^error: /, "")
    .replace(/ but got .*/s, ".")
    .replace(/(?<=^unknown option '--?[a-z-]{1,20})=.*'/s, "'")
    .replace(/(?<=^unknown option) '(?!--?[a-z-]{1,20}').*'/s, "")
    .replace(CREDENTIAL, "…");
  const hint = args.some((arg) => CREDENTIAL.test(arg))
    ? "Tokens and keys go into a file or the environment: every user of the machine can read arguments.\n"
    : "";
  return `${words}\n${hint}membrane-mcp --help lists the commands.`;
}

/** What may be meant for the name of a command. */
const WORD = /^[a-z][a-z-]{0,19}$/;
const CREDENTIAL = /(?<!\w)(eyJ|mcpk_)[\w.-]+/;
