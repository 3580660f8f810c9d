import type { OAuthDiscovery } from "./upstream.ts";

/** OAuth toward registered servers: what both ends of the port {@link OAuthClient} know. */

/** An authorization server, as far as a flow needs to know it. */
export type AuthorizationServer = {
  /** As the registered server names it. */
  url: string;
  /** Exactly as it calls itself. */
  issuer: string;
  /** False when it has no metadata: then its endpoints are those of revision 2025-03-26. */
  described: boolean;
  authorizationEndpoint: string;
  tokenEndpoint: string;
  registrationEndpoint: string | null;
  revocationEndpoint: string | null;
  /** How clients may authenticate; empty when it does not say. */
  authMethods: string[];
  /** Its answers always say whose they are (RFC 9207). */
  namesItself: boolean;
  /** A client may be known by the URL of its metadata. */
  clientIdDocuments: boolean;
};

/** How one registered server is authorized for. */
export type Authorization = {
  server: AuthorizationServer;
  /** RFC 8707: what tokens are asked for. */
  resource: string;
  /** To ask for when nothing else is known; empty for the authorization server's own choice. */
  scopes: string[];
};

/** Us, as an authorization server knows us. */
export type OAuthIdentity = {
  clientId: string;
  clientSecret: string | null;
  /** As it was agreed on at registration; null to take the best of what the server supports. */
  authMethod: string | null;
};

/** What a token endpoint gave, checked. */
export type Tokens = {
  accessToken: string;
  refreshToken: string | null;
  /** Null when they are those that were asked for. */
  scopes: string[] | null;
  /** From a minute to a day; null when it did not say. */
  lifetimeMs: number | null;
};

/** Which client, at which authorization server, for which resource. */
export type OAuthParty = {
  server: AuthorizationServer;
  client: OAuthIdentity;
  resource: string;
};

/**
 * The protocol, without memory. All of it throws `upstream_failed` or `timeout` when the other side fails, answers
 * nonsense or names what may not be reached; the message names the side and the field, and never shows its words.
 */
export type OAuthClient = {
  /** Rejects only when the URL itself may not be reached (`invalid`); what else goes wrong is its `error`. */
  discover(url: string): Promise<OAuthDiscovery>;
  /**
   * Finds who authorizes for the server, and what for. Of several authorization servers it takes `preferred` when
   * that is one of them, else the first.
   */
  find(url: string, preferred: string | null): Promise<Authorization>;
  /** The authorization servers that the server names at present; null when it names none. */
  authorizationServers(
    url: string,
    resourceMetadata: string | null,
  ): Promise<string[] | null>;
  /** Registers dynamically (RFC 7591). */
  register(
    server: AuthorizationServer,
    asked: { redirectUrl: string; scopes: string[] },
  ): Promise<OAuthIdentity & { secretExpiresAt: number | null }>;
  /** Where to send the member's browser, and the secret half of PKCE. */
  begin(
    party: OAuthParty,
    asked: { redirectUrl: string; scopes: string[]; state: string },
  ): Promise<{ url: string; verifier: string }>;
  /** Throws `conflict` with `data.reason` "invalid_grant" or "invalid_client" when it refuses, as does `refresh`. */
  exchange(
    party: OAuthParty,
    code: { code: string; verifier: string; redirectUrl: string },
  ): Promise<Tokens>;
  refresh(party: OAuthParty, refreshToken: string): Promise<Tokens>;
  /** RFC 7009. Does nothing where there is no endpoint for it. */
  revoke(
    party: OAuthParty,
    token: { token: string; hint: "access_token" | "refresh_token" },
  ): Promise<void>;
};

/** What we say of ourselves to authorization servers (RFC 7591 §2), by hand of theirs or in a document of ours. */
export function clientMetadata(redirectUrl: string) {
  const { protocol, hostname } = new URL(redirectUrl);
  const local =
    protocol === "http:" && /^(localhost|127\..*|\[::1\])$/.test(hostname);
  return {
    client_name: "membrane-mcp",
    redirect_uris: [redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    application_type: local ? ("native" as const) : ("web" as const),
  };
}
