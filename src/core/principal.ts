import { z } from "zod";
import { GatewayError } from "./errors.ts";
import type { TraceContext } from "./trace.ts";

/** Whose things these are: sessions, chats, events and catalogues belong to exactly one identity. */
export type Identity = {
  workspace: string;
  subject: string;
};

export const scopes = ["apps:read", "apps:write", "apps:admin"] as const;
/** What somebody may do with registered servers; each includes those before it. */
export type Scope = (typeof scopes)[number];

/** True when `held` includes `needed`. */
export function permits(held: Scope | null, needed: Scope): boolean {
  return held !== null && scopes.indexOf(held) >= scopes.indexOf(needed);
}

/** Throws `forbidden`, with what is missing as its data. */
export function requireScope(principal: Principal, needed: Scope): void {
  if (permits(principal.scope, needed)) return;
  throw new GatewayError(
    "forbidden",
    `This takes the scope ${needed}, and the credential has ${principal.scope ?? "none"}. Use an API key that has it, or have the operator raise TOKEN_SCOPES.`,
    { data: { reason: "missing_scope", required: needed } },
  );
}

/** Who is asking, verified, for the duration of one request. Never stored; a session outlives many of them. */
export type Principal = Identity & {
  /** Display name from the token, for logs and the demo. */
  name: string | null;
  /** What it was verified by; `operator`: who runs commands on this machine. */
  method: "membrane" | "api_key" | "operator";
  /** Of the API key that it was verified by. */
  keyId?: string;
  /** Given by configuration or with an API key, never by a claim of the caller. */
  scope: Scope | null;
  /** The credential to use toward Membrane, and nobody else; null when there is none. Never logged, never stored. */
  token: string | null;
  /** Milliseconds since the epoch, or null for a credential without expiry. */
  expiresAt: number | null;
  /** The gateways that the request has come through, the first one first. */
  via?: readonly string[];
  /** What the log and the journal know the request by. */
  request?: { id: string };
  /** Where in a trace the request stands; what it causes goes on from there. */
  trace?: TraceContext;
};

/** Verifies a credential of one kind and says whose it is. */
export type Authenticator = {
  /**
   * Throws `unauthenticated` for one that does not verify, `upstream_failed` or `timeout`
   * when who it belongs to cannot be learned at present (fail closed), `rate_limited` when
   * `address` has presented too many bad ones.
   */
  verify(credential: string, address: string | null): Promise<Principal>;
};

/** Counts the bad credentials of each address, of whatever kind. */
export type FailureLimit = {
  failed(address: string | null): void;
  /** `rate_limited` for an address that has presented too many, else null. */
  refusal(address: string | null): GatewayError | null;
};

/** A subject or workspace key: 1–256 printable characters. */
export const identityPart = z
  .string()
  .min(1)
  .max(256)
  // Control characters, the bidirectional overrides that make a log line lie, and halves of characters: as UTF-8, in
  // the database, these are all the same.
  .regex(
    /^[^\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]+$/u,
    "has characters that cannot be printed",
  );

/** A key for maps and caches. The separator cannot occur in either part. */
export function identityKey(who: Identity): string {
  return `${who.workspace}\u0000${who.subject}`;
}

/** True when both are the same identity. */
export function sameIdentity(a: Identity, b: Identity): boolean {
  return a.workspace === b.workspace && a.subject === b.subject;
}
