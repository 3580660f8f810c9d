/** What there may be too much of: `data.limit` of what is thrown as `rate_limited`, for a client to tell them apart. */
export const limitNames = [
  // Whoever is admitted to a door, see README § Limits.
  "user",
  "all",
  "server",
  "calls",
  "streams",
  "credentials",
  // What has a limit of its own.
  "audit",
  "authorizations",
  "connections",
  "event_streams",
  "icons",
  "lists",
  "registrations",
  "server_tests",
  "sockets",
  "webhook_tests",
] as const;
export type LimitName = (typeof limitNames)[number];

/** As the data of such an error. */
export const limited = (limit: LimitName) => ({ limit });
