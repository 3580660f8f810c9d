import { Database } from "bun:sqlite";
import type { Collection, Row } from "./app.ts";

/** A tenant as it is remembered. */
export type TenantRow = {
  key: string;
  name: string;
  fields: Record<string, unknown>;
  createdAt: number;
};

/** One run of an action, in the shape Membrane's run log has. */
export type RunLog = { id: string; tenantKey: string } & Record<
  string,
  unknown
>;

/** What a demo workspace keeps: tenants, the rows of its apps, and the log of runs. */
export type DemoDatabase = {
  tenants(): TenantRow[];
  addTenant(tenant: TenantRow): void;
  rows<T extends object>(owner: string, name: string): Collection<T>;
  /** True once per owner: its rows may be seeded now. */
  claimSeed(owner: string): boolean;
  /** Keeps the newest 10,000. */
  addRun(log: RunLog): void;
  findRun(id: string): RunLog | null;
  close(): void;
};

const SCHEMA = `
  create table if not exists tenant (
    key text primary key, name text not null, fields text not null, created_at integer not null
  ) strict;
  create table if not exists row (
    pk integer primary key, owner text not null, kind text not null, id text not null,
    data text not null, created_at integer not null, updated_at integer not null,
    unique (owner, kind, id)
  ) strict;
  create table if not exists seeded (owner text primary key) strict;
  create table if not exists run (pk integer primary key, id text not null unique, data text not null) strict;
`;

const KEPT_RUNS = 10_000;

/** Opens the file, or memory for `:memory:`. Not for more than one process at once. */
export function openDemoDatabase(
  file: string,
  now: () => number,
): DemoDatabase {
  const db = new Database(file, { create: true, strict: true });
  db.run("pragma journal_mode = wal");
  db.run("pragma synchronous = normal");
  db.run("pragma busy_timeout = 2000");
  db.run(SCHEMA);

  const selectTenants = db.query<
    { key: string; name: string; fields: string; createdAt: number },
    []
  >(
    "select key, name, fields, created_at as createdAt from tenant order by rowid",
  );
  const insertTenant = db.query(
    "insert into tenant values ($key, $name, $fields, $createdAt)",
  );
  const insertSeeded = db.query("insert or ignore into seeded values ($owner)");
  const insertRun = db.query("insert into run (id, data) values ($id, $data)");
  const pruneRuns = db.query("delete from run where pk <= $pk");
  const selectRun = db.query<{ data: string }, { id: string }>(
    "select data from run where id = $id",
  );

  return {
    tenants: () =>
      selectTenants
        .all()
        .map((row) => ({ ...row, fields: JSON.parse(row.fields) })),
    addTenant(tenant) {
      insertTenant.run({ ...tenant, fields: JSON.stringify(tenant.fields) });
    },
    rows: (owner, name) => openCollection(db, owner, name, now),
    claimSeed: (owner) => insertSeeded.run({ owner }).changes === 1,
    addRun(log) {
      const added = insertRun.run({ id: log.id, data: JSON.stringify(log) });
      pruneRuns.run({ pk: Number(added.lastInsertRowid) - KEPT_RUNS });
    },
    findRun(id) {
      const found = selectRun.get({ id });
      return found === null ? null : (JSON.parse(found.data) as RunLog);
    },
    close() {
      db.close();
    },
  };
}

type StoredRow = {
  id: string;
  data: string;
  createdAt: number;
  updatedAt: number;
};

function openCollection<T extends object>(
  db: Database,
  owner: string,
  kind: string,
  now: () => number,
): Collection<T> {
  const columns =
    "id, data, created_at as createdAt, updated_at as updatedAt from row";
  const at = { owner, kind };

  function find(id: string): Row<T> | null {
    const row = db
      .query<StoredRow, { owner: string; kind: string; id: string }>(
        `select ${columns} where owner = $owner and kind = $kind and id = $id`,
      )
      .get({ ...at, id });
    return row === null ? null : toRow<T>(row);
  }

  return {
    find,
    list: () =>
      db
        .query<StoredRow, { owner: string; kind: string }>(
          `select ${columns} where owner = $owner and kind = $kind order by pk`,
        )
        .all(at)
        .map((row) => toRow<T>(row)),
    insert(data, id = crypto.randomUUID().slice(0, 8)) {
      const time = now();
      db.query(
        "insert or replace into row (owner, kind, id, data, created_at, updated_at) values ($owner, $kind, $id, $data, $now, $now)",
      ).run({ ...at, id, data: JSON.stringify(data), now: time });
      return { ...data, id, ...times(time, time) };
    },
    update(id, patch) {
      const old = find(id);
      if (old === null) return null;
      const {
        id: _id,
        createdAt: _created,
        updatedAt: _updated,
        ...data
      } = old;
      db.query(
        "update row set data = $data, updated_at = $now where owner = $owner and kind = $kind and id = $id",
      ).run({
        ...at,
        id,
        data: JSON.stringify({ ...data, ...patch }),
        now: now(),
      });
      return find(id);
    },
    remove: (id) =>
      db
        .query(
          "delete from row where owner = $owner and kind = $kind and id = $id",
        )
        .run({ ...at, id }).changes === 1,
  };
}

function toRow<T extends object>(row: StoredRow): Row<T> {
  const data = JSON.parse(row.data) as T;
  return { ...data, id: row.id, ...times(row.createdAt, row.updatedAt) };
}

function times(createdAt: number, updatedAt: number) {
  return {
    createdAt: new Date(createdAt).toISOString(),
    updatedAt: new Date(updatedAt).toISOString(),
  };
}
