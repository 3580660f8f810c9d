import { systemClock } from "../../src/runtime/machine.ts";
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { readConfig } from "../../src/config.ts";
import { routes } from "../../src/http/routes.ts";
import { createVault } from "../../src/runtime/vault.ts";
import { openRegistry } from "../../src/store/sqlite/operate.ts";
import type { DemoWorkspace } from "../../src/demo/workspace.ts";
import type { Server } from "../support/binary.ts";
import {
  SECRET,
  WORKSPACE_KEY,
  ensureBuilt,
  executable,
  openServer,
  run,
} from "../support/binary.ts";
import { freePort } from "../support/port.ts";
import {
  call,
  createCaller,
  initialize,
  listTools,
} from "../support/caller.ts";
import { migrations } from "../../src/store/sqlite/migrations.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { oddWorld } from "../support/odd-world.ts";

/** Every command of the executable, from empty directories. */

let root: ReturnType<typeof temporaryDirectory>;
let workspace: DemoWorkspace;
let server: Server;
let token: string;
let folders = 0;
beforeAll(async () => {
  await ensureBuilt();
  root = temporaryDirectory();
  workspace = openWorkspace(oddWorld({ bigActions: 3 }), {
    workspaceKey: WORKSPACE_KEY,
    secret: SECRET,
  });
  server = await openServer(workspace.url);
  token = await server.tokenFor("ada");
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await workspace.close();
  root[Symbol.dispose]();
});

function emptyFolder(): string {
  const path = join(root.path, String(++folders));
  mkdirSync(path);
  return path;
}

async function finish(
  args: string[],
  env: Record<string, string> = {},
  cwd = emptyFolder(),
) {
  const child = run(args, env, cwd);
  const code = await child.exited;
  return { code, out: child.stdout(), err: child.stderr() };
}

const settings = {
  MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY,
  MEMBRANE_WORKSPACE_SECRET: SECRET,
};
const caller = () => createCaller(server.url, server.tokenFor);

describe("help", () => {
  test.each([
    [["--help"], "Usage: membrane-mcp"],
    [["help"], "Usage: membrane-mcp"],
    [["help", "sessions"], "sessions list"],
    [["connect", "--help"], "cursor, claude, claude-code"],
    [["token", "mint", "--help"], "--ttl <duration>"],
    [["serve", "--help"], "serve"],
  ])("%j explains", async (args, text) => {
    const { code, out, err } = await finish(args);
    expect([code, err]).toEqual([0, ""]);
    expect(out.replaceAll(/\s+/g, " ")).toContain(
      text === "sessions list" ? "list [options]" : text,
    );
  });

  test.each([
    [["nonsense"], "Unknown command: nonsense"],
    [["serve", "more"], "too many arguments"],
    [["token"], "token needs a command"],
    [["token", "mint"], "--user"],
    [["token", "mint", "--user", "x", "--ttl", "soon"], "a duration such as"],
    [["sessions", "list", "--limit", "0"], "a whole number"],
    [["connect", "emacs", "--url", "http://x/"], "Unknown client: emacs"],
    [["connect", "cursor"], "PUBLIC_URL"],
    [["backup"], "missing required argument"],
    [["keys"], "keys needs a command"],
    [["keys", "create", "--scopes", "apps:read"], "--name"],
    [["keys", "create", "--name", "n"], "--scopes"],
    [["keys", "create", "--name", "n", "--scopes", "root"], "apps:admin"],
    [
      "keys create --name n --scopes apps:read --expires soon".split(" "),
      "a duration such as",
    ],
  ])("%j is a usage error in a line or two", async (args, text) => {
    const { code, out, err } = await finish(args, {
      MEMBRANE_ACCESS_TOKEN: "t",
    });
    expect([code, out]).toEqual([64, ""]);
    expect(err).toContain(text);
    expect(err).toStartWith("membrane-mcp: ");
    expect(err).not.toMatch(/\n\s+at /);
  });

  const token = "eyJhbGciOiJIUzI1NiJ9.e30.c2VjcmV0";
  const key = "mcpk_0123abcd_s3cret";
  test.each([
    [["token", "inspect", token], "too many arguments"],
    [["token", "inspect", "--token", token], "unknown option '--token'"],
    [["token", "inspect", `--token=${token}`], "unknown option '--token'"],
    [["token", "inspect", `--${token}`], "unknown option"],
    [["token", "inspect", "--token-file", token], "the name of a file"],
    [["servers", "list", "--key-file", key, "--url", "http://x/"], "of a file"],
    [["token", token], "Unknown command"],
    [["help", token], "Unknown command"],
    [[token], "Unknown command"],
    [["keys", "revoke", "id", key], "too many arguments"],
    [["token", "mint", "--user", "x", "--ttl", token], "a duration such as"],
  ])("%j is refused without repeating the credential", async (args, text) => {
    const { code, out, err } = await finish(args);
    expect([code, out]).toEqual([64, ""]);
    expect(err).toContain(text);
    expect(err).not.toMatch(/eyJ|mcpk_|s3cret/);
  });
});

test("version names what the executable is made of", async () => {
  for (const args of [["version"], ["--version"], ["-V"]]) {
    const { code, out } = await finish(args);
    expect(code).toBe(0);
    for (const part of [
      "membrane-mcp 0.",
      "commit ",
      "bun 1.4.5",
      "sqlite 3.",
    ]) {
      expect(out).toContain(part);
    }
    expect(out).not.toContain("none (source)");
  }
});

test("routes lists every route with what it asks of its caller", async () => {
  const { code, out } = await finish(["routes"]);
  expect(code).toBe(0);
  const lines = out.trim().split("\n").slice(1);
  expect(
    lines.map((line) =>
      line
        .trim()
        .split(/\s{2,}/)
        .join(" "),
    ),
  ).toEqual(
    Object.entries(routes).map(([route, access]) => `${route} ${access}`),
  );
});

