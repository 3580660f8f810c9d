import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { createApp } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import type { Principal } from "../../src/core/principal.ts";
import { parseKeys } from "../../src/runtime/encryption-key.ts";
import { createVault } from "../../src/runtime/vault.ts";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import { openRig, WORKSPACE_KEY } from "../support/app.ts";
import { fakeClock } from "../support/clock.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { openStore } from "../support/open-store.ts";

/** The app as a command has it: of one person, and also beside a server. */

const operator: Principal = {
  workspace: WORKSPACE_KEY,
  subject: "operator",
  name: null,
  method: "operator",
  scope: "apps:admin",
  token: null,
  expiresAt: null,
};
const silent = { debug() {}, info() {}, warn() {}, error() {} };

function open(directory: string, env: Record<string, string> = {}) {
  const app = createApp({
    config: readConfig({ DATA_DIR: directory, PORT: "0", ...env }),
    log: silent,
    operator,
  });
  const ask = async (path: string, body?: object) => {
    const response = await app.fetch(
      new Request(`http://localhost/api/v2/w/${path}`, {
        method: body ? "POST" : "GET",
        headers: {
          host: "localhost",
          ...(body ? { "content-type": "application/json" } : {}),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
      }),
      { address: null, setIdleTimeout() {} },
    );
    return { status: response.status, body: (await response.json()) as any };
  };
  return { ...app, ask };
}

const newKey = () =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64");

const nextStream = (directory: string) => {
  using db = new Database(databaseFile(directory), { readonly: true });
  return db.query("SELECT value FROM meta WHERE key = 'next_stream'").get();
};

test("beside a server everything is asked as the operator, and each sees what the other has stored", async () => {
  await using rig = await openRig();
  await using app = open(rig.directory);
  const path = `${WORKSPACE_KEY}/api-keys`;
  const made = await app.ask(path, { name: "n", scope: "apps:admin" });
  expect(made).toMatchObject({
    status: 201,
    body: { memberId: "operator", createdByMemberId: null },
  });
  const theirs = await fetch(`${rig.url}/api/v2/w/${path}`, {
    method: "POST",
    headers: {
      "x-api-key": made.body.key,
      "content-type": "application/json",
    },
    body: JSON.stringify({ name: "m", scope: "apps:read" }),
  });
  expect(theirs.status).toBe(201);
  const { body } = await app.ask(path);
  expect(body.map(({ name }: any) => name).sort()).toEqual(["m", "n"]);
});

test("of another workspace than the operator's nothing is found", async () => {
  using directory = temporaryDirectory();
  await using app = open(directory.path);
  expect((await app.ask(`${WORKSPACE_KEY}/api-keys`)).status).toBe(200);
  expect((await app.ask("other/api-keys")).status).toBe(404);
});

test("nobody else can get to it: it neither listens nor works by itself", async () => {
  using directory = temporaryDirectory();
  await using app = open(directory.path);
  await expect(app.start()).rejects.toThrow("Nobody else may ask");
  await expect(app.begin()).rejects.toThrow("Nobody else may ask");
});

test("beside a server no number of a stream is taken, and no session opened", async () => {
  await using rig = await openRig();
  const before = nextStream(rig.directory);
  await open(rig.directory).close();
  expect(nextStream(rig.directory)).toEqual(before);
  await using store = openStore(rig.directory, {
    clock: fakeClock(),
    beside: true,
  });
  expect(() => store.events.nextStream()).toThrow(
    "Sessions are opened by the server.",
  );
});

test("without a server it holds the directory, until it is closed", async () => {
  using directory = temporaryDirectory();
  const app = open(directory.path);
  const serve = () =>
    createApp({
      config: readConfig({ DATA_DIR: directory.path, PORT: "0" }),
      log: silent,
    });
  expect(serve).toThrow(`is in use by process ${process.pid}`);
  // A second one works beside the first.
  await open(directory.path).close();
  expect(serve).toThrow("is in use");
  await app.close();
  await serve().close();
});

test("beside a server nothing is opened with another key than the server's", async () => {
  const [mine, another] = [newKey(), newKey()];
  await using rig = await openRig({ env: { ENCRYPTION_KEY: mine } });
  await using store = openStore(rig.directory, {
    clock: fakeClock(),
    beside: true,
  });
  createVault({
    keys: parseKeys(mine),
    directory: rig.directory,
    sealed: () => store.sealed,
  }).seal("secret", ["context"]);
  await open(rig.directory, { ENCRYPTION_KEY: mine }).close();
  expect(() => open(rig.directory, { ENCRYPTION_KEY: another })).toThrow(
    "another key",
  );
});
