import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync, readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { systemClock } from "../../src/runtime/machine.ts";
import { databaseFile, openDatabase } from "../../src/store/sqlite/database.ts";
import { migrate, migrations } from "../../src/store/sqlite/migrations.ts";
import { restoreDirectory } from "../../src/store/sqlite/operate.ts";
import { openRig } from "../support/app.ts";
import { initialize, listTools, messages } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { NEXT_STEP } from "../support/open-database.ts";
import type { Fixture } from "../support/write-fixture.ts";
import { openStore } from "../support/open-store.ts";

/** Databases that earlier versions wrote, one for each schema there has been. */

const folder = join(import.meta.dir, "../fixtures");
const fixtures = readdirSync(folder).filter((name) => name.endsWith(".db"));
const steps = [...migrations, NEXT_STEP];

const schemaOf = (db: Database) =>
  db
    .query("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")
    .all();
const version = (db: Database) =>
  db.query<{ user_version: number }, []>("PRAGMA user_version").get()!
    .user_version;

/** Every row of the tables and columns that a fixture has, and there still are, as they are in `file`. */
function rowsOf(file: string, fixture: string): Record<string, unknown[]> {
  using old = new Database(fixture, { readonly: true });
  using db = new Database(file, { readonly: true });
  using fresh = new Database(":memory:");
  migrate(fresh, 0);
  const kept = fresh.query<{ name: string }, [string]>(
    "SELECT name FROM pragma_table_info(?)",
  );
  expect(db.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
  const columns = old
    .query<{ t: string; c: string }, []>(
      "SELECT t.name AS t, c.name AS c FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'",
    )
    .all()
    .filter(({ t, c }) => kept.all(t).some(({ name }) => name === c));
  return Object.fromEntries(
    [...Map.groupBy(columns, ({ t }) => t)].map(([t, of]) => [
      t,
      db.query(`SELECT ${of.map(({ c }) => c).join()} FROM ${t}`).all(),
    ]),
  );
}

async function expectAllThere(file: string): Promise<void> {
  const { at, sessions } = JSON.parse(
    readFileSync(join(folder, `${basename(file, ".db")}.json`), "utf8"),
  ) as Fixture;
  await using rig = await openRig({
    clock: fakeClock(at + 1000),
    database: file,
  });
  for (const { user, chat, session, eventId } of sessions) {
    const list = await rig.post(user, listTools, { "mcp-session-id": session });
    expect(
      list.body.result.tools.map(({ name }: { name: string }) => name),
    ).toEqual(["enable-tools", "lab_echo", "lab_whoami"]);
    const again = await rig.post(user, initialize(), { "x-chat-id": chat });
    expect(again.headers.get("mcp-session-id")).toBe(session);
    const replay = await rig.listen(user, {
      "mcp-session-id": session,
      "last-event-id": eventId,
    });
    await replay.until(({ data }) => Boolean(data?.includes('"kept"')));
    expect(messages(replay.events).at(-1).result.structuredContent).toEqual({
      of: user,
    });
    replay.close();
  }
}

test("there is one of every schema", () => {
  expect(fixtures.toSorted()).toEqual(
    migrations.map((_, n) => `schema-${n + 1}.db`).toSorted(),
  );
});

describe.each(fixtures)("%s", (name) => {
  const fixture = join(folder, name);

  test("ends at the schema of a new database", () => {
    using directory = temporaryDirectory();
    copyFileSync(fixture, databaseFile(directory.path));
    using db = openDatabase(directory.path);
    using fresh = new Database(":memory:");
    migrate(fresh, 0);
    expect(schemaOf(db)).toEqual(schemaOf(fresh));
    expect(version(db)).toBe(migrations.length);
  });

  test("serves every session, chat, enabled tool and event that it held", () =>
    expectAllThere(fixture));

  test("whose upgrade is killed is as it was, has a whole backup, and is upgraded by the next start", async () => {
    using directory = temporaryDirectory();
    const file = databaseFile(directory.path);
    const backup = `${file}.before-schema-${Number(/\d+/.exec(name)) + 1}`;
    copyFileSync(fixture, file);
    const child = Bun.spawn([
      process.execPath,
      join(import.meta.dir, "../support/open-database.ts"),
      directory.path,
    ]);
    // The step has changed what is there, and outgrown its cache: some of it is on disk.
    const log = `${file}-wal`;
    const wal = () => statSync(log, { throwIfNoEntry: false })?.size ?? 0;
    while (wal() < 1_000_000) await Bun.sleep(1);
    child.kill("SIGKILL");
    await child.exited;
    const before = rowsOf(fixture, fixture);
    expect(rowsOf(backup, fixture)).toEqual(before);
    {
      using db = new Database(file);
      expect(version(db)).toBeLessThan(steps.length);
      expect(rowsOf(file, fixture)).toEqual(before);
    }
    const quick = [...migrations, NEXT_STEP.replace("2000000000", "10")];
    {
      using db = openDatabase(directory.path, quick);
      expect(version(db)).toBe(quick.length);
      expect(db.query("SELECT count(*) AS n FROM added").get()).toEqual({
        n: 10,
      });
    }
    expect(rowsOf(file, fixture)).toEqual(before);

    // And back: the version before refuses the newer file, and takes the backup.
    expect(() => openDatabase(directory.path)).toThrow("newer version");
    restoreDirectory(directory.path, backup, systemClock);
    // Numbers of streams go on after those that the newer version may have given.
    const { meta: _numbers, ...after } = rowsOf(file, fixture);
    expect({ ...after, meta: before["meta"] } as object).toEqual(before);
    openDatabase(directory.path).close();
  });
});

test("a call that was running when the version before was killed is in the journal, as cut off", async () => {
  using directory = temporaryDirectory();
  const file = databaseFile(directory.path);
  copyFileSync(join(folder, "schema-5.db"), file);
  {
    using db = new Database(file);
    db.run(
      "INSERT INTO calls (call_id, stream_id, session_pk, request_id, tool) SELECT 1000, 1000, pk, '1', 'lab_echo' FROM sessions WHERE subject = 'ben'",
    );
  }
  await using store = openStore(directory.path);
  expect(await store.events.interrupt(() => "{}")).toBe(1);
  const { workspace, subject, type, by, data } = store.journal.get(
    store.journal.last(),
  )!;
  const [chat] = store.sessions.chats({ workspace, subject: "ben" });
  expect({ subject, type, by, data }).toEqual({
    subject: "ben",
    type: "tool_executed",
    by: null,
    data: {
      tool: "lab_echo",
      session: chat!.sessionId,
      outcome: "interrupted",
    },
  });
});
