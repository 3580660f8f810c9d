import { sql } from "drizzle-orm";
import {
  blob,
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
    /** Slug of the one server it shows under that server's own names; empty for everything: no two NULLs are alike. */
    server: text().notNull().default(""),
    createdAt: integer().notNull(),
    lastSeenAt: integer().notNull(),
  },
  (t) => [
    unique("chats_identity_chat").on(t.workspace, t.subject, t.chat, t.server),
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
    /** As that of its chat, but NULL for everything. */
    server: text(),
    listed: text(),
    listedPrompts: text(),
    listedResources: text(),
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
    index("sessions_subscribed")
      .on(t.workspace, t.subject)
      .where(sql`${t.subscriptions} IS NOT NULL`),
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

/** Calls of sessions that have been started and not answered. */
export const calls = sqliteTable(
  "calls",
  {
    callId: integer().primaryKey(),
    streamId: integer().notNull(),
    sessionPk: integer().notNull(),
    requestId: text().notNull(),
    /** As in {@link begun}; NULL when it is no call of a tool. */
    ifCut: text(),
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

/** Registered MCP servers. Whatever is called `sealed` is encrypted, and good for its own row only. */
export const servers = sqliteTable(
  "servers",
  {
    /** Never given twice. */
    id: integer().primaryKey({ autoIncrement: true }),
    uuid: text().notNull().unique("servers_uuid"),
    workspace: text().notNull(),
    name: text().notNull(),
    slug: text().notNull(),
    description: text(),
    url: text().notNull(),
    transport: text().notNull(),
    /** JSON: command and arguments of a stdio server. */
    command: text(),
    authType: text().notNull(),
    appUuid: text(),
    /** What everybody's requests carry: token, headers, environment. */
    sealedSecret: text(),
    state: text().notNull(),
    enabled: integer({ mode: "boolean" }).notNull(),
    setupStep: text(),
    /** JSON: registration with the authorization server. */
    oauth: text(),
    sealedOauth: text(),
    /** JSON: what it said of itself when it was last connected. */
    about: text(),
    /** Changed tools wait for approval. */
    pinned: integer({ mode: "boolean" }).notNull(),
    lastCheckedAt: integer(),
    lastLatencyMs: integer(),
    /** JSON. */
    lastError: text(),
    /** Goes up with every change. */
    version: integer().notNull(),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
    createdBy: text(),
  },
  (t) => [unique("servers_slug").on(t.workspace, t.slug)],
);

/** What members have connected with. */
export const credentials = sqliteTable(
  "credentials",
  {
    serverId: integer()
      .notNull()
      .references(() => servers.id, { onDelete: "cascade" }),
    subject: text().notNull(),
    /** Display name of the member. */
    name: text(),
    authType: text().notNull(),
    status: text().notNull(),
    sealed: text(),
    /** When a refresh was sent that is not answered yet. */
    refreshingAt: integer(),
    /** Goes up with every change. */
    version: integer().notNull(),
    connectedAt: integer().notNull(),
    expiresAt: integer(),
    lastUsedAt: integer(),
  },
  (t) => [primaryKey({ columns: [t.serverId, t.subject] })],
);

/** Authorizations that members have begun and not come back from. */
export const oauthFlows = sqliteTable(
  "oauth_flows",
  {
    /** SHA-256 of the `state`. */
    stateHash: text().primaryKey(),
    serverId: integer()
      .notNull()
      .references(() => servers.id, { onDelete: "cascade" }),
    workspace: text().notNull(),
    subject: text().notNull(),
    /** SHA-256 of the cookie of the browser that began it. */
    browserHash: text().notNull(),
    sealed: text().notNull(),
    expiresAt: integer().notNull(),
  },
  (t) => [index("oauth_flows_expires").on(t.expiresAt)],
);

/** What servers last listed for each member. */
export const listings = sqliteTable(
  "listings",
  {
    serverId: integer()
      .notNull()
      .references(() => servers.id, { onDelete: "cascade" }),
    subject: text().notNull(),
    /** JSON. */
    listing: text().notNull(),
    fetchedAt: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.serverId, t.subject] })],
);

/** Every definition that a server's tools have had. */
export const definitions = sqliteTable(
  "definitions",
  {
    serverId: integer()
      .notNull()
      .references(() => servers.id, { onDelete: "cascade" }),
    tool: text().notNull(),
    /** SHA-256 of all that the definition says. */
    hash: text().notNull(),
    firstSeenAt: integer().notNull(),
    approvedAt: integer(),
    /** Null: approved by itself. */
    approvedBy: text(),
  },
  (t) => [primaryKey({ columns: [t.serverId, t.tool, t.hash] })],
);

export const icons = sqliteTable("icons", {
  serverId: integer()
    .primaryKey()
    .references(() => servers.id, { onDelete: "cascade" }),
  type: text().notNull(),
  etag: text().notNull(),
  bytes: blob({ mode: "buffer" }).notNull(),
  fetchedAt: integer().notNull(),
});

