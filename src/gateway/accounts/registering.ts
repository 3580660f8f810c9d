import { GatewayError } from "../../core/errors.ts";
import type {
  Authorization,
  OAuthClient,
  OAuthParty,
} from "../../core/oauth.ts";
import type { Clock } from "../../core/runtime.ts";
import type {
  ManualClient,
  OAuthRegistration,
  Upstream,
  UpstreamOAuth,
  UpstreamStore,
} from "../../core/upstream.ts";
import type { Grant, Seals, SealedRegistration } from "./grant.ts";
import { createSingleFlight } from "../single-flight.ts";

/** A server that is authorized for, and who it is that asks. */
export type Prepared = OAuthParty & { upstream: Upstream; scopes: string[] };

/** Us, as the authorization servers of registered servers know us. */
export type Registering = {
  /**
   * Finds who authorizes for the server, and registers us there unless we are. Throws `conflict` with `data.reason`
   * "registration_required" where a client has to be registered by hand, and `upstream_failed` or `timeout`.
   */
  prepare(upstream: Upstream): Promise<Prepared>;
  configure: UpstreamOAuth["configure"];
  /** The authorization server does not know us any more: the next authorization registers anew. */
  forgetClient(upstream: Upstream, clientId: string): Promise<void>;
  disconnect: UpstreamOAuth["disconnect"];
  /** Where browsers come back to, for every server and workspace. */
  redirectUrl(): string;
};

/** For the revocation of all tokens of a server. */
const REVOKE_MS = 10_000;
const REVOKE_AT_ONCE = 8;

type Registered = { shown: OAuthRegistration; sealed: SealedRegistration };

export function createRegistering(options: {
  upstreams: UpstreamStore;
  oauth: OAuthClient;
  seals: Seals;
  clock: Clock;
  /** Our address as browsers see it, without a slash at its end. */
  baseUrl: () => string;
  /** The URL of our client metadata; null when authorization servers cannot fetch it. */
  clientIdUrl: () => string | null;
}): Registering {
  const { upstreams, oauth, seals, clock, clientIdUrl } = options;
  const once = createSingleFlight<Prepared>();
  const redirectUrl = () => `${options.baseUrl()}/oauth/callback`;

  async function prepare({ workspace, id }: Upstream): Promise<Prepared> {
    const upstream = upstreams.find(workspace, id);
    if (upstream === null) throw goneError();
    const known = seals.registration(upstream);
    const found = await oauth.find(
      upstream.url,
      known?.found?.server.url ?? null,
    );
    const scopesSet = known?.scopesSet ?? false;
    if (scopesSet) found.scopes = upstream.oauth?.scopes ?? [];
    const registered =
      keep(upstream, known, found) ?? (await registerFor(upstream, found));
    const edit = {
      oauth: registered.shown,
      sealedOauth: seals.sealRegistration(upstream, {
        ...registered.sealed,
        scopesSet,
      }),
    };
    let stored = false;
    const after = await upstreams.edit(
      id,
      (current) => {
        // Another process may have registered us, or an administrator moved the server.
        stored =
          current.url === upstream.url &&
          current.oauth?.clientId === upstream.oauth?.clientId;
        return stored ? edit : null;
      },
      clock.now(),
    );
    if (after === null) throw goneError();
    if (!stored) throw changedError(upstream);
    const { shown, sealed } = registered;
    return {
      upstream: after,
      server: found.server,
      resource: found.resource,
      client: { ...sealed, clientId: shown.clientId! },
      scopes: shown.scopes,
    };
  }

  /** Our registration, with what is found now; null when it is none that this authorization server knows. */
  function keep(
    upstream: Upstream,
    known: SealedRegistration | null,
    found: Authorization,
  ): Registered | null {
    const shown = upstream.oauth;
    if (!shown?.clientId || known === null) return null;
    const { issuer } = found.server;
    const sealed = { ...known, found };
    if (shown.registration === "manual") {
      if (shown.issuer !== null && shown.issuer !== issuer) {
        throw new GatewayError(
          "conflict",
          `${upstream.name} has another authorization server now, ${found.server.url}. Register a client there by hand, and give its client id and secret.`,
          { data: { reason: "registration_required" } },
        );
      }
      return { shown: { ...shown, issuer, scopes: found.scopes }, sealed };
    }
    const good =
      shown.issuer === issuer &&
      (known.secretExpiresAt ?? Infinity) > clock.now() &&
      (shown.registration === "cimd"
        ? found.server.clientIdDocuments && shown.clientId === clientIdUrl()
        : known.redirectUrl === redirectUrl());
    return good ? { shown: { ...shown, scopes: found.scopes }, sealed } : null;
  }

  async function registerFor(
    upstream: Upstream,
    found: Authorization,
  ): Promise<Registered> {
    try {
      return await register(found);
    } catch (error) {
      if (upstream.oauth?.clientId || !takesAPerson(error)) throw error;
      const { issuer } = found.server;
      const { scopes } = found;
      await upstreams.edit(
        upstream.id,
        (current) =>
          current.oauth?.clientId || current.oauth?.issuer === issuer
            ? null
            : { oauth: { ...nobody, issuer, scopes } },
        clock.now(),
      );
      throw error;
    }
  }

  /** By the document about us where that will do, else dynamically (MCP: basic/authorization). */
  async function register(found: Authorization): Promise<Registered> {
    const { server, scopes } = found;
    const { issuer } = server;
    const documentUrl = clientIdUrl();
    if (server.clientIdDocuments && documentUrl !== null) {
      return {
        shown: {
          issuer,
          clientId: documentUrl,
          registration: "cimd",
          scopes,
          hasClientSecret: false,
        },
        sealed: {
          clientSecret: null,
          authMethod: "none",
          secretExpiresAt: null,
          redirectUrl: null,
          scopesSet: false,
          found,
        },
      };
    }
    const asked = { redirectUrl: redirectUrl(), scopes };
    const { clientId, ...secret } = await oauth.register(server, asked);
    return {
      shown: {
        issuer,
        clientId,
        registration: "dcr",
        scopes,
        hasClientSecret: secret.clientSecret !== null,
      },
      sealed: {
        ...secret,
        redirectUrl: asked.redirectUrl,
        scopesSet: false,
        found,
      },
    };
  }

  async function revokeAll(upstream: Upstream): Promise<void> {
    const registration = seals.registration(upstream);
    const clientId = upstream.oauth?.clientId;
    if (!registration?.found || !clientId) return;
    const { server, resource } = registration.found;
    const party = { server, resource, client: { ...registration, clientId } };
    const tokens = upstreams
      .credentials(upstream.id)
      .map(({ subject, sealed }) => readGrant(seals, upstream, subject, sealed))
      .flatMap((grant) => revocable(grant, party));
    const next = async (): Promise<void> => {
      for (let token = tokens.pop(); token; token = tokens.pop()) {
        await oauth.revoke(party, token).catch(() => {});
      }
    };
    await Promise.race([
      Promise.all(Array.from({ length: REVOKE_AT_ONCE }, next)),
      Bun.sleep(REVOKE_MS).then(() => tokens.splice(0)),
    ]);
  }

  return {
    redirectUrl,
    prepare: (upstream) => once(String(upstream.id), () => prepare(upstream)),
    async configure(upstream, client, cause) {
      let replaced = false;
      const after = await upstreams.edit(
        upstream.id,
        (current) => {
          const { shown, sealed } = byHand(
            current.oauth,
            seals.registration(current),
            client,
          );
          replaced = shown.clientId !== (current.oauth?.clientId ?? null);
          return {
            oauth: shown,
            sealedOauth: seals.sealRegistration(current, sealed),
          };
        },
        clock.now(),
        cause,
      );
      if (after !== null && replaced) {
        await upstreams.removeCredentials(upstream.id, cause);
      }
    },
    async forgetClient(upstream, clientId) {
      await upstreams.edit(
        upstream.id,
        ({ oauth: shown }) =>
          shown?.clientId === clientId && shown.registration === "dcr"
            ? { oauth: null, sealedOauth: null }
            : null,
        clock.now(),
      );
    },
    async disconnect(upstream, cause) {
      // What cannot be revoked is forgotten all the same.
      await revokeAll(upstream).catch(() => {});
      await upstreams.removeCredentials(upstream.id, cause);
      await upstreams.edit(
        upstream.id,
        ({ oauth: shown, sealedOauth }) =>
          shown === null && sealedOauth === null
            ? null
            : { oauth: null, sealedOauth: null },
        clock.now(),
        cause,
      );
    },
  };
}

