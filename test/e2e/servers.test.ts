import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DemoWorkspace } from "../../src/demo/workspace.ts";
import type { Server } from "../support/binary.ts";
import {
  SECRET,
  WORKSPACE_KEY,
  ensureBuilt,
  executable,
  launch,
  openServer,
} from "../support/binary.ts";
import { openBrowser } from "../support/browser.ts";
import { createCaller, listTools } from "../support/caller.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { oddWorld } from "../support/odd-world.ts";
import { say } from "../support/servers/definitions.ts";
import type { ToolDefinition } from "../support/servers/definitions.ts";
import type { FullServer } from "../support/servers/full.ts";
import { openFullServer } from "../support/servers/full.ts";
import { openLegacySseServer } from "../support/servers/legacy-v1.ts";
import { openOAuthServer } from "../support/servers/oauth-server.ts";
import { stdioServer } from "../support/servers/stdio.ts";
import { createKit } from "../support/servers/kit.ts";

/** How many tools the full server has, and one that is a program. */
const TOOLS = createKit().tools().length;
const PROGRAM_TOOLS = TOOLS + 7;

/** The commands for registered servers: on the database, beside a running server, and over one. */

let root: ReturnType<typeof temporaryDirectory>;
let workspace: DemoWorkspace;
let server: Server;
let upstream: FullServer;
let adminKey: string;
let folders = 0;
beforeAll(async () => {
  await ensureBuilt();
  root = temporaryDirectory();
  workspace = openWorkspace(oddWorld({ bigActions: 3 }), {
    workspaceKey: WORKSPACE_KEY,
    secret: SECRET,
  });
  upstream = await openFullServer();
  server = await openServer(workspace.url, { OUTBOUND_ALLOW: "127.0.0.1" });
  const made = await finish(
    ["keys", "create", "--name", "n", "--scopes", "apps:admin"],
    beside(),
  );
  adminKey = made.out.trim();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
  await workspace.close();
  root[Symbol.dispose]();
});

function emptyFolder(): string {
  const path = join(root.path, String(++folders));
  mkdirSync(path);
  return path;
}

type Env = Record<string, string>;
const common: Env = {
  MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY,
  OUTBOUND_ALLOW: "127.0.0.1",
  PATH: process.env["PATH"] ?? "",
};
/** The database of nobody else. */
const alone = (): Env => ({ ...common, DATA_DIR: join(emptyFolder(), "data") });
/** That of the running server. */
const beside = (): Env => ({
  ...common,
  DATA_DIR: server.dataDir,
  PORT: new URL(server.url).port,
});
/** Nothing but the key. */
const over = (): Env => ({ MEMBRANE_MCP_API_KEY: adminKey });

