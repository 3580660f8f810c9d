import type { Database } from "bun:sqlite";
import {
  and,
  asc,
  count,
  desc,
  eq,
  inArray,
  isNotNull,
  isNull,
  lt,
  sql,
} from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import { LRUCache } from "lru-cache";
import { enabledEntries, sessionEntry } from "../../core/entries.ts";
import type { Cause } from "../../core/journal.ts";
import { BY_ITSELF } from "../../core/journal.ts";
import type { Identity } from "../../core/principal.ts";
import { identityKey, sameIdentity } from "../../core/principal.ts";
import { MAX_SUBSCRIBED } from "../../core/session.ts";
import type { SessionEdit, SessionStore } from "../../core/session.ts";
import type { WriteEntries } from "./journal.ts";
import { later } from "./later.ts";
import { calls, chats, events, sessions } from "./schema.ts";
import type { Entry, Row, StoredView } from "./session-row.ts";
import { fromView, row, toEntry, toView } from "./session-row.ts";
import type { Stored, Surplus } from "./session-surplus.ts";
import { surplusOfMember, surplusOfWorkspace } from "./session-surplus.ts";
import type { Writer } from "./writer.ts";

/** In place of an identity. */
const EVERYBODY = "";

/** How soon the cache learns of what another process has changed. */
const LOOK_MS = 100;

