import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { migrate, migrations } from "../../src/store/sqlite/migrations.ts";

const folder = join(import.meta.dir, "../../drizzle/sqlite");

test("the migrations in the executable are those of the journal, in its order", () => {
  const journal = JSON.parse(
    readFileSync(join(folder, "meta/_journal.json"), "utf8"),
  ) as { entries: { tag: string }[] };
  expect(migrations).toEqual(
    journal.entries.map(({ tag }) =>
      readFileSync(join(folder, `${tag}.sql`), "utf8"),
    ),
  );
});

test("every table is STRICT, and the tables and columns are those of the newest snapshot", () => {
  const db = new Database(":memory:");
  migrate(db, 0);
  const tables = db
    .query<{ name: string; strict: number }, []>(
      "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite_%'",
    )
    .all();
  const number = String(migrations.length - 1).padStart(4, "0");
  const snapshot = JSON.parse(
    readFileSync(join(folder, `meta/${number}_snapshot.json`), "utf8"),
  ) as { tables: Record<string, { columns: Record<string, unknown> }> };
  expect(tables.map(({ name }) => name).sort()).toEqual(
    Object.keys(snapshot.tables).sort(),
  );
  for (const { name, strict } of tables) {
    expect([name, strict]).toEqual([name, 1]);
    const columns = db
      .query<{ name: string }, [string]>(
        "SELECT name FROM pragma_table_info(?)",
      )
      .all(name);
    expect(columns.map((column) => column.name).sort()).toEqual(
      Object.keys(snapshot.tables[name]!.columns).sort(),
    );
  }
  db.close();
});