async function finish(
  args: string[],
  env: Env,
  input = "",
  cwd = emptyFolder(),
) {
  const child = Bun.spawn([executable, ...args], {
    cwd,
    env,
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}
const servers = (env: Env, ...args: string[]) =>
  finish(["servers", ...args], env);
const list = async (env: Env, ...more: string[]) =>
  JSON.parse((await servers(env, "list", "--json", ...more)).out) as any[];

/** What every place has to be able to do. */
describe.each([
  ["on a database of its own", () => alone(), () => []],
  ["beside a running server", beside, () => []],
  [
    "over a running server",
    over,
    () => ["--url", `${server.url}/mcp`, "--workspace", WORKSPACE_KEY],
  ],
])("%s", (place, envOf, where) => {
  const slug = `s${place.length}`;

  // Demanded: cli-servers
  test("a server is added, shown, tested, turned off and on, and removed", async () => {
    const env = envOf();
    const run = (...args: string[]) => servers(env, ...args, ...where());
    const added = await run("add", slug, upstream.url, "--description", "d");
    expect(added).toEqual({
      code: 0,
      out: `${slug} is registered as ${slug}.\n${slug}: ready with ${TOOLS} tools.\n`,
      err: "",
    });
    expect((await run("list")).out).toMatch(
      new RegExp(`\\n${slug} +${slug} +ready +yes +none +${upstream.url} `),
    );
    const known = (await list(env, ...where())).find(
      (one) => one.slug === slug,
    );
    expect(known).toMatchObject({
      state: "ready",
      enabled: true,
      description: "d",
      serverInfo: { name: "full" },
    });

    const shown = await run("show", String(known.id));
    expect(shown.out).toContain("description: d\n");
    expect(shown.out).toMatch(/\necho +approved +[0-9a-f]{12}\n/);
    const json = JSON.parse((await run("show", slug, "--json")).out);
    expect(json).toMatchObject({ id: known.id, members: [] });
    expect(json.tools).toContainEqual(
      expect.objectContaining({
        name: "echo",
        status: "approved",
        hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      }),
    );

    expect((await run("test", slug)).out).toMatch(
      new RegExp(
        `^${slug}: full 1.0.0 works, with MCP of 2026-07-28 \\(server_discover\\), ${TOOLS} tools, 5 prompts, 4 resources, in \\d+ ms.\n$`,
      ),
    );
    const tested = JSON.parse((await run("test", slug, "--json")).out);
    expect(tested).toMatchObject({
      success: true,
      componentCounts: { tools: TOOLS },
    });

    expect((await run("disable", slug)).out).toBe(`${slug} is off.\n`);
    expect((await run("show", slug)).out).toMatch(
      /\nenabled: false\n[\s\S]*\ntools: .* is disabled/,
    );
    expect((await run("enable", slug)).out).toBe(
      `${slug}: ready with ${TOOLS} tools.\n`,
    );
    expect((await run("disable", slug, "--clear-registration")).out).toContain(
      "has forgotten",
    );
    expect((await run("remove", slug)).code).toBe(0);
    expect(await run("show", slug)).toEqual({
      code: 66,
      out: "",
      err: `membrane-mcp: There is no server ${slug}. membrane-mcp servers list shows them.\n`,
    });
  });

  test("one that cannot be reached is registered, and connected when it is back", async () => {
    const env = envOf();
    const run = (...args: string[]) => servers(env, ...args, ...where());
    await using late = await openFullServer();
    await late.stop();
    expect(await run("add", slug, late.url)).toEqual({
      code: 69,
      out: `${slug} is registered as ${slug}.\n`,
      err: `membrane-mcp: ${slug}: not connected. The server could not be reached.\n`,
    });
    expect((await run("list")).out).toMatch(
      new RegExp(`${slug} +register +no .* The server could not be reached.`),
    );
    const json = await run("test", slug, "--json");
    expect(json.code).toBe(69);
    expect(JSON.parse(json.out)).toMatchObject({
      success: false,
      failureClass: "transport",
    });
    const tested = await run("test", slug);
    expect([tested.code, tested.err]).toEqual([
      69,
      `membrane-mcp: ${slug}: The server could not be reached.\n`,
    ]);
    late.start();
    expect((await run("enable", slug)).code).toBe(0);
    expect((await run("remove", slug)).code).toBe(0);
  });

  test("a name is taken once, and a slug can be chosen", async () => {
    const env = envOf();
    const run = (...args: string[]) => servers(env, ...args, ...where());
    const add = (name: string, ...more: string[]) =>
      run("add", name, upstream.url, "--no-enable", ...more);
    const [one, two] = [`${slug}-one`, `${slug}-two`];
    expect((await add("Same name", "--slug", one)).out).toBe(
      `Same name is registered as ${one}.\n`,
    );
    for (const taken of ["Same name", one]) {
      expect(await add(taken)).toMatchObject({ code: 75, out: "" });
    }
    expect(await add("other", "--slug", one)).toMatchObject({ code: 75 });
    expect(await add("other", "--slug", "No")).toMatchObject({ code: 64 });
    expect((await add("Other", "--slug", two)).code).toBe(0);
    expect((await run("remove", "Same name")).out).toContain(one);
    expect((await run("remove", two)).out).toContain(two);
  });
});

test("what is added beside a running server is there for its users at once", async () => {
  await servers(beside(), "add", "Fresh", upstream.url);
  const caller = createCaller(server.url, server.tokenFor);
  const token = await server.tokenFor("grace");
  const session = await caller.open(token);
  const { text } = await caller.post(token, listTools, {
    "mcp-session-id": session,
  });
  expect(text.includes('"fresh_echo"')).toBe(true);
  await caller.close();
  await servers(beside(), "remove", "fresh");
});

test("one of two that have the same name is named by its slug", async () => {
  for (const name of ["Twin", "Twin"]) {
    await fetch(`${server.url}/api/v2/w/${WORKSPACE_KEY}/mcp-servers`, {
      method: "POST",
      headers: { "x-api-key": adminKey, "content-type": "application/json" },
      body: JSON.stringify({ name, url: upstream.url }),
    });
  }
  expect(await servers(beside(), "remove", "Twin")).toMatchObject({
    code: 64,
    err: expect.stringContaining("Say which: twin, twin-2.") as never,
  });
  for (const slug of ["twin-2", "twin"]) {
    expect((await servers(beside(), "remove", slug)).code).toBe(0);
  }
});

describe("over a running server", () => {
  const url = () => ["--url", server.url];

  test("the key comes from a file or the environment, and has to be good for what is done", async () => {
    const file = join(emptyFolder(), "key");
    writeFileSync(file, `${adminKey}\n`);
    expect((await servers({}, "list", ...url(), "--key-file", file)).code).toBe(
      0,
    );
    const made = await finish(
      ["keys", "create", "--name", "n", "--scopes", "apps:read"],
      beside(),
    );
    const reader = { ...common, MEMBRANE_MCP_API_KEY: made.out.trim() };
    const add = await servers(reader, "add", "x", upstream.url, ...url());
    expect([add.code, add.err]).toEqual([
      77,
      expect.stringContaining("apps:write"),
    ]);
    const none = await servers({}, "list", ...url());
    expect([none.code, none.err]).toEqual([
      77,
      expect.stringContaining("MEMBRANE_MCP_API_KEY"),
    ]);
    const bad = { MEMBRANE_MCP_API_KEY: "mcpk_bad" };
    expect((await servers(bad, "list", ...url())).code).toBe(77);
    const other = ["list", ...url(), "--workspace", "other"];
    expect((await servers(over(), ...other)).code).toBe(66);
  });

  test("which workspace it is says a server that is there, and otherwise who adds the first", async () => {
    expect(await list(over(), ...url())).toEqual([]);
    const add = (env: Env, name: string) =>
      servers(env, "add", name, upstream.url, "--no-enable", ...url());
    expect(await add(over(), "one")).toMatchObject({
      code: 64,
      err: expect.stringContaining("--workspace") as never,
    });
    expect((await add({ ...common, ...over() }, "one")).code).toBe(0);
    expect((await add(over(), "two")).code).toBe(0);
    for (const name of ["one", "two"]) {
      expect((await servers(over(), "remove", name, ...url())).code).toBe(0);
    }
  });

  test("it is said that nobody answers, or somebody else", async () => {
    const dead = await servers(over(), "list", "--url", "http://127.0.0.1:9");
    expect([dead.code, dead.err]).toEqual([
      69,
      "membrane-mcp: Nobody answers at http://127.0.0.1:9.\n",
    ]);
    const wrong = await servers(over(), "list", "--url", upstream.url);
    expect([wrong.code, wrong.err]).toEqual([
      69,
      expect.stringContaining("not of a membrane-mcp"),
    ]);
  });

  test("the key goes nowhere else, whatever the answer says", async () => {
    const thief: Request[] = [];
    await using elsewhere = Bun.serve({
      port: 0,
      fetch: (request) => (thief.push(request), Response.json([])),
    });
    await using liar = Bun.serve({
      port: 0,
      fetch: () => Response.redirect(elsewhere.url.href, 307),
    });
    const { code } = await servers(over(), "list", "--url", liar.url.href);
    expect(code).toBe(69);
    expect(thief).toEqual([]);
  });

  test("what another server says is printed without commands for the terminal", async () => {
    await using liar = Bun.serve({
      port: 0,
      fetch: () =>
        Response.json(
          { code: "forbidden", detail: "no\u001b[2J\u0007" },
          { status: 403 },
        ),
    });
    const { code, err } = await servers(over(), "list", "--url", liar.url.href);
    expect([code, err]).toEqual([77, "membrane-mcp: no�[2J�\n"]);
  });
});

describe("secrets", () => {
  const SECRET_TEXT = "s3cret-of-the-server";
  /** Whether any file of a data directory has the text. */
  const isIn = (directory: string, text: string) =>
    readdirSync(directory).some((file) =>
      readFileSync(join(directory, file), "latin1").includes(text),
    );

  test.each<[string, string[], string, Record<string, string>]>([
    [
      "a token",
      ["--token-file"],
      SECRET_TEXT,
      { authorization: `Bearer ${SECRET_TEXT}` },
    ],
    [
      "an API key",
      ["--auth", "api_key", "--token-file"],
      SECRET_TEXT,
      { "x-api-key": SECRET_TEXT },
    ],
    [
      "headers",
      ["--headers-file"],
      `# ours\nX-Team: blue\nX-Secret: ${SECRET_TEXT}\n`,
      { "x-team": "blue", "x-secret": SECRET_TEXT },
    ],
  ])(
    "%s reaches the server, from a file or standard input, and nothing else",
    async (_, options, text, headers) => {
      const env = alone();
      const file = join(emptyFolder(), "secret");
      writeFileSync(file, `${text}\n`);
      for (const from of [file, "-"]) {
        await using guarded = await openFullServer({
          guard: (sent) =>
            Object.entries(headers).every(
              ([name, value]) => sent[name] === value,
            )
              ? null
              : { status: 401 },
        });
        const name = from === "-" ? "from-input" : "from-file";
        const args = ["servers", "add", name, guarded.url, ...options, from];
        const { code, out, err } = await finish(args, env, text);
        expect([code, err]).toEqual([0, ""]);
        const shown = await servers(env, "show", name, "--json");
        expect(out + shown.out).not.toContain(SECRET_TEXT);
        expect((await servers(env, "remove", name)).code).toBe(0);
      }
      await servers(env, "list");
      expect(isIn(env["DATA_DIR"]!, SECRET_TEXT)).toBe(false);
    },
  );

  test("one that is refused is told, with what can be done", async () => {
    await using guarded = await openFullServer({
      guard: () => ({ status: 401 }),
    });
    const env = alone();
    const { code, out, err } = await finish(
      ["servers", "add", "x", guarded.url, "--token-file", "-"],
      env,
      SECRET_TEXT,
    );
    expect([code, out]).toEqual([77, "x is registered as x.\n"]);
    expect(err).toContain("wants a credential, or another one");
    expect(err).not.toContain(SECRET_TEXT);
  });
});

describe("a program", () => {
  const { command, args } = stdioServer();

  // Demanded: servers-stdio
  test("is started with what it is given of the environment, where it is told, and is gone afterwards", async () => {
    const env = { ...alone(), WORD: "w0rd", OTHER: "0ther" };
    const cwd = emptyFolder();
    const added = await finish(
      ["servers", "add", "prog", "--env", "WORD", "--", command, ...args],
      env,
      "",
      cwd,
    );
    expect(added).toEqual({
      code: 0,
      out: `prog is registered as prog.\nprog: ready with ${PROGRAM_TOOLS} tools.\n`,
      err: "",
    });
    const [prog] = await list(env);
    expect(prog).toMatchObject({ transport: "stdio", state: "ready" });
    // Arguments may be secret.
    expect(JSON.stringify(prog)).not.toContain("stdio-server.ts");

    // Served, it says what it was given.
    const serving = launch(
      [executable, "serve"],
      {
        ...env,
        PORT: "0",
        MEMBRANE_API_URI: workspace.url,
        MEMBRANE_WORKSPACE_SECRET: SECRET,
      },
      emptyFolder(),
    );
    await serving.printed('"event":"listening"');
    const address = /"address":"([^"]+)"/.exec(
      serving.stdout() + serving.stderr(),
    )![1]!;
    const made = await finish(
      ["keys", "create", "--name", "n", "--scopes", "apps:read"],
      env,
    );
    const call = async (tool: string, params = {}) => {
      const answer = await fetch(`${address}/servers/prog/tools/${tool}/call`, {
        method: "POST",
        headers: {
          "x-api-key": made.out.trim(),
          "content-type": "application/json",
        },
        body: JSON.stringify({ params }),
      });
      return ((await answer.json()) as any).result.content[0].text;
    };
    expect(await call("env", { name: "WORD" })).toBe("w0rd");
    expect(await call("env", { name: "OTHER" })).toBe("unset");
    const pid = Number(await call("pid"));
    expect(readFileSync(`/proc/${pid}/environ`, "latin1")).toContain(
      `PWD=${cwd}`,
    );
    serving.kill("SIGTERM");
    expect(await serving.exited).toBe(0);
  });

  test("whose path is relative is found from where the command was given", async () => {
    const env = alone();
    const cwd = emptyFolder();
    writeFileSync(
      join(cwd, "run"),
      `#!/bin/sh\nexec ${[command, ...args].join(" ")}\n`,
      { mode: 0o755 },
    );
    const add = ["servers", "add", "prog", "--", "./run"];
    expect((await finish(add, env, "", cwd)).code).toBe(0);
    expect((await servers(env, "test", "prog")).code).toBe(0);
    expect((await list(env))[0].url).toBe(`stdio:${join(cwd, "run")}`);
  });

  test("takes what stands after -- as it is, options too", async () => {
    const env = alone();
    const add = ["add", "prog", "--no-enable", "--", "http:", "--pin", "--"];
    const added = await servers(env, ...add);
    expect(added.code).toBe(0);
    expect((await list(env))[0]).toMatchObject({
      url: "stdio:http:",
      transport: "stdio",
    });
  });

  test("that does not start is registered, and said so", async () => {
    const env = alone();
    const added = await servers(env, "add", "prog", "--", "/no/such/program");
    expect([added.code, added.out]).toEqual([
      69,
      "prog is registered as prog.\n",
    ]);
  });
});

