import { GatewayError, asGatewayError } from "../core/errors.ts";
import type { Clock } from "../core/runtime.ts";
import { withoutValues } from "../core/registration.ts";
import { exitCodes } from "./exit.ts";
import type { Reading } from "./entries.ts";
import type { ImportOptions } from "./importing.ts";
import { counted, createOutcomes } from "./outcome.ts";
import type { AddOptions, AddTarget } from "./registration.ts";
import { readRegistration } from "./registration.ts";
import type { Server, ServerTool, ServersApi } from "./servers-api.ts";
import { formatTable, formatTime, printable } from "./table.ts";
import { readText } from "./token.ts";

/** What somebody does with registered servers. Each resolves with the exit code. */
export type ServerCommands = {
  add(name: string, target: AddTarget, options: AddOptions): Promise<number>;
  list(options: { json: boolean }): Promise<number>;
  show(name: string, options: { json: boolean }): Promise<number>;
  test(name: string, options: { json: boolean }): Promise<number>;
  enable(name: string): Promise<number>;
  disable(
    name: string,
    options: { clearRegistration: boolean },
  ): Promise<number>;
  remove(name: string): Promise<number>;
  login(name: string, options: LoginOptions): Promise<number>;
  approve(name: string, tool: string): Promise<number>;
  import(source: string, options: ImportOptions): Promise<number>;
};

export type LoginOptions = { wait: boolean; tokenFile?: string };

/** How long a link is good, and how often it is looked whether somebody has followed it. */
const LOGIN_MS = 600_000;
const LOOK_MS = 1000;

export function createServerCommands(wiring: {
  api: ServersApi;
  /** Where commands were given, and what is known there. */
  at: Reading;
  /** Address of the running server; null for the database of this machine. */
  url: string | null;
  /** Why a link of ours would lead nowhere at present; null when it would not. */
  deadEnd: () => Promise<string | null>;
  clock: Clock;
  print: (text: string) => void;
}): ServerCommands {
  const { api, at, url, clock, print } = wiring;
  const printJson = (value: unknown) => print(JSON.stringify(value, null, 2));
  const there = url === null ? "" : ` --url ${url}`;
  const outcomeOf = createOutcomes(api, there);

  /** Says it, or throws it. */
  async function tell(server: Server): Promise<number> {
    const { code, words } = await outcomeOf(server);
    const sentence = `${printable(server.slug)}: ${words}.`.replace(
      /\.+$/,
      ".",
    );
    if (code !== null) throw new GatewayError(code, sentence);
    print(sentence);
    return 0;
  }

  /** The link that a member opens; null when there is nobody who would have to. */
  async function linkOf(server: Server): Promise<string | null> {
    if (server.connected) return null;
    try {
      let { state } = server;
      if (state === "register") ({ state } = await api.enable(server));
      if (state === "authorize") await api.enable(server);
      else if (state === "ready") await api.tools(server);
    } catch (error) {
      const link =
        error instanceof GatewayError ? error.data?.["authorizeUrl"] : null;
      if (typeof link === "string") return printable(link);
      throw error;
    }
    return null;
  }

  async function untilConnected(server: Server): Promise<Server> {
    const end = clock.monotonic() + LOGIN_MS;
    while (clock.monotonic() < end) {
      await Bun.sleep(LOOK_MS);
      try {
        const now = await api.read(server);
        if (now.connected) return now;
      } catch (error) {
        // The server may be restarting.
        if (asGatewayError(error).code !== "upstream_failed") throw error;
      }
    }
    throw new GatewayError(
      "timeout",
      "Nobody has logged in within ten minutes, and the link is no longer good. Run the command again.",
    );
  }

  return {
    async add(name, target, options) {
      const registration = readRegistration(name, target, options, {
        ...at,
        remote: url !== null,
      });
      const created = await api.create(registration, await api.list());
      print(`${printable(name)} is registered as ${printable(created.slug)}.`);
      return options.enable ? tell(await api.enable(created)) : 0;
    },

    async list({ json }) {
      const servers = await api.list();
      if (json) printJson(servers);
      else print(serverTable(servers));
      return 0;
    },

    async show(name, { json }) {
      const server = await api.find(name);
      const members = await api.members(server);
      const { tools, untold } = await toolsOf(api, server);
      if (json) printJson({ ...server, members, tools });
      else {
        print(facts(server));
        for (const member of members) print(`\n${facts(member)}`);
        print(`\n${tools ? toolTable(tools) : `tools: ${untold}`}`);
      }
      return 0;
    },

    async test(name, { json }) {
      const server = await api.find(name);
      const test = await api.test(server);
      const failure =
        test.failureClass === "auth"
          ? "needs_authorization"
          : "upstream_failed";
      if (json) {
        printJson(test);
        return test.success ? 0 : exitCodes[failure];
      }
      if (!test.success) {
        throw new GatewayError(
          failure,
          `${printable(server.slug)}: ${printable(test.error ?? "It does not work.")}`,
        );
      }
      const { componentCounts: counts, serverName, serverVersion } = test;
      const has = [
        counted(counts?.tools ?? 0, "tool"),
        counted(counts?.prompts ?? 0, "prompt"),
        counted(
          (counts?.resources ?? 0) + (counts?.resourceTemplates ?? 0),
          "resource",
        ),
      ];
      print(
        `${printable(server.slug)}: ${printable(`${serverName} ${serverVersion}`)} works, with MCP of ${printable(test.protocolVersion ?? "?")} (${test.negotiationPath}), ${has.join(", ")}, in ${test.latencyMs} ms.`,
      );
      return 0;
    },

    enable: async (name) => tell(await api.enable(await api.find(name))),

    async disable(name, options) {
      const off = await api.disable(await api.find(name), options);
      print(
        options.clearRegistration
          ? `${printable(off.slug)} is off, and has forgotten its registration and what members have granted.`
          : `${printable(off.slug)} is off.`,
      );
      return 0;
    },

    async remove(name) {
      const server = await api.find(name);
      await api.remove(server);
      print(`${printable(server.slug)} is gone, with all that belonged to it.`);
      return 0;
    },

    async login(name, { wait, tokenFile }) {
      const server = await api.find(name);
      const slug = printable(server.slug);
      if (server.authType === "direct_auth") {
        const token = tokenFile === undefined ? null : readText(tokenFile);
        await api.link(server, token && token.trim());
        return tell(await api.read(server));
      }
      if (tokenFile !== undefined) {
        throw new GatewayError(
          "invalid",
          `${slug} is not of --auth direct_auth: nobody brings a token of their own.`,
        );
      }
      const link = await linkOf(server);
      if (link === null) return tell(await api.read(server));
      const deadEnd = await wiring.deadEnd();
      if (deadEnd !== null && wait) {
        throw new GatewayError("conflict", deadEnd);
      }
      print(
        `Open this link within ten minutes, in the browser of who is to be connected:\n\n${link}\n`,
      );
      if (deadEnd !== null) print(deadEnd);
      return wait ? tell(await untilConnected(server)) : 0;
    },

    async approve(name, toolName) {
      const server = await api.find(name);
      const tools = await api.tools(server);
      const tool = tools.find((one) => one.name === toolName);
      if (!tool) {
        throw new GatewayError(
          "not_found",
          `${printable(server.slug)} has no tool ${printable(toolName)}. membrane-mcp servers show ${printable(server.slug)}${there} shows those that it has.`,
        );
      }
      if (tool.status === "changed") await api.approve(server, tool);
      print(
        `${printable(tool.name)} may be called as it is now (${tool.hash.slice(0, 12)}).`,
      );
      return 0;
    },

    async import(source, options) {
      const { importServers } = await import("./importing.ts");
      const remote = url !== null;
      const wiring = { api, at, remote, outcomeOf, print };
      return importServers(source, options, wiring);
    },
  };
}

