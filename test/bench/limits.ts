/** So high that one user can be as many, and not off: what they cost is measured too. */
export const highLimits = {
  RATE_LIMIT: "1000000",
  RATE_LIMIT_BURST: "1000000",
  RATE_LIMIT_SERVER: "1000000",
  RATE_LIMIT_GLOBAL: "1000000",
  MAX_CALLS: "10000",
  MAX_SESSIONS: "1000000",
  MAX_SESSIONS_WORKSPACE: "1000000",
};
