import type { StreamRef } from "../../src/core/event.ts";
import type { SessionOpening } from "../../src/core/session.ts";
import type { Store } from "../../src/core/store.ts";

let opened = 0;

/** What a session of Ada's is opened with, each under an id of its own. */
export function openingOf(
  changes: Partial<SessionOpening> = {},
): SessionOpening {
  return {
    workspace: "w",
    subject: "ada",
    id: `s${++opened}`,
    protocolVersion: "2025-11-25",
    client: { name: "test", version: "1" },
    capabilities: {},
    chat: null,
    view: { mode: "static", apps: null, enabled: [], server: null },
    viewChanges: {},
    renegotiated: true,
    ticketHash: null,
    at: 0,
    ...changes,
  };
}

/** Opens a session. Resolves with its own stream. */
export async function openSession(
  { sessions }: Pick<Store, "sessions">,
  changes: Partial<SessionOpening> = {},
): Promise<StreamRef> {
  const { session } = await sessions.open(openingOf(changes));
  return { sessionPk: session.pk, streamId: session.pk };
}
