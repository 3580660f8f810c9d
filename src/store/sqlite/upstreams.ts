import { and, asc, count, eq, lt, sql } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import { LRUCache } from "lru-cache";
import { memberEntries, upstreamEntries } from "../../core/entries.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Cause } from "../../core/journal.ts";
import { BY_ITSELF } from "../../core/journal.ts";
import type {
  Credential,
  Upstream,
  UpstreamEdit,
  UpstreamStore,
} from "../../core/upstream.ts";
import type { Addresses } from "./addresses.ts";
import type { WriteEntries } from "./journal.ts";
import { later } from "./later.ts";
import { credentials, icons, oauthFlows, servers } from "./schema.ts";
import { createUpstreamContents } from "./upstream-contents.ts";
import type { UpstreamRow } from "./upstream-row.ts";
import { toRow, toUpstream } from "./upstream-row.ts";
import type { Writer } from "./writer.ts";

/** What only says how the last look at a server went, and changes it for nobody. */
const looks: ReadonlySet<string> = new Set([
  "lastCheckedAt",
  "lastLatencyMs",
  "lastError",
] satisfies (keyof UpstreamEdit)[]);

/** False for an edit that says again what is there, or only how a look at it went. */
function isChange(current: Upstream, edit: UpstreamEdit): boolean {
  return Object.entries(edit).some(
    ([key, value]) =>
      !looks.has(key) &&
      !Bun.deepEquals(value, current[key as keyof UpstreamEdit]),
  );
}