test("a server of HTTP+SSE is reached over that", async () => {
  await using older = await openLegacySseServer();
  const env = alone();
  const add = ["add", "older", older.url, "--transport", "sse"];
  const added = await servers(env, ...add);
  expect(added.code).toBe(0);
  expect((await list(env))[0]).toMatchObject({ transport: "sse" });
});

describe("what makes no sense", () => {
  test.each<[string[], number, string]>([
    [["add", "x"], 64, "by its URL, or by a command after --"],
    [["add", "x", "http://a/", "http://b/"], 64, "by its URL, or by a command"],
    [["add", "x", "http://a/", "--", "b"], 64, "by its URL, or by a command"],
    [["add", "x", "--"], 64, "by its URL, or by a command"],
    [["add", "x", "not a url"], 64, "url"],
    [["add", "x", "ftp://a.example/"], 64, "http or https URL"],
    [["add", "x", "http://10.0.0.1/mcp"], 64, "OUTBOUND_ALLOW"],
    [["add", "x", "http://a/", "--auth", "magic"], 64, "Allowed choices"],
    [["add", "x", "http://a/", "--auth", "bearer"], 64, "--token-file"],
    [["add", "x", "http://a/", "--auth", "headers"], 64, "--headers-file"],
    [
      ["add", "x", "http://a/", "--auth", "none", "--token-file", "-"],
      64,
      "--auth bearer",
    ],
    [["add", "x", "http://a/", "--token-file", "/no/file"], 66, "/no/file"],
    [["add", "x", "http://a/", "--token-file", "-"], 64, "empty"],
    [
      ["add", "x", "http://a/", "--client-id", "c", "--auth", "none"],
      64,
      "--auth oauth",
    ],
    [["add", "x", "http://a/", "--client-secret-file", "-"], 64, "--client-id"],
    [["add", "x", "http://a/", "--env", "A"], 64, "a command only"],
    [["add", "x", "--env", "NO_SUCH", "--", "y"], 64, "NO_SUCH"],
    [["add", "x", "--auth", "none", "--", "y"], 64, "a URL only"],
    [
      ["add", "x", "--url", "http://127.0.0.1:9/", "--", "y"],
      64,
      "without --url",
    ],
    [["list", "--key-file", "x"], 64, "--url"],
    [["list", "--url", "ftp://x/"], 64, "http(s) URL"],
    [["list", "--url", "http://x/?token=y"], 64, "without credentials"],
    [["list", "--url", "http://127.0.0.1:9/", "--member", "x"], 64, "--member"],
    [["show", "nobody"], 66, "servers list"],
    [["import", "/no/file"], 66, "/no/file"],
    [["nonsense"], 64, "nonsense"],
  ])(
    "%j is refused in a line, and nothing is registered",
    async (args, code, words) => {
      const env = { ...alone(), ...over() };
      await finish(["migrate"], env);
      const refused = await servers(env, ...args);
      expect([refused.code, refused.out]).toEqual([code, ""]);
      expect(refused.err).toContain(words);
      expect(refused.err).toStartWith("membrane-mcp: ");
      expect(await list(env)).toEqual([]);
    },
  );

  test("a directory without a database is made one by adding, and by nothing else", async () => {
    const env = alone();
    const listed = await servers(env, "list");
    expect([listed.code, listed.err]).toEqual([
      66,
      expect.stringContaining("There is no database"),
    ]);
    expect((await servers(env, "add", "x", upstream.url)).code).toBe(0);
    expect((await servers(env, "list")).code).toBe(0);
  });

  test("which workspace is meant has to be known", async () => {
    const { MEMBRANE_WORKSPACE_KEY: _, ...env } = alone();
    const add = (...more: string[]) =>
      servers(env, "add", "x", upstream.url, ...more);
    expect(await add()).toMatchObject({
      code: 64,
      err: expect.stringContaining("--workspace") as never,
    });
    expect((await add("--workspace", "ws")).code).toBe(0);
    // The only one that there is.
    expect(await list(env)).toMatchObject([{ workspaceUuid: "ws" }]);
  });
});

