import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { migrate } from "../../src/store/sqlite/migrations.ts";
import { ensureBuilt, run } from "../support/binary.ts";
import { freePort } from "../support/port.ts";
import { createCaller } from "../support/caller.ts";
import { temporaryDirectory } from "../support/directory.ts";

/** How the executable starts, and how it refuses to. */

let root: ReturnType<typeof temporaryDirectory>;
let folders = 0;
beforeAll(async () => {
  await ensureBuilt();
  root = temporaryDirectory();
});
afterAll(() => root[Symbol.dispose]());

function emptyFolder(): string {
  const path = join(root.path, String(++folders));
  mkdirSync(path);
  return path;
}

async function finish(
  args: string[],
  env: Record<string, string>,
  cwd = emptyFolder(),
) {
  const child = run(args, env, cwd);
  const code = await child.exited;
  return { code, out: child.stdout(), err: child.stderr() };
}

describe("demo", () => {
  test("in an empty folder without an environment it prints a URL and a token that work", async () => {
    const folder = emptyFolder();
    const port = String(freePort());
    const child = run(["demo"], { PORT: port }, folder);
    await child.printed("listTools()");
    const url = /URL +(\S+)\/mcp/.exec(child.stdout())![1]!;
    const token = /Token +(\S+)/.exec(child.stdout())![1]!;
    const cursor = JSON.parse(/^\{[\s\S]*?^\}/m.exec(child.stdout())![0]);
    expect(cursor.mcpServers["membrane-demo"]).toEqual({
      url: `${url}/mcp`,
      headers: { Authorization: `Bearer ${token}` },
    });
    const caller = createCaller(url, async () => token);
    const { client } = await caller.connect(token);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toContain("notes_create-note");
    await client.callTool({
      name: "notes_create-note",
      arguments: { title: "Bought milk" },
    });
    const { content } = await client.callTool({
      name: "notes_list-notes",
      arguments: {},
    });
    expect(JSON.stringify(content)).toContain("Bought milk");
    const [head, payload] = token.split(".");
    const forged = await caller.post(
      `${head}.${payload}.${"A".repeat(43)}`,
      {},
    );
    expect(forged.status).toBe(401);
    await caller.close();
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect(child.stderr()).not.toContain(token);
    const data = join(folder, "data");
    expect(statSync(data).mode & 0o777).toBe(0o700);
    for (const file of readdirSync(data)) {
      expect([file, statSync(join(data, file)).mode & 0o777]).toEqual([
        file,
        0o600,
      ]);
    }
  });

  test("refuses to be reachable from outside", async () => {
    const { code, err } = await finish(["demo"], { HOST: "0.0.0.0" });
    expect(code).toBe(64);
    expect(err).toContain("loopback only");
  });
});

describe("config", () => {
  test("shows what is in effect without the secret", async () => {
    const secret = "sentinel-secret-0123456789abcdefghij";
    const { code, out, err } = await finish(["config"], {
      MEMBRANE_WORKSPACE_KEY: "w",
      MEMBRANE_WORKSPACE_SECRET: secret,
    });
    expect(code).toBe(0);
    expect(out).toContain("MEMBRANE_WORKSPACE_SECRET=(set)");
    expect(out + err).not.toContain(secret);
  });

  test("names every fault at once, in one message, with the exit code of a usage error", async () => {
    const { code, err } = await finish(["config"], {
      PORT: "x",
      LOG_LEVEL: "y",
    });
    expect(code).toBe(64);
    expect(err).toContain("PORT");
    expect(err).toContain("LOG_LEVEL");
    expect(err).not.toContain("    at ");
  });
});

describe("the working directory", () => {
  test("is not trusted: neither its .env nor its bunfig.toml is read", async () => {
    const folder = emptyFolder();
    writeFileSync(join(folder, ".env"), "PORT=4999\n");
    writeFileSync(join(folder, "bunfig.toml"), 'preload = ["./evil.ts"]\n');
    writeFileSync(join(folder, "evil.ts"), 'console.log("EVIL");\n');
    const { code, out } = await finish(["config"], {}, folder);
    expect(code).toBe(0);
    expect(out).toContain("PORT=3000");
    expect(out).not.toContain("EVIL");
  });
});

