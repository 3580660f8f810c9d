import type { Authorization, OAuthIdentity, Tokens } from "../../core/oauth.ts";
import type { Identity } from "../../core/principal.ts";
import type { Vault } from "../../core/runtime.ts";
import type { SealContext } from "../../core/sealed.ts";
import { sealContexts } from "../../core/sealed.ts";
import type {
  Credential,
  SharedSecret,
  Upstream,
} from "../../core/upstream.ts";

/** What is sealed with servers and credentials, and to what each of it belongs. */

/** Who is connected: the owner of what an authorization server grants. */
export type Member = Identity & { name: string | null };

/** What a member has been granted. */
export type Grant = {
  /** Null when there is nothing left to send. */
  accessToken: string | null;
  refreshToken: string | null;
  scopes: string[];
  /** Who granted it, and to which client: nobody else is ever shown it. */
  issuer: string;
  clientId: string;
  obtainedAt: number;
  authorizedAt: number;
  /** It was renewed because the server had refused the one before. */
  afterRefusal: boolean;
  /** A refresh of it was cut off once, its outcome unknown. */
  interrupted: boolean;
  /** To be asked for at the next authorization: the server wants more than was granted. */
  wanted: string[] | null;
  /** How many authorizations in a row, with this one, were made because the server wanted more. */
  rounds: number;
};

/** A member's own token for a server of `direct_auth`. */
export type OwnToken = { token: string };

/** What belongs to a registration beside what is shown of it. */
export type SealedRegistration = Omit<OAuthIdentity, "clientId"> & {
  /** In ms; null for never. */
  secretExpiresAt: number | null;
  /** Where browsers were said to come back to; null when nobody was told. */
  redirectUrl: string | null;
  /** The scopes to ask for were set by somebody, whatever is found. */
  scopesSet: boolean;
  /** What was found when the server was last authorized for; null before the first time. */
  found: Authorization | null;
};

/** A flow, between the browser's going and coming back. */
export type SealedFlow = {
  verifier: string;
  redirectUrl: string;
  client: OAuthIdentity;
  found: Authorization;
  /** Of the server when it began. */
  url: string;
  scopes: string[];
  /** Display name of the member. */
  name: string | null;
  /** {@link Grant.rounds} of what it will bring. */
  rounds: number;
};

/** Who may open what a link leads to, and until when. */
export type Ticket = {
  server: string;
  workspace: string;
  subject: string;
  name: string | null;
  expiresAt: number;
};

export type Seals = {
  shared(upstream: Upstream): SharedSecret;
  sealShared(upstream: Pick<Upstream, "uuid">, secret: SharedSecret): string;
  grant(upstream: Upstream, sealed: string, subject: string): Grant;
  sealGrant(upstream: Upstream, grant: Grant, subject: string): string;
  ownToken(upstream: Upstream, sealed: string, subject: string): OwnToken;
  sealOwnToken(
    upstream: Upstream,
    subject: string,
    token: string | null,
  ): string | null;
  registration(upstream: Upstream): SealedRegistration | null;
  sealRegistration(upstream: Upstream, sealed: SealedRegistration): string;
  flow(sealed: string, stateHash: string): SealedFlow;
  sealFlow(flow: SealedFlow, stateHash: string): string;
  /** Null when it is none of ours. */
  ticket(sealed: string): Ticket | null;
  sealTicket(ticket: Ticket): string;
};

/** All but `ticket` throw what the vault throws: `internal` for what was changed or belongs elsewhere. */
export function createSeals(vault: Vault): Seals {
  const shared = ({ uuid }: Pick<Upstream, "uuid">) =>
    sealContexts.serverSecret(uuid);
  const oauth = ({ uuid }: Upstream) => sealContexts.serverOauth(uuid);
  const member = ({ uuid }: Upstream, subject: string) =>
    sealContexts.credential(uuid, subject);
  const { oauthFlow: flow } = sealContexts;
  const ticket = ["oauth_tickets"];

  const open = <T>(sealed: string, context: SealContext) =>
    JSON.parse(vault.open(sealed, context)) as T;
  const seal = (value: object, context: SealContext) =>
    vault.seal(JSON.stringify(value), context);

  return {
    shared: (upstream) =>
      upstream.sealedSecret === null
        ? {}
        : open(upstream.sealedSecret, shared(upstream)),
    sealShared: (upstream, secret) => seal(secret, shared(upstream)),
    grant: (upstream, sealed, subject) =>
      open(sealed, member(upstream, subject)),
    sealGrant: (upstream, grant, subject) =>
      seal(grant, member(upstream, subject)),
    ownToken: (upstream, sealed, subject) =>
      open(sealed, member(upstream, subject)),
    sealOwnToken: (upstream, subject, token) =>
      token === null
        ? null
        : seal({ token } satisfies OwnToken, member(upstream, subject)),
    registration: (upstream) =>
      upstream.sealedOauth === null
        ? null
        : open(upstream.sealedOauth, oauth(upstream)),
    sealRegistration: (upstream, value) => seal(value, oauth(upstream)),
    flow: (sealed, stateHash) => open(sealed, flow(stateHash)),
    sealFlow: (value, stateHash) => seal(value, flow(stateHash)),
    ticket(sealed) {
      try {
        return open<Ticket>(sealed, ticket);
      } catch {
        return null;
      }
    },
    sealTicket: (value) => seal(value, ticket),
  };
}

/** What a member holds from now on. `asked`: the scopes that they were asked to grant. */
export function newGrant(
  tokens: Tokens,
  from: { issuer: string; clientId: string; asked: string[]; rounds: number },
  now: number,
): Grant {
  return {
    accessToken: tokens.accessToken,
    refreshToken: tokens.refreshToken,
    scopes: tokens.scopes ?? from.asked,
    issuer: from.issuer,
    clientId: from.clientId,
    obtainedAt: now,
    authorizedAt: now,
    afterRefusal: false,
    interrupted: false,
    wanted: null,
    rounds: from.rounds,
  };
}

/** The same grant with new tokens. What was not given anew stays (RFC 6749 §6). */
export function renewedGrant(
  grant: Grant,
  tokens: Tokens,
  afterRefusal: boolean,
  now: number,
): Grant {
  return {
    ...grant,
    accessToken: tokens.accessToken,
    refreshToken: tokens.refreshToken ?? grant.refreshToken,
    scopes: tokens.scopes ?? grant.scopes,
    obtainedAt: now,
    afterRefusal,
    interrupted: false,
  };
}

/** How long before its end a token is renewed; a fifth of its life when that is short. */
const EARLY_MS = 60_000;

/** True when it is to be renewed before it is sent. */
export function isDue(
  { obtainedAt }: Grant,
  expiresAt: number | null,
  now: number,
): boolean {
  if (expiresAt === null) return false;
  const early = Math.min(EARLY_MS, (expiresAt - obtainedAt) / 5);
  return now >= expiresAt - early;
}

/** A credential as a rule of the store returns it. */
export function withoutKey({
  serverId: _serverId,
  subject: _subject,
  version: _version,
  ...rest
}: Credential): Omit<Credential, "serverId" | "subject" | "version"> {
  return rest;
}
