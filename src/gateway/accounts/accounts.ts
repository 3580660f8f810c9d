import { readChallenge, uniteScopes } from "../../core/challenge.ts";
import { GatewayError, describeError } from "../../core/errors.ts";
import type { OAuthClient } from "../../core/oauth.ts";
import type { Principal } from "../../core/principal.ts";
import type { Clock, Ids, Log, Vault } from "../../core/runtime.ts";
import type {
  SharedSecret,
  Upstream,
  UpstreamAccess,
  UpstreamAccounts,
  UpstreamOAuth,
  UpstreamStore,
} from "../../core/upstream.ts";
import type { Connecting } from "./connecting.ts";
import { createConnecting } from "./connecting.ts";
import type { Member } from "./grant.ts";
import { createSeals, isDue, withoutKey } from "./grant.ts";
import { neededError } from "./needed.ts";
import type { Registering } from "./registering.ts";
import { createRegistering, takesAPerson } from "./registering.ts";
import type { Held } from "./renewals.ts";
import { createRenewals } from "./renewals.ts";
import { createSingleFlight } from "../single-flight.ts";

/** How members are let in at registered servers, and how they get there. */
export type Accounts = UpstreamAccounts &
  UpstreamOAuth &
  Connecting &
  Pick<Registering, "redirectUrl"> & {
    /** What is kept of a member's own token; null for none. */
    sealOwnToken(
      upstream: Upstream,
      subject: string,
      token: string | null,
    ): string | null;
    /** What is kept of the secret that everybody's requests carry. */
    sealShared(upstream: Pick<Upstream, "uuid">, secret: SharedSecret): string;
  };

export type AccountsOptions = {
  upstreams: UpstreamStore;
  vault: Vault;
  oauth: OAuthClient;
  clock: Clock;
  ids: Ids;
  log: Log;
  /** Our address as browsers see it, without a slash at its end. */
  baseUrl: () => string;
  /** The URL of our client metadata; null when authorization servers cannot fetch it. */
  clientIdUrl: () => string | null;
};

/** A renewed token that is refused so soon was not the problem. */
const FRESH_MS = 60_000;
/** How exactly it is known when a credential was last used. */
const USED_MS = 600_000;
/** Within which authorizations for more scopes count as one after the other, and how many there are at most. */
const ROUNDS_MS = 600_000;
const MAX_ROUNDS = 3;

