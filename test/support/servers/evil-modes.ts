import type { ListMode } from "./evil-lists.ts";

/** How the server behaves. What is in braces are options, with what they are unless said. */
export type Mode =
  | ListMode
  /** As it should. */
  | "honest"
  // It takes its time.
  /** Never answers, or as it should after {until}. */
  | "hang"
  /** Lets connect, and reads nothing; everybody. */
  | "accept-and-hang"
  /** Stops in the middle of the headers. */
  | "hang-in-headers"
  /** The honest answer, a byte every {everyMs: 1000}. */
  | "drip"
  /** `100 Continue`, every {everyMs: 100}, and nothing else. */
  | "continue"
  // It says too much.
  /** A JSON body without an end. */
  | "never-ending"
  /** A right answer with {bytes: 1 GiB} of text in it. */
  | "huge-json"
  /** The same of {bytes: 200 MB}, in 200 KB of gzip. */
  | "gzip-bomb"
  /** One event whose line has no end. */
  | "endless-line"
  /** {count: 1,000,000} headers. */
  | "header-flood"
  /** {count: 10,000} notifications before the answer, or on the stream of a GET. */
  | "notification-flood"
  // It says nonsense.
  | "malformed-json"
  /** `null`. */
  | "not-jsonrpc"
  /** A page, as JSON-RPC endpoints of proxies do; {status: 200}. */
  | "html"
  | "empty"
  /** Closes the connection without an answer. */
  | "reset"
  /** Closes it in the middle of one. */
  | "cut"
  | "wrong-id"
  | "two-responses"
  | "result-and-error"
  /** A JSON value {count: 50,000} levels deep. */
  | "deep-json"
  /** Speaks only a revision that does not exist. */
  | "unknown-version"
  /** The session id is {value: 10 KB}; bytes are sent as they are. */
  | "session-id"
  /** Every session is unknown. */
  | "no-session"
  // Its lists.
  /** A next page, always; every tool is new. */
  | "endless-cursor"
  /** The same page again and again. */
  | "cursor-loop"
  /** After the first list, the descriptions are others. */
  | "rug-pull"
  // It leads elsewhere.
  /** {status: 307} to {to}. */
  | "redirect"
  /** 401 with {challenge}. */
  | "unauthorized"
  /** 403 with {challenge: insufficient_scope of "admin"}. */
  | "insufficient-scope"
  /** {status: 500} with {value} as its body. */
  | "status"
  /** HTTP+SSE: the stream says that messages go to {to}. */
  | "foreign-endpoint"
  /** A call answers with links to {to}. */
  | "foreign-links"
  // It talks out of turn.
  /** Requests to the client that belong to no call: on the stream of a GET, and before answers. */
  | "unasked-requests"
  /** A call sends the user to {to: javascript:…}. */
  | "url-elicitation"
  /** Up and down every {everyMs: 1000}. */
  | "flapping";

export type BehaviourOptions = {
  /**
   * What it is done to: JSON-RPC methods, `GET`, `DELETE`, `*` for all. Unless said: every request with an answer but
   * for those that connect (`initialize`, `server/discover`).
   */
  on?: string[];
  until?: Promise<void>;
  bytes?: number;
  count?: number;
  everyMs?: number;
  status?: number;
  to?: string;
  challenge?: string;
  value?: string;
};

/** A JSON-RPC message, as it came. */
export type Message = {
  id?: string | number;
  method?: string;
  params?: Record<string, any>;
  result?: unknown;
  error?: unknown;
};
