import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/runtime/machine.ts";
import { sealContexts } from "../../src/core/sealed.ts";
import { GatewayError } from "../../src/core/errors.ts";
import { examineAll } from "../../src/commands/doctor.ts";
import { readConfig } from "../../src/config.ts";
import { createResealing } from "../../src/gateway/accounts/resealing.ts";
import { keyFile, makeKeyFile } from "../../src/runtime/encryption-key.ts";
import { createVault } from "../../src/runtime/vault.ts";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import {
  backUpDirectory,
  openRegistry,
} from "../../src/store/sqlite/operate.ts";
import { openSqlite } from "../../src/store/sqlite/sqlite.ts";
import { openRig } from "../support/app.ts";
import { fakeClock, silentLog } from "../support/clock.ts";
import { temporaryDirectory } from "../support/directory.ts";

/** The key that secrets are sealed with, on a disk, and what happens when it is not the one. */

const SENTINEL = "sentinel-of-what-is-sealed";
const random = () => crypto.getRandomValues(new Uint8Array(32)).toBase64();

/** A store and its vault, as the server has them. */
function open(directory: string, env: string | null = null) {
  const config = readConfig(env === null ? {} : { ENCRYPTION_KEY: env });
  const made: string[] = [];
  const vault = createVault({
    keys: config.ENCRYPTION_KEY ?? null,
    directory,
    sealed: () => store.sealed,
    onKeyMade: (file) => made.push(file),
  });
  const store = openSqlite({
    vault,
    directory,
    clock: fakeClock(),
    sessionCache: 10,
    caps: { events: 20, bytes: 100_000 },
    verifyKey: vault.verify,
  });
  return { store, vault, made, close: store.close };
}

