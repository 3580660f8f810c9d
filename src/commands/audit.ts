import { formatTable, formatTime, printable } from "../cli/table.ts";
import type { AuditOptions } from "../cli/program.ts";
import type { Config } from "../config.ts";
import { readTypes, tell, viewFor } from "../core/told.ts";
import type { Told } from "../core/told.ts";
import { createAudit } from "../gateway/events/audit.ts";
import { createLooks } from "../gateway/events/looks.ts";
import { createPlaces } from "../gateway/events/journal-places.ts";
import { operator } from "./operator.ts";
import { systemClock } from "../runtime/machine.ts";
import type { Registry } from "../store/sqlite/operate.ts";

/**
 * What has happened in a workspace, the newest first, as the operator sees it. `pruned`: among what was looked through,
 * entries are kept no longer. Throws `invalid` for a type that there is
 * not, and when it is not clear which workspace is meant.
 */
export async function* auditPages(
  { workspace, types, user, since, request, limit }: AuditOptions,
  config: Config,
  registry: Registry,
): AsyncGenerator<{ entries: Told[]; pruned: boolean }> {
  const by = operator(
    config,
    registry,
    workspace === undefined ? {} : { workspace },
  );
  const view = viewFor(by);
  const audit = createAudit({
    journal: registry.journal,
    // Of this run alone: its cursors are shown to nobody.
    looks: createLooks(),
    places: createPlaces(() => crypto.getRandomValues(new Uint8Array(32))),
  });
  const query = {
    who: by,
    view,
    types: readTypes(types),
    ...(user === undefined ? {} : { of: user }),
    ...(since === undefined ? {} : { since: systemClock.now() - since }),
    ...(request === undefined ? {} : { requestId: request }),
  };
  let cursor: string | null = null;
  for (let left = limit; left > 0;) {
    const page: Awaited<ReturnType<typeof audit.page>> = await audit.page({
      ...query,
      cursor,
      limit: Math.min(left, 500),
    });
    const { pruned } = page;
    yield { entries: page.entries.map((entry) => tell(entry, view)), pruned };
    left -= page.entries.length;
    ({ cursor } = page);
    if (cursor === null) return;
  }
}

export function auditTable(entries: readonly Told[]): string {
  return formatTable(
    ["TIME", "EVENT", "USER", "BY", "REQUEST", "WHAT"],
    entries.map((told) => {
      const { event, timestamp, memberId, by, ...more } = told;
      const { requestId, id: _id, workspace: _workspace, ...data } = more;
      return [
        formatTime(Date.parse(timestamp)),
        event,
        printable(memberId ?? ""),
        printable(by ? (by.key ?? by.memberId) : ""),
        requestId ?? "",
        printable(summary(data)),
      ];
    }),
  );
}

/** What fits on a line; all of it is in `--json`. */
function summary(data: Record<string, unknown>): string {
  const text = Object.entries(data)
    .filter(([, value]) => value !== null)
    .map(([name, value]) =>
      typeof value === "string"
        ? `${name}=${value}`
        : `${name}=${JSON.stringify(value)}`,
    )
    .join(" ");
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}