export function createAccounts(options: AccountsOptions): Accounts {
  const { upstreams, oauth, clock, log } = options;
  const seals = createSeals(options.vault);
  const registering = createRegistering({ ...options, seals });
  const connecting = createConnecting({ ...options, seals, registering });
  const renewals = createRenewals({
    upstreams,
    oauth,
    seals,
    clock,
    log,
    needed,
    forgetClient: registering.forgetClient,
  });
  const once = createSingleFlight<true>();

  /** What the member has to do; on our own origin only. */
  function needed(
    upstream: Upstream,
    member: Member,
    code: "mcp_auth_required" | "mcp_auth_expired",
    message?: string,
  ): GatewayError {
    const authorizeUrl = () => connecting.authorizeUrl(upstream, member);
    return neededError(upstream, code, authorizeUrl, message);
  }

  /** One secret for everybody, or none. */
  function sharedAccess(upstream: Upstream, member: Member): UpstreamAccess {
    let opened: SharedSecret | null = null;
    const secret = () => {
      try {
        return (opened ??= seals.shared(upstream));
      } catch (cause) {
        log.error("credential tampered", {
          workspace: upstream.workspace,
          server: upstream.slug,
          reason: describeError(cause),
        });
        throw needed(upstream, member, "mcp_auth_required", toBeSetAgain);
      }
    };
    return {
      env: () => secret().env ?? {},
      headers: async () => sharedHeaders(upstream, secret()),
      refused: async ({ status }) => {
        if (status === 403) throw forbidden(upstream);
        const message =
          upstream.authType === "none" ? asksForMore : toBeSetAgain;
        throw needed(upstream, member, "mcp_auth_required", message);
      },
    };
  }

  /** The member's own token, or no more than that they have connected. */
  function directAccess(upstream: Upstream, member: Member): UpstreamAccess {
    const { subject } = member;
    function token(): string | null {
      const credential = upstreams.credential(upstream.id, subject);
      if (credential === null || credential.status !== "active") {
        const expired = credential?.status === "expired";
        const code = expired ? "mcp_auth_expired" : "mcp_auth_required";
        throw needed(upstream, member, code);
      }
      touch(credential);
      if (credential.sealed === null) return null;
      try {
        return seals.ownToken(upstream, credential.sealed, subject).token;
      } catch (cause) {
        log.error("credential tampered", {
          workspace: upstream.workspace,
          server: upstream.slug,
          user: subject,
          reason: describeError(cause),
        });
        throw needed(upstream, member, "mcp_auth_required");
      }
    }
    return {
      env: () => seals.shared(upstream).env ?? {},
      async headers() {
        const own = token();
        return own === null ? {} : { authorization: `Bearer ${own}` };
      },
      async refused({ status, headers }) {
        if (status === 403) throw forbidden(upstream);
        const sent = bearerOf(headers);
        if (sent === null) {
          throw needed(upstream, member, "mcp_auth_required");
        }
        if (token() !== sent) return true;
        await upstreams.editCredential(upstream.id, subject, (current) =>
          current?.status === "active"
            ? { ...withoutKey(current), status: "expired" }
            : null,
        );
        throw needed(upstream, member, "mcp_auth_expired");
      },
    };
  }

  /** The member's own grant, and no other's. */
  function oauthAccess(upstream: Upstream, member: Member): UpstreamAccess {
    const { subject } = member;

    async function current(): Promise<Held> {
      const held = renewals.held(upstream, member);
      const { credential, grant } = held;
      const now = clock.now();
      if (!isDue(grant, credential.expiresAt, now)) return held;
      const over = credential.expiresAt! <= now;
      if (grant.refreshToken === null && !over) return held;
      try {
        return await renewals.renew(
          upstream,
          member,
          grant.accessToken!,
          false,
        );
      } catch (error) {
        const passes =
          error instanceof GatewayError && error.code !== "needs_authorization";
        // Early enough: what it holds is good for a moment yet.
        if (passes && !over) return held;
        throw error;
      }
    }

    async function renewRefused(
      sent: string,
      challenge: string | null,
    ): Promise<true> {
      const held = renewals.held(upstream, member);
      const { grant } = held;
      if (grant.accessToken !== sent) return true;
      const { resourceMetadata } = readChallenge(challenge);
      const why = (await moved(resourceMetadata))
        ? "the server has another authorization server"
        : grant.afterRefusal && clock.now() - grant.obtainedAt < FRESH_MS
          ? "a fresh token was refused"
          : null;
      if (why !== null) {
        await renewals.expire(upstream, held, why);
        throw needed(upstream, member, "mcp_auth_expired");
      }
      await renewals.renew(upstream, member, sent, true);
      return true;
    }

    /** True when the server names other authorization servers than the one that we are registered with. */
    async function moved(resourceMetadata: string | null): Promise<boolean> {
      const now = upstreams.find(upstream.workspace, upstream.id);
      const server = now && seals.registration(now)?.found?.server;
      const named = await oauth
        .authorizationServers(upstream.url, resourceMetadata)
        .catch(() => null);
      return !!server && named !== null && !named.includes(server.url);
    }

    /** The server wants more than was granted: the member is asked for all of it together, three times at most. */
    async function stepUp(asked: string[]): Promise<never> {
      const { credential, grant } = renewals.held(upstream, member);
      const now = clock.now();
      const late = now - grant.authorizedAt > ROUNDS_MS;
      const rounds = late ? 1 : grant.rounds;
      if (rounds >= MAX_ROUNDS) {
        log.warn("authorization does not help", {
          workspace: upstream.workspace,
          server: upstream.slug,
          user: subject,
        });
        throw new GatewayError(
          "forbidden",
          `${upstream.name} asks for more permissions again and again, although they were granted. Ask its operator which ones this needs.`,
          { data: { reason: "insufficient_scope" } },
        );
      }
      const wanted = uniteScopes(grant.scopes, asked);
      const sealed = seals.sealGrant(
        upstream,
        { ...grant, wanted, rounds },
        subject,
      );
      await upstreams.editCredential(upstream.id, subject, (latest) =>
        latest?.version === credential.version
          ? { ...withoutKey(latest), sealed }
          : null,
      );
      throw needed(upstream, member, "mcp_auth_required", asksForMoreScopes);
    }

    return {
      env: () => ({}),
      async headers() {
        const { credential, grant } = await current();
        touch(credential);
        return { authorization: `Bearer ${grant.accessToken}` };
      },
      async refused({ status, challenge, headers }) {
        const sent = bearerOf(headers) ?? "";
        if (status === 403) {
          const { error, scopes } = readChallenge(challenge);
          if (error !== "insufficient_scope") throw forbidden(upstream);
          const { grant } = renewals.held(upstream, member);
          return grant.accessToken === sent ? stepUp(scopes) : true;
        }
        return once(`${upstream.id}\u0000${subject}\u0000${sent}`, () =>
          renewRefused(sent, challenge),
        );
      },
    };
  }

  /** Not while a refresh is under way, which counts on the version. */
  function touch({ serverId, subject, lastUsedAt }: Held["credential"]): void {
    const now = clock.now();
    if (now - (lastUsedAt ?? 0) < USED_MS) return;
    upstreams
      .editCredential(serverId, subject, (current) =>
        current === null ||
        current.refreshingAt !== null ||
        now - (current.lastUsedAt ?? 0) < USED_MS
          ? null
          : { ...withoutKey(current), lastUsedAt: now },
      )
      .catch((error: unknown) =>
        log.warn("last use not stored", { reason: describeError(error) }),
      );
  }

  return {
    ...connecting,
    configure: registering.configure,
    disconnect: registering.disconnect,
    redirectUrl: registering.redirectUrl,
    discover: oauth.discover,
    prepare: (upstream) =>
      registering.prepare(upstream).then(
        () => true,
        (error: unknown) => {
          if (takesAPerson(error)) return false;
          throw error;
        },
      ),
    sealOwnToken: seals.sealOwnToken,
    sealShared: seals.sealShared,
    access(upstream: Upstream, principal: Principal) {
      const { workspace, subject, name } = principal;
      // The principal holds the caller's own token, which no server is shown.
      const member = { workspace, subject, name };
      if (upstream.authType === "oauth") return oauthAccess(upstream, member);
      return upstream.authType === "direct_auth"
        ? directAccess(upstream, member)
        : sharedAccess(upstream, member);
    },
  };
}

const asksForMoreScopes =
  "This server needs more permissions than you have granted; connect again";
const toBeSetAgain =
  "The server does not accept the stored credentials; an administrator has to set them again";
const asksForMore =
  "The server requires authorization; an administrator has to set it up";

function sharedHeaders(
  { authType }: Upstream,
  { token, header, headers }: SharedSecret,
): Record<string, string> {
  if (authType === "bearer" && token !== undefined) {
    return { authorization: `Bearer ${token}` };
  }
  if (authType === "api_key" && token !== undefined) {
    return { [header ?? "X-API-Key"]: token };
  }
  return authType === "headers" ? { ...headers } : {};
}

function bearerOf(headers: Record<string, string>): string | null {
  const found = Object.entries(headers).find(
    ([name]) => name.toLowerCase() === "authorization",
  );
  return found ? found[1].replace(/^Bearer /, "") : null;
}

function forbidden({ name }: Upstream): GatewayError {
  return new GatewayError(
    "forbidden",
    `${name} does not permit this with the credentials that it was given.`,
    { data: { reason: "upstream_forbidden" } },
  );
}