/** `untold`: why they are not known. */
async function toolsOf(
  api: ServersApi,
  server: Server,
): Promise<{ tools: ServerTool[] | null; untold: string }> {
  try {
    return { tools: await api.tools(server), untold: "" };
  } catch (thrown) {
    return { tools: null, untold: asGatewayError(thrown).message };
  }
}

function serverTable(servers: readonly Server[]): string {
  return formatTable(
    [
      "SERVER",
      "NAME",
      "STATE",
      "ENABLED",
      "AUTH",
      "URL",
      "MEMBERS",
      "LAST ERROR",
    ],
    servers.map((server) => [
      printable(server.slug),
      printable(server.name),
      server.state,
      server.enabled ? "yes" : "no",
      server.authType,
      printable(withoutValues(server.url)),
      String(server.memberCount),
      printable(server.lastError?.message ?? ""),
    ]),
  );
}

function toolTable(tools: readonly ServerTool[]): string {
  return formatTable(
    ["TOOL", "STATUS", "DEFINITION", "SUSPICIOUS"],
    tools.map(({ name, status, hash, suspicious }) => [
      printable(name),
      status,
      hash.slice(0, 12),
      printable(suspicious.join(", ")),
    ]),
  );
}

/** One line for each of its fields. */
function facts(of: object): string {
  return Object.entries(of)
    .map(([field, value]) => {
      const text =
        typeof value !== "string"
          ? JSON.stringify(value)
          : field.endsWith("At")
            ? formatTime(Date.parse(value))
            : value;
      return `${field}: ${printable(text)}`;
    })
    .join("\n");
}
