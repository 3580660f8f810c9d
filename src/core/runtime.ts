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
  /** Bytes that nobody can guess, for what has a form of its own. */
  random(bytes: number): Uint8Array;
  /** Names one HTTP request in the log and in the answer's `X-Request-Id`. */
  request(): string;
};

export type LogFields = Record<
  string,
  string | number | boolean | null | undefined
>;

/** Structured log. Fields are an allow-list by their writers: no token, argument or result ever goes in. */
export type Log = {
  debug(event: string, fields?: LogFields & OwnFields): void;
  info(event: string, fields?: LogFields & OwnFields): void;
  warn(event: string, fields?: LogFields & OwnFields): void;
  error(event: string, fields?: LogFields & OwnFields): void;
};

/** What every line has of its own; a second one of the name would hide it. */
type OwnFields = { level?: never; time?: never; event?: never };

export type OutboundOptions = {
  method?: string;
  /** `Host` and those of the connection are not the caller's to say, and left out. */
  headers?: Record<string, string>;
  body?: string;
  /** Ends it, also while the body is read; its reason is what is thrown then. */
  signal?: AbortSignal;
  /** Until the headers of the answer, in ms; half a minute unless said. */
  timeoutMs?: number;
  /**
   * Of the body as it is read, decompressed: 8 MiB unless said, and two minutes for all of it. Null for no limit of
   * either kind, on a stream that its reader watches, and cancels in the end.
   */
  maxBytes?: number | null;
  /**
   * How many redirects are followed: within the same origin, GET only, each checked anew, and without any header that
   * may be a credential. None by default. One that is not followed is the answer.
   */
  redirects?: number;
  /** `https:` only, but for hosts that the operator has allowed. */
  secure?: boolean;
};

/**
 * The only way to a URL that somebody typed or a server named: `https:`, and `http:` as well, because servers on a
 * private network seldom have certificates; who sends what must not be overheard checks for that first. Every address
 * that the host has is checked, and the connection goes to one that was. Throws `invalid` (with `data.reason`
 * "blocked_destination" and the same words whatever the reason) for what may not be reached, `timeout`, or
 * `upstream_failed` with `data.reason` "unreachable", "certificate", "protocol" or "upstream_too_large"; reading the
 * body throws the last two as well.
 */
export type OutboundFetch = (
  url: string,
  options?: OutboundOptions,
) => Promise<Response>;

/**
 * Whether a URL could be asked for as things are: resolves its host and connects to nothing. Throws what
 * {@link OutboundFetch} throws for what may not be reached; a name that cannot be resolved at present passes.
 */
export type OutboundCheck = (
  url: string,
  options?: Pick<OutboundOptions, "secure">,
) => Promise<void>;

/** Seals what is secret at rest with AES-256-GCM. */
export type Vault = {
  /** `context`: what it belongs to (table, row, member, column); opened with the same only. */
  seal(plain: string, context: readonly (string | number)[]): string;
  /** Throws `internal` when it was sealed for something else, changed, or with a key that is not known. */
  open(sealed: string, context: readonly (string | number)[]): string;
  /** Which key sealed it: true for one that is to be replaced. */
  outdated(sealed: string): boolean;
  /** A keyed digest (HMAC-SHA-256, base64url) with a key of its own for each purpose. Another after a change of keys. */
  mac(purpose: string, text: string): string;
};
