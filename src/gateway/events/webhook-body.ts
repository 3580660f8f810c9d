import type { JournalEntry } from "../../core/journal.ts";
import { factsOf, tell } from "../../core/told.ts";
import type { WebhookForm } from "../../core/webhook.ts";

/** What a webhook is told of an entry, as it is sent. The names of an event's own facts yield to ours. */
export function bodyOf(entry: JournalEntry, form: WebhookForm): string {
  const { type, workspace } = entry;
  const at = new Date(entry.at).toISOString();
  const event = eventOf(type, factsOf(entry), at);
  if (form === "simple") return JSON.stringify(event);
  const told = tell(entry, { workspace, subject: null, shared: true });
  return JSON.stringify({ ...event, ...told });
}

/** The same for an entry however often, and to whomever, it is told. */
export function eventId({ id }: Pick<JournalEntry, "id">): string {
  return `evt_${id}`;
}

function eventOf(
  event: string,
  data: JournalEntry["data"],
  timestamp: string,
): Record<string, unknown> {
  if (event !== "tool_executed") {
    return { event, ...without(data, ["event", "timestamp"]), timestamp };
  }
  const { tool = null, params = null, result = null } = data;
  return { event, tool, params, result, timestamp };
}

function without(
  data: Record<string, unknown>,
  names: readonly string[],
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(data).filter(([name]) => !names.includes(name)),
  );
}
