import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import { createRest } from "../support/absent-servers.ts";
import { openRig, WORKSPACE_KEY } from "../support/app.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { openGateway } from "../support/gateway.ts";
import { openReceiver } from "../support/receiver.ts";
import { openEvil } from "../support/servers/evil.ts";
import { stdioServer } from "../support/servers/stdio.ts";

/** URLs and commands are sealed in the database: any part of them may be a credential. */

const SENTINEL = "sentinel-of-an-address";
const SERVERS = `/api/v2/w/${WORKSPACE_KEY}/mcp-servers`;

/** The first version that had them stored them as they were given. */
const fixture = join(import.meta.dir, "../fixtures/schema-4.db");

const padding = "x".repeat(700);
const urlOf = (n: number) => `https://s${n}.example/${SENTINEL}/${padding}`;
const hookOf = (n: number) => `https://h${n}.example/${SENTINEL}/${padding}`;

const uuidOf = (n: number) =>
  `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;

/** A database of an earlier version: some addresses are in use, many were, and the last are in its log alone. */
function write(file: string): Database {
  const db = new Database(file, { strict: true });
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA secure_delete = FAST");
  db.run("PRAGMA foreign_keys = ON");
  db.run("PRAGMA wal_autocheckpoint = 20");
  const server = db.query(
    `INSERT INTO servers (id, uuid, workspace, name, slug, url, transport, command, auth_type, state, enabled, pinned, version, created_at, updated_at, created_by)
     VALUES (?, ?, '${WORKSPACE_KEY}', ?, ?, ?, ?, ?, 'none', 'register', 0, 0, 7, 0, 0, NULL)`,
  );
  const hook = db.query(
    `INSERT INTO webhooks (id, workspace, url, enabled, form, concurrency, configured, cursor, missed, version, created_at, updated_at)
     VALUES (?, '${WORKSPACE_KEY}', ?, 0, 'full', 1, 0, 0, 0, 7, 0, 0)`,
  );
  for (let n = 1; n <= 90; n++) {
    server.run(
      n,
      uuidOf(n),
      `s${n}`,
      `s${n}`,
      urlOf(n),
      "streamable_http",
      null,
    );
    hook.run(`wh_${String(n).padStart(32, "0")}`, hookOf(n));
  }
  const run = JSON.stringify({ command: "x", args: [SENTINEL], cwd: null });
  server.run(91, uuidOf(91), "s91", "s91", "stdio:x", "stdio", run);
  db.run("UPDATE servers SET url = replace(url, 'https', 'http')");
  db.run("UPDATE servers SET url = replace(url, 'http', 'https')");
  db.run("DELETE FROM servers WHERE id % 3 = 0");
  db.run("DELETE FROM webhooks WHERE rowid % 3 = 0");
  db.run(
    "INSERT INTO credentials (server_id, subject, auth_type, status, version, connected_at) SELECT id, 'ada', 'none', 'active', 1, 0 FROM servers",
  );
  db.run(
    "INSERT INTO deliveries (webhook, seq, event, type, state, replayed, attempts, claim, log, created_at) SELECT id, 1, 'e', 't', 'dead', 0, 0, 0, '[]', 0 FROM webhooks",
  );
  return db;
}

/** Files of a directory that hold it; the copy from before an upgrade is as the version before can use it. */
const filesWith = (directory: string, text: string) =>
  readdirSync(directory)
    .filter((name) => !name.includes(".before-schema-"))
    .filter((name) => readFileSync(join(directory, name)).includes(text));

const rows = (file: string, sql: string) => {
  using db = new Database(file, { readonly: true });
  return db.query<any, []>(sql).all();
};

describe("addresses that an earlier version has stored", () => {
  test("are sealed by the next start, are nowhere in the files any more, and everything that belongs to them is there", async () => {
    using elsewhere = temporaryDirectory();
    const file = databaseFile(elsewhere.path);
    copyFileSync(fixture, file);
    using old = write(file);
    const before = old.query<any, []>("SELECT * FROM servers").all();
    const hooks = old.query<any, []>("SELECT * FROM webhooks").all();
    await using rig = await openRig({
      env: { TOKEN_SCOPES: "apps:admin", OUTBOUND_ALLOW: "127.0.0.0/8" },
      // Not closed: its log is as a crash leaves it.
      async before(directory) {
        for (const suffix of ["", "-wal"]) {
          copyFileSync(file + suffix, databaseFile(directory) + suffix);
        }
        expect(filesWith(directory, SENTINEL)).toHaveLength(2);
      },
    });
    expect(filesWith(rig.directory, SENTINEL)).toEqual([]);
    const now = databaseFile(rig.directory);
    const others = ({ url: _url, command: _command, ...rest }: any) => rest;
    expect(rows(now, "SELECT * FROM servers").map(others)).toEqual(
      before.map(others),
    );
    expect(rows(now, "SELECT * FROM webhooks").map(others)).toEqual(
      hooks.map(others),
    );
    for (const [table, of] of [
      ["credentials", before],
      ["deliveries", hooks],
    ] as const) {
      expect(rows(now, `SELECT * FROM ${table}`)).toHaveLength(of.length);
    }

    const rest = createRest(rig.url);
    const who = await rig.tokenFor("ada");
    const listed = (await rest(who, `GET ${SERVERS}`)).body;
    expect(listed.map(({ url }: any) => url)).toEqual(
      before.map(({ url }) => url),
    );
    const shown = await rest(who, `GET ${SERVERS}/1`);
    expect(shown.headers.get("etag")).toBe('"7"');
    const { sql } = rows(
      now,
      "SELECT seq AS sql FROM sqlite_sequence WHERE name = 'servers'",
    )[0];
    expect(sql).toBe(91);
    // Once: the next start finds nothing to do, and reads what this one has sealed.
    const sealed = rows(now, "SELECT url FROM servers");
    await rig.restart();
    expect(rows(now, "SELECT url FROM servers")).toEqual(sealed);
    expect((await rest(who, `GET ${SERVERS}/1`)).body.url).toBe(urlOf(1));
  });

  test("are sealed at the next start when somebody has read the log of this one all the while", async () => {
    using elsewhere = temporaryDirectory();
    const file = databaseFile(elsewhere.path);
    copyFileSync(fixture, file);
    write(file).close();
    let reader: Database | undefined;
    await using rig = await openRig({
      async before(directory) {
        copyFileSync(file, databaseFile(directory));
        reader = new Database(databaseFile(directory));
        reader.run("BEGIN");
        reader.query("SELECT count(*) FROM servers").get();
      },
    });
    const url = "SELECT substr(url, 1, 2) AS u FROM servers GROUP BY 1";
    const now = databaseFile(rig.directory);
    const done = "SELECT value FROM meta WHERE key = 'addresses'";
    expect(rows(now, url)).toEqual([{ u: "1." }]);
    expect(rows(now, done)).toEqual([]);
    reader!.close();
    await rig.restart();
    expect(rows(now, done)).toEqual([{ value: "sealed" }]);
    expect(filesWith(rig.directory, SENTINEL)).toEqual([]);
  });
});

// Demanded: secrets-nowhere
test("no part of a server's URL, of a program's arguments or of a webhook's URL is in the files, and each is used as it was given", async () => {
  await using evil = await openEvil();
  await using receiver = await openReceiver();
  const program = stdioServer("legacy");
  await using gateway = await openGateway({
    upstreams: [
      { slug: "paid", at: `${evil.url}?k=${SENTINEL}` },
      {
        slug: "program",
        at: { ...program, args: [...program.args, SENTINEL] },
      },
    ],
    env: { WEBHOOK_URL: `${receiver.url}/${SENTINEL}`, WEBHOOK_SECRET },
  });
  const who = await gateway.tokenFor("ada");
  const rest = createRest(gateway.url);
  const made = await rest(who, "POST /webhooks", {
    url: `${receiver.url}/mine/${SENTINEL}`,
  });
  await rest(who, `POST /webhooks/${made.body.id}/test`);
  const ann = await gateway.client("ann");
  await ann.text("paid_good_one", { words: "w" });
  await ann[Symbol.asyncDispose]();
  expect(filesWith(gateway.directory, SENTINEL)).toEqual([]);
  await gateway.restart();
  expect(filesWith(gateway.directory, SENTINEL)).toEqual([]);
  await rest(who, `POST /webhooks/${made.body.id}/test`);
  expect(new Set(receiver.received.map(({ path }) => path))).toEqual(
    new Set([`/hook/${SENTINEL}`, `/hook/mine/${SENTINEL}`]),
  );
  expect(evil.requests.at(-1)!.path).toBe(`/mcp?k=${SENTINEL}`);
});
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

test("an address that was damaged, or put there by somebody without the key, is not gone to, is logged once, stops nobody else, and can be given anew", async () => {
  await using lost = await openEvil();
  await using evil = await openEvil();
  await using gateway = await openGateway({
    upstreams: [
      { slug: "one", at: lost.url },
      { slug: "two", at: lost.url },
      { slug: "three", at: evil.url },
      { slug: "program", at: stdioServer("legacy") },
    ],
  });
  const file = databaseFile(gateway.directory);
  {
    using db = new Database(file);
    db.run("UPDATE servers SET url = ? WHERE slug = 'one'", [
      `${lost.url}/stolen`,
    ]);
    db.run(
      "UPDATE servers SET url = (SELECT url FROM servers WHERE slug = 'three') WHERE slug = 'two'",
    );
    db.run("UPDATE servers SET command = '{}' WHERE slug = 'program'");
  }
  lost.requests.length = 0;
  evil.requests.length = 0;
  const client = await gateway.client("ann");
  const call = (tool: string) =>
    client.text(tool, { words: "w" }).catch((error: Error) => error.message);
  await call("one_good_one");
  await call("two_good_one");
  await call("program_complain");
  await call("three_good_one");
  expect(lost.requests).toEqual([]);
  expect(evil.requests.length).toBeGreaterThan(0);
  expect(
    gateway.lines
      .filter(({ event }) => event === "a stored secret cannot be read")
      .map(({ where }) => JSON.parse(String(where)).at(-1))
      .toSorted(),
  ).toEqual(["command", "url", "url"]);
  const id = await gateway.id("one");
  const unreadable = await gateway.manage("GET", `/${id}`);
  expect(unreadable.url).toBe("https://unreadable.invalid");
  await gateway.change("one", { url: lost.url });
  expect((await gateway.manage("POST", `/${id}/test`)).success).toBe(true);
  await client[Symbol.asyncDispose]();
});
