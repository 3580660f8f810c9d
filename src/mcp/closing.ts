/**
 * What the client of a WebSocket is told when we close it (RFC 6455, section 7.4; registered codes, and from 4000 on
 * numbers like the statuses of HTTP). Null: the connection is cut, because who does not read would not hear it.
 */
export const closings = {
  binary: [1003, "Send JSON-RPC in text frames."],
  failed: [1011, "Something went wrong on our side. Connect again."],
  restart: [1012, "The server is restarting. Connect again."],
  tooMuch: [1013, "Too many messages at once. Connect again, and slower."],
  tooManySockets: [1013, "Too many open WebSockets. Close one first."],
  badEventId: [4400, "Invalid event ID. Connect again without it."],
  credentialEnded: [4401, "The credential is no longer good."],
  sessionNotFound: [4404, "Session not found. Initialize a new one."],
  takenOver: [4409, "Another connection reads this session."],
  stalled: null,
} as const satisfies Record<string, readonly [number, string] | null>;

export type Closing = keyof typeof closings;
