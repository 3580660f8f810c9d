import { describeError } from "../core/errors.ts";
import type { EventLog } from "../core/event.ts";
import type { Identity, Principal } from "../core/principal.ts";
import { identityKey } from "../core/principal.ts";
import type { Clock, Log } from "../core/runtime.ts";
import { MAX_SUBSCRIBED } from "../core/session.ts";
import type { Session, SessionStore } from "../core/session.ts";
import type { SourceChange } from "../core/source.ts";
import type { App } from "../core/tool.ts";
import type { Catalogs } from "../gateway/catalog/catalog.ts";
import type { Catalog } from "../gateway/catalog/contents.ts";
import type { Library } from "../gateway/catalog/library.ts";
import { createPace } from "../gateway/limits/pace.ts";
import type { Allowance } from "./allowance.ts";
import { createAllowance } from "./allowance.ts";
import { canOpenUrls, completedText } from "./elicitations.ts";
import { isChatter, notificationText } from "./jsonrpc.ts";
import type { ListName } from "./lists.ts";
import { changedText, digestOf, listNames, listedAs } from "./lists.ts";
import { logText, wantsLog } from "./logs.ts";
import type { Streams } from "./stream.ts";

/** What sessions are told of what happens at sources, outside of any call: on their own stream, and on disk first. */
export type Notices = {
  /** Somebody reads a session's own stream now; `lost` when notifications before that are gone. */
  attached(session: Session, principal: Principal, lost: boolean): void;
  /** Forgets what only those who read need. */
  tick(): void;
  /** Writes what waits for its time. */
  flush(): void;
};

/** How often a session is told that the same list or resource has changed. */
const PACE_MS = 1000;
/** Messages that were logged outside of calls, to one session; the rest is left out. */
const LOGS_PER_SECOND = 20;

/** Sessions that nobody reads and of which is known what they will be told. */
const MAX_AWAY = 10_000;