/** Workspaces whose servers are kept in memory. */
const MAX_WORKSPACES = 256;
/** {@link UpstreamStore} over the tables of registered servers. */
export function createUpstreamStore(wiring: {
  db: BunSQLiteDatabase;
  writer: Writer;
  note: WriteEntries;
  addresses: Addresses;
  /** Changes with every commit of another process. */
  othersVersion: () => number;
}): UpstreamStore {
  const { db, writer, note, addresses, othersVersion } = wiring;
  const fromRow = (row: UpstreamRow) => toUpstream(row, addresses);
  const listeners: Parameters<UpstreamStore["onChange"]>[0][] = [];
  const tell = (upstream: Upstream, subject: string | null = null) => {
    for (const listener of listeners) listener({ upstream, subject });
  };

  // Looked at for every call of a tool, changed now and then.
  const cache = later(
    () => new LRUCache<string, readonly Upstream[]>({ max: MAX_WORKSPACES }),
  );
  let readVersion = othersVersion();

  const inWorkspace = later(() =>
    db
      .select()
      .from(servers)
      .where(eq(servers.workspace, sql.placeholder("workspace")))
      .orderBy(asc(servers.id))
      .prepare(),
  );
  const byId = later(() =>
    db
      .select()
      .from(servers)
      .where(eq(servers.id, sql.placeholder("id")))
      .prepare(),
  );
  const ofMember = later(() =>
    db
      .select()
      .from(credentials)
      .where(
        and(
          eq(credentials.serverId, sql.placeholder("serverId")),
          eq(credentials.subject, sql.placeholder("subject")),
        ),
      )
      .prepare(),
  );
  const connected = later(() =>
    db
      .select({
        id: servers.id,
        members: sql<number>`count(*) FILTER (WHERE ${credentials.status} = 'active')`,
        own: sql<
          string | null
        >`max(iif(${credentials.subject} = ${sql.placeholder("subject")}, ${credentials.status}, NULL))`,
        iconEtag: icons.etag,
      })
      .from(servers)
      .leftJoin(credentials, eq(credentials.serverId, servers.id))
      .leftJoin(icons, eq(icons.serverId, servers.id))
      .where(eq(servers.workspace, sql.placeholder("workspace")))
      .groupBy(servers.id)
      .prepare(),
  );
  function read(workspace: string): Upstream[] {
    return inWorkspace().all({ workspace }).map(fromRow);
  }

  function list(workspace: string): readonly Upstream[] {
    const version = othersVersion();
    if (version !== readVersion) {
      readVersion = version;
      cache().clear();
    }
    let known = cache().get(workspace);
    if (!known) cache().set(workspace, (known = read(workspace)));
    return known;
  }

  /** Inside a transaction. */
  function get(id: number): Upstream | null {
    const row = byId().get({ id });
    return row ? fromRow(row) : null;
  }

  function credential(serverId: number, subject: string): Credential | null {
    const row = ofMember().get({ serverId, subject });
    return row ? (row as Credential) : null;
  }

  const mine = (serverId: number, subject: string) =>
    and(eq(credentials.serverId, serverId), eq(credentials.subject, subject));

  const ofAll = (serverId: number) =>
    db
      .select()
      .from(credentials)
      .where(eq(credentials.serverId, serverId))
      .orderBy(asc(credentials.connectedAt), asc(credentials.subject))
      .all() as Credential[];

  /** Inside a transaction. */
  function disconnectAll(upstream: Upstream, cause: Cause): void {
    for (const one of ofAll(upstream.id)) {
      note(memberEntries(upstream, one.subject, one, null, cause));
    }
    db.delete(credentials).where(eq(credentials.serverId, upstream.id)).run();
  }

  /** Of each workspace, what changes when its servers or their members' credentials do. */
  const digests = () =>
    new Map(
      db
        .select({
          workspace: servers.workspace,
          digest: sql<string>`count(DISTINCT ${servers.id}) || ' ' || max(${servers.id}) || ' ' || sum(${servers.version}) || ' ' || count(${credentials.subject}) || ' ' || total(${credentials.version}) || ' ' || total(${credentials.connectedAt})`,
        })
        .from(servers)
        .leftJoin(credentials, eq(credentials.serverId, servers.id))
        .groupBy(servers.workspace)
        .all()
        .map(({ workspace, digest }) => [workspace, digest]),
    );
  let lookedVersion = readVersion;
  let looked: Map<string, string> | null = null;

  return {
    list,
    counts: () =>
      db
        .select({
          state: servers.state,
          enabled: servers.enabled,
          count: count(),
        })
        .from(servers)
        .groupBy(servers.state, servers.enabled)
        .all() as ReturnType<UpstreamStore["counts"]>,
    find: (workspace, id) =>
      list(workspace).find((upstream) => upstream.id === id) ?? null,
    findByName(workspace, name) {
      const all = list(workspace);
      const bySlug = all.find((upstream) => upstream.slug === name);
      if (bySlug) return bySlug;
      const [only, another] = all.filter((upstream) => upstream.name === name);
      return only && !another ? only : null;
    },

    async create(upstream, most, rule, cause = BY_ITSELF) {
      const { workspace, slug } = upstream;
      const created = await writer.write(() => {
        const all = read(workspace);
        rule?.(all);
        if (all.some((other) => other.slug === slug)) {
          throw new GatewayError(
            "conflict",
            `There is a server ${slug} already.`,
            { data: { code: "slug_taken", slug } },
          );
        }
        if (all.length >= most) {
          throw new GatewayError(
            "conflict",
            `There are ${most} servers already, as many as a workspace can have. Remove one that is not used.`,
            { data: { code: "too_many_servers", most } },
          );
        }
        const row = db
          .insert(servers)
          .values({
            ...toRow(upstream, upstream.uuid, addresses),
            version: 1,
            updatedAt: upstream.createdAt,
          } as typeof servers.$inferInsert)
          .returning()
          .get();
        const created = fromRow(row);
        note(upstreamEntries(null, created, cause));
        return created;
      });
      forget(created);
      tell(created);
      return created;
    },

    async edit(id, rule, at, cause = BY_ITSELF) {
      const result = await writer.write(() => {
        const current = get(id);
        const edit = current && rule(current);
        if (!edit) return { current, changed: false };
        const { url = current.url, authType = current.authType } = edit;
        if (url !== current.url || authType !== current.authType) {
          disconnectAll(current, cause);
        }
        const changed = isChange(current, edit);
        const version = current.version + 1;
        db.update(servers)
          .set({
            ...toRow(edit, current.uuid, addresses),
            ...(changed ? { version, updatedAt: at } : { id }),
          })
          .where(eq(servers.id, id))
          .run();
        const after = get(id);
        note(upstreamEntries(current, after, cause));
        return { current: after, changed };
      });
      const { current, changed } = result;
      if (current) forget(current);
      if (current && changed) tell(current);
      return current;
    },

    async remove(id, cause = BY_ITSELF) {
      const gone = await writer.write(() => {
        const current = get(id);
        if (current) {
          disconnectAll(current, cause);
          db.delete(servers).where(eq(servers.id, id)).run();
          note(upstreamEntries(current, null, cause));
        }
        return current;
      });
      if (gone) {
        forget(gone);
        tell({ ...gone, enabled: false });
      }
      return gone !== null;
    },

    connections: (workspace, subject) =>
      new Map(
        connected()
          .all({ workspace, subject })
          .map(({ id, ...rest }) => [
            id,
            { ...rest, own: rest.own as Credential["status"] | null },
          ]),
      ),
    credential,
    credentials: ofAll,

    async editCredential(serverId, subject, rule, cause = BY_ITSELF) {
      const { upstream, before, after } = await writer.write(() => {
        const upstream = get(serverId);
        const before = upstream && credential(serverId, subject);
        const edit = upstream && rule(before);
        if (!edit) return { upstream, before, after: before };
        const version = (before?.version ?? 0) + 1;
        const row = { ...edit, serverId, subject, version };
        db.insert(credentials)
          .values(row)
          .onConflictDoUpdate({
            target: [credentials.serverId, credentials.subject],
            set: row,
          })
          .run();
        const after = credential(serverId, subject);
        note(memberEntries(upstream, subject, before, after, cause));
        return { upstream, before, after };
      });
      const changed =
        before?.status !== after?.status ||
        before?.connectedAt !== after?.connectedAt ||
        before?.authType !== after?.authType;
      if (upstream && changed) tell(upstream, subject);
      return after;
    },

    async removeCredential(serverId, subject, cause = BY_ITSELF) {
      const { upstream, found } = await writer.write(() => {
        const upstream = get(serverId);
        const before = credential(serverId, subject);
        db.delete(credentials).where(mine(serverId, subject)).run();
        if (upstream) {
          note(memberEntries(upstream, subject, before, null, cause));
        }
        return { upstream, found: before !== null };
      });
      if (upstream && found) tell(upstream, subject);
      return found;
    },

    async removeCredentials(serverId, cause = BY_ITSELF) {
      const upstream = await writer.write(() => {
        const upstream = get(serverId);
        if (upstream) disconnectAll(upstream, cause);
        return upstream;
      });
      if (upstream) tell(upstream);
    },

    openFlow: (flow, now) =>
      writer.write(() => {
        db.delete(oauthFlows).where(lt(oauthFlows.expiresAt, now)).run();
        db.insert(oauthFlows).values(flow).run();
      }),
    takeFlow: (stateHash) =>
      writer.write(
        () =>
          db
            .delete(oauthFlows)
            .where(eq(oauthFlows.stateHash, stateHash))
            .returning()
            .get() ?? null,
      ),

    ...createUpstreamContents({ db, writer, note, get, tell }),

    onChange: (listener) => void listeners.push(listener),
    changedElsewhere() {
      const version = othersVersion();
      if (looked !== null && version === lookedVersion) return [];
      const before = looked;
      const now = (looked = digests());
      const unchanged = version === lookedVersion;
      lookedVersion = version;
      if (before === null) return unchanged ? [] : [...now.keys()];
      return [...new Set([...before.keys(), ...now.keys()])].filter(
        (workspace) => before.get(workspace) !== now.get(workspace),
      );
    },
  };

  function forget({ workspace }: Upstream): void {
    cache().delete(workspace);
  }
}