const nobody = {
  clientId: null,
  registration: null,
  hasClientSecret: false,
} as const;

/** True for what {@link Registering.prepare} throws when a client has to be registered by hand. */
export function takesAPerson(error: unknown): boolean {
  return (
    error instanceof GatewayError &&
    error.data?.["reason"] === "registration_required"
  );
}

/** A registration with what somebody has set of it; another client is one that nobody has vouched for yet. */
function byHand(
  shown: OAuthRegistration | null,
  sealed: SealedRegistration | null,
  { clientId: given, clientSecret, scopes }: ManualClient,
): Registered {
  const clientId = given ?? shown?.clientId ?? null;
  const same = clientId === (shown?.clientId ?? null);
  const kept = same ? sealed : null;
  const secret =
    clientSecret === undefined ? (kept?.clientSecret ?? null) : clientSecret;
  const manual = clientId !== null && (!same || clientSecret !== undefined);
  const set = scopes === undefined ? (sealed?.scopesSet ?? false) : true;
  return {
    shown: {
      issuer: same ? (shown?.issuer ?? null) : null,
      clientId,
      registration: manual ? "manual" : (shown?.registration ?? null),
      scopes: scopes ?? shown?.scopes ?? [],
      hasClientSecret: secret !== null,
    },
    sealed: {
      authMethod: manual ? null : (kept?.authMethod ?? null),
      secretExpiresAt: manual ? null : (kept?.secretExpiresAt ?? null),
      redirectUrl: kept?.redirectUrl ?? null,
      found: kept?.found ?? null,
      clientSecret: secret,
      scopesSet: set && (scopes ?? shown?.scopes ?? []).length > 0,
    },
  };
}

/** What a member holds; null for nothing, and for what cannot be opened: a new authorization takes its place. */
export function readGrant(
  seals: Seals,
  upstream: Upstream,
  subject: string,
  sealed: string | null | undefined,
): Grant | null {
  if (!sealed) return null;
  try {
    return seals.grant(upstream, sealed, subject);
  } catch {
    return null;
  }
}

/** The token that ends all of a grant, unless another client or authorization server gave it. */
function revocable(
  grant: Grant | null,
  { server, client }: OAuthParty,
): Parameters<OAuthClient["revoke"]>[1][] {
  const theirs =
    grant?.issuer === server.issuer && grant.clientId === client.clientId;
  if (!theirs) return [];
  if (grant.refreshToken !== null) {
    return [{ token: grant.refreshToken, hint: "refresh_token" }];
  }
  if (grant.accessToken === null) return [];
  return [{ token: grant.accessToken, hint: "access_token" }];
}

export function goneError(): GatewayError {
  return new GatewayError(
    "not_found",
    "The server is not registered any more.",
  );
}

export function changedError({ name }: Upstream): GatewayError {
  return new GatewayError(
    "conflict",
    `${name} was changed meanwhile. Begin again.`,
    { data: { reason: "server_changed" } },
  );
}
