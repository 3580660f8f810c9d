import type { Cause } from "./journal.ts";
import type { Identity, Scope } from "./principal.ts";

/** A credential for programs: long-lived, with a scope, and gone the moment it is revoked. */
export type ApiKey = Identity & {
  /** Public part of the key, 8 of `A-Za-z0-9`. */
  id: string;
  name: string;
  scope: Scope;
  /** The member who made it; null for who runs commands on the machine. */
  createdBy: string | null;
  /** The key that it was made with, which it does not outlive; null when it was made otherwise. */
  createdWith: string | null;
  createdAt: number;
  /** Null: never. */
  expiresAt: number | null;
  /** To the minute. */
  lastUsedAt: number | null;
  revokedAt: number | null;
};

/** What has a `cause` is in the journal. Each method that writes is one transaction and resolves after it is on disk. */
export type ApiKeyStore = {
  /** Also a key that has ended. As it is now, whoever changed it. `hash`: SHA-256 of its secret part. */
  find(id: string): (ApiKey & { hash: string }) | null;
  /** The newest first; those of one member, or of all. */
  list(workspace: string, subject: string | null): ApiKey[];
  /**
   * Also forgets the member's keys that ended before `endedBefore`. Throws `conflict` when the id is taken, or the
   * member has `most` keys already, and `unauthenticated` when the key that it was made with has been revoked.
   */
  create(
    key: ApiKey & { hash: string },
    limits: { most: number; endedBefore: number },
    cause?: Cause,
  ): Promise<void>;
  /**
   * With all that were made with it, and with those. A key that was revoked before keeps its time. Null when the
   * workspace has none of that id.
   */
  revoke(
    workspace: string,
    id: string,
    at: number,
    cause?: Cause,
  ): Promise<ApiKey | null>;
  used(id: string, at: number): Promise<void>;
};