test("a tool of a pinned server that has changed waits until it is approved", async () => {
  let description = "As it was";
  const tool: ToolDefinition = {
    name: "morph",
    get description() {
      return description;
    },
    run: () => say("done"),
  };
  await using changing = await openFullServer({ kit: createKit([tool]) });
  const env = alone();
  const run = (...args: string[]) => servers(env, ...args);
  await run("add", "pinned", changing.url, "--pin");
  expect((await run("show", "pinned")).out).toMatch(/\nmorph +approved /);
  description = "Something else";
  expect((await run("show", "pinned")).out).toMatch(/\nmorph +changed /);
  const approved = await run("approve", "pinned", "morph");
  expect(approved.out).toMatch(
    /^morph may be called as it is now \([0-9a-f]{12}\).\n$/,
  );
  expect((await run("show", "pinned")).out).toMatch(/\nmorph +approved /);
  expect((await run("approve", "pinned", "nothing")).code).toBe(66);
});

describe("login", () => {
  /** Follows the link as a person does, to the end. */
  async function followed(
    link: string,
    oauth: Awaited<ReturnType<typeof openOAuthServer>>,
  ): Promise<string> {
    const browser = openBrowser();
    const page = await browser.visit(link);
    const html = await page.response!.text();
    const form = Object.fromEntries(
      [...html.matchAll(/<input[^>]*name="([^"]*)" value="([^"]*)"/g)].map(
        ([, name, value]) => [name!, value!],
      ),
    );
    const out = await browser.visit(link.replace(/\?.*/, ""), {
      form,
      stop: (url) => url.origin === oauth.issuer,
    });
    const back = await oauth.consent(out.url, "alice", browser);
    return (await (await browser.visit(back)).response!.text()) as string;
  }
  const linkIn = (text: string) => /^http:\S+$/m.exec(text)![0];

  // Demanded: cli-login
  test.each([
    ["beside a running server", () => beside(), () => ["--member", "ada"]],
    [
      "over a running server",
      over,
      () => ["--url", server.url, "--workspace", WORKSPACE_KEY],
    ],
  ])(
    "%s prints a link, and waits until it was followed",
    async (_, envOf, where) => {
      await using oauth = await openOAuthServer();
      const env = envOf();
      const added = await servers(env, "add", "guarded", oauth.url, ...where());
      expect([added.code, added.out]).toEqual([
        77,
        "guarded is registered as guarded.\n",
      ]);
      expect(added.err).toContain(
        "log in there: membrane-mcp servers login guarded",
      );

      const waiting = launch(
        [executable, "servers", "login", "guarded", ...where()],
        env,
        emptyFolder(),
      );
      await waiting.printed("ticket=");
      await waiting.printed("\n\n");
      const link = linkIn(waiting.stdout());
      expect(link).toStartWith(server.url);
      expect(await followed(link, oauth)).toContain("Connected");
      expect(await waiting.exited).toBe(0);
      expect(waiting.stdout()).toEndWith(
        `guarded: ready with ${TOOLS} tools.\n`,
      );

      const again = await servers(env, "login", "guarded", ...where());
      expect(again).toMatchObject({
        code: 0,
        out: expect.stringMatching(/^guarded: ready/) as never,
      });
      const shown = await servers(env, "show", "guarded", ...where());
      expect(shown.out).toMatch(/\nmemberId: (ada|operator)\n/);
      expect(shown.out).toContain("status: active\n");

      // Everybody has an account of their own.
      const other = await servers(
        beside(),
        "login",
        "guarded",
        "--member",
        "bob",
        "--no-wait",
      );
      expect(other.code).toBe(0);
      expect(linkIn(other.out)).toContain("/oauth/authorize?ticket=");
      const off = await servers(
        env,
        "disable",
        "guarded",
        "--clear-registration",
        ...where(),
      );
      expect(off.code).toBe(0);
      expect((await servers(env, "remove", "guarded", ...where())).code).toBe(
        0,
      );
    },
  );

  test("without a running server does not wait for what cannot come", async () => {
    await using oauth = await openOAuthServer();
    const env = alone();
    await servers(env, "add", "guarded", oauth.url);
    const waited = await servers(env, "login", "guarded");
    expect([waited.code, waited.out]).toEqual([75, ""]);
    expect(waited.err).toContain("membrane-mcp serve");
    const printed = await servers(env, "login", "guarded", "--no-wait");
    expect(printed.code).toBe(0);
    expect(printed.out).toContain("ticket=");
    expect(printed.out).toContain("membrane-mcp serve");
  });

  test("of a server that runs elsewhere than the link would lead is not waited for", async () => {
    await using oauth = await openOAuthServer();
    const env = { ...beside(), PORT: "9" };
    await servers(env, "add", "guarded", oauth.url);
    const { code, err } = await servers(env, "login", "guarded");
    expect([code, err]).toEqual([
      75,
      expect.stringContaining("http://127.0.0.1:9, where nobody answers"),
    ]);
    expect((await servers(env, "remove", "guarded")).code).toBe(0);
  });

  test("takes a client that was registered by hand, where none registers itself", async () => {
    await using oauth = await openOAuthServer({
      registration: false,
      clients: [
        {
          client_id: "by-hand",
          client_secret: "s3cret-of-the-client",
          redirect_uris: [`${server.url}/oauth/callback`],
          grant_types: ["authorization_code", "refresh_token"],
        },
      ],
    });
    const env = beside();
    const without = await servers(env, "add", "guarded", oauth.url);
    expect([without.code, without.err]).toEqual([
      77,
      expect.stringContaining("--client-id"),
    ]);
    await servers(env, "remove", "guarded");
    const add = ["servers", "add", "guarded", oauth.url];
    add.push("--client-id", "by-hand", "--client-secret-file", "-");
    const added = await finish(add, env, "s3cret-of-the-client");
    expect([added.code, added.err]).toEqual([
      77,
      expect.stringContaining("log in there"),
    ]);
    const { out } = await servers(env, "login", "guarded", "--no-wait");
    expect(await followed(linkIn(out), oauth)).toContain("Connected");
    const shown = await servers(env, "show", "guarded");
    expect(shown.out).toContain('"registration":"manual"');
    expect(shown.out).not.toContain("s3cret");
    await servers(env, "remove", "guarded");
  });

  test("with a token of the member's own is for servers that take one", async () => {
    await using guarded = await openFullServer({
      guard: ({ authorization }) =>
        authorization === "Bearer of-ada" ? null : { status: 401 },
    });
    const env = alone();
    const as = (member: string, token: string) =>
      finish(
        ["servers", "login", "own", "--member", member, "--token-file", "-"],
        env,
        token,
      );
    await servers(env, "add", "own", guarded.url, "--auth", "direct_auth");
    await as("ada", "of-ada\n");
    expect((await servers(env, "enable", "own", "--member", "ada")).out).toBe(
      `own: ready with ${TOOLS} tools.\n`,
    );
    const shown = await servers(env, "show", "own", "--member", "ada");
    expect(shown.out).toContain("memberId: ada\n");
    expect(shown.out).not.toContain("of-ada");
    await servers(env, "add", "open", upstream.url);
    expect(
      await finish(["servers", "login", "open", "--token-file", "-"], env, "x"),
    ).toMatchObject({
      code: 64,
      err: expect.stringContaining("direct_auth") as never,
    });
  });
});