export const apiKeys = sqliteTable(
  "api_keys",
  {
    /** Public part of the key. */
    id: text().primaryKey(),
    workspace: text().notNull(),
    subject: text().notNull(),
    name: text().notNull(),
    /** SHA-256 of the secret part. */
    hash: text().notNull(),
    scope: text().notNull(),
    createdBy: text(),
    /** The key that it was made with. */
    createdWith: text(),
    createdAt: integer().notNull(),
    expiresAt: integer(),
    lastUsedAt: integer(),
    revokedAt: integer(),
  },
  (t) => [index("api_keys_workspace").on(t.workspace)],
);

/** Append-only, by triggers: rows never change, and only the oldest go, up to what `meta` says is pruned. */
export const journal = sqliteTable(
  "journal",
  {
    /** Never given twice: the newest row stays. */
    seq: integer().primaryKey(),
    id: text()
      .notNull()
      .default(sql`(lower(hex(randomblob(16))))`),
    at: integer().notNull(),
    type: text().notNull(),
    workspace: text().notNull(),
    /** Whom it concerns; NULL: the workspace. */
    subject: text(),
    /** By whose doing, and with which kind of credential; NULL: the server's own. */
    method: text(),
    actor: text(),
    apiKey: text(),
    requestId: text(),
    traceparent: text(),
    /** JSON. */
    data: text().notNull(),
  },
  (t) => [
    // Whose an entry is, among those written with it: an index by members alone changes a page of its own for each.
    index("journal_blocks").on(sql`${t.seq} / 1024`, t.workspace, t.subject),
    // By whose doing; few entries are in it. Not `NOT IN`, which makes a table of its values for every entry.
    index("journal_kept_by")
      .on(t.workspace, sql`coalesce(${t.actor}, ${t.subject})`)
      .where(
        sql`type <> 'tool_executed' AND type <> 'session_opened' AND type <> 'session_resumed' AND type <> 'session_ended' AND type <> 'tools_enabled' AND type <> 'catalog_changed'`,
      ),
  ],
);

/** What the journal's entries take, of whom, as far as they have been counted; and what of them is gone. */
export const journalShares = sqliteTable(
  "journal_shares",
  {
    /** `["traffic","workspace","member"]` or `["kept",…]`; `["traffic","workspace"]` for all of those, `["traffic"]`. */
    share: text().primaryKey(),
    /** The share that this one is a part of. */
    within: text().notNull(),
    cost: integer().notNull(),
    /** Number of the newest entry that was removed; all before it are too. */
    gone: integer().notNull(),
    /** The same of parts that have no entry left, and no row here. */
    unsaid: integer().notNull(),
    /** It has no entry with a lower number. */
    since: integer().notNull(),
  },
  (t) => [index("journal_shares_cost").on(t.within, t.cost)],
);

/** Whoever is told of what is in the journal. */
export const webhooks = sqliteTable(
  "webhooks",
  {
    id: text().primaryKey(),
    workspace: text().notNull(),
    url: text().notNull(),
    description: text(),
    /** JSON; NULL: every type. */
    types: text(),
    enabled: integer({ mode: "boolean" }).notNull(),
    form: text().notNull(),
    concurrency: integer().notNull(),
    /** Made by the environment, which alone has its secret. */
    configured: integer({ mode: "boolean" }).notNull(),
    sealedSecret: text(),
    /** The secret before, until it ends. */
    sealedPrevious: text(),
    previousUntil: integer(),
    /** Number of the last entry that was looked at for it. */
    cursor: integer().notNull(),
    /** Entries that went out of the journal before they were looked at. */
    missed: integer().notNull(),
    failingSince: integer(),
    disabledReason: text(),
    disabledAt: integer(),
    /** Goes up with every change that somebody makes. */
    version: integer().notNull(),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
    createdBy: text(),
  },
  (t) => [index("webhooks_workspace").on(t.workspace)],
);

export const deliveries = sqliteTable(
  "deliveries",
  {
    webhook: text()
      .notNull()
      .references(() => webhooks.id, { onDelete: "cascade" }),
    /** Of the journal. */
    seq: integer().notNull(),
    event: text().notNull(),
    type: text().notNull(),
    state: text().notNull(),
    /** Sent again because somebody asked: it holds up nothing. */
    replayed: integer({ mode: "boolean" }).notNull(),
    attempts: integer().notNull(),
    /** Goes up each time that it is taken up. */
    claim: integer().notNull(),
    /** When it is taken up: for its next attempt, or because whoever was at it is gone. NULL: it is done. */
    dueAt: integer(),
    /** JSON: how the last attempts went. */
    log: text().notNull(),
    createdAt: integer().notNull(),
    finishedAt: integer(),
  },
  (t) => [
    primaryKey({ columns: [t.webhook, t.seq] }),
    index("deliveries_open")
      .on(t.webhook, t.dueAt)
      .where(sql`${t.dueAt} IS NOT NULL`),
  ],
);

/** Calls that belong to no session, while they run. */
export const begun = sqliteTable("begun", {
  /** Never given twice. */
  id: integer().primaryKey({ autoIncrement: true }),
  /** The entry of the journal, as JSON, if nobody is left to say how it ended. */
  ifCut: text().notNull(),
});

/** Webhooks that have come in, for as long as they could be sent again by somebody else. */
export const received = sqliteTable(
  "received",
  {
    /** SHA-256. */
    id: text().primaryKey(),
    until: integer().notNull(),
  },
  (t) => [index("received_until").on(t.until)],
);