export function createNotices(wiring: {
  sessions: SessionStore;
  events: EventLog;
  streams: Streams;
  catalogs: Catalogs;
  library: Library;
  clock: Clock;
  log: Log;
}): Notices {
  const { sessions, events, streams, catalogs, library, clock, log } = wiring;
  const pace = createPace(PACE_MS);

  const inBackground = (work: Promise<unknown>) =>
    void work.catch((error: unknown) =>
      log.warn("session could not be told", { reason: describeError(error) }),
    );

  function tell(pk: number, text: string): void {
    const own = { sessionPk: pk, streamId: pk };
    inBackground(
      events.append(own, text, isChatter(text)).then(() => streams.wake(pk)),
    );
  }

  /** Tells a session that a list is not what it was last told of; `digest`: what it is now, null when not known. */
  function tellList(
    { pk }: Session,
    list: ListName,
    digest: string | null,
  ): void {
    // Queued in the same turn, so both are in one transaction.
    inBackground(sessions.edit(pk, () => ({ [listedAs[list]]: digest })));
    tell(pk, changedText[list]);
  }

  function tellLists(session: Session, catalog: Catalog): void {
    const compare = (now: Session | null, list: ListName): string | null => {
      const before = now?.[listedAs[list]] ?? null;
      if (now === null || before === null) return null;
      const digest = digestOf(catalog, now.view, list);
      return digest === before ? null : digest;
    };
    for (const list of listNames) {
      if (compare(session, list) === null) continue;
      pace.run(`${session.pk} ${list}`, () => {
        const now = sessions.findByPk(session, session.pk);
        const digest = compare(now, list);
        if (digest !== null) tellList(session, list, digest);
      });
    }
  }

  const updatedText = (uri: string) =>
    notificationText("notifications/resources/updated", { uri });

  /**
   * URIs that sessions whose stream nobody reads have been told of. They learn it when they come back; until then
   * once more would say the same.
   */
  const away = new Map<number, Set<string>>();

  function tellUpdate(who: Identity, uri: string, app: App | undefined): void {
    const text = updatedText(uri);
    for (const session of sessions.subscribed(who)) {
      const { pk, view, subscriptions } = session;
      if (!subscriptions.includes(uri)) continue;
      const owner = app && library.ownerOf(session, view, uri);
      if (owner && owner.ref !== app.ref) continue;
      if (streams.reader(pk) === null) {
        const told = away.get(pk) ?? new Set();
        if (told.has(uri)) continue;
        away.set(pk, told.add(uri));
        const [oldest] = away.size > MAX_AWAY ? away.keys() : [];
        if (oldest !== undefined) away.delete(oldest);
      }
      tell(pk, text);
    }
  }

  function updated(who: Identity | null, uri: string, app?: App): void {
    const what = `${app?.ref ?? ""} ${uri}`;
    if (who) {
      return pace.run(`${identityKey(who)} ${what}`, () =>
        tellUpdate(who, uri, app),
      );
    }
    pace.run(what, () => {
      const some = sessions.subscribed(null);
      const readers = some.length < MAX_SUBSCRIBED ? [] : streams.readers();
      const meant = new Map(
        [...some, ...readers].map((one) => [identityKey(one), one]),
      );
      for (const one of meant.values()) updated(one, uri, app);
    });
  }

  const allowances = new Map<number, Allowance>();

  function logged(
    who: Identity | null,
    { app, level, data, logger }: NonNullable<SourceChange["log"]>,
  ): void {
    for (const reader of who ? [who] : streams.readers()) {
      for (const pk of streams.sessionsRead(reader)) {
        const session = sessions.findByPk(reader, pk);
        if (!session || !wantsLog(session.logLevel, level)) continue;
        if (!shows(session, app)) continue;
        const allowed =
          allowances.get(pk) ?? createAllowance(clock, LOGS_PER_SECOND);
        allowances.set(pk, allowed);
        if (!allowed()) continue;
        // Among several apps, who speaks.
        const ofApp = session.view.server === null ? app.key : undefined;
        tell(pk, logText({ level, logger: logger ?? ofApp, data }));
      }
    }
  }

  function shows(session: Session, app: App): boolean {
    const { server, apps } = session.view;
    if (server !== null) {
      return catalogs.alone(session, server)?.app.ref === app.ref;
    }
    return apps === null || apps.includes(app.key);
  }

  catalogs.onLoad((who, catalog) => {
    for (const sessionPk of streams.sessionsRead(who)) {
      const session = sessions.findByPk(who, sessionPk);
      if (session) tellLists(session, catalog);
    }
  });

  /** Its client knows whether it has sent its user there. */
  function completed(who: Identity | null, elicitationId: string): void {
    for (const reader of who ? [who] : streams.readers()) {
      for (const pk of streams.sessionsRead(reader)) {
        const session = sessions.findByPk(reader, pk);
        if (session && canOpenUrls(session)) {
          tell(pk, completedText(elicitationId));
        }
      }
    }
  }

  catalogs.onTold(({ who, uri, app, completed: id, log: said }) => {
    if (said) logged(who, said);
    else if (id !== undefined) completed(who, id);
    else if (uri !== undefined) updated(who, uri, app);
  });

  return {
    attached(session, principal, lost) {
      away.delete(session.pk);
      const asked = listNames.filter(
        (list) => session[listedAs[list]] !== null,
      );
      if (lost) {
        // What is gone were such notifications; one more of each says the same.
        for (const list of asked) tellList(session, list, null);
        for (const uri of session.subscriptions) {
          tell(session.pk, updatedText(uri));
        }
        return;
      }
      const catalog = catalogs.peek(principal);
      if (catalog) tellLists(session, catalog);
      else if (asked.length > 0) catalogs.warm(principal, Infinity);
    },
    tick() {
      for (const pk of allowances.keys()) {
        if (streams.reader(pk) === null) allowances.delete(pk);
      }
    },
    flush: pace.flush,
  };
}