/** {@link SessionStore} over the `sessions` and `chats` tables, with the rows last used kept in memory. */
export function createSessionStore(wiring: {
  client: Database;
  db: BunSQLiteDatabase;
  writer: Writer;
  takeStream: () => number;
  note: WriteEntries;
  cacheSize: number;
  /** Changes with every commit of another process. */
  othersVersion: () => number;
  /** Monotonic, in ms. */
  now: () => number;
}): SessionStore {
  const { client, db, writer, takeStream, note, now } = wiring;
  const max = wiring.cacheSize;
  const cache = later(() => new LRUCache<string, Entry>({ max }));
  // Of sessions that have ended too: nothing is found under their ids.
  const idsByPk = later(() => new LRUCache<number, string>({ max }));
  // Ids of the sessions with subscriptions, by identity.
  const subscribers = later(() => new LRUCache<string, string[]>({ max }));

  let seenVersion = wiring.othersVersion();
  let lookedAt = now();
  function forgetWhatOthersChanged(withinMs: number): void {
    if (now() - lookedAt < withinMs) return;
    lookedAt = now();
    const version = wiring.othersVersion();
    if (version === seenVersion) return;
    seenVersion = version;
    cache().clear();
    subscribers().clear();
  }

  const select = () =>
    db
      .select(row)
      .from(sessions)
      .leftJoin(chats, eq(chats.pk, sessions.chatPk));
  const byId = later(() =>
    select()
      .where(eq(sessions.id, sql.placeholder("id")))
      .prepare(),
  );
  const byPk = later(() =>
    select()
      .where(eq(sessions.pk, sql.placeholder("pk")))
      .prepare(),
  );
  const byChat = later(() =>
    db
      .select()
      .from(chats)
      .where(
        and(
          eq(chats.workspace, sql.placeholder("workspace")),
          eq(chats.subject, sql.placeholder("subject")),
          eq(chats.chat, sql.placeholder("chat")),
          eq(chats.server, sql.placeholder("server")),
        ),
      )
      .prepare(),
  );
  const byChatPk = later(() =>
    select()
      .where(eq(sessions.chatPk, sql.placeholder("chatPk")))
      .prepare(),
  );
  const subscribed = () => db.select({ id: sessions.id }).from(sessions);
  const subscribedOf = later(() =>
    subscribed()
      .where(
        and(
          eq(sessions.workspace, sql.placeholder("workspace")),
          eq(sessions.subject, sql.placeholder("subject")),
          isNotNull(sessions.subscriptions),
        ),
      )
      .orderBy(desc(sessions.pk))
      .limit(MAX_SUBSCRIBED)
      .prepare(),
  );
  const subscribedAll = later(() =>
    subscribed()
      .where(isNotNull(sessions.subscriptions))
      .orderBy(desc(sessions.pk))
      .limit(MAX_SUBSCRIBED)
      .prepare(),
  );
  const insertSession = later(() =>
    db
      .insert(sessions)
      .values({
        pk: sql.placeholder("pk"),
        id: sql.placeholder("id"),
        workspace: sql.placeholder("workspace"),
        subject: sql.placeholder("subject"),
        chatPk: sql.placeholder("chatPk"),
        protocolVersion: sql.placeholder("protocolVersion"),
        client: sql.placeholder("client"),
        capabilities: sql.placeholder("capabilities"),
        mode: sql.placeholder("mode"),
        apps: sql.placeholder("apps"),
        enabled: sql.placeholder("enabled"),
        server: sql.placeholder("server"),
        ticketHash: sql.placeholder("ticketHash"),
        createdAt: sql.placeholder("at"),
        lastSeenAt: sql.placeholder("at"),
      })
      .prepare(),
  );

  function remember(stored: Row): Entry {
    const entry = toEntry(stored);
    cache().set(entry.session.id, entry);
    return entry;
  }

  function load(id: string, withinMs = LOOK_MS): Entry | null {
    forgetWhatOthersChanged(withinMs);
    const cached = cache().get(id);
    if (cached) return cached;
    const stored = byId().get({ id });
    return stored ? remember(stored) : null;
  }

  function loadByPk(pk: number): Entry | null {
    const id = idsByPk().get(pk) ?? byPk().get({ pk })?.id;
    if (id === undefined) return null;
    idsByPk().set(pk, id);
    // Who asks by number may just have heard that another process has changed something.
    return load(id, 0);
  }

  function findChat(who: Identity, chat: string, server: string | null) {
    return byChat().get({
      workspace: who.workspace,
      subject: who.subject,
      chat,
      server: server ?? "",
    });
  }

  /** The subscriptions of a session of this identity have changed. */
  function forgetSubscribers(who: Identity): void {
    subscribers().delete(identityKey(who));
    subscribers().delete(EVERYBODY);
  }

  /** Inside a transaction. */
  function insertChat(
    { workspace, subject }: Identity,
    chat: string,
    server: string | null,
    stored: StoredView,
    at: number,
  ): number {
    return db
      .insert(chats)
      .values({
        workspace,
        subject,
        chat,
        server: server ?? "",
        ...stored,
        createdAt: at,
        lastSeenAt: at,
      })
      .returning({ pk: chats.pk })
      .get().pk;
  }

  /** Inside a transaction: writes the edit and returns the session as it is now. */
  function applyEdit(current: Entry, edit: SessionEdit): Entry {
    const { view, client, capabilities, subscriptions, ...plain } = edit;
    const { pk } = current.session;
    const stored = view ? fromView(view) : {};
    if (view && current.chatPk !== null) {
      db.update(chats).set(stored).where(eq(chats.pk, current.chatPk)).run();
    }
    if (edit.lastSeenAt !== undefined && current.chatPk !== null) {
      db.update(chats)
        .set({ lastSeenAt: edit.lastSeenAt })
        .where(eq(chats.pk, current.chatPk))
        .run();
    }
    db.update(sessions)
      .set({
        ...plain,
        ...(current.chatPk === null ? stored : {}),
        ...(client === undefined
          ? {}
          : { client: client && JSON.stringify(client) }),
        ...(capabilities === undefined
          ? {}
          : { capabilities: JSON.stringify(capabilities) }),
        ...(subscriptions === undefined
          ? {}
          : {
              subscriptions:
                subscriptions.length > 0 ? JSON.stringify(subscriptions) : null,
            }),
        // An edit of the chat alone must still be a statement.
        pk,
      })
      .where(eq(sessions.pk, pk))
      .run();
    return toEntry(byPk().get({ pk })!);
  }

  /** Inside a transaction. Returns the id, which leaves the cache after the commit: an edit in it may have put it there. */
  function remove(
    pk: number,
    cause: Cause,
    chatsBefore = Infinity,
  ): string | null {
    const stored = byPk().get({ pk });
    if (!stored) return null;
    note([sessionEntry("session_ended", toEntry(stored).session, cause)]);
    db.delete(events).where(eq(events.sessionPk, pk)).run();
    db.delete(calls).where(eq(calls.sessionPk, pk)).run();
    db.delete(sessions).where(eq(sessions.pk, pk)).run();
    if (stored.chatPk !== null) {
      // One that is used without its session stays.
      const unused =
        chatsBefore === Infinity
          ? undefined
          : lt(chats.lastSeenAt, chatsBefore);
      db.delete(chats)
        .where(and(eq(chats.pk, stored.chatPk), unused))
        .run();
    }
    return stored.id;
  }
  function forget(ids: (string | null)[]): void {
    for (const id of ids) if (id !== null) cache().delete(id);
  }

  async function removeSurplus(surplusOf: (what: Stored) => Surplus) {
    const { had, pks, ids } = await writer.write(() => {
      const alone = surplusOf("chats");
      if (alone.pks.length > 0) {
        db.delete(chats).where(inArray(chats.pk, alone.pks)).run();
      }
      const { had, pks } = surplusOf("sessions");
      const ids = pks.map((pk) => remove(pk, BY_ITSELF));
      return { had: Math.max(had, alone.had), pks, ids };
    });
    forget(ids);
    return { had, ended: pks };
  }

  return {
    async open(opening) {
      const { chat, view, viewChanges, at, ticketHash, renegotiated, ...rest } =
        opening;
      const { cause = BY_ITSELF } = opening;
      const result = await writer.write(() => {
        const { server } = view;
        const kept = chat === null ? null : findChat(opening, chat, server);
        const live = kept ? byChatPk().get({ chatPk: kept.pk }) : undefined;
        if (kept && live) {
          const entry = applyEdit(toEntry(live), {
            ...(renegotiated
              ? {
                  protocolVersion: rest.protocolVersion,
                  client: rest.client,
                  capabilities: rest.capabilities,
                }
              : {}),
            view: { ...toView(kept), ...viewChanges },
            lastSeenAt: at,
            ...(ticketHash === null ? {} : { ticketHash }),
          });
          note([sessionEntry("session_resumed", entry.session, cause)]);
          return { resumed: true, entry };
        }
        let chatPk: number | null = null;
        if (kept) {
          chatPk = kept.pk;
          db.update(chats)
            .set({
              ...fromView({ ...toView(kept), ...viewChanges }),
              lastSeenAt: at,
            })
            .where(eq(chats.pk, chatPk))
            .run();
        } else if (chat !== null) {
          chatPk = insertChat(opening, chat, server, fromView(view), at);
        }
        const pk = takeStream();
        insertSession().run({
          pk,
          id: rest.id,
          workspace: rest.workspace,
          subject: rest.subject,
          chatPk,
          protocolVersion: rest.protocolVersion,
          client: rest.client && JSON.stringify(rest.client),
          capabilities: JSON.stringify(rest.capabilities),
          ...fromView(view),
          server,
          ticketHash,
          at,
        });
        const entry = toEntry(byPk().get({ pk })!);
        note([sessionEntry("session_opened", entry.session, cause)]);
        return { resumed: false, entry };
      });
      cache().set(result.entry.session.id, result.entry);
      return { session: result.entry.session, resumed: result.resumed };
    },

    find(who, id) {
      const entry = load(id);
      return entry && sameIdentity(entry.session, who) ? entry.session : null;
    },

    findByPk(who, pk) {
      const entry = loadByPk(pk);
      return entry && sameIdentity(entry.session, who) ? entry.session : null;
    },

    findTicketed(who, pk) {
      const entry = loadByPk(pk);
      return entry &&
        entry.ticketHash !== null &&
        sameIdentity(entry.session, who)
        ? entry.session
        : null;
    },

    findByChat(who, chat, server) {
      const kept = findChat(who, chat, server);
      const stored = kept ? byChatPk().get({ chatPk: kept.pk }) : undefined;
      return stored ? (load(stored.id)?.session ?? null) : null;
    },

    findByTicket(id, ticketHash) {
      const entry = load(id);
      return entry !== null && entry.ticketHash === ticketHash
        ? entry.session
        : null;
    },

    findChat(who, chat, server) {
      const kept = findChat(who, chat, server);
      return kept ? { view: toView(kept), lastSeenAt: kept.lastSeenAt } : null;
    },

    async editChat(identity, chat, server, rule, at, cause = BY_ITSELF) {
      const { workspace, subject } = identity;
      const who = { workspace, subject };
      const live = await writer.write(() => {
        const kept = findChat(who, chat, server);
        const before = kept ? toView(kept) : null;
        const after = rule(before);
        const of = { session: null, chat };
        note(
          enabledEntries(who, of, before?.enabled ?? [], after.enabled, cause),
        );
        const stored = fromView(after);
        if (!kept) {
          insertChat(who, chat, server, stored, at);
          return null;
        }
        db.update(chats)
          .set({ ...stored, lastSeenAt: at })
          .where(eq(chats.pk, kept.pk))
          .run();
        return byChatPk().get({ chatPk: kept.pk }) ?? null;
      });
      if (live) remember(live);
    },

    chats: (who) =>
      db
        .select({ chat: chats.chat, sessionId: sessions.id })
        .from(chats)
        .innerJoin(sessions, eq(sessions.chatPk, chats.pk))
        .where(
          and(
            eq(chats.workspace, who.workspace),
            eq(chats.subject, who.subject),
            eq(chats.server, ""),
          ),
        )
        .orderBy(desc(chats.lastSeenAt), desc(chats.pk))
        .all(),

    subscribed(who) {
      forgetWhatOthersChanged(LOOK_MS);
      const key = who ? identityKey(who) : EVERYBODY;
      let ids = subscribers().get(key);
      if (!ids) {
        const found = who
          ? subscribedOf().all({
              workspace: who.workspace,
              subject: who.subject,
            })
          : subscribedAll().all();
        ids = found.map(({ id }) => id);
        subscribers().set(key, ids);
      }
      return ids
        .map((id) => load(id)?.session)
        .filter((session) => session !== undefined);
    },

    async edit(pk, rule, cause = BY_ITSELF) {
      let subscribed = false;
      const entry = await writer.write(() => {
        const stored = byPk().get({ pk });
        if (!stored) return null;
        const current = toEntry(stored);
        const edit = rule(current.session);
        if (edit === null) return current;
        subscribed = edit.subscriptions !== undefined;
        if (edit.view) {
          const { id, chat, view } = current.session;
          const { enabled } = edit.view;
          note(
            enabledEntries(
              current.session,
              { session: id, chat },
              view.enabled,
              enabled,
              cause,
            ),
          );
        }
        return applyEdit(current, edit);
      });
      if (entry) cache().set(entry.session.id, entry);
      if (entry && subscribed) forgetSubscribers(entry.session);
      return entry?.session ?? null;
    },

    async end(pk, cause = BY_ITSELF) {
      forget([await writer.write(() => remove(pk, cause))]);
    },

    count: () => db.select({ n: count() }).from(sessions).get()?.n ?? 0,
    cached: () => cache().size,

    trim(who, most, keep, limit) {
      const kept = new Set(keep);
      return removeSurplus((what) =>
        surplusOfMember(client, what, who, most, kept, limit),
      );
    },

    trimWorkspace: (workspace, most, inUse, limit) =>
      removeSurplus((what) =>
        surplusOfWorkspace(client, what, workspace, most, inUse, limit),
      ),

    async expire(before, limit) {
      const { pks, ids } = await writer.write(() => {
        const gone = db
          .select({ pk: sessions.pk })
          .from(sessions)
          .where(lt(sessions.lastSeenAt, before))
          .orderBy(asc(sessions.lastSeenAt))
          .limit(limit)
          .all()
          .map(({ pk }) => pk);
        const ids = gone.map((pk) => remove(pk, BY_ITSELF, before));
        const unused = db
          .select({ pk: chats.pk })
          .from(chats)
          .leftJoin(sessions, eq(sessions.chatPk, chats.pk))
          .where(and(lt(chats.lastSeenAt, before), isNull(sessions.pk)))
          .limit(limit);
        db.delete(chats).where(inArray(chats.pk, unused)).run();
        return { pks: gone, ids };
      });
      forget(ids);
      return pks;
    },
  };
}
