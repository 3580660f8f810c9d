/** With a handshake and sessions, or with neither. */
export type Era = "sessions" | "stateless";

/** Revisions of MCP with sessions, oldest first. */
export const HTTP_SSE = "2024-11-05";
export const BATCHES = "2025-03-26";
export const LATEST_LEGACY = "2025-11-25";
export const legacyVersions: readonly string[] = [
  HTTP_SSE,
  BATCHES,
  "2025-06-18",
  LATEST_LEGACY,
];

/** Revisions without sessions: every request says by itself who asks and how. */
export const STATELESS = "2026-07-28";
export const statelessVersions: readonly string[] = [STATELESS];

/** All that we speak, newest first. */
export const supportedVersions: readonly string[] = [
  ...statelessVersions,
  ...legacyVersions.toReversed(),
];

/** Since when a stream begins with an event of empty data. */
export function primes(version: string): boolean {
  return version >= LATEST_LEGACY;
}

/** What `initialize` agrees on: the client's revision when we speak it, else our newest. */
export function negotiate(asked: unknown): string {
  return typeof asked === "string" && legacyVersions.includes(asked)
    ? asked
    : LATEST_LEGACY;
}
