import { describeError } from "../core/errors.ts";
import type { Approach } from "../core/exchange.ts";
import type { Cause } from "../core/journal.ts";
import { causeOf } from "../core/journal.ts";
import type { Identity, Principal } from "../core/principal.ts";
import type { Clock, Ids, Log, LogFields } from "../core/runtime.ts";
import type { Session, SessionStore } from "../core/session.ts";
import { DEFAULT_VIEW } from "../core/session.ts";
import type { Catalogs } from "../gateway/catalog/catalog.ts";
import type { SessionCap } from "../gateway/limits/session-cap.ts";
import type { Calls } from "./calls.ts";
import type { Handshake } from "./initialize.ts";
import type { Notices } from "./notices.ts";
import type { Streams } from "./stream.ts";
import { HTTP_SSE } from "./versions.ts";
import type { Watches } from "./watches.ts";

/** What happens in the life of a session, whichever transport carries it. */
export type Sessions = {
  /**
   * Opens a session, or continues that of the caller's chat. Without a handshake, which HTTP+SSE has later, a
   * session that is continued keeps what was agreed on.
   */
  open(
    approach: Approach,
    handshake: Handshake | null,
    ticketHash: string | null,
  ): Promise<Session>;
  /** A request has come for it. */
  seen(session: Session, log: LogFields): void;
  /** Somebody reads its own stream now; `lost` when notifications before that are gone. */
  attached(session: Session, principal: Principal, lost: boolean): void;
  end(session: Session, cause: Cause): Promise<void>;
  /** Looks for changes of the catalogue on behalf of all who read a stream. */
  poll(): void;
};

/** How exact `lastSeenAt` is: each update is a commit. With a shorter life of sessions it is more exact. */
const SEEN_MS = 60_000;
/** The same for a session whose stream is read and that does nothing else. */
const LISTENING_MS = 3_600_000;

const noHandshake: Handshake = {
  protocolVersion: HTTP_SSE,
  client: null,
  capabilities: {},
};

export function createSessions(wiring: {
  sessions: SessionStore;
  streams: Streams;
  calls: Calls;
  catalogs: Catalogs;
  notices: Notices;
  watches: Watches;
  cap: SessionCap;
  clock: Clock;
  ids: Ids;
  log: Log;
  /** Told when a chat may show other tools. */
  chatChanged: (who: Identity, chat: string, server: string | null) => void;
  /** How old a catalogue may be while somebody listens for its changes. */
  pollMs: number;
  /** How long a session lives without being seen. */
  ttlMs: number;
}): Sessions {
  const { sessions, streams, calls, catalogs, clock, ids, log } = wiring;
  const { notices, watches } = wiring;

  /** Notes that a session is used, unless that was noted less than `exactMs` ago. */
  function touch(session: Session, exactMs: number): void {
    const now = clock.now();
    if (now - session.lastSeenAt < Math.min(exactMs, wiring.ttlMs / 4)) return;
    inBackground(sessions.edit(session.pk, () => ({ lastSeenAt: now })));
  }

  const inBackground = (work: Promise<unknown>) =>
    void work.catch((error: unknown) =>
      log.warn("session could not be updated", {
        reason: describeError(error),
      }),
    );

  return {
    async open(approach, handshake, ticketHash) {
      const { principal, asked, chat, server } = approach;
      const { session, resumed } = await sessions.open({
        workspace: principal.workspace,
        subject: principal.subject,
        id: ids.session(),
        chat,
        ...(handshake ?? noHandshake),
        renegotiated: handshake !== null,
        view: { ...DEFAULT_VIEW, ...asked, server },
        viewChanges: asked,
        ticketHash,
        at: clock.now(),
        cause: causeOf(principal),
      });
      if (!resumed) wiring.cap.opened(principal);
      if (chat !== null) wiring.chatChanged(principal, chat, server);
      // So that the first tools/list need not wait for Membrane, or less.
      catalogs.warm(principal, Infinity);
      approach.log["session"] = session.id;
      approach.log["resumed"] = resumed || undefined;
      return session;
    },

    seen(session, fields) {
      fields["session"] = session.id;
      fields["chat"] = session.chat ?? undefined;
      touch(session, SEEN_MS);
    },

    attached(session, principal, lost) {
      notices.attached(session, principal, lost);
      watches.tell(principal);
    },

    async end(session, cause) {
      calls.abort(session.pk);
      await sessions.end(session.pk, cause);
      // Those that began while it ended.
      calls.abort(session.pk);
      streams.close(session.pk, "session ended");
      const { chat, view } = session;
      if (chat !== null) wiring.chatChanged(session, chat, view.server);
    },

    poll() {
      for (const principal of streams.readers()) {
        catalogs.warm(principal, wiring.pollMs);
        for (const pk of streams.sessionsRead(principal)) {
          const session = sessions.findByPk(principal, pk);
          if (session) touch(session, LISTENING_MS);
        }
      }
      notices.tick();
      watches.tick();
    },
  };
}
