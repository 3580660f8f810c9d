import { and, asc, count, eq, gt, sql } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import { approvalEntry } from "../../core/entries.ts";
import { BY_ITSELF } from "../../core/journal.ts";
import type { Upstream, UpstreamStore } from "../../core/upstream.ts";
import type { WriteEntries } from "./journal.ts";
import { later } from "./later.ts";
import { definitions, icons, listings } from "./schema.ts";
import type { Writer } from "./writer.ts";

/** Definitions of one tool that are approved, and as many that are not. */
const MAX_VERSIONS = 20;
/** Definitions of one server: one that makes up new names without end is recorded no further. */
const MAX_DEFINITIONS = 10_000;

/** What registered servers have, as they said last: their lists, the definitions of their tools, their icons. */
export function createUpstreamContents(wiring: {
  db: BunSQLiteDatabase;
  writer: Writer;
  note: WriteEntries;
  /** Inside a transaction. */
  get: (id: number) => Upstream | null;
  /** A server has changed for everybody. */
  tell: (upstream: Upstream) => void;
}): Pick<
  UpstreamStore,
  | "listing"
  | "listings"
  | "saveListing"
  | "definitions"
  | "addDefinitions"
  | "approve"
  | "approveOnly"
  | "icon"
  | "saveIcon"
> {
  const { db, writer, note, get, tell } = wiring;
  const listed = later(() =>
    db
      .select({ listing: listings.listing, fetchedAt: listings.fetchedAt })
      .from(listings)
      .where(
        and(
          eq(listings.serverId, sql.placeholder("serverId")),
          eq(listings.subject, sql.placeholder("subject")),
        ),
      )
      .prepare(),
  );
  const defined = later(() =>
    db
      .select({
        tool: definitions.tool,
        hash: definitions.hash,
        firstSeenAt: definitions.firstSeenAt,
        approvedAt: definitions.approvedAt,
        approvedBy: definitions.approvedBy,
      })
      .from(definitions)
      .where(eq(definitions.serverId, sql.placeholder("serverId")))
      .orderBy(asc(definitions.tool), asc(definitions.firstSeenAt))
      .prepare(),
  );

  const define = later(() =>
    db
      .insert(definitions)
      .values({
        serverId: sql.placeholder("serverId"),
        tool: sql.placeholder("tool"),
        hash: sql.placeholder("hash"),
        firstSeenAt: sql.placeholder("firstSeenAt"),
        approvedAt: sql.placeholder("approvedAt"),
        approvedBy: sql.placeholder("approvedBy"),
      })
      .onConflictDoUpdate({
        target: [definitions.serverId, definitions.tool, definitions.hash],
        set: {
          approvedAt: sql`excluded.approved_at`,
          approvedBy: sql`excluded.approved_by`,
        },
        setWhere: sql`excluded.approved_at IS NOT NULL`,
      })
      .prepare(),
  );

  return {
    listing(serverId, subject) {
      const row = listed().get({ serverId, subject });
      return row
        ? { listing: JSON.parse(row.listing), fetchedAt: row.fetchedAt }
        : null;
    },
    listings: (serverId) =>
      db
        .select({ listing: listings.listing })
        .from(listings)
        .where(eq(listings.serverId, serverId))
        .all()
        .map(({ listing }) => JSON.parse(listing)),
    saveListing(serverId, subject, listing, fetchedAt) {
      const text = JSON.stringify(listing);
      return writer.write(() => {
        if (!get(serverId)) return;
        const row = { serverId, subject, listing: text, fetchedAt };
        db.insert(listings)
          .values(row)
          .onConflictDoUpdate({
            target: [listings.serverId, listings.subject],
            set: row,
          })
          .run();
      });
    },

    definitions: (serverId) => defined().all({ serverId }),
    addDefinitions: (serverId, added) =>
      writer.write(() => {
        if (!get(serverId)) return;
        const { n } = db
          .select({ n: count() })
          .from(definitions)
          .where(eq(definitions.serverId, serverId))
          .get()!;
        if (n >= MAX_DEFINITIONS) return;
        for (const definition of added) {
          define().run({ serverId, ...definition });
        }
        const { tool, hash, approvedAt, firstSeenAt } = definitions;
        const old = db
          .select({
            tool,
            hash,
            n: sql<number>`row_number() OVER (PARTITION BY ${tool}, ${approvedAt} IS NULL ORDER BY ${firstSeenAt} DESC)`.as(
              "n",
            ),
          })
          .from(definitions)
          .where(eq(definitions.serverId, serverId))
          .as("old");
        db.delete(definitions)
          .where(
            and(
              eq(definitions.serverId, serverId),
              sql`(${tool}, ${hash}) IN ${db
                .select({ tool: old.tool, hash: old.hash })
                .from(old)
                .where(gt(old.n, MAX_VERSIONS))}`,
            ),
          )
          .run();
      }),
    async approve(serverId, tool, hash, by, at, cause = BY_ITSELF) {
      const { upstream, found } = await writer.write(() => {
        const changed = db
          .update(definitions)
          .set({ approvedAt: at, approvedBy: by })
          .where(
            and(
              eq(definitions.serverId, serverId),
              eq(definitions.tool, tool),
              eq(definitions.hash, hash),
            ),
          )
          .returning({ hash: definitions.hash })
          .all();
        const upstream = get(serverId);
        const found = changed.length > 0;
        if (upstream && found) note([approvalEntry(upstream, tool, cause)]);
        return { upstream, found };
      });
      if (upstream && found) tell(upstream);
      return found;
    },
    async approveOnly(serverId, hashes) {
      const upstream = await writer.write(() => {
        db.update(definitions)
          .set({ approvedAt: null, approvedBy: null })
          .where(
            and(
              eq(definitions.serverId, serverId),
              sql`${definitions.hash} NOT IN (SELECT value FROM json_each(${JSON.stringify([...hashes])}))`,
            ),
          )
          .run();
        return get(serverId);
      });
      if (upstream) tell(upstream);
    },

    icon(serverId) {
      const row = db
        .select()
        .from(icons)
        .where(eq(icons.serverId, serverId))
        .get();
      if (!row) return null;
      const { serverId: _, ...icon } = row;
      return { ...icon, bytes: new Uint8Array(icon.bytes) };
    },
    saveIcon: (serverId, icon) =>
      writer.write(() => {
        db.delete(icons).where(eq(icons.serverId, serverId)).run();
        if (!icon || !get(serverId)) return;
        const bytes = Buffer.from(icon.bytes);
        db.insert(icons)
          .values({ serverId, ...icon, bytes })
          .run();
      }),
  };
}
