import type { AuthorizationServerMetadata } from "@modelcontextprotocol/client";
import { GatewayError } from "../../core/errors.ts";
import type {
  AuthorizationServer,
  OAuthClient,
  OAuthIdentity,
} from "../../core/oauth.ts";
import { clientMetadata } from "../../core/oauth.ts";
import type { OutboundFetch } from "../../core/runtime.ts";
import { createDiscovery } from "./oauth-discovery.ts";
import { fieldError, oauthFetch } from "./oauth-fetch.ts";
import { readTokens } from "./oauth-tokens.ts";

/** {@link OAuthClient} with the functions of the official client, which is loaded at first use. */
export function createOAuthClient(outbound: OutboundFetch): OAuthClient {
  const fetchFn = oauthFetch(outbound);

  return {
    ...createDiscovery(outbound),

    async register(server, { redirectUrl, scopes }) {
      const { registerClient } = await import("@modelcontextprotocol/client");
      if (server.registrationEndpoint === null) throw cannotRegister(server);
      const { authMethods } = server;
      const authMethod = ["client_secret_basic", "client_secret_post"].find(
        (method) => authMethods.includes(method),
      );
      try {
        const answer = await registerClient(server.url, {
          metadata: asMetadata(server),
          clientMetadata: {
            ...clientMetadata(redirectUrl),
            ...(authMethods.length === 0
              ? {}
              : { token_endpoint_auth_method: authMethod ?? "none" }),
          },
          ...(scopes.length > 0 ? { scope: scopes.join(" ") } : {}),
          fetchFn,
        });
        const expires = answer.client_secret_expires_at ?? 0;
        return {
          clientId: checkedId(answer.client_id),
          clientSecret: answer.client_secret ?? null,
          authMethod: answer.token_endpoint_auth_method ?? null,
          secretExpiresAt: expires > 0 ? expires * 1000 : null,
        };
      } catch (error) {
        if (isNamed(error, "RegistrationRejectedError")) {
          throw cannotRegister(server);
        }
        throw fieldError(error, "registration_endpoint", server.url);
      }
    },

    async begin({ server, client, resource }, asked) {
      const { startAuthorization } =
        await import("@modelcontextprotocol/client");
      try {
        const begun = await startAuthorization(server.url, {
          metadata: asMetadata(server),
          clientInformation: { client_id: client.clientId },
          redirectUrl: asked.redirectUrl,
          ...(asked.scopes.length > 0 ? { scope: asked.scopes.join(" ") } : {}),
          state: asked.state,
          resource,
        });
        return {
          url: begun.authorizationUrl.href,
          verifier: begun.codeVerifier,
        };
      } catch (error) {
        throw fieldError(error, "authorization_endpoint", server.url);
      }
    },

    async exchange({ server, client, resource }, asked) {
      const { exchangeAuthorization } =
        await import("@modelcontextprotocol/client");
      try {
        return readTokens(
          await exchangeAuthorization(server.url, {
            metadata: asMetadata(server),
            clientInformation: asInformation(client),
            authorizationCode: asked.code,
            codeVerifier: asked.verifier,
            redirectUri: asked.redirectUrl,
            resource,
            addClientAuthentication: authentication(server, client),
            fetchFn,
          }),
        );
      } catch (error) {
        throw tokenError(error, server);
      }
    },

    async refresh({ server, client, resource }, refreshToken) {
      const { refreshAuthorization } =
        await import("@modelcontextprotocol/client");
      try {
        return readTokens(
          await refreshAuthorization(server.url, {
            metadata: asMetadata(server),
            clientInformation: asInformation(client),
            refreshToken,
            resource,
            addClientAuthentication: authentication(server, client),
            fetchFn,
          }),
        );
      } catch (error) {
        throw tokenError(error, server);
      }
    },

    async revoke({ server, client }, { token, hint }) {
      if (server.revocationEndpoint === null) return;
      const headers = new Headers({
        "content-type": "application/x-www-form-urlencoded",
      });
      const params = new URLSearchParams({ token, token_type_hint: hint });
      await authentication(server, client)(headers, params);
      const response = await fetchFn(server.revocationEndpoint, {
        method: "POST",
        headers,
        body: params,
      });
      await response.body?.cancel();
      if (!response.ok) {
        throw new GatewayError(
          "upstream_failed",
          `The authorization server ${new URL(server.url).host} did not revoke a token.`,
        );
      }
    },
  };
}

/** Client authentication at the token endpoint; names and secrets are encoded as RFC 6749 §2.3.1 has it. */
function authentication(server: AuthorizationServer, client: OAuthIdentity) {
  return async (headers: Headers, params: URLSearchParams): Promise<void> => {
    const { selectClientAuthMethod } =
      await import("@modelcontextprotocol/client");
    const method = selectClientAuthMethod(
      asInformation(client),
      server.authMethods,
    );
    const { clientId, clientSecret } = client;
    if (method === "client_secret_basic" && clientSecret !== null) {
      const [name, secret] = [clientId, clientSecret].map(formEncoded);
      headers.set("authorization", `Basic ${btoa(`${name}:${secret}`)}`);
      return;
    }
    params.set("client_id", clientId);
    if (method === "client_secret_post" && clientSecret !== null) {
      params.set("client_secret", clientSecret);
    }
  };
}

function formEncoded(text: string): string {
  return new URLSearchParams({ "": text }).toString().slice(1);
}

function asInformation({ clientId, clientSecret, authMethod }: OAuthIdentity) {
  return {
    client_id: clientId,
    ...(clientSecret === null ? {} : { client_secret: clientSecret }),
    ...(authMethod === null ? {} : { token_endpoint_auth_method: authMethod }),
    // What the SDK takes for a full registration needs one.
    redirect_uris: [],
  };
}

function asMetadata(server: AuthorizationServer): AuthorizationServerMetadata {
  return {
    issuer: server.issuer,
    authorization_endpoint: server.authorizationEndpoint,
    token_endpoint: server.tokenEndpoint,
    response_types_supported: ["code"],
    code_challenge_methods_supported: ["S256"],
    token_endpoint_auth_methods_supported: server.authMethods,
    ...(server.registrationEndpoint === null
      ? {}
      : { registration_endpoint: server.registrationEndpoint }),
  };
}

function checkedId(id: string): string {
  if (/^[\x20-\x7e]{1,2048}$/.test(id)) return id;
  throw new TypeError("A client id is 1 to 2048 printable characters.");
}

function cannotRegister(server: AuthorizationServer): GatewayError {
  return new GatewayError(
    "conflict",
    `The authorization server ${new URL(server.url).host} registers no clients by itself. Register one there by hand, and give its client id and secret.`,
    { data: { reason: "registration_required" } },
  );
}

/** `invalid_grant` and `invalid_client` end a grant; all else may pass. */
function tokenError(error: unknown, server: AuthorizationServer): GatewayError {
  const code =
    isNamed(error, "OAuthError") && "code" in error ? error.code : null;
  const reason =
    code === "invalid_grant"
      ? code
      : code === "invalid_client" || code === "unauthorized_client"
        ? "invalid_client"
        : null;
  if (reason === null) return fieldError(error, "token_endpoint", server.url);
  return new GatewayError(
    "conflict",
    `The authorization server ${new URL(server.url).host} refuses ${reason === "invalid_grant" ? "the grant" : "this client"}.`,
    { data: { reason } },
  );
}

function isNamed(error: unknown, name: string): error is Error {
  return error instanceof Error && error.name === name;
}
