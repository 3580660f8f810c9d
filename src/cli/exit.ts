import type { ErrorCode, GatewayError } from "../core/errors.ts";

/** What the process exits with (sysexits.h); 0 is success. */
export const exitCodes = {
  invalid: 64,
  unauthenticated: 77,
  forbidden: 77,
  not_found: 66,
  conflict: 75,
  rate_limited: 75,
  needs_authorization: 77,
  upstream_failed: 69,
  timeout: 69,
  internal: 70,
} satisfies Record<ErrorCode, number>;

/** A disk that fails while serving, too. */
export const DISK_FAILED = 74;

/** Where the reason of an error says more than its code. */
const reasons: Record<string, number> = {
  damaged: 65,
  foreign: 65,
  newer: 65,
  not_writable: 73,
  disk: DISK_FAILED,
  storage_unavailable: DISK_FAILED,
  encryption_key: 78,
};

export function exitCodeOf(error: GatewayError): number {
  const reason = error.data?.["reason"];
  const own = typeof reason === "string" ? reasons[reason] : undefined;
  return own ?? exitCodes[error.code];
}
