import type { Session } from "../core/session.ts";
import { isRecord, notificationText } from "./jsonrpc.ts";

/** Whether the client of a session can send its user to a URL (MCP 2025-11-25, client/elicitation). */
export function canOpenUrls({
  capabilities,
}: Pick<Session, "capabilities">): boolean {
  const { elicitation } = capabilities;
  return isRecord(elicitation) && isRecord(elicitation["url"]);
}

export const completedText = (elicitationId: string) =>
  notificationText("notifications/elicitation/complete", { elicitationId });
