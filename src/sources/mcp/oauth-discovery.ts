import type {
  AuthorizationServerMetadata,
  FetchLike,
  OAuthProtectedResourceMetadata,
} from "@modelcontextprotocol/client";
import type { Challenge } from "../../core/challenge.ts";
import { readChallenge, uniteScopes } from "../../core/challenge.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Authorization, AuthorizationServer } from "../../core/oauth.ts";
import type { OutboundFetch } from "../../core/runtime.ts";
import type { OAuthDiscovery } from "../../core/upstream.ts";
import {
  authorizationServerUrl,
  canonicalResource,
  endpoint,
  resourceMetadataUrl,
} from "./oauth-endpoint.ts";
import { fieldError, oauthFetch, recording } from "./oauth-fetch.ts";

/**
 * Who authorizes for a server: RFC 9728, then RFC 8414 or OpenID Connect Discovery, and for servers of revision
 * 2025-03-26 the server's own origin.
 */
export type Discovery = {
  discover(url: string): Promise<OAuthDiscovery>;
  find(url: string, preferred: string | null): Promise<Authorization>;
  authorizationServers(
    url: string,
    resourceMetadata: string | null,
  ): Promise<string[] | null>;
};

type ResourceMetadata = {
  url: string;
  metadata: OAuthProtectedResourceMetadata;
};

const PING = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" });
const PROBE_TIMEOUT_MS = 15_000;

export function createDiscovery(outbound: OutboundFetch): Discovery {
  const fetchFn = oauthFetch(outbound);

  /** What the server answers to who brings nothing. */
  async function probe(
    url: string,
  ): Promise<{ required: boolean; challenge: Challenge }> {
    const ask = async (method: "POST" | "GET") => {
      const response = await outbound(url, {
        method,
        headers: {
          accept:
            method === "GET"
              ? "text/event-stream"
              : "application/json, text/event-stream",
          ...(method === "GET" ? {} : { "content-type": "application/json" }),
        },
        ...(method === "GET" ? {} : { body: PING }),
        timeoutMs: PROBE_TIMEOUT_MS,
      });
      await response.body?.cancel();
      return response;
    };
    let response = await ask("POST");
    // HTTP+SSE knows no POST there.
    if (response.status === 404 || response.status === 405) {
      response = await ask("GET");
    }
    return {
      required: response.status === 401,
      challenge: readChallenge(
        response.status === 401
          ? response.headers.get("www-authenticate")
          : null,
      ),
    };
  }

  async function resourceMetadata(
    url: string,
    named: string | null,
  ): Promise<ResourceMetadata | null> {
    const usable = resourceMetadataUrl(named, url);
    return (
      (usable === null ? null : await readMetadata(url, usable)) ??
      (await readMetadata(url, null))
    );
  }

  /** From where the server names it, or else from its well-known places; null when there is none. */
  async function readMetadata(
    url: string,
    named: string | null,
  ): Promise<ResourceMetadata | null> {
    const { discoverOAuthProtectedResourceMetadata: read } =
      await import("@modelcontextprotocol/client");
    const fetched = recording(fetchFn);
    try {
      const metadata = await read(
        url,
        named === null ? {} : { resourceMetadataUrl: named },
        fetched.fetch,
      );
      return { url: fetched.last()!.url, metadata };
    } catch (error) {
      const last = fetched.last();
      const absent =
        last !== null &&
        last.status < 500 &&
        (last.status !== 200 || !last.json);
      if (absent && !(error instanceof GatewayError)) return null;
      throw fieldError(error, "protected resource metadata", url);
    }
  }

  async function serverMetadata(
    url: string,
    fetching: FetchLike,
  ): Promise<AuthorizationServerMetadata | null> {
    const { discoverAuthorizationServerMetadata: read } =
      await import("@modelcontextprotocol/client");
    try {
      return (await read(url, { fetchFn: fetching })) ?? null;
    } catch (error) {
      throw fieldError(error, "authorization server metadata", url);
    }
  }

  /** `named`: by the server's metadata, and so bound to have metadata of its own. */
  async function authorizationServer(
    url: string,
    named: boolean,
  ): Promise<{
    server: AuthorizationServer;
    metadata: AuthorizationServerMetadata | null;
  }> {
    const metadata = await serverMetadata(url, fetchFn);
    if (metadata === null) {
      if (named) {
        throw new GatewayError(
          "upstream_failed",
          `The authorization server ${new URL(url).host} has no metadata (RFC 8414), without which it is not known to be safe.`,
          { data: { reason: "no_metadata" } },
        );
      }
      return { server: undescribed(url), metadata };
    }
    const optional = (field: string, text: unknown) =>
      typeof text === "string" ? endpoint(text, field, url) : null;
    return {
      metadata,
      server: {
        url,
        issuer: metadata.issuer,
        described: true,
        authorizationEndpoint: endpoint(
          metadata.authorization_endpoint,
          "authorization_endpoint",
          url,
        ),
        tokenEndpoint: endpoint(metadata.token_endpoint, "token_endpoint", url),
        registrationEndpoint: optional(
          "registration_endpoint",
          metadata.registration_endpoint,
        ),
        revocationEndpoint: optional(
          "revocation_endpoint",
          "revocation_endpoint" in metadata
            ? metadata.revocation_endpoint
            : undefined,
        ),
        authMethods: metadata.token_endpoint_auth_methods_supported ?? [],
        namesItself:
          metadata["authorization_response_iss_parameter_supported"] === true,
        clientIdDocuments:
          metadata.client_id_metadata_document_supported === true,
      },
    };
  }

  function listed(found: ResourceMetadata | null): string[] {
    return found?.metadata.authorization_servers ?? [];
  }

  return {
    async find(url, preferred) {
      const { challenge } = await probe(url);
      const found = await resourceMetadata(url, challenge.resourceMetadata);
      const resource = await checkedResource(url, found);
      const named = listed(found);
      const chosen = named.find((each) => each === preferred) ?? named[0];
      const { server, metadata } = await authorizationServer(
        chosen === undefined
          ? ownOrigin(url)
          : authorizationServerUrl(chosen, url),
        chosen !== undefined,
      );
      requirePkce(server, metadata);
      const scopes =
        challenge.scopes.length > 0
          ? challenge.scopes
          : uniteScopes(found?.metadata.scopes_supported ?? []);
      const offline =
        scopes.length > 0 &&
        metadata?.scopes_supported?.includes("offline_access");
      return {
        server,
        resource,
        scopes: offline ? uniteScopes(scopes, ["offline_access"]) : scopes,
      };
    },

    async authorizationServers(url, named) {
      const found = await resourceMetadata(url, named);
      return found?.metadata.authorization_servers ?? null;
    },

    async discover(url) {
      const answer: OAuthDiscovery = {
        requiresAuth: false,
        resource: null,
        resourceMetadataUrl: null,
        authorizationServers: [],
        issuer: null,
        authorizationEndpoint: null,
        tokenEndpoint: null,
        registrationEndpoint: null,
        revocationEndpoint: null,
        scopesSupported: [],
        codeChallengeMethodsSupported: [],
        tokenEndpointAuthMethodsSupported: [],
        supportsDynamicRegistration: false,
        supportsClientIdMetadataDocument: false,
        error: null,
      };
      try {
        const { required, challenge } = await probe(url);
        answer.requiresAuth = required;
        const found = await resourceMetadata(url, challenge.resourceMetadata);
        answer.resourceMetadataUrl = found?.url ?? null;
        answer.authorizationServers = listed(found);
        answer.scopesSupported = found?.metadata.scopes_supported ?? [];
        answer.resource = found && (await checkedResource(url, found));
        const named = answer.authorizationServers[0];
        if (named === undefined && !required) return answer;
        const { server, metadata } = await authorizationServer(
          named === undefined
            ? ownOrigin(url)
            : authorizationServerUrl(named, url),
          named !== undefined,
        );
        if (metadata === null) return answer;
        answer.issuer = server.issuer;
        answer.authorizationEndpoint = server.authorizationEndpoint;
        answer.tokenEndpoint = server.tokenEndpoint;
        answer.registrationEndpoint = server.registrationEndpoint;
        answer.revocationEndpoint = server.revocationEndpoint;
        if (answer.scopesSupported.length === 0) {
          answer.scopesSupported = metadata.scopes_supported ?? [];
        }
        answer.codeChallengeMethodsSupported =
          metadata.code_challenge_methods_supported ?? [];
        answer.tokenEndpointAuthMethodsSupported = server.authMethods;
        answer.supportsDynamicRegistration =
          server.registrationEndpoint !== null;
        answer.supportsClientIdMetadataDocument = server.clientIdDocuments;
        requirePkce(server, metadata);
        return answer;
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        if (error.code === "invalid") throw error;
        return { ...answer, error: error.message };
      }
    },
  };
}