describe("import", () => {
  const { command, args } = stdioServer("legacy", {});
  const file = () => {
    const path = join(emptyFolder(), "mcp.json");
    writeFileSync(
      path,
      `{ // a comment
  "mcpServers": {
    "web": { "url": "${upstream.url}", "headers": { "X-Key": "\${env:TOKEN}" } },
    "program": ${JSON.stringify({ command, args, env: { A: "s3cret" } })},
    "asks": { "url": "${upstream.url}", "headers": { "X-Key": "\${input:key}" } },
    "dead": { "url": "http://127.0.0.1:9999/mcp" },
    "private": { "url": "http://10.0.0.1/mcp" },
    "off": { "url": "${upstream.url}", "disabled": true },
    "bridge": { "command": "${executable}", "args": ["stdio"] },
  },
}`,
    );
    return path;
  };
  const rows = (out: string) =>
    Object.fromEntries(
      out
        .trim()
        .split("\n")
        .slice(1)
        .map((line) => {
          const [name, done, words] = line.split(/ {2,}/);
          return [name!, `${done}: ${words}`];
        }),
    );

  // Demanded: cli-import
  test("takes over what it can, says what it could not, and leaves alone what is there", async () => {
    const env = { ...alone(), TOKEN: "t0ken" };
    const path = file();
    const tried = await servers(env, "import", "--dry-run", path);
    expect(tried.code).toBe(1);
    expect(rows(tried.out)).toMatchObject({
      web: `registered: ${upstream.url} (http), headers X-Key (set)`,
      program: `registered: ${command} with 2 arguments, env A (set)`,
      bridge: expect.stringMatching(/^skipped: this gateway itself/) as never,
    });
    expect(tried.out).not.toMatch(/s3cret|t0ken/);
    expect(await list(env)).toEqual([]);

    const { code, out } = await servers(env, "import", path);
    expect(code).toBe(1);
    expect(rows(out)).toEqual({
      web: `registered: ready with ${TOOLS} tools`,
      program: `registered: ready with ${PROGRAM_TOOLS} tools`,
      asks: expect.stringContaining("${input:key}") as never,
      dead: "registered: not connected. The server could not be reached.",
      private: expect.stringMatching(/^refused: .*OUTBOUND_ALLOW/) as never,
      off: "registered: off",
      bridge: expect.stringMatching(/^skipped: /) as never,
    });
    expect(out).not.toMatch(/s3cret|t0ken/);
    expect(upstream.requests.at(-1)!.headers["x-key"]).toBe("t0ken");
    expect(
      (await list(env)).map(({ slug, enabled }) => [slug, enabled]),
    ).toEqual([
      ["web", true],
      ["program", true],
      ["dead", false],
      ["off", false],
    ]);

    const again = await servers(env, "import", path);
    expect(rows(again.out)).toMatchObject({
      web: "there already: left as it is",
      off: "there already: left as it is",
    });
    expect(await list(env)).toHaveLength(4);
  });

  test.each([
    ["cursor", ".cursor/mcp.json", "mcpServers"],
    ["claude", ".config/Claude/claude_desktop_config.json", "mcpServers"],
    ["claude-code", ".claude.json", "mcpServers"],
    ["vscode", ".config/Code/User/mcp.json", "servers"],
    ["windsurf", ".codeium/windsurf/mcp_config.json", "mcpServers"],
  ])("knows where %s keeps its servers", async (client, path, group) => {
    if (process.platform !== "linux") return;
    const home = emptyFolder();
    mkdirSync(join(home, path, ".."), { recursive: true });
    writeFileSync(
      join(home, path),
      JSON.stringify({ [group]: { mine: { url: upstream.url } } }),
    );
    const env = { ...alone(), HOME: home };
    const { code, out } = await servers(env, "import", client, "--no-enable");
    expect([code, rows(out)]).toEqual([0, { mine: "registered: off" }]);
  });

  test("over a running server leaves its own entry and programs out", async () => {
    const path = join(emptyFolder(), "mcp.json");
    writeFileSync(
      path,
      JSON.stringify({
        mcpServers: {
          imported: { url: upstream.url },
          ours: { url: `${server.url}/mcp?mode=search` },
          program: { command, args },
        },
      }),
    );
    const { code, out } = await servers(
      { ...common, ...over() },
      "import",
      path,
      "--url",
      server.url,
    );
    expect(code).toBe(1);
    expect(rows(out)).toEqual({
      imported: `registered: ready with ${TOOLS} tools`,
      ours: "skipped: this gateway itself",
      program: expect.stringContaining("without --url") as never,
    });
    await servers(beside(), "remove", "imported");
  });

  test.each(["[]", "{}", "{ nonsense"])(
    "of a file with %s is refused",
    async (text) => {
      const path = join(emptyFolder(), "mcp.json");
      writeFileSync(path, text);
      const { code, err } = await servers(alone(), "import", path);
      expect([code, err]).toEqual([65, expect.stringContaining(path)]);
    },
  );
});
