import { formatTable, formatTime, printable } from "../cli/table.ts";
import { GatewayError } from "../core/errors.ts";
import type {
  ChatSummary,
  Registry,
  SessionDetail,
  SessionSummary,
} from "../store/sqlite/operate.ts";

/** Sessions and chats on the command line. */

export function sessionTable(sessions: readonly SessionSummary[]): string {
  return formatTable(
    ["SESSION", "USER", "CHAT", "CLIENT", "REVISION", "LAST SEEN"],
    sessions.map((session) => [
      session.id,
      printable(session.user),
      printable(session.chat ?? ""),
      printable(session.client ?? ""),
      session.protocolVersion,
      formatTime(session.lastSeenAt),
    ]),
  );
}

/** Throws `not_found`. */
export function getSession(registry: Registry, id: string): SessionDetail {
  const session = registry.session(id);
  if (!session) throw unknownSession(id);
  return session;
}

export function sessionLines(session: SessionDetail): string {
  return Object.entries(session)
    .map(([field, value]) => {
      const text = field.endsWith("At")
        ? formatTime(Number(value))
        : typeof value === "string"
          ? value
          : JSON.stringify(value);
      return `${field}: ${printable(text)}`;
    })
    .join("\n");
}

/** Throws `not_found`. */
export async function endSession(
  registry: Registry,
  id: string,
): Promise<void> {
  if (!(await registry.end(id))) throw unknownSession(id);
}

export function chatTable(chats: readonly ChatSummary[]): string {
  return formatTable(
    ["CHAT", "USER", "SERVER", "MODE", "SESSION", "LAST SEEN"],
    chats.map((chat) => [
      printable(chat.chat),
      printable(chat.user),
      chat.server ?? "",
      chat.mode,
      chat.session ?? "",
      formatTime(chat.lastSeenAt),
    ]),
  );
}

function unknownSession(id: string): GatewayError {
  return new GatewayError(
    "not_found",
    `There is no session ${id}. membrane-mcp sessions list shows them.`,
  );
}