/** The resource that the server's metadata names, if it is this server (RFC 9728 §3.3). */
async function checkedResource(
  url: string,
  found: ResourceMetadata | null,
): Promise<string> {
  if (found === null) return canonicalResource(url);
  const { checkResourceAllowed } = await import("@modelcontextprotocol/client");
  const { resource } = found.metadata;
  const same =
    URL.parse(resource)?.hash === "" &&
    checkResourceAllowed({
      requestedResource: url,
      configuredResource: resource,
    });
  if (same) return resource;
  throw new GatewayError(
    "upstream_failed",
    `The protected resource metadata of ${new URL(url).host} is about another server.`,
    { data: { reason: "resource_mismatch" } },
  );
}

/** A code that whoever sees it can redeem is not asked for (OAuth 2.1 §7.5; MCP: must refuse). */
function requirePkce(
  server: AuthorizationServer,
  metadata: AuthorizationServerMetadata | null,
): void {
  const methods = metadata?.code_challenge_methods_supported ?? [];
  if (metadata === null || methods.includes("S256")) return;
  throw new GatewayError(
    "upstream_failed",
    `The authorization server ${new URL(server.url).host} does not support PKCE with S256, which is required.`,
    { data: { reason: "pkce_unsupported" } },
  );
}

function ownOrigin(url: string): string {
  return new URL("/", url).href;
}

function undescribed(url: string): AuthorizationServer {
  const at = (path: string) => new URL(path, url).href;
  return {
    url,
    issuer: url,
    described: false,
    authorizationEndpoint: at("/authorize"),
    tokenEndpoint: at("/token"),
    registrationEndpoint: at("/register"),
    revocationEndpoint: null,
    authMethods: [],
    namesItself: false,
    clientIdDocuments: false,
  };
}
