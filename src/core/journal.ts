import type { Identity, Principal } from "./principal.ts";
import { writeTrace } from "./trace.ts";

/**
 * The journal: everything of note that happens, once, in the order in which it happened. An entry is written in the
 * transaction of what it tells of; the event stream, webhooks and the audit read it.
 */

export const eventTypes = [
  "session_opened",
  "session_resumed",
  "session_ended",
  "tool_executed",
  "tools_enabled",
  "catalog_changed",
  "server_registered",
  "server_changed",
  "server_enabled",
  "server_disabled",
  "server_removed",
  "server_failed",
  "server_healed",
  "tool_approved",
  "member_connected",
  "member_disconnected",
  "member_expired",
  "key_created",
  "key_revoked",
  "webhook_created",
  "webhook_changed",
  "webhook_removed",
  "webhook_replayed",
  "webhook_failed",
] as const;
export type EventType = (typeof eventTypes)[number];

/** What members make by using the server. All else is what is done to it, is kept apart, and is never in its way. */
export const trafficTypes = [
  "tool_executed",
  "session_opened",
  "session_resumed",
  "session_ended",
  "tools_enabled",
  "catalog_changed",
] as const satisfies readonly EventType[];

/** By whose doing, and in which request. What the server does by itself has neither. */
export type Cause = {
  by: {
    method: Principal["method"];
    subject: string;
    /** Public part of the API key. */
    key: string | null;
  } | null;
  requestId: string | null;
  /** W3C trace context of the request. */
  traceparent: string | null;
};

export const BY_ITSELF: Cause = {
  by: null,
  requestId: null,
  traceparent: null,
};

/** For commands on the machine that nobody's principal runs. */
export const BY_OPERATOR: Cause = {
  ...BY_ITSELF,
  by: { method: "operator", subject: "operator", key: null },
};

/** As it is written; `data` is JSON and holds nothing secret. */
export type NewEntry = Cause & {
  type: EventType;
  workspace: string;
  /** The member whom it concerns; null when it concerns the workspace as a whole. */
  subject: string | null;
  data: Record<string, unknown>;
};

export type JournalEntry = NewEntry & {
  /** Goes up by at least one from entry to entry, in the order of the commits. */
  seq: number;
  /** The same whenever and wherever this entry is told: 32 hexadecimal digits. */
  id: string;
  /** Milliseconds since the epoch. */
  at: number;
};

/** What a reader may see. */
export type JournalView = {
  workspace: string;
  /** Null: of all members. Otherwise what concerns this one, and, when `shared`, what concerns nobody in particular. */
  subject: string | null;
  shared: boolean;
};

export type JournalQuery = JournalView & {
  /** Null: of every type. */
  types: readonly EventType[] | null;
  /** Entries after (oldest first) or before (newest first) this number; null for from the first, or the last. */
  beyond: number | null;
  /** The last number that is looked at, in this order: what has few hits is looked for in parts. */
  upTo?: number;
  order: "oldest first" | "newest first";
  /** Milliseconds since the epoch, the first included and the second not. */
  since?: number;
  until?: number;
  requestId?: string;
  /** Only what concerns this member. */
  of?: string;
  limit: number;
};

export type Journal = {
  /** For what has no transaction of its own. Resolves after it is on disk. */
  append(entries: readonly NewEntry[]): Promise<void>;
  /**
   * For something that begins: what is to be said of it should nobody be left to say how it ended. Resolves, after that
   * is on disk, with what {@link Journal.end} takes.
   */
  begin(ifCut: NewEntry): Promise<number>;
  /** Writes these instead of what it was begun with. */
  end(begun: number, entries: readonly NewEntry[]): Promise<void>;
  /** Writes what was begun and never ended, by a process that is gone. Resolves with how many that were. */
  interrupt(): Promise<number>;
  /**
   * Entries with numbers above `after`, of all workspaces, in order: what a reader that goes with the journal takes.
   */
  readOn(after: number, limit: number): JournalEntry[];
  query(query: JournalQuery): JournalEntry[];
  get(seq: number): JournalEntry | null;
  /** The number of the newest entry that was ever written; 0 for none. */
  last(): number;
  /** The number of the oldest that is kept; one above the newest when none is. */
  first(): number;
  /** The same of those after this number: between two entries there may be numbers whose entries are gone. */
  next(after: number): number;
  /** The newest before this number; 0 for none. */
  previous(before: number): number;
  /** The number of the newest entry that is gone and that may have been shown to who reads this; 0 for none. */
  lost(view: JournalView, types: Iterable<EventType> | null): number;
  /** Called after a commit that has brought entries, of this process; once for all that it has brought. */
  onAppend(listener: () => void): void;
  /**
   * Forgets up to about `limit` entries: those that are too old, and those beyond what there may be. Of these, the
   * workspace that takes most gives, and in it whoever takes most, their oldest first: whom an entry of
   * {@link trafficTypes} concerns, and by whose doing the others are. `more`: it has not come to an end.
   */
  prune(
    bounds: JournalBounds,
    limit: number,
  ): Promise<{ forgotten: number; more: boolean }>;
};

export type JournalBounds = {
  /** Of {@link trafficTypes}: those written before `before` go, and those beyond `most`. */
  traffic: { before: number; most: number };
  /** Of all others. */
  kept: { before: number; most: number };
  /** What `traffic.most` entries may take on the disk; one that is larger than the average counts as several. */
  bytes: number;
};

/** The cause of what is done for this principal. */
export function causeOf(principal: Principal): Cause {
  const { method, subject, keyId = null, request, trace } = principal;
  return {
    by: { method, subject, key: keyId },
    requestId: request?.id ?? null,
    traceparent: (trace && writeTrace(trace).traceparent) ?? null,
  };
}

/** True when the view shows the entry. */
export function shows(
  view: JournalView,
  { workspace, subject }: Pick<NewEntry, "workspace" | "subject">,
): boolean {
  if (workspace !== view.workspace) return false;
  if (view.subject === null || subject === view.subject) return true;
  return view.shared && subject === null;
}

/** What concerns one member. */
export function entryOf(
  { workspace, subject }: Identity,
  type: EventType,
  data: NewEntry["data"],
  cause: Cause,
): NewEntry {
  return { type, workspace, subject, data, ...cause };
}

/** What concerns the workspace as a whole. */
export function sharedEntry(
  workspace: string,
  type: EventType,
  data: NewEntry["data"],
  cause: Cause,
): NewEntry {
  return { type, workspace, subject: null, data, ...cause };
}