function thrownBy(run: () => unknown): GatewayError {
  try {
    run();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error("Nothing was thrown.");
}

/** Servers with everything that is sealed, `members` of each connected. */
function fill(
  directory: string,
  vault: ReturnType<typeof open>["vault"],
  servers: number,
  members: number,
) {
  using db = new Database(databaseFile(directory), { strict: true });
  db.run("PRAGMA foreign_keys = ON");
  db.transaction(() => {
    for (let id = 1; id <= servers; id++) {
      const uuid = `uuid-${id}`;
      db.query(
        `INSERT INTO servers (id, uuid, workspace, name, slug, url, command, transport, auth_type, sealed_secret, sealed_oauth, state, enabled, pinned, version, created_at, updated_at)
         VALUES (?, ?, 'w', ?, ?, ?, ?, 'streamable_http', 'bearer', ?, ?, 'ready', 1, 0, 1, 0, 0)`,
      ).run(
        id,
        uuid,
        uuid,
        uuid,
        vault.seal(SENTINEL, sealContexts.serverUrl(uuid)),
        vault.seal(SENTINEL, sealContexts.serverCommand(uuid)),
        vault.seal(SENTINEL, sealContexts.serverSecret(uuid)),
        id % 2 === 0
          ? null
          : vault.seal(SENTINEL, sealContexts.serverOauth(uuid)),
      );
      for (let n = 0; n < members; n++) {
        const subject = `member ${n}`;
        db.query(
          "INSERT INTO credentials (server_id, subject, auth_type, status, sealed, version, connected_at) VALUES (?, ?, 'oauth', 'active', ?, 1, 0)",
        ).run(
          id,
          subject,
          vault.seal(SENTINEL, sealContexts.credential(uuid, subject)),
        );
      }
      db.query(
        "INSERT INTO oauth_flows VALUES (?, ?, 'w', 's', 'b', ?, 1)",
      ).run(
        `state ${id}`,
        id,
        vault.seal(SENTINEL, sealContexts.oauthFlow(`state ${id}`)),
      );
      db.query(
        `INSERT INTO webhooks (id, workspace, url, enabled, form, concurrency, configured, sealed_secret, sealed_previous, cursor, missed, version, created_at, updated_at)
         VALUES (?, 'w', ?, 1, 'full', 1, 0, ?, ?, 0, 0, 1, 0, 0)`,
      ).run(
        `wh_${id}`,
        vault.seal(SENTINEL, sealContexts.webhookUrl(`wh_${id}`)),
        vault.seal(SENTINEL, sealContexts.webhookSecret(`wh_${id}`)),
        id % 2 === 0
          ? null
          : vault.seal(SENTINEL, sealContexts.webhookPrevious(`wh_${id}`)),
      );
    }
  })();
}

/** Everything that is sealed, with what it belongs to. */
function sealedIn(directory: string): [string, readonly (string | number)[]][] {
  using db = new Database(databaseFile(directory), { readonly: true });
  const rows = (sql: string) => db.query<Record<string, string>, []>(sql).all();
  return [
    ...rows("SELECT * FROM servers").flatMap((row) => [
      [row["url"], sealContexts.serverUrl(row["uuid"]!)],
      [row["command"], sealContexts.serverCommand(row["uuid"]!)],
      [row["sealed_secret"], sealContexts.serverSecret(row["uuid"]!)],
      [row["sealed_oauth"], sealContexts.serverOauth(row["uuid"]!)],
    ]),
    ...rows(
      "SELECT sealed, uuid, subject FROM credentials JOIN servers ON id = server_id",
    ).map((row) => [
      row["sealed"],
      sealContexts.credential(row["uuid"]!, row["subject"]!),
    ]),
    ...rows("SELECT * FROM oauth_flows").map((row) => [
      row["sealed"],
      sealContexts.oauthFlow(row["state_hash"]!),
    ]),
    ...rows("SELECT * FROM webhooks").flatMap((row) => [
      [row["url"], sealContexts.webhookUrl(row["id"]!)],
      [row["sealed_secret"], sealContexts.webhookSecret(row["id"]!)],
      [row["sealed_previous"], sealContexts.webhookPrevious(row["id"]!)],
    ]),
  ].filter(([sealed]) => sealed !== null) as never;
}

const mode = (path: string) => statSync(path).mode & 0o777;

describe("the key file", () => {
  // Demanded: vault-key-private
  test("is made when the first secret is sealed, for its owner alone, and is good after a restart", async () => {
    using directory = temporaryDirectory();
    const file = keyFile(directory.path);
    const first = open(directory.path);
    expect(existsSync(file)).toBe(false);
    const sealed = first.vault.seal(SENTINEL, ["a", 1]);
    expect(first.made).toEqual([file]);
    expect(mode(file)).toBe(0o600);
    expect(Buffer.from(readFileSync(file, "utf8"), "base64")).toHaveLength(32);
    await first.close();
    const second = open(directory.path);
    expect(second.vault.open(sealed, ["a", 1])).toBe(SENTINEL);
    expect(second.vault.outdated(sealed)).toBe(false);
    expect(second.made).toEqual([]);
    await second.close();
    expect(readdirSync(directory.path).join()).not.toContain("partial");
  });

  test("is one, when two processes need it at the same moment", () => {
    using directory = temporaryDirectory();
    // The second has looked for it before the first had made it.
    const [mine] = makeKeyFile(directory.path);
    const [theirs] = makeKeyFile(directory.path);
    expect(theirs).toEqual(mine!);
    expect(readdirSync(directory.path)).toEqual(["encryption.key"]);
  });

  test.each<[string, (file: string) => void, string]>([
    ["open to others", (file) => chmodSync(file, 0o640), "chmod 600"],
    ["empty", (file) => writeFileSync(file, ""), "does not hold a key"],
    ["cut off", (file) => writeFileSync(file, "c2hvcnQ="), "does not hold"],
    [
      "a password",
      (file) => writeFileSync(file, "correct horse battery staple"),
      "does not hold a key",
    ],
  ])("that is %s is refused, and left as it is", async (_, spoil, words) => {
    using directory = temporaryDirectory();
    const file = keyFile(directory.path);
    const first = open(directory.path);
    first.vault.seal(SENTINEL, ["a"]);
    await first.close();
    spoil(file);
    const before = readFileSync(file, "utf8");
    const error = thrownBy(() => open(directory.path));
    expect(error.data).toEqual({ reason: "encryption_key" });
    expect(error.message).toContain(words);
    expect(error.message).toContain(file);
    if (before !== "") expect(error.message).not.toContain(before.trim());
    expect(readFileSync(file, "utf8")).toBe(before);
  });

  test("that is gone is not made anew while there are secrets that need it", async () => {
    using directory = temporaryDirectory();
    const first = open(directory.path);
    const sealed = first.vault.seal(SENTINEL, ["a"]);
    await first.close();
    const check = new Database(databaseFile(directory.path), { readonly: true })
      .query("SELECT value FROM meta WHERE key = 'key_check'")
      .values();
    const elsewhere = temporaryDirectory();
    const registry = openRegistry(directory.path, systemClock);
    const vault = createVault({
      keys: null,
      directory: elsewhere.path,
      sealed: () => registry.sealed,
    });
    for (const run of [
      () => vault.seal("more", ["b"]),
      () => vault.mac("icon", "1"),
      () => vault.verify(check[0]![0] as string),
    ]) {
      expect(thrownBy(run).message).toContain("is missing");
    }
    expect(() => vault.open(sealed, ["a"])).toThrow("not known");
    expect(readdirSync(elsewhere.path)).toEqual([]);
    registry[Symbol.dispose]();
    elsewhere[Symbol.dispose]();
  });

  test("in a directory that cannot be written is told with both cures", () => {
    using directory = temporaryDirectory();
    const vault = createVault({
      keys: null,
      directory: join(directory.path, "gone"),
      sealed: () => ({ keyCheck: () => null, keepKeyCheck() {} }),
    });
    const { message } = thrownBy(() => vault.seal("x", ["a"]));
    expect(message).toContain("write access");
    expect(message).toContain("ENCRYPTION_KEY");
  });
});

describe("a server", () => {
  test("that has sealed nothing makes no key, and does not look for one", async () => {
    await using rig = await openRig();
    await rig.open("ada");
    await rig.restart();
    expect(existsSync(keyFile(rig.directory))).toBe(false);
    mkdirSync(keyFile(rig.directory));
    await rig.restart();
  });

  // Demanded: vault-key-changed
  test("with another key does not start, and changes nothing", async () => {
    using directory = temporaryDirectory();
    const [right, wrong] = [random(), random()];
    const first = open(directory.path, right);
    fill(directory.path, first.vault, 1, 1);
    await first.close();
    const file = databaseFile(directory.path);
    const before = readFileSync(file);
    for (const env of [wrong, `${wrong},${random()}`, null]) {
      const error = thrownBy(() => open(directory.path, env));
      expect(error.data).toEqual({ reason: "encryption_key" });
      expect(error.message).toContain("Nothing was changed");
      expect(error.message).not.toContain(right);
      expect(error.message).not.toContain(wrong);
    }
    expect(readFileSync(file)).toEqual(before);
    expect(existsSync(keyFile(directory.path))).toBe(false);
    await open(directory.path, right).close();
  });

  // Demanded: vault-key-changed
  test("with a new key before the old one seals everything anew, while it serves, and then needs the new one alone", async () => {
    const [older, newer] = [random(), random()];
    const env = { ENCRYPTION_KEY: older };
    await using rig = await openRig({ env });
    const registry = openRegistry(rig.directory, systemClock);
    const vaultOf = (keys: string) =>
      createVault({
        keys: readConfig({ ENCRYPTION_KEY: keys }).ENCRYPTION_KEY!,
        directory: rig.directory,
        sealed: () => registry.sealed,
      });
    fill(rig.directory, vaultOf(older), 3, 250);
    const count = sealedIn(rig.directory).length;
    expect(count).toBe(3 + 3 + 3 + 2 + 750 + 3 + (3 + 3 + 2));
    // Damaged by somebody: it must neither stop the rest nor be lost.
    {
      using db = new Database(databaseFile(rig.directory));
      db.run(
        "UPDATE credentials SET sealed = (SELECT sealed FROM credentials WHERE subject = 'member 1' AND server_id = 1) WHERE subject = 'member 2' AND server_id = 1",
      );
    }
    const damaged = (at: readonly unknown[]) =>
      at[1] === "uuid-1" && at[2] === "member 2";

    env.ENCRYPTION_KEY = `${newer},${older}`;
    await rig.restart();
    const done = () =>
      rig.lines.find(
        ({ event }) => event === "secrets sealed with the new key",
      );
    while (!done()) {
      expect((await fetch(`${rig.url}/health`)).status).toBe(200);
    }
    expect(done()!["changed"]).toBe(count - 1);
    const fresh = vaultOf(newer);
    for (const [sealed, context] of sealedIn(rig.directory)) {
      if (damaged(context)) expect(fresh.outdated(sealed)).toBe(true);
      else expect(fresh.open(sealed, context)).toBe(SENTINEL);
    }
    expect(
      rig.lines.filter(
        ({ event }) => event === "a stored secret cannot be read",
      ),
    ).toMatchObject([{ where: '["credentials","uuid-1","member 2"]' }]);

    env.ENCRYPTION_KEY = newer;
    await rig.restart();
    env.ENCRYPTION_KEY = older;
    await expect(rig.restart()).rejects.toThrow("another key");
    env.ENCRYPTION_KEY = newer;
    await rig.restart();
    expect(JSON.stringify(rig.lines)).not.toContain(SENTINEL);
    for (const key of [older, newer]) {
      expect(JSON.stringify(rig.lines)).not.toContain(key);
    }
    registry[Symbol.dispose]();
  });

  test("that is stopped before it has sealed everything anew goes on with that at its next start", async () => {
    using directory = temporaryDirectory();
    const [older, newer] = [random(), random()];
    const first = open(directory.path, older);
    fill(directory.path, first.vault, 1, 250);
    await first.close();
    const both = open(directory.path, `${newer},${older}`);
    const { sealed } = both.store;
    let turns = 0;
    const run = createResealing({ sealed, vault: both.vault, log: silentLog });
    await run(() => ++turns < 4);
    const old = () =>
      sealedIn(directory.path).filter(([text]) => both.vault.outdated(text));
    expect(old().length).toBeGreaterThan(0);
    expect(old().length).toBeLessThan(258);
    expect(both.vault.outdated(sealed.keyCheck()!)).toBe(true);
    // Both are still needed.
    expect(() => createVaultOf(newer).verify(sealed.keyCheck()!)).toThrow();
    await run(() => true);
    expect(old()).toEqual([]);
    expect(both.vault.outdated(sealed.keyCheck()!)).toBe(false);
    await both.close();

    function createVaultOf(key: string) {
      return createVault({
        keys: readConfig({ ENCRYPTION_KEY: key }).ENCRYPTION_KEY!,
        directory: directory.path,
        sealed: () => sealed,
      });
    }
  });
});

test("what another process seals with the old key meanwhile is sealed anew, too", async () => {
  using directory = temporaryDirectory();
  const [older, newer] = [random(), random()];
  const first = open(directory.path, older);
  fill(directory.path, first.vault, 2, 2);
  const late = first.vault.seal(SENTINEL, sealContexts.serverSecret("uuid-1"));
  await first.close();
  const both = open(directory.path, `${newer},${older}`);
  let asked = 0;
  await createResealing({ ...both.store, vault: both.vault, log: silentLog })(
    () => {
      // After the slice with that server, and before the last.
      if (++asked === 3) {
        using db = new Database(databaseFile(directory.path));
        db.run("UPDATE servers SET sealed_secret = ? WHERE id = 1", [late]);
      }
      return true;
    },
  );
  for (const [sealed, context] of sealedIn(directory.path)) {
    expect(both.vault.outdated(sealed)).toBe(false);
    expect(both.vault.open(sealed, context)).toBe(SENTINEL);
  }
  await both.close();
});

// Demanded: vault-sealed
test("what is sealed is nowhere in the database, its log or a backup, and neither is the key", async () => {
  using directory = temporaryDirectory();
  const { vault, close } = open(directory.path);
  fill(directory.path, vault, 2, 2);
  const backup = join(directory.path, "backup.db");
  backUpDirectory(directory.path, backup);
  const key = readFileSync(keyFile(directory.path), "utf8").trim();
  const file = databaseFile(directory.path);
  expect(statSync(`${file}-wal`).size).toBeGreaterThan(0);
  for (const name of [file, `${file}-wal`, `${file}-shm`, backup]) {
    const bytes = readFileSync(name);
    expect(bytes.includes(SENTINEL)).toBe(false);
    expect(bytes.includes(key)).toBe(false);
    expect(bytes.includes(Buffer.from(key, "base64"))).toBe(false);
  }
  expect(() =>
    backUpDirectory(directory.path, keyFile(directory.path)),
  ).toThrow("one of the server's own files");
  await close();
});

test("doctor says of the key what a start would meet", async () => {
  using directory = temporaryDirectory();
  const [older, newer] = [random(), random()];
  const finding = async (key?: string) =>
    (
      await examineAll(
        readConfig({
          PORT: "0",
          DATA_DIR: directory.path,
          MEMBRANE_API_URI: "http://127.0.0.1:9",
          ...(key === undefined ? {} : { ENCRYPTION_KEY: key }),
        }),
        null,
      )
    ).find(({ check }) => check === "encryption key");
  expect(await finding()).toMatchObject({
    level: "ok",
    message: expect.stringContaining("will be made"),
  });
  expect(existsSync(keyFile(directory.path))).toBe(false);
  const first = open(directory.path, older);
  first.vault.seal("x", ["a"]);
  await first.close();
  expect(await finding(older)).toMatchObject({ level: "ok" });
  expect(await finding(`${newer},${older}`)).toMatchObject({
    level: "warning",
  });
  expect(await finding(newer)).toMatchObject({ level: "fault" });
  expect(await finding()).toMatchObject({
    level: "fault",
    message: expect.stringContaining("is missing"),
  });
});
