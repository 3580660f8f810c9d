/** Ports on the machine. The only places where time, randomness and the log come from. */

export type Clock = {
  /** Wall-clock milliseconds since the epoch: for expiry and retention only. */
  now(): number;
  /** Milliseconds that never jump: for durations and deadlines. */
  monotonic(): number;
};

export type Ids = {
  /** Session id: 128 random bits as 32 hexadecimal digits. */
  session(): string;
  /** Ticket or other secret: 192 random bits, base64url. */
  secret(): string;
  /** Names one HTTP request in the log and in the answer's `X-Request-Id`. */
  request(): string;
};

export type LogFields = Record<
  string,
  string | number | boolean | null | undefined
>;

/** Structured log. Fields are an allow-list by their writers: no token, argument or result ever goes in. */
export type Log = {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
};
