import { GatewayError, describeError } from "../../core/errors.ts";
import type { OAuthClient, OAuthParty } from "../../core/oauth.ts";
import type { Clock, Log } from "../../core/runtime.ts";
import type {
  Credential,
  Upstream,
  UpstreamStore,
} from "../../core/upstream.ts";
import type { Grant, Member, Seals } from "./grant.ts";
import { renewedGrant, withoutKey } from "./grant.ts";
import { createSingleFlight } from "../single-flight.ts";

/** A member's credential, opened. */
export type Held = { credential: Credential; grant: Grant };

export type Renewals = {
  /** What a member holds; throws `needs_authorization` when that is nothing to send. */
  held(upstream: Upstream, member: Member): Held;
  /**
   * New tokens in the place of `stale`, or those that somebody else has put there meanwhile. One request at a time for
   * each server and member, of all processes; one that a crash has cut off is tried once more.
   * Throws `needs_authorization` when the authorization server refuses, `upstream_failed` with when to come back while
   * another process may still be at it, and what the port throws when the authorization server is not there.
   */
  renew(
    upstream: Upstream,
    member: Member,
    stale: string,
    afterRefusal: boolean,
  ): Promise<Held>;
  /** The member has to authorize anew, unless somebody has changed the credential since. */
  expire(upstream: Upstream, held: Held, reason: string): Promise<void>;
};

/** After how long a refresh without an outcome was cut off: longer than a request may take. */
const LEASE_MS = 20_000;
/** How often another process is looked at that refreshes at present. */
const LOOK_MS = 50;
/** For how long: less than a connection may take, so that it is told what is waited for. */
const LOOKS_MS = 8_000;

