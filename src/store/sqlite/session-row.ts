import { sql } from "drizzle-orm";
import type { Mode, Session, View } from "../../core/session.ts";
import { chats, sessions } from "./schema.ts";

/** A session's row beside that of its chat, which keeps the view when there is one. */
export const row = {
  pk: sessions.pk,
  id: sessions.id,
  workspace: sessions.workspace,
  subject: sessions.subject,
  chatPk: sessions.chatPk,
  chat: chats.chat,
  protocolVersion: sessions.protocolVersion,
  client: sessions.client,
  capabilities: sessions.capabilities,
  mode: sql<string>`coalesce(${chats.mode}, ${sessions.mode})`,
  apps: sql<
    string | null
  >`iif(${chats.pk} IS NULL, ${sessions.apps}, ${chats.apps})`,
  enabled: sql<string>`coalesce(${chats.enabled}, ${sessions.enabled})`,
  server: sessions.server,
  listed: sessions.listed,
  listedPrompts: sessions.listedPrompts,
  listedResources: sessions.listedResources,
  ticketHash: sessions.ticketHash,
  logLevel: sessions.logLevel,
  subscriptions: sessions.subscriptions,
  createdAt: sessions.createdAt,
  lastSeenAt: sessions.lastSeenAt,
};

/** What of a view can change. */
export type StoredView = { mode: string; apps: string | null; enabled: string };

/** What `row` selects. */
export type Row = StoredView & {
  server: string | null;
  pk: number;
  id: string;
  workspace: string;
  subject: string;
  chatPk: number | null;
  chat: string | null;
  protocolVersion: string;
  client: string | null;
  capabilities: string;
  listed: string | null;
  listedPrompts: string | null;
  listedResources: string | null;
  ticketHash: string | null;
  logLevel: string | null;
  subscriptions: string | null;
  createdAt: number;
  lastSeenAt: number;
};

/** What the cache holds: the session, and what only the store needs to know of it. */
export type Entry = {
  session: Session;
  chatPk: number | null;
  ticketHash: string | null;
};

/** What is shown, from what is stored. */
export function toView(stored: StoredView & { server: string | null }): View {
  return {
    mode: stored.mode as Mode,
    apps: stored.apps === null ? null : JSON.parse(stored.apps),
    enabled: JSON.parse(stored.enabled),
    // Of a chat, whose key it is part of, "" is none.
    server: stored.server === "" ? null : stored.server,
  };
}

/** The columns of what can change. */
export function fromView(view: View): StoredView {
  return {
    mode: view.mode,
    apps: view.apps === null ? null : JSON.stringify(view.apps),
    enabled: JSON.stringify(view.enabled),
  };
}

/** Parses what is stored as JSON. */
export function toEntry(stored: Row): Entry {
  const { chatPk, ticketHash, mode, apps, enabled, server, ...rest } = stored;
  return {
    chatPk,
    ticketHash,
    session: {
      ...rest,
      client: rest.client === null ? null : JSON.parse(rest.client),
      capabilities: JSON.parse(rest.capabilities),
      logLevel: rest.logLevel as Session["logLevel"],
      subscriptions: JSON.parse(rest.subscriptions ?? "[]"),
      view: toView({ mode, apps, enabled, server }),
    },
  };
}
