import { sql } from "drizzle-orm";
import {
  index,
  integer,
  primaryKey,
  sqliteTable,
  text,
  unique,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";

/**
 * The tables. After `bun run db:generate` the new migration is reviewed by hand: every table is
 * made STRICT, and those with a primary key of several columns WITHOUT ROWID, which drizzle-kit
 * cannot express.
 */

/** Counters and secrets of this database. */
export const meta = sqliteTable("meta", {
  key: text().primaryKey(),
  value: text().notNull(),
});

export const chats = sqliteTable(
  "chats",
  {
    pk: integer().primaryKey(),
    workspace: text().notNull(),
    subject: text().notNull(),
    chat: text().notNull(),
    mode: text().notNull(),
    apps: text(),
    enabled: text().notNull(),
    createdAt: integer().notNull(),
    lastSeenAt: integer().notNull(),
  },
  (t) => [
    unique("chats_identity_chat").on(t.workspace, t.subject, t.chat),
    index("chats_last_seen").on(t.lastSeenAt),
  ],
);

export const sessions = sqliteTable(
  "sessions",
  {
    /** Also the number of the session's own stream. */
    pk: integer().primaryKey(),
    id: text().notNull().unique("sessions_id"),
    workspace: text().notNull(),
    subject: text().notNull(),
    chatPk: integer().references(() => chats.pk),
    protocolVersion: text().notNull(),
    client: text(),
    capabilities: text().notNull(),
    /** What the session shows; unused while a chat keeps it. */
    mode: text().notNull(),
    apps: text(),
    enabled: text().notNull(),
    listed: text(),
    ticketHash: text(),
    logLevel: text(),
    /** JSON; null for none. */
    subscriptions: text(),
    createdAt: integer().notNull(),
    lastSeenAt: integer().notNull(),
  },
  (t) => [
    // One live session per chat, by constraint and not by code.
    uniqueIndex("sessions_chat")
      .on(t.chatPk)
      .where(sql`${t.chatPk} IS NOT NULL`),
    index("sessions_last_seen").on(t.lastSeenAt),
  ],
);

/** Streams have no table: a stream is the events and running calls that carry its number. */
export const events = sqliteTable(
  "events",
  {
    streamId: integer().notNull(),
    seq: integer().notNull(),
    sessionPk: integer().notNull(),
    data: text().notNull(),
    at: integer().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.streamId, t.seq] }),
    index("events_session").on(t.sessionPk),
  ],
);

/** Tool calls that have been started and not answered. */
export const calls = sqliteTable(
  "calls",
  {
    callId: integer().primaryKey(),
    streamId: integer().notNull(),
    sessionPk: integer().notNull(),
    requestId: text().notNull(),
  },
  (t) => [index("calls_session").on(t.sessionPk)],
);

export const names = sqliteTable(
  "names",
  {
    workspace: text().notNull(),
    subject: text().notNull(),
    ref: text().notNull(),
    name: text().notNull(),
    /** Order in which they were given. */
    position: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.workspace, t.subject, t.ref] })],
);