describe("token", () => {
  test("mint makes one that the server accepts, inspect says whose it is and never shows it", async () => {
    const { code, out } = await finish(
      ["token", "mint", "--user", "grace", "--name", "Grace", "--ttl", "15m"],
      settings,
    );
    expect(code).toBe(0);
    const minted = out.trim();
    expect((await caller().post(minted, initialize())).status).toBe(200);
    const inspected = await finish(["token", "inspect"], {
      ...settings,
      MEMBRANE_ACCESS_TOKEN: minted,
    });
    expect(inspected.code).toBe(0);
    expect(inspected.out).toContain(
      "accepted: yes, as grace of workspace wk-test",
    );
    expect(inspected.out).toContain("in 15 min");
    expect(inspected.out).not.toContain(minted);
    const other = await finish(["token", "inspect"], {
      ...settings,
      MEMBRANE_WORKSPACE_SECRET: "another-secret-of-at-least-32-bytes",
      MEMBRANE_ACCESS_TOKEN: minted,
    });
    expect(other.code).toBe(77);
    expect(other.out).toContain("accepted: no.");
  });

  test("without a secret cannot be minted, without a token not inspected", async () => {
    const mint = await finish(["token", "mint", "--user", "x"]);
    expect([mint.code, mint.err]).toEqual([
      64,
      expect.stringContaining("MEMBRANE_WORKSPACE_SECRET"),
    ]);
    const inspect = await finish(["token", "inspect"]);
    expect([inspect.code, inspect.err]).toEqual([
      77,
      expect.stringContaining("--token-file"),
    ]);
  });
});

