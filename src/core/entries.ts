import type { ApiKey } from "./api-key.ts";
import type { Cause, EventType, NewEntry } from "./journal.ts";
import { BY_ITSELF, entryOf, sharedEntry } from "./journal.ts";
import type { Identity } from "./principal.ts";
import type { Session } from "./session.ts";
import type { Credential, Upstream } from "./upstream.ts";
import type { Webhook } from "./webhook.ts";
import { originOf } from "./webhook.ts";

/** What the journal says of a change, told from what was before and what is after it. Pure. */

export function sessionEntry(
  type: "session_opened" | "session_resumed" | "session_ended",
  session: Session,
  cause: Cause,
): NewEntry {
  const { id, chat, client, protocolVersion, view } = session;
  const { server } = view;
  const data = { session: id, chat, client, protocolVersion, server };
  return entryOf(session, type, data, cause);
}

/** Of the tools that were enabled, so many are named. */
const MAX_NAMED = 100;

/** None when the same tools are enabled as before. */
export function enabledEntries(
  who: Identity,
  { session, chat }: { session: string | null; chat: string | null },
  before: readonly string[],
  after: readonly string[],
  cause: Cause,
): NewEntry[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const tools = after.slice(0, MAX_NAMED);
  const data = { session, chat, count: after.length, tools };
  return [entryOf(who, "tools_enabled", data, cause)];
}

/** Of a registered server: null before for one that is new, after for one that was removed. */
export function upstreamEntries(
  before: Upstream | null,
  after: Upstream | null,
  cause: Cause,
): NewEntry[] {
  const upstream = after ?? before;
  if (!upstream) return [];
  const told = (type: EventType, more: NewEntry["data"] = {}) =>
    sharedEntry(
      upstream.workspace,
      type,
      { ...serverData(upstream), ...more },
      cause,
    );
  if (!before) {
    const { name, transport, authType } = upstream;
    return [told("server_registered", { name, transport, authType })];
  }
  if (!after) return [told("server_removed")];
  const entries: NewEntry[] = [];
  const state = { state: after.state };
  if (after.enabled !== before.enabled) {
    entries.push(
      told(after.enabled ? "server_enabled" : "server_disabled", state),
    );
  }
  if (after.lastError && !before.lastError) {
    const { code, message } = after.lastError;
    entries.push(told("server_failed", { code, message }));
  }
  if (before.lastError && !after.lastError) entries.push(told("server_healed"));
  const changed = settings.filter(
    (setting) =>
      JSON.stringify(before[setting]) !== JSON.stringify(after[setting]) ||
      // The client's secret alone; what is learned while somebody connects is sealed there too, and nobody's doing.
      (setting === "oauth" &&
        cause.by !== null &&
        before.sealedOauth !== after.sealedOauth),
  );
  if (changed.length > 0) entries.push(told("server_changed", { changed }));
  return entries;
}

/** What somebody sets, and a probe does not. */
const settings = [
  "name",
  "slug",
  "description",
  "url",
  "transport",
  "command",
  "authType",
  "appUuid",
  "sealedSecret",
  "oauth",
  "pinned",
] as const satisfies readonly (keyof Upstream)[];

/** Of a member's connection to a server; null for none. */
export function memberEntries(
  upstream: Upstream,
  subject: string,
  before: Credential | null,
  after: Credential | null,
  cause: Cause,
): NewEntry[] {
  const type = memberEvent(before, after);
  if (type === null) return [];
  const { workspace } = upstream;
  const { authType } = (after ?? before)!;
  const data = { ...serverData(upstream), authType };
  return [entryOf({ workspace, subject }, type, data, cause)];
}

function memberEvent(
  before: Credential | null,
  after: Credential | null,
): EventType | null {
  const [was, is] = [connectionOf(before), connectionOf(after)];
  if (is === "active") {
    const again = before?.connectedAt !== after?.connectedAt;
    return was !== "active" || again ? "member_connected" : null;
  }
  if (was === is) return null;
  return is === "expired" ? "member_expired" : "member_disconnected";
}

/** One that the member has ended is none, whether or not its row is still there. */
function connectionOf(credential: Credential | null) {
  return !credential || credential.status === "revoked"
    ? null
    : credential.status;
}

export function approvalEntry(
  upstream: Upstream,
  tool: string,
  cause: Cause,
): NewEntry {
  const data = { ...serverData(upstream), tool };
  return sharedEntry(upstream.workspace, "tool_approved", data, cause);
}

export function keyEntry(
  type: "key_created" | "key_revoked",
  { id, name, scope, expiresAt, ...who }: ApiKey,
  cause: Cause,
): NewEntry {
  return entryOf(who, type, { key: id, name, scope, expiresAt }, cause);
}

/** Of a webhook: null before for one that is new, after for one that was removed. */
export function webhookEntries(
  before: Webhook | null,
  after: Webhook | null,
  cause: Cause,
): NewEntry[] {
  const webhook = after ?? before;
  if (!webhook) return [];
  const told = (type: EventType, more: NewEntry["data"] = {}) => [
    sharedEntry(
      webhook.workspace,
      type,
      { ...webhookData(webhook), ...more },
      cause,
    ),
  ];
  if (!before) {
    const { types, form } = webhook;
    return told("webhook_created", { types, form });
  }
  if (!after) return told("webhook_removed");
  const changed = webhookSettings.flatMap(([setting, name]) =>
    JSON.stringify(before[setting]) === JSON.stringify(after[setting])
      ? []
      : [name],
  );
  return changed.length === 0 ? [] : told("webhook_changed", { changed });
}

const webhookSettings = [
  ["url", "url"],
  ["description", "description"],
  ["types", "types"],
  ["enabled", "enabled"],
  ["form", "form"],
  ["concurrency", "concurrency"],
  ["sealedSecret", "secret"],
] as const satisfies readonly (readonly [keyof Webhook, string])[];

/** Deliveries of a webhook are sent again: one, or (null) all that were given up. */
export function webhookReplay(
  webhook: Webhook,
  event: string | null,
  count: number,
  cause: Cause,
): NewEntry {
  const delivery = event === null ? null : deliveryId(event);
  const data = { ...webhookData(webhook), delivery, count };
  return sharedEntry(webhook.workspace, "webhook_replayed", data, cause);
}

/** Why a webhook has failed, for who can mend it. It is never told to the webhook itself. */
export function webhookFailure(
  webhook: Webhook,
  reason: "undelivered" | "gone" | "failing" | "events_missed",
  more: NewEntry["data"],
): NewEntry {
  const data = { ...webhookData(webhook), reason, ...more };
  return sharedEntry(webhook.workspace, "webhook_failed", data, BY_ITSELF);
}

/** How the delivery of an entry is called outside. */
export const deliveryId = (event: string) => `evt_${event}`;

const webhookData = ({ id, url }: Webhook) => ({
  webhook: id,
  url: originOf(url),
});

const serverData = ({ id, slug }: Upstream) => ({ server: slug, serverId: id });