export function createRenewals(options: {
  upstreams: UpstreamStore;
  oauth: Pick<OAuthClient, "refresh" | "revoke">;
  seals: Seals;
  clock: Clock;
  log: Log;
  needed(
    upstream: Upstream,
    member: Member,
    code: "mcp_auth_required" | "mcp_auth_expired",
  ): GatewayError;
  /** The authorization server does not know us any more. */
  forgetClient(upstream: Upstream, clientId: string): Promise<void>;
}): Renewals {
  const { upstreams, oauth, seals, clock, log, needed } = options;
  const once = createSingleFlight<Held>();

  function held(upstream: Upstream, member: Member): Held {
    const { subject } = member;
    const credential = upstreams.credential(upstream.id, subject);
    if (credential === null || credential.status === "revoked") {
      throw needed(upstream, member, "mcp_auth_required");
    }
    if (credential.status === "expired" || credential.sealed === null) {
      throw needed(upstream, member, "mcp_auth_expired");
    }
    try {
      const grant = seals.grant(upstream, credential.sealed, subject);
      return { credential, grant };
    } catch (cause) {
      log.error("credential tampered", {
        ...fieldsOf(upstream, subject),
        reason: describeError(cause),
      });
      throw needed(upstream, member, "mcp_auth_required");
    }
  }

  /** Who the tokens may be shown to; null when our registration is another one by now. */
  function partyOf(upstream: Upstream, grant: Grant): OAuthParty | null {
    const now = upstreams.find(upstream.workspace, upstream.id);
    const registration = now && seals.registration(now);
    const clientId = now?.oauth?.clientId;
    if (!registration?.found || clientId !== grant.clientId) return null;
    const { server, resource } = registration.found;
    if (server.issuer !== grant.issuer) return null;
    return { server, resource, client: { ...registration, clientId } };
  }

  async function edit(
    { credential: seen }: Held,
    change: Partial<Credential>,
  ): Promise<Credential | null> {
    let won = false;
    const after = await upstreams.editCredential(
      seen.serverId,
      seen.subject,
      (current) => {
        won = current?.version === seen.version;
        return won ? { ...withoutKey(current!), ...change } : null;
      },
    );
    return won ? after : null;
  }

  async function expire(
    upstream: Upstream,
    was: Held,
    reason: string,
  ): Promise<void> {
    const { subject } = was.credential;
    const empty = { ...was.grant, accessToken: null, refreshToken: null };
    const expired = await edit(was, {
      status: "expired",
      sealed: seals.sealGrant(upstream, empty, subject),
      refreshingAt: null,
    });
    if (expired === null) return;
    log.warn("authorization expired", {
      ...fieldsOf(upstream, subject),
      reason,
    });
  }

  async function run(
    upstream: Upstream,
    member: Member,
    stale: string,
    afterRefusal: boolean,
  ): Promise<Held> {
    const { subject } = member;
    const startedAt = clock.monotonic();
    for (;;) {
      const now = held(upstream, member);
      const { credential, grant } = now;
      if (grant.accessToken !== stale) return now;
      const { refreshingAt } = credential;
      if (refreshingAt !== null) {
        const age = clock.now() - refreshingAt;
        if (age >= 0 && age < LEASE_MS) {
          if (clock.monotonic() - startedAt >= LOOKS_MS) {
            throw busy(upstream, LEASE_MS - age);
          }
          await Bun.sleep(LOOK_MS);
          continue;
        }
      }
      const cutOff = refreshingAt !== null;
      const party = partyOf(upstream, grant);
      const hopeless =
        party === null
          ? "the registration has changed"
          : grant.refreshToken === null
            ? "there is no refresh token"
            : cutOff && grant.interrupted
              ? "it was cut off twice"
              : null;
      if (hopeless !== null) {
        await expire(upstream, now, hopeless);
        // Somebody else may have been faster.
        continue;
      }
      const marked = cutOff ? { ...grant, interrupted: true } : grant;
      const claimed = await edit(now, {
        refreshingAt: clock.now(),
        ...(cutOff
          ? { sealed: seals.sealGrant(upstream, marked, subject) }
          : {}),
      });
      if (claimed === null) continue;
      const mine = { credential: claimed, grant: marked };
      return send(upstream, member, party!, mine, afterRefusal);
    }
  }

  async function send(
    upstream: Upstream,
    member: Member,
    party: OAuthParty,
    mine: Held,
    afterRefusal: boolean,
  ): Promise<Held> {
    const { subject } = mine.credential;
    const stale = mine.grant.accessToken;
    let grant: Grant;
    let lifetimeMs: number | null;
    try {
      const tokens = await oauth.refresh(party, mine.grant.refreshToken!);
      grant = renewedGrant(mine.grant, tokens, afterRefusal, clock.now());
      ({ lifetimeMs } = tokens);
    } catch (error) {
      const reason = refusalOf(error);
      if (reason === null) {
        await edit(mine, { refreshingAt: null });
        throw error;
      }
      if (reason === "invalid_client") {
        await options.forgetClient(upstream, party.client.clientId);
      }
      // What somebody else has stored meanwhile is good, and stays.
      await expire(upstream, mine, reason);
      const after = held(upstream, member);
      if (after.grant.accessToken !== stale) return after;
      throw needed(upstream, member, "mcp_auth_expired");
    }
    const stored = await edit(mine, {
      status: "active",
      sealed: seals.sealGrant(upstream, grant, subject),
      refreshingAt: null,
      expiresAt: lifetimeMs === null ? null : grant.obtainedAt + lifetimeMs,
    });
    if (stored !== null) return { credential: stored, grant };
    const gone = upstreams.credential(upstream.id, subject) === null;
    if (gone && grant.refreshToken !== null) {
      // Disconnected while the request was on its way.
      await oauth
        .revoke(party, { token: grant.refreshToken, hint: "refresh_token" })
        .catch(() => {});
    }
    return held(upstream, member);
  }

  return {
    held,
    expire,
    renew: (upstream, member, stale, afterRefusal) =>
      once(`${upstream.id}\u0000${member.subject}`, () =>
        run(upstream, member, stale, afterRefusal),
      ),
  };
}

/** Another process renews it, or has been cut off when it did: the second is known only after a while. */
function busy({ name }: Upstream, retryAfterMs: number): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `The access to ${name} is being renewed, and that was perhaps cut off.`,
    {
      retryAfterMs,
      data: { failureClass: "auth", reason: "renewing" },
    },
  );
}

/** Why the authorization server will never renew it; null for what may pass. */
export function refusalOf(
  error: unknown,
): "invalid_grant" | "invalid_client" | null {
  const reason = error instanceof GatewayError ? error.data?.["reason"] : null;
  return reason === "invalid_grant" || reason === "invalid_client"
    ? reason
    : null;
}

function fieldsOf({ workspace, slug }: Upstream, subject: string) {
  return { workspace, server: slug, user: subject };
}
