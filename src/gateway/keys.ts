import type { ApiKey, ApiKeyStore } from "../core/api-key.ts";
import { GatewayError, describeError } from "../core/errors.ts";
import type {
  Authenticator,
  FailureLimit,
  Identity,
  Principal,
  Scope,
} from "../core/principal.ts";
import { permits, requireScope } from "../core/principal.ts";
import { causeOf } from "../core/journal.ts";
import type { Clock, Ids, Log } from "../core/runtime.ts";
import { makeApiKey, readApiKey } from "./api-key-text.ts";

const DAY_MS = 24 * 3600_000;
/** How long a key is good when nobody says otherwise. */
const TTL_MS = 90 * DAY_MS;
/** Keys of one member, with those that have ended and are not forgotten yet. */
const MOST = 100;
/** How long a key that has ended is still listed, at least. */
const KEPT_MS = 30 * DAY_MS;
/** How exactly the last use of a key is known. */
const USED_MS = 60_000;

export type KeyRequest = {
  name: string;
  scope: Scope;
  /** The member it acts as; the one who asks, unless said. */
  subject?: string;
  /** Null: never. Left out: 90 days, or as long as the key that it is made with. */
  expiresAt?: number | null;
};

/** API keys as their members and administrators see them: one's own take `apps:write`, those of others `apps:admin`. */
export type ApiKeys = {
  /**
   * The only time that the key itself is seen. Throws `forbidden` for a scope that is more than the caller's, or for
   * another member, `invalid` for an end that has passed, or is later than that of the key it is made with, `conflict`
   * when the member has too many.
   */
  mint(
    by: Principal,
    asked: KeyRequest,
  ): Promise<{ key: string; apiKey: ApiKey }>;
  /** The newest first; to an administrator all of the workspace's. */
  list(by: Principal): ApiKey[];
  /** With those that were made with it. Throws `not_found`, also for somebody else's. */
  revoke(by: Principal, id: string): Promise<ApiKey>;
};

export function createApiKeys(wiring: {
  store: ApiKeyStore;
  clock: Clock;
  ids: Pick<Ids, "random">;
}): ApiKeys {
  const { store, clock, ids } = wiring;
  const isAdmin = ({ scope }: Principal) => permits(scope, "apps:admin");
  return {
    async mint(by, asked) {
      const now = clock.now();
      const { name, scope, subject = by.subject } = asked;
      const latest =
        (by.method === "api_key" ? by.expiresAt : null) ?? Infinity;
      const { expiresAt = Math.min(now + TTL_MS, latest) } = asked;
      requireScope(by, subject === by.subject ? "apps:write" : "apps:admin");
      requireScope(by, scope);
      if (expiresAt !== null && expiresAt <= now) {
        throw new GatewayError(
          "invalid",
          "The key would have expired already. Name a time to come.",
        );
      }
      if ((expiresAt ?? Infinity) > latest) {
        throw new GatewayError(
          "invalid",
          `A key that is made with a key ends no later than that one, which ends at ${new Date(latest).toISOString()}. Name no later time, or none.`,
        );
      }
      const { id, secret, text } = makeApiKey(ids.random);
      const apiKey: ApiKey = {
        id,
        workspace: by.workspace,
        subject,
        name,
        scope,
        createdBy: by.method === "operator" ? null : by.subject,
        createdWith: by.keyId ?? null,
        createdAt: now,
        expiresAt,
        lastUsedAt: null,
        revokedAt: null,
      };
      await store.create(
        { ...apiKey, hash: hash(secret) },
        { most: MOST, endedBefore: now - KEPT_MS },
        causeOf(by),
      );
      return { key: text, apiKey };
    },
    list(by) {
      requireScope(by, "apps:write");
      return store.list(by.workspace, isAdmin(by) ? null : by.subject);
    },
    async revoke(by, id) {
      requireScope(by, "apps:write");
      const found = store.find(id);
      const theirs = found?.subject === by.subject || isAdmin(by);
      const revoked =
        found && theirs
          ? await store.revoke(by.workspace, id, clock.now(), causeOf(by))
          : null;
      if (revoked) return revoked;
      throw new GatewayError("not_found", "There is no such API key.");
    },
  };
}

/** Verifies API keys against the store, each time: one that is revoked is refused from the next request on. */
export function createKeyAuthenticator(wiring: {
  store: ApiKeyStore;
  clock: Clock;
  log: Log;
  limit: FailureLimit;
  /** When known, keys of other workspaces are refused. */
  workspaceKey: string | null;
  /** Makes what a member's calls carry toward Membrane; null when that cannot be made here. */
  membraneToken(who: Identity): Promise<string | null>;
}): Authenticator {
  const { store, clock, log, limit, workspaceKey } = wiring;

  function check(text: string): ApiKey {
    const read = readApiKey(text);
    if (!read) throw refused("it is mistyped, or cut off");
    const found = store.find(read.id);
    if (!found || !same(found.hash, hash(read.secret))) {
      throw refused("it is not known");
    }
    const { expiresAt, revokedAt, workspace } = found;
    if (revokedAt !== null) throw refused("it has been revoked");
    if (expiresAt !== null && clock.now() >= expiresAt) {
      throw refused("it has expired");
    }
    if (workspaceKey !== null && workspace !== workspaceKey) {
      throw refused("it belongs to another workspace");
    }
    return found;
  }

  // Whose use is being written down.
  const touching = new Set<string>();

  function touch({ id, lastUsedAt }: ApiKey): void {
    const now = clock.now();
    const known = lastUsedAt !== null && now - lastUsedAt < USED_MS;
    if (known || touching.has(id)) return;
    touching.add(id);
    store
      .used(id, now)
      .catch((error: unknown) => {
        log.warn("use of an API key not recorded", {
          key: id,
          reason: describeError(error),
        });
      })
      .finally(() => touching.delete(id));
  }

  return {
    async verify(text, address) {
      let found: ApiKey;
      try {
        found = check(text);
      } catch (error) {
        // A fault of the store is nobody's failure.
        if (!(error instanceof GatewayError)) throw error;
        const refusal = limit.refusal(address);
        limit.failed(address);
        throw refusal ?? error;
      }
      touch(found);
      const { id, workspace, subject, scope, expiresAt } = found;
      return {
        workspace,
        subject,
        name: null,
        method: "api_key",
        keyId: id,
        scope,
        token: await wiring.membraneToken({ workspace, subject }),
        expiresAt,
      };
    },
  };
}

function hash(secret: string): string {
  return new Bun.CryptoHasher("sha256").update(secret).digest("base64url");
}

/** In the same time, however much of them is. */
function same(a: string, b: string): boolean {
  const { timingSafeEqual } = process.getBuiltinModule("node:crypto");
  return (
    a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
  );
}

function refused(reason: string): GatewayError {
  return new GatewayError(
    "unauthenticated",
    `The API key is not accepted: ${reason}.`,
  );
}
