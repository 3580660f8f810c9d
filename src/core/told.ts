import { GatewayError } from "./errors.ts";
import type { EventType, JournalEntry, JournalView } from "./journal.ts";
import { eventTypes } from "./journal.ts";
import type { Principal } from "./principal.ts";
import { permits } from "./principal.ts";

/** Who is told what of the journal, and in which words. Pure. */

/**
 * What a caller may see. A member's token shows what concerns this member, and with `apps:read` what concerns nobody in
 * particular: every token has that scope unless the operator says otherwise, so it does not show what others do. What
 * was given to somebody on purpose shows the whole workspace: any API key, a token that has `apps:write` or more by the
 * operator's configuration, and the operator's own commands.
 */
export function viewFor(principal: Principal): JournalView {
  const { workspace, subject, method, scope } = principal;
  const all =
    method === "operator" ||
    permits(scope, method === "api_key" ? "apps:read" : "apps:write");
  return {
    workspace,
    subject: all ? null : subject,
    shared: permits(scope, "apps:read") || all,
  };
}

/** An entry as everybody outside is told it: in the event stream, the audit and webhooks. */
export type Told = {
  event: EventType;
  /** ISO 8601, in UTC. */
  timestamp: string;
  /** `evt_` and 32 hexadecimal digits; the same wherever it is told. */
  id: string;
  workspace: string;
  /** The member whom it concerns; null when it concerns the workspace as a whole. */
  memberId: string | null;
  /** By whose doing; null for the server's own, and for another member's in a view that does not show others. */
  by: { method: string; memberId: string; key: string | null } | null;
  requestId: string | null;
} & Record<string, unknown>;

/** What readers are told of entries that are gone: the event stream in the place of these, an export after all others. */
export type Missed = {
  event: "events_missed";
  timestamp: string;
  /** `unknown`: of where the reader was, so that nobody can say what it has missed. */
  reason: "forgotten" | "unknown";
  message: string;
};

export function missed(
  reason: Missed["reason"],
  message: string,
  now: number,
): Missed {
  const timestamp = new Date(now).toISOString();
  return { event: "events_missed", timestamp, reason, message };
}

/** Of what was looked for in the audit. */
export function missedInAudit(now: number): Missed {
  return missed(
    "forgotten",
    "Some of the entries that were asked for are kept no longer (JOURNAL_TTL, JOURNAL_MAX, AUDIT_TTL, AUDIT_MAX). All that are have been told.",
    now,
  );
}

/**
 * The entry's data beside what every entry has; of a call of a tool therefore `tool`, and `params` and `result` when
 * they are on record. Nobody whose view ends at their own things learns who else did something, or in which request.
 */
export function tell(entry: JournalEntry, view: JournalView): Told {
  const { by, subject, workspace, type } = entry;
  const showsDoer = view.subject === null || by?.subject === view.subject;
  const common = {
    event: type,
    timestamp: new Date(entry.at).toISOString(),
    id: `evt_${entry.id}`,
    workspace,
    memberId: subject,
    by:
      by && showsDoer
        ? { method: by.method, memberId: by.subject, key: by.key }
        : null,
    requestId: showsDoer ? entry.requestId : null,
  };
  // In this order, whatever the data holds.
  return { ...common, ...factsOf(entry), ...common };
}

/** The entry's data as everybody outside is told it: the journal has times in ms, and they are told as all others. */
export function factsOf({
  data,
}: Pick<JournalEntry, "data">): JournalEntry["data"] {
  const { expiresAt } = data;
  return typeof expiresAt === "number"
    ? { ...data, expiresAt: new Date(expiresAt).toISOString() }
    : data;
}

/** `a,b` as types; null for every one. Throws `invalid`, naming those that there are. */
export function readTypes(text: string | undefined): EventType[] | null {
  if (text === undefined) return null;
  const names = text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  const unknown = names.find((name) => !known.has(name));
  if (unknown === undefined && names.length > 0) return names as EventType[];
  throw new GatewayError(
    "invalid",
    unknown === undefined
      ? `types names no type of event. These there are: ${eventTypes.join(", ")}.`
      : `There is no type of event ${unknown.slice(0, 64)}. These there are: ${eventTypes.join(", ")}.`,
  );
}
const known: ReadonlySet<string> = new Set(eventTypes);