describe("serve refuses to start with one clear line", () => {
  const serve = async (
    prepare: (data: string) => void,
    env: Record<string, string> = {},
  ) => {
    const folder = emptyFolder();
    const data = join(folder, "data");
    mkdirSync(data);
    prepare(data);
    const file = join(data, "membrane-mcp.db");
    const bytes = () => {
      try {
        return readFileSync(file).toString("base64");
      } catch {
        return null;
      }
    };
    const before = bytes();
    const result = await finish(
      ["serve"],
      { PORT: "0", DATA_DIR: data, ...env },
      folder,
    );
    expect(bytes()).toBe(before);
    expect(result.err.trim().split("\n")).toHaveLength(1);
    return result;
  };

  test("over a database of another application", async () => {
    const { code, err } = await serve((data) => {
      using db = new Database(join(data, "membrane-mcp.db"), { create: true });
      db.run("CREATE TABLE theirs (x)");
    });
    expect([code, err]).toEqual([
      65,
      expect.stringContaining("another application"),
    ]);
  });

  test("over a database of a newer version", async () => {
    const { code, err } = await serve((data) => {
      using db = new Database(join(data, "membrane-mcp.db"), { create: true });
      db.run(`PRAGMA application_id = ${0x4d435064}`);
      db.run("PRAGMA user_version = 99");
      db.run("CREATE TABLE theirs (x)");
    });
    expect([code, err]).toEqual([65, expect.stringContaining("newer version")]);
  });

  test("over a file that is no database", async () => {
    const { code, err } = await serve((data) =>
      writeFileSync(
        join(data, "membrane-mcp.db"),
        "not a database ".repeat(1000),
      ),
    );
    expect([code, err]).toEqual([
      65,
      expect.stringContaining("cannot be read as a database"),
    ]);
  });

  test("over a database with damaged pages", async () => {
    const { code, err } = await serve((data) => {
      using db = new Database(join(data, "membrane-mcp.db"), { create: true });
      migrate(db, 0);
      db.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO names SELECT 'w', 'u', 'ref' || i, 'name' || i, i FROM n",
      );
      db.close();
      const file = join(data, "membrane-mcp.db");
      const bytes = readFileSync(file);
      bytes.fill(0xa5, 8 * 4096, 12 * 4096);
      writeFileSync(file, bytes);
    });
    expect([code, err]).toEqual([65, expect.stringContaining("is damaged")]);
  });

  test("where it may not write", async () => {
    const folder = emptyFolder();
    writeFileSync(join(folder, "file"), "");
    const { code, err } = await finish(
      ["serve"],
      { PORT: "0", DATA_DIR: join(folder, "file", "data") },
      folder,
    );
    expect([code, err.trim().split("\n").length]).toEqual([73, 1]);
    expect(err).toContain("cannot be written");
    // Not even root may make a directory here.
    const kernel = await finish(
      ["serve"],
      { PORT: "0", DATA_DIR: "/proc/membrane-mcp" },
      folder,
    );
    expect([kernel.code, kernel.err]).toEqual([
      73,
      expect.stringContaining("/proc/membrane-mcp"),
    ]);
  });

  test("on a port that is taken", async () => {
    using taken = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response(),
    });
    const folder = emptyFolder();
    const { code, err } = await finish(
      ["serve"],
      { PORT: String(taken.port), DATA_DIR: join(folder, "data") },
      folder,
    );
    expect(code).toBe(75);
    expect(err).toContain(`Cannot listen on 127.0.0.1:${taken.port}`);
  });

  test("when another process holds the directory, and says which", async () => {
    const folder = emptyFolder();
    const env = { PORT: "0", DATA_DIR: join(folder, "data") };
    const first = run(["serve"], env, folder);
    await first.printed("listening");
    const { code, err } = await finish(["serve"], env, folder);
    expect(code).toBe(75);
    expect(err).toContain(`process ${first.pid}`);
    first.kill("SIGKILL");
    await first.exited;
    const third = run(["serve"], env, folder);
    await third.printed("listening");
    third.kill("SIGKILL");
    await third.exited;
  });
});