describe("stdio", () => {
  const stdio = async (args: string[], env: Record<string, string>) => {
    const transport = new StdioClientTransport({
      command: executable,
      args: ["stdio", ...args],
      env,
      cwd: emptyFolder(),
      stderr: "pipe",
    });
    const client = new Client({ name: "test", version: "1.0.0" });
    await client.connect(transport);
    return client;
  };
  const env = () => ({ MEMBRANE_ACCESS_TOKEN: token });

  test.each([
    ["in process", () => [], { ...settings }],
    ["bridged to a server", () => ["--url", server.url], {}],
  ])("%s serves the official client", async (_, args, more) => {
    const client = await stdio(args(), {
      ...env(),
      ...more,
      MEMBRANE_API_URI: workspace.url,
    });
    const { tools } = await client.listTools();
    expect(tools.length).toBeGreaterThan(30);
    const { structuredContent } = await client.callTool({
      name: "lab_echo",
      arguments: { text: "Grüße\n😀\u2028" },
    });
    expect(structuredContent).toEqual({ text: "Grüße\n😀\u2028" });
    await client.close();
  });

  test("keeps its session over a restart of the server it is bridged to", async () => {
    const client = await stdio(
      ["--url", `${server.url}/mcp?mode=dynamic`],
      env(),
    );
    await client.callTool({
      name: "enable-tools",
      arguments: { tools: ["lab_echo"] },
    });
    await server.kill9();
    await server.start();
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["enable-tools", "lab_echo"]);
    await client.close();
  });

  /** The bare program, talked to by hand. */
  function talk(args: string[], more: Record<string, string> = {}) {
    const temporary = emptyFolder();
    const child = Bun.spawn([executable, "stdio", ...args], {
      cwd: emptyFolder(),
      env: {
        ...env(),
        ...settings,
        MEMBRANE_API_URI: workspace.url,
        TMPDIR: temporary,
        ...more,
      },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    let out = "";
    let arrival = Promise.withResolvers<void>();
    void (async () => {
      for await (const chunk of child.stdout.pipeThrough(
        new TextDecoderStream(),
      )) {
        out += chunk;
        arrival.resolve();
        arrival = Promise.withResolvers();
      }
    })();
    return {
      child,
      temporary,
      send: (message: unknown) =>
        void child.stdin.write(`${JSON.stringify(message)}\n`),
      /** The answer to a request. */
      async answer(id: string | number): Promise<any> {
        for (;;) {
          const lines = out.split("\n").slice(0, -1);
          const found = lines
            .map((line) => JSON.parse(line))
            .find((message) => message.id === id && !message.method);
          if (found) return found;
          await arrival.promise;
        }
      },
    };
  }
  const running = async (tool: string) => {
    await workspace.when(
      ({ path, body }) =>
        path.includes("/run") && JSON.stringify(body).includes(tool),
    );
  };

  test("ends when its input does, also after a call was cancelled", async () => {
    const { child, send, answer } = talk([]);
    send(initialize());
    await answer(0);
    send(call("lab_hold", { gate: "cancelled" }, 5));
    await running("cancelled");
    send({
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId: 5 },
    });
    child.stdin.end();
    expect(await child.exited).toBe(0);
  });

  test("ends on SIGTERM with a call running, and leaves nothing behind", async () => {
    const { child, send, answer, temporary } = talk([]);
    send(initialize());
    await answer(0);
    send(call("lab_hold", { gate: "stopped" }, 5));
    await running("stopped");
    expect(readdirSync(temporary)).toHaveLength(1);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect(readdirSync(temporary)).toEqual([]);
  });

  test("ends quietly when nobody reads its output", async () => {
    const child = Bun.spawn(
      [
        "sh",
        "-c",
        `sleep 0.3; printf '%s\\n' "$1"; sleep 1`,
        "sh",
        JSON.stringify(initialize()),
      ],
      { stdout: "pipe" },
    );
    const program = Bun.spawn(
      ["sh", "-c", `"$1" stdio | true`, "sh", executable],
      {
        cwd: emptyFolder(),
        env: {
          ...env(),
          ...settings,
          PATH: "/usr/bin:/bin",
          MEMBRANE_API_URI: workspace.url,
        },
        stdin: child.stdout,
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    await program.exited;
    expect(await new Response(program.stderr).text()).toBe("");
  });

  test.each(["2024-11-05", "2025-06-18", "2025-11-25"])(
    "a client of %s hears of a call that a crash of the server has cut off",
    async (version) => {
      const { child, send, answer } = talk(["--url", server.url]);
      send(initialize(version));
      expect((await answer(0)).result.protocolVersion).toBe(version);
      send({ jsonrpc: "2.0", method: "notifications/initialized" });
      send(call("lab_hold", { gate: `cut ${version}` }, 5));
      await running(`cut ${version}`);
      await server.kill9();
      await server.start();
      expect((await answer(5)).error.code).toBe(-32000);
      child.stdin.end();
      expect(await child.exited).toBe(0);
    },
  );

  test("many requests that find the session gone open one session together", async () => {
    await using own = await openServer(workspace.url);
    const { child, send, answer } = talk(["--url", own.url], {
      MEMBRANE_ACCESS_TOKEN: await own.tokenFor("zoe"),
    });
    const sessions = async () =>
      JSON.parse(
        (
          await finish(["sessions", "list", "--json"], {
            DATA_DIR: own.dataDir,
          })
        ).out,
      ) as { id: string }[];
    send(initialize());
    await answer(0);
    send({ jsonrpc: "2.0", method: "notifications/initialized" });
    send({ ...listTools, id: 2 });
    await answer(2);
    const [first] = await sessions();
    await finish(["sessions", "end", first!.id], { DATA_DIR: own.dataDir });
    // The server notices within a moment.
    const caller = createCaller(own.url, own.tokenFor);
    const headers = { "mcp-session-id": first!.id };
    while ((await caller.post("zoe", listTools, headers)).status !== 404) {
      await Bun.sleep(10);
    }
    for (let id = 10; id < 16; id++) send({ ...listTools, id });
    for (let id = 10; id < 16; id++) {
      expect((await answer(id)).result.tools.length).toBeGreaterThan(0);
    }
    expect(await sessions()).toHaveLength(1);
    child.stdin.end();
    expect(await child.exited).toBe(0);
    expect(await sessions()).toHaveLength(0);
  });

  test("answers what was asked before its input ended, and only MCP is on its output", async () => {
    const child = Bun.spawn([executable, "stdio"], {
      cwd: emptyFolder(),
      env: {
        ...env(),
        ...settings,
        MEMBRANE_API_URI: workspace.url,
        LOG_LEVEL: "debug",
      },
      stdin: new TextEncoder().encode(
        [
          initialize(),
          { jsonrpc: "2.0", method: "notifications/initialized" },
          listTools,
          call("lab_echo", { a: 1 }, 3),
        ]
          .map((message) => `${JSON.stringify(message)}\n`)
          .join(""),
      ),
      stdout: "pipe",
      stderr: "pipe",
    });
    const out = await new Response(child.stdout).text();
    expect(await child.exited).toBe(0);
    const answers = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(answers.map(({ id }) => id).sort()).toEqual([0, 2, 3]);
  });

  test("a token from a file; one that is refused is an error to the client", async () => {
    const folder = emptyFolder();
    const file = join(folder, "token");
    writeFileSync(file, `${token}\n`);
    const client = await stdio(["--url", server.url, "--token-file", file], {});
    expect((await client.listTools()).tools.length).toBeGreaterThan(30);
    await client.close();
    await expect(
      stdio(["--url", server.url], { MEMBRANE_ACCESS_TOKEN: "a.b.c" }),
    ).rejects.toThrow("does not accept the token");
    const missing = await finish(["stdio", "--token-file", join(folder, "x")]);
    expect([missing.code, missing.out]).toEqual([66, ""]);
  });

  test("ends the session it had, when its client goes", async () => {
    const client = await stdio(
      ["--url", `${server.url}/mcp?chat=of-stdio`],
      env(),
    );
    const chats = async () => {
      const answer = await fetch(`${server.url}/mcp/sessions`, {
        headers: { authorization: `Bearer ${token}` },
      });
      return (await answer.json()) as Record<string, string>;
    };
    expect(await chats()).toHaveProperty("of-stdio");
    await client.close();
    while ("of-stdio" in (await chats()));
  });
});

describe("connect", () => {
  const at = (home: string) => ({
    HOME: home,
    MEMBRANE_ACCESS_TOKEN: "a-token",
    PUBLIC_URL: "https://mcp.example.com/base/",
  });
  const url = "https://mcp.example.com/base/mcp";
  const headers = { Authorization: "Bearer a-token" };
  const files: [string, string, unknown][] = [
    [
      "cursor",
      ".cursor/mcp.json",
      { mcpServers: { membrane: { url, headers } } },
    ],
    [
      "claude",
      ".config/Claude/claude_desktop_config.json",
      {
        mcpServers: {
          membrane: {
            command: executable,
            args: ["stdio", "--url", url],
            env: { MEMBRANE_ACCESS_TOKEN: "a-token" },
          },
        },
      },
    ],
    [
      "claude-code",
      ".claude.json",
      { mcpServers: { membrane: { type: "http", url, headers } } },
    ],
    [
      "vscode",
      ".config/Code/User/mcp.json",
      { servers: { membrane: { type: "http", url, headers } } },
    ],
    [
      "windsurf",
      ".codeium/windsurf/mcp_config.json",
      { mcpServers: { membrane: { serverUrl: url, headers } } },
    ],
  ];

  test.each(files)(
    "%s: shows, and writes %s",
    async (client, file, expected) => {
      const home = emptyFolder();
      const shown = await finish(["connect", client], at(home));
      expect(shown.code).toBe(0);
      const json = shown.out.slice(
        shown.out.indexOf("{"),
        shown.out.lastIndexOf("}") + 1,
      );
      expect(JSON.parse(json)).toEqual(expected as object);
      expect(shown.out).toContain(join(home, file));
      expect(readdirSync(home)).toEqual([]);
      const written = await finish(["connect", client, "--write"], at(home));
      expect(written.code).toBe(0);
      const path = join(home, file);
      expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(
        expected as object,
      );
      expect(statSync(path).mode & 0o777).toBe(0o600);
      const again = await finish(["connect", client, "--write"], at(home));
      expect(again.out).toContain("says so already");
      expect(
        readdirSync(dirname(path)).filter((name) => name.includes("before")),
      ).toEqual([]);
    },
  );

  test("keeps what is in the file, comments too, and what it was", async () => {
    const home = emptyFolder();
    const real = join(home, "dotfiles.json");
    const path = join(home, ".cursor/mcp.json");
    const before = `{
  // my servers
  "mcpServers": {
    "other": { "url": "http://127.0.0.1:1/mcp" }, /* mine */
  },
  "else": [1, 2]
}
`;
    writeFileSync(real, before, { mode: 0o644 });
    mkdirSync(dirname(path));
    symlinkSync(real, path);
    const { code } = await finish(
      ["connect", "cursor", "--write", "--name", "mine"],
      at(home),
    );
    expect(code).toBe(0);
    const after = readFileSync(path, "utf8");
    for (const kept of [
      "// my servers",
      "/* mine */",
      '"other": { "url": "http://127.0.0.1:1/mcp" }',
      '"else": [1, 2]',
    ]) {
      expect(after).toContain(kept);
    }
    expect(after).toContain('"mine": {');
    const copies = readdirSync(home).filter((name) =>
      name.startsWith("dotfiles.json.before-"),
    );
    expect(copies).toHaveLength(1);
    expect(readFileSync(join(home, copies[0]!), "utf8")).toBe(before);
    expect(statSync(join(home, copies[0]!)).mode & 0o777).toBe(0o600);
    expect(existsSync(`${real}.partial`)).toBe(false);
  });

  test.each([
    ["not json"],
    ["[]"],
    ['{"mcpServers": []}'],
    ['{"mcpServers": "x"}'],
    ['{"mcpServers": {}, "mcpServers": {"b": {}}}'],
  ])("leaves a file that holds %s as it is", async (text) => {
    const home = emptyFolder();
    const path = join(home, ".cursor/mcp.json");
    mkdirSync(dirname(path));
    writeFileSync(path, text);
    const { code, err } = await finish(
      ["connect", "cursor", "--write"],
      at(home),
    );
    expect([code, err]).toEqual([
      65,
      expect.stringContaining("Nothing was changed"),
    ]);
    expect(readFileSync(path, "utf8")).toBe(text);
    expect(readdirSync(dirname(path))).toEqual(["mcp.json"]);
  });

  test("a byte order mark, line ends and bytes that are no text stay as they are", async () => {
    const home = emptyFolder();
    const path = join(home, ".cursor/mcp.json");
    mkdirSync(dirname(path));
    writeFileSync(
      path,
      '\uFEFF{\r\n  "mcpServers": {\r\n    "a": {}\r\n  }\r\n}\r\n',
    );
    const args = ["connect", "cursor", "--write"];
    expect((await finish(args, at(home))).code).toBe(0);
    const text = readFileSync(path, "utf8");
    expect(text.startsWith("\uFEFF{\r\n")).toBe(true);
    expect(text.replaceAll("\r\n", "")).not.toContain("\n");
    expect(Object.keys(JSON.parse(text.slice(1)).mcpServers)).toEqual([
      "a",
      "membrane",
    ]);
    const bytes = Buffer.concat([
      Buffer.from('{"mcpServers":{"a":"'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}}'),
    ]);
    writeFileSync(path, bytes);
    expect((await finish(args, at(home))).code).toBe(65);
    expect(readFileSync(path)).toEqual(bytes);
  });

  test("a link is followed, also to what is not there yet, and what lies around is not written through", async () => {
    const home = emptyFolder();
    const dotfiles = emptyFolder();
    mkdirSync(join(home, ".cursor"));
    const path = join(home, ".cursor/mcp.json");
    symlinkSync(join(dotfiles, "real.json"), path);
    const victim = join(dotfiles, "victim");
    writeFileSync(victim, "untouched");
    symlinkSync(victim, join(dotfiles, "real.json.partial"));
    const { code } = await finish(["connect", "cursor", "--write"], at(home));
    expect(code).toBe(0);
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(statSync(join(dotfiles, "real.json")).mode & 0o777).toBe(0o600);
    expect(readFileSync(victim, "utf8")).toBe("untouched");
  });

  test("a file that cannot be written is named in a sentence", async () => {
    const home = emptyFolder();
    writeFileSync(join(home, ".cursor"), "a file");
    const { code, err } = await finish(
      ["connect", "cursor", "--write"],
      at(home),
    );
    expect([code, err]).toEqual([
      73,
      expect.stringContaining("mcp.json could not be written"),
    ]);
    expect(err.trim().split("\n")).toHaveLength(1);
  });

  test.each([
    ["https://x.example/mcp/", "https://x.example/mcp"],
    ["https://x.example/", "https://x.example/mcp"],
    ["https://x.example/a", "https://x.example/a/mcp"],
  ])("%s is taken for %s", async (given, meant) => {
    const { out } = await finish(
      ["connect", "cursor", "--url", given],
      at(emptyFolder()),
    );
    expect(out).toContain(`"url": "${meant}"`);
  });

  test("inspector: a file beside the one who asks", async () => {
    const folder = emptyFolder();
    const { code, out } = await finish(
      ["connect", "inspector", "--write"],
      at(folder),
      folder,
    );
    expect(code).toBe(0);
    expect(out).toContain("@modelcontextprotocol/inspector");
    expect(JSON.parse(readFileSync(join(folder, "mcp.json"), "utf8"))).toEqual({
      mcpServers: { membrane: { type: "streamable-http", url, headers } },
    });
  });
});

describe("beside a running server", () => {
  const beside = (...args: string[]) =>
    finish(args, { DATA_DIR: server.dataDir });

  test("sessions are listed, shown and ended; a stream of one that ended closes", async () => {
    const client = caller();
    const session = await client.open(
      "ada",
      {},
      "/mcp?mode=dynamic&apps=lab&chat=to%07end",
    );
    await client.post("ada", call("enable-tools", { tools: ["lab_echo"] }), {
      "mcp-session-id": session,
    });
    const list = await beside("sessions", "list", "--user", "ada", "--json");
    const listed = JSON.parse(list.out) as { id: string; user: string }[];
    expect(listed.map(({ id }) => id)).toContain(session);
    expect(new Set(listed.map(({ user }) => user))).toEqual(new Set(["ada"]));
    const table = await beside("sessions", "list");
    expect(table.out).toContain(session);
    expect(table.out).not.toContain("\u0007");
    const shown = JSON.parse(
      (await beside("sessions", "show", session, "--json")).out,
    );
    expect(shown).toMatchObject({
      id: session,
      mode: "dynamic",
      apps: ["lab"],
      enabled: ["lab_echo"],
      events: 2,
      runningCalls: 0,
    });
    const chats = JSON.parse((await beside("chats", "list", "--json")).out) as {
      session: string;
    }[];
    expect(chats.map((chat) => chat.session)).toContain(session);
    const ended = await beside("sessions", "end", session);
    expect(ended.code).toBe(0);
    let answer = await client.post("ada", listTools, {
      "mcp-session-id": session,
    });
    // The server looks every tenth of a second.
    while (answer.status === 200) {
      answer = await client.post("ada", listTools, {
        "mcp-session-id": session,
      });
    }
    expect(answer.status).toBe(404);
    const again = await beside("sessions", "end", session);
    expect([again.code, again.err]).toEqual([
      66,
      expect.stringContaining(session),
    ]);
    await client.close();
  });

  test("a backup is whole, for its owner alone, and replaces only what it is asked to", async () => {
    const client = caller();
    const session = await client.open("ada", { "x-chat-id": "backed-up" });
    const folder = emptyFolder();
    const file = join(folder, "copy.db");
    expect((await beside("backup", file)).code).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(["copy.db"]);
    {
      using copy = new Database(file, { readonly: true });
      expect(copy.query("PRAGMA integrity_check").get()).toEqual({
        integrity_check: "ok",
      });
    }
    expect((await beside("backup", file)).code).toBe(0);
    const nowhere = await beside("backup", join(folder, "no", "copy.db"));
    expect(nowhere.code).toBe(66);
    expect((await beside("backup", folder)).code).toBe(64);
    // The server's own files, by whatever name.
    const link = join(emptyFolder(), "link");
    symlinkSync(server.dataDir, link);
    for (const own of [
      "membrane-mcp.db",
      "membrane-mcp.db-wal",
      "instance.lock",
    ]) {
      for (const through of [server.dataDir, link]) {
        const refused = await beside("backup", join(through, own));
        expect([own, refused.code]).toEqual([own, 64]);
      }
      const { code } = await finish(["backup", join(server.dataDir, own)], {
        DATA_DIR: link,
      });
      expect([own, code]).toEqual([own, 64]);
    }
    // Several at once do not meet.
    const together = join(emptyFolder(), "together.db");
    const all = await Promise.all(
      Array.from({ length: 4 }, () => beside("backup", together)),
    );
    expect(all.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(readdirSync(dirname(together))).toEqual(["together.db"]);
    const busy = await beside("restore", file);
    expect([busy.code, busy.err]).toEqual([
      75,
      expect.stringContaining("in use by process"),
    ]);

    // Restored elsewhere, the session is there.
    const data = join(folder, "data");
    expect((await finish(["restore", file], { DATA_DIR: data })).code).toBe(0);
    const shown = await finish(["sessions", "show", session, "--json"], {
      DATA_DIR: data,
    });
    expect(JSON.parse(shown.out)).toMatchObject({ chat: "backed-up" });
    // Once more: what was there is kept.
    const twice = await finish(["restore", file], { DATA_DIR: data });
    const [, kept] = /What it was is in (\S+\.db\.replaced-\S+)\./.exec(
      twice.out,
    )!;
    expect(existsSync(kept!)).toBe(true);
    const foreign = join(folder, "foreign");
    {
      using db = new Database(foreign);
      db.run("CREATE TABLE theirs (a)");
    }
    for (const [name, bytes] of [
      ["empty", ""],
      ["text", "x".repeat(5000)],
      ["foreign", null],
    ]) {
      const bad = join(folder, name!);
      if (bytes !== null) writeFileSync(bad, bytes!);
      const before = readFileSync(join(data, "membrane-mcp.db"));
      const refused = await finish(["restore", bad], { DATA_DIR: data });
      expect([name, refused.code]).toEqual([name, 65]);
      // The cure is another file, not another directory.
      expect(refused.err).toContain("that membrane-mcp backup has written");
      expect(refused.err).not.toContain("DATA_DIR");
      expect(readFileSync(join(data, "membrane-mcp.db"))).toEqual(before);
    }
    const none = await finish(["restore", join(folder, "none")], {
      DATA_DIR: data,
    });
    expect(none.code).toBe(66);
    await client.close();
  });

  test("event ids given out after a backup lead nowhere once it is restored", async () => {
    const folder = emptyFolder();
    const file = join(folder, "copy.db");
    const other = await openServer(workspace.url);
    await using _ = other;
    const client = createCaller(other.url, other.tokenFor);
    const session = await client.open("ada");
    const headers = { "mcp-session-id": session };
    const data = { DATA_DIR: other.dataDir };
    await client.post("ada", call("lab_echo", { n: 1 }), headers);
    expect((await finish(["backup", file], data)).code).toBe(0);
    const lost = await client.post("ada", call("lab_echo", { n: 2 }), headers);
    await other.kill9();
    expect((await finish(["restore", file], data)).code).toBe(0);
    await other.start();
    await client.post("ada", call("lab_echo", { n: 3 }), headers);
    const answer = await client.listen("ada", {
      ...headers,
      "last-event-id": lost.events[0]!.id!,
    });
    expect(answer.status).toBe(400);
    await client.close();
  });
});

test("a directory that others use is left as it is, and an empty one is closed to them", async () => {
  const used = emptyFolder();
  writeFileSync(join(used, "something else"), "");
  chmodSync(used, 0o777);
  const empty = emptyFolder();
  chmodSync(empty, 0o755);
  for (const [directory, mode] of [
    [used, 0o777],
    [empty, 0o700],
  ] as const) {
    expect((await finish(["migrate"], { DATA_DIR: directory })).code).toBe(0);
    expect(statSync(directory).mode & 0o777).toBe(mode);
    const file = join(directory, "membrane-mcp.db");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    chmodSync(file, 0o666);
    expect((await finish(["migrate"], { DATA_DIR: directory })).code).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  }
});

test.skipIf(process.getuid?.() !== 0)(
  "what root restores belongs to whose directory it is",
  async () => {
    const backup = join(emptyFolder(), "copy.db");
    await finish(["backup", backup], { DATA_DIR: server.dataDir });
    const data = emptyFolder();
    chownSync(data, 65534, 65534);
    expect((await finish(["restore", backup], { DATA_DIR: data })).code).toBe(
      0,
    );
    for (const name of readdirSync(data)) {
      expect([name, statSync(join(data, name)).uid]).toEqual([name, 65534]);
    }
  },
);

test("what cannot be a user is refused before a token is made for it", async () => {
  for (const user of ["", "x\u001b[31m", "x".repeat(257)]) {
    const { code, out } = await finish(
      ["token", "mint", "--user", user],
      settings,
    );
    expect([code, out]).toEqual([64, ""]);
  }
});

test("doctor finds what serving would", async () => {
  const file = join(emptyFolder(), "a file");
  writeFileSync(file, "");
  const link = join(emptyFolder(), "link");
  symlinkSync(join(emptyFolder(), "nowhere"), link);
  for (const env of [
    { DATA_DIR: "/proc/x" },
    { DATA_DIR: file },
    { DATA_DIR: link },
    {
      MEMBRANE_WORKSPACE_SECRET: "",
      MEMBRANE_PUBLIC_KEY: "garbage",
    },
    {
      MEMBRANE_WORKSPACE_SECRET: "",
      MEMBRANE_JWKS_URL: "http://127.0.0.1:9/keys",
    },
  ]) {
    const { code } = await finish(["doctor"], {
      ...settings,
      DATA_DIR: emptyFolder(),
      MEMBRANE_API_URI: workspace.url,
      PORT: "0",
      ...env,
    });
    expect([env, code]).toEqual([env, 1]);
  }
});

describe("keys", () => {
  const beside = (args: string, env: Record<string, string> = {}) =>
    finish(["keys", ...args.split(" ")], {
      DATA_DIR: server.dataDir,
      MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY,
      ...env,
    });

  test("one that was made beside a running server is good at once, and one that was revoked no more", async () => {
    const { code, out, err } = await beside(
      "create --name n --scopes apps:write --member grace --expires 30d",
    );
    expect(code).toBe(0);
    const key = out.trim();
    expect(key).toMatch(/^mcpk_\w{58}$/);
    expect(err).toContain("acts as grace in workspace wk-test with apps:write");
    expect(err).not.toContain(key.slice(14));
    const client = caller();
    const { client: mcp } = await client.connect(key);
    const who = await mcp.callTool({ name: "lab_whoami", arguments: {} });
    expect(who.structuredContent).toMatchObject({ tenant: "grace" });

    const id = key.slice(5, 13);
    const list = await beside("list --json");
    expect(list.out).not.toContain(key.slice(14, 57));
    expect(JSON.parse(list.out)).toContainEqual(
      expect.objectContaining({
        id,
        name: "n",
        subject: "grace",
        scope: "apps:write",
        revokedAt: null,
        lastUsedAt: expect.any(Number),
      }),
    );
    expect((await beside("list")).out).toMatch(
      new RegExp(`${id} .* good .*\\d{4}-`),
    );
    const session = await client.open(key);
    expect((await beside(`revoke ${id}`)).code).toBe(0);
    const answer = await client.post(key, listTools, {
      "mcp-session-id": session,
    });
    expect(answer.status).toBe(401);
    expect((await beside("list")).out).toMatch(new RegExp(`${id} .* revoked `));
    const unknown = await beside("revoke 12345678");
    expect([unknown.code, unknown.err]).toEqual([
      66,
      expect.stringContaining("keys list shows them"),
    ]);
    await client.close();
  });

  test("are JSON with everything, and may be good for ever", async () => {
    const { out } = await beside(
      "create --name n --scopes apps:admin --expires never --json",
    );
    expect(JSON.parse(out)).toMatchObject({
      key: expect.stringMatching(/^mcpk_/),
      workspace: WORKSPACE_KEY,
      subject: "operator",
      scope: "apps:admin",
      expiresAt: null,
      createdBy: null,
    });
  });

  test("serve stdio and clients in the place of a token", async () => {
    const { out } = await beside(
      "create --name n --scopes apps:read --member ada",
    );
    const MEMBRANE_ACCESS_TOKEN = out.trim();
    const client = new Client({ name: "test", version: "1.0.0" });
    await client.connect(
      new StdioClientTransport({
        command: executable,
        args: ["stdio", "--url", server.url],
        env: { MEMBRANE_ACCESS_TOKEN },
        cwd: emptyFolder(),
      }),
    );
    expect((await client.listTools()).tools.length).toBeGreaterThan(30);
    await client.close();
    const shown = await finish(["connect", "cursor", "--url", server.url], {
      HOME: emptyFolder(),
      MEMBRANE_ACCESS_TOKEN,
    });
    expect(shown.out).toContain(`"X-API-Key": "${MEMBRANE_ACCESS_TOKEN}"`);
    expect(shown.out).not.toContain("Authorization");
  });

  test("for the demo take no more than its folder, and act as its user", async () => {
    const folder = emptyFolder();
    const port = String(freePort());
    const demo = run(["demo"], { PORT: port }, folder);
    await demo.printed("listTools()");
    const made = await finish(
      ["keys", "create", "--name", "mine", "--scopes", "apps:admin"],
      {},
      folder,
    );
    expect(made.err).toContain("acts as ada in workspace demo");
    const url = `http://127.0.0.1:${port}`;
    const client = createCaller(url, server.tokenFor);
    const { client: mcp } = await client.connect(made.out.trim());
    const { content } = await mcp.callTool({
      name: "notes_list-notes",
      arguments: {},
    });
    expect(JSON.stringify(content)).not.toContain("[]");
    const token = /Token +(\S+)/.exec(demo.stdout())![1]!;
    const list = await fetch(`${url}/api/v2/w/demo/api-keys`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(await list.json()).toMatchObject([{ name: "mine" }]);
    await client.close();
    demo.kill("SIGTERM");
    expect(await demo.exited).toBe(0);
  });

  test("without a server, and without a workspace that is known", async () => {
    const folder = emptyFolder();
    const keys = (...args: string[]) => finish(["keys", ...args], {}, folder);
    const make = ["create", "--name", "n", "--scopes", "apps:read"];
    const none = await keys(...make);
    expect([none.code, none.err]).toEqual([
      66,
      expect.stringContaining("There is no database"),
    ]);
    await finish(["migrate"], {}, folder);
    const unknown = await keys(...make);
    expect([unknown.code, unknown.err]).toEqual([
      64,
      expect.stringContaining("--workspace"),
    ]);
    expect((await keys(...make, "--workspace", "one")).code).toBe(0);
    expect((await keys(...make)).err).toContain("in workspace one ");
    expect((await keys(...make, "--workspace", "two")).code).toBe(0);
    const several = await keys(...make);
    expect([several.code, several.err]).toEqual([
      64,
      expect.stringContaining("one, two"),
    ]);
    const all = JSON.parse((await keys("list", "--json")).out);
    expect(all).toHaveLength(3);
    const two = await keys("list", "--json", "--workspace", "two");
    expect(JSON.parse(two.out)).toHaveLength(1);
  });
});

test("a server whose secrets were sealed with another key does not start, and says so with 78", async () => {
  const folder = emptyFolder();
  const [right, wrong] = [1, 2].map(() =>
    crypto.getRandomValues(new Uint8Array(32)).toBase64(),
  ) as [string, string];
  await finish(["migrate"], { DATA_DIR: folder });
  {
    using registry = openRegistry(folder, systemClock);
    createVault({
      keys: readConfig({ ENCRYPTION_KEY: right }).ENCRYPTION_KEY!,
      directory: folder,
      sealed: () => registry.sealed,
    }).seal("a secret", ["of a test"]);
  }
  const env = { ...settings, DATA_DIR: folder, PORT: "0" };
  for (const more of [{ ENCRYPTION_KEY: wrong }, {}]) {
    const { code, err } = await finish(["serve"], { ...env, ...more });
    expect([code, err.trim().split("\n")]).toEqual([
      78,
      [expect.stringContaining("Nothing was changed.")],
    ]);
    expect(err).not.toContain(wrong);
  }
  expect(readdirSync(folder)).not.toContain("encryption.key");
  const served = run(["serve"], { ...env, ENCRYPTION_KEY: right }, folder);
  await served.printed('"event":"listening"');
  served.kill("SIGTERM");
  expect(await served.exited).toBe(0);
  expect(served.stderr()).not.toContain(right);
  const shown = await finish(["config"], { ENCRYPTION_KEY: right });
  expect(shown.out).toContain("ENCRYPTION_KEY=(set)");
  expect(shown.out).not.toContain(right);
});

describe("migrate", () => {
  test("makes what is missing and leaves what is there", async () => {
    const data = join(emptyFolder(), "data");
    const first = await finish(["migrate"], { DATA_DIR: data });
    expect([first.code, first.out]).toEqual([
      0,
      expect.stringContaining(`from schema 0 to ${migrations.length}`),
    ]);
    const second = await finish(["migrate"], { DATA_DIR: data });
    expect([second.code, second.out]).toEqual([
      0,
      expect.stringContaining("already"),
    ]);
    expect(statSync(data).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(data)) {
      expect([name, statSync(join(data, name)).mode & 0o777]).toEqual([
        name,
        0o600,
      ]);
    }
  });
});

test("a database of an older schema is migrated, with a copy of what it was", async () => {
  const data = join(emptyFolder(), "data");
  mkdirSync(data);
  const file = join(data, "membrane-mcp.db");
  copyFileSync(join(import.meta.dir, "../fixtures/schema-1.db"), file);
  const early = await finish(["sessions", "list"], { DATA_DIR: data });
  expect([early.code, early.err]).toEqual([
    75,
    expect.stringContaining("membrane-mcp migrate"),
  ]);
  expect(early.err).toContain(`schema 1, this one reads ${migrations.length}`);
  const kept = join(data, "kept.db");
  const backup = await finish(["backup", kept], { DATA_DIR: data });
  expect([backup.code, backup.out]).toEqual([
    0,
    expect.stringContaining("(schema 1)"),
  ]);
  const { code, out } = await finish(["migrate"], { DATA_DIR: data });
  expect([code, out]).toEqual([
    0,
    expect.stringContaining(`from schema 1 to ${migrations.length}`),
  ]);
  const list = await finish(["sessions", "list"], { DATA_DIR: data });
  expect([list.code, list.out]).toEqual([
    0,
    expect.stringContaining("chat of ada"),
  ]);
  for (const copy of [`${file}.before-schema-2`, kept]) {
    const back = await finish(["restore", copy], { DATA_DIR: data });
    expect(back.code).toBe(0);
    const again = await finish(["migrate"], { DATA_DIR: data });
    expect(again.out).toContain("from schema 1 ");
  }
});

describe("doctor", () => {
  type Finding = { check: string; level: string; message: string };
  const doctor = async (env: Record<string, string>) => {
    const { code, out } = await finish(["doctor", "--json"], {
      MEMBRANE_API_URI: workspace.url,
      PORT: "0",
      ...env,
    });
    return { code, findings: JSON.parse(out) as Finding[] };
  };
  const of = (findings: Finding[], check: string) =>
    findings.find((finding) => finding.check === check);

  test("finds nothing wrong where all is well, and says whose the token is", async () => {
    const { code, findings } = await doctor({
      ...settings,
      MEMBRANE_ACCESS_TOKEN: token,
    });
    expect(findings.filter(({ level }) => level !== "ok")).toEqual([]);
    expect(code).toBe(0);
    expect(of(findings, "token")!.message).toContain(
      "ada in workspace wk-test",
    );
    expect(of(findings, "clock")).toBeDefined();
  });

  test("knows a server that runs", async () => {
    const { port } = new URL(server.url);
    const { code, findings } = await doctor({
      ...settings,
      PORT: port,
      DATA_DIR: server.dataDir,
    });
    expect(code).toBe(0);
    expect(of(findings, "listener")!.message).toContain("A server answers");
    expect(of(findings, "database")!.message).toContain("is whole");
  });

  test.each<[string, () => Record<string, string>, string, string]>([
    [
      "a port that is taken",
      () => ({ PORT: new URL(workspace.url).port }),
      "listener",
      "Cannot listen",
    ],
    [
      "a directory in use",
      () => ({ DATA_DIR: server.dataDir }),
      "database",
      "is in use by process",
    ],
    [
      "a Membrane out of reach",
      () => ({ MEMBRANE_API_URI: "http://127.0.0.1:9" }),
      "membrane",
      "cannot be reached",
    ],
    [
      "a token that is none",
      () => ({ ...settings, MEMBRANE_ACCESS_TOKEN: "a.b.c" }),
      "token",
      "not accepted",
    ],
    [
      "a damaged database",
      () => {
        const data = join(emptyFolder(), "data");
        mkdirSync(data, { mode: 0o700 });
        writeFileSync(join(data, "membrane-mcp.db"), "text ".repeat(2000));
        return { DATA_DIR: data };
      },
      "database",
      "cannot be read as a database",
    ],
  ])("names %s as a fault, with its cure", async (_, env, check, text) => {
    const { code, findings } = await doctor(env());
    expect(code).toBe(1);
    const finding = findings.find(({ level }) => level === "fault")!;
    expect(finding).toMatchObject({
      check,
      message: expect.stringContaining(text),
    });
  });

  test.each<[string, () => Record<string, string>, string, string]>([
    [
      "a directory open to others",
      () => {
        const data = join(emptyFolder(), "data");
        mkdirSync(data, { mode: 0o755 });
        return { DATA_DIR: data };
      },
      "data directory",
      "chmod 700",
    ],
    [
      "a public URL without TLS",
      () => ({ PUBLIC_URL: "http://mcp.example.invalid" }),
      "public URL",
      "not encrypted",
    ],
    [
      "a host that nobody may use",
      () => ({ HOST: "0.0.0.0" }),
      "hosts",
      "PUBLIC_URL or ALLOWED_HOSTS",
    ],
    [
      "tokens that never expire",
      () => ({ ALLOW_NON_EXPIRING_TOKENS: "true" }),
      "tokens",
      "for ever",
    ],
  ])("warns of %s", async (_, env, check, text) => {
    const { code, findings } = await doctor(env());
    expect(code).toBe(0);
    expect(findings.find(({ level }) => level === "warning")).toMatchObject({
      check,
      message: expect.stringContaining(text),
    });
  });

  test("tells of metrics, webhooks and traces that lead nowhere", async () => {
    const webhook = {
      WEBHOOK_URL: "http://127.0.0.1/hook?key=hidden",
      WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString("base64")}`,
    };
    const { port } = new URL(workspace.url);
    const bad = await doctor({
      ...settings,
      ...webhook,
      METRICS_PORT: port,
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
    });
    const told = (findings: Finding[]) =>
      ["metrics", "webhook", "traces"].map((check) => of(findings, check));
    expect(told(bad.findings)).toMatchObject([
      { level: "fault", message: expect.stringContaining("METRICS_PORT") },
      { level: "warning", message: expect.stringContaining("OUTBOUND_ALLOW") },
      { level: "warning", message: expect.stringContaining("collector") },
    ]);
    expect(bad.code).toBe(1);
    const good = await doctor({
      ...settings,
      ...webhook,
      OUTBOUND_ALLOW: "127.0.0.1",
      METRICS_PORT: "0",
      OTEL_EXPORTER_OTLP_ENDPOINT: workspace.url,
    });
    expect(told(good.findings).map((found) => found?.level)).toEqual([
      "ok",
      "ok",
      "ok",
    ]);
    expect(JSON.stringify([bad, good])).not.toContain("hidden");
  });

  test("a configuration with faults is told as any command tells it", async () => {
    const { code, err } = await finish(["doctor"], {
      PORT: "x",
      CALL_TIMEOUT: "y",
    });
    expect(code).toBe(64);
    expect(err).toContain("PORT");
    expect(err).toContain("CALL_TIMEOUT");
  });
});
