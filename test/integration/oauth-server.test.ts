import { describe, expect, test } from "bun:test";
import {
  Client,
  StreamableHTTPClientTransport,
  UnauthorizedError,
} from "@modelcontextprotocol/client";
import type { OAuthClientProvider } from "@modelcontextprotocol/client";
import { VERSION } from "../support/stateless.ts";
import { openOAuthServer } from "../support/servers/oauth-server.ts";
import type { OAuthServer, User } from "../support/servers/oauth-server.ts";

/** The authorization server that other tests are made with does what it says, to the official client. */

/** What the official client keeps of a login, in memory. */
function clientOf(
  document?: string,
): OAuthClientProvider & { kept: Record<string, any> } {
  const kept: Record<string, any> = {};
  return {
    kept,
    ...(document === undefined ? {} : { clientMetadataUrl: document }),
    redirectUrl: "http://127.0.0.1:1/callback",
    clientMetadata: {
      client_name: "test",
      redirect_uris: ["http://127.0.0.1:1/callback"],
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token"],
    },
    clientInformation: () => kept["client"],
    saveClientInformation: (client) => void (kept["client"] = client),
    tokens: () => kept["tokens"],
    saveTokens: (tokens) => void (kept["tokens"] = tokens),
    redirectToAuthorization: (url) => void (kept["url"] = url.href),
    saveCodeVerifier: (verifier) => void (kept["verifier"] = verifier),
    codeVerifier: () => kept["verifier"],
    saveDiscoveryState: (state) => void (kept["discovery"] = state),
    discoveryState: () => kept["discovery"],
    invalidateCredentials(scope) {
      if (scope === "all" || scope === "tokens") delete kept["tokens"];
      if (scope === "all" || scope === "client") delete kept["client"];
    },
  };
}

/** A client that has logged in as this user. */
async function login(server: OAuthServer, user: User, document?: string) {
  const provider = clientOf(document);
  const transport = () =>
    new StreamableHTTPClientTransport(new URL(server.url), {
      authProvider: provider,
    });
  const first = transport();
  const refused = await new Client({ name: "test", version: "1" })
    .connect(first)
    .catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(UnauthorizedError);
  const callback = await server.consent(provider.kept["url"], user);
  await first.finishAuth(new URL(callback).searchParams);
  // One request at a time: two that meet a refusal at once would both refresh, and the second ends the grant.
  const client = new Client(
    { name: "test", version: "1" },
    { versionNegotiation: { mode: { pin: VERSION } } },
  );
  await client.connect(transport());
  return { client, provider };
}

const textOf = (result: any): string => result.content[0].text;

describe("the OAuth server", () => {
  test("lets in who has agreed, and nobody else", async () => {
    await using server = await openOAuthServer();
    const { client, provider } = await login(server, "alice");
    expect(textOf(await client.callTool({ name: "whoami" }))).toBe(
      `Bearer ${provider.kept["tokens"].access_token}`,
    );
    expect(await server.whose(provider.kept["tokens"].access_token)).toBe(
      "alice",
    );
    expect(await server.whose("Bearer nothing")).toBeNull();
    expect(server.registrations).toHaveLength(1);
    expect(server.live("alice")).toBe(1);
    expect(server.live("bob")).toBe(0);
    await client.close();
  });

  test("the official client refreshes what has expired, and asks again after the user took it back", async () => {
    await using server = await openOAuthServer();
    const { client, provider } = await login(server, "alice");
    const { refresh_token: first } = provider.kept["tokens"];
    server.expireAll();
    await client.callTool({ name: "whoami" });
    expect(server.refreshes).toEqual({ granted: 1, refused: 0 });
    expect(provider.kept["tokens"].refresh_token).not.toBe(first);
    server.revoke("alice");
    const refused = await client
      .callTool({ name: "whoami" })
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(UnauthorizedError);
    expect(server.refreshes).toEqual({ granted: 1, refused: 1 });
    await client.close();
  });

  /** The token endpoint by hand. */
  const token = (server: OAuthServer, form: Record<string, string>) =>
    fetch(`${server.issuer}/token`, {
      method: "POST",
      body: new URLSearchParams(form),
    });
  const refresh = (server: OAuthServer, kept: Record<string, any>) =>
    token(server, {
      grant_type: "refresh_token",
      refresh_token: kept["tokens"].refresh_token,
      client_id: kept["client"].client_id,
      resource: server.url,
    });

  test("a refresh token that is used twice ends the grant", async () => {
    await using server = await openOAuthServer();
    const { client, provider } = await login(server, "alice");
    expect((await refresh(server, provider.kept)).status).toBe(200);
    const again = await refresh(server, provider.kept);
    expect(await again.json()).toMatchObject({ error: "invalid_grant" });
    expect(server.live("alice")).toBe(0);
    await client.close();
  });

  test("answers of the token endpoint can be held back, and refused", async () => {
    await using server = await openOAuthServer();
    const { client, provider } = await login(server, "bob");
    const held = server.holdTokens();
    const answer = refresh(server, provider.kept);
    await held.answered(1);
    expect(server.refreshes.granted).toBe(1);
    held.release();
    expect((await answer).status).toBe(200);
    server.failTokens(503);
    expect((await refresh(server, provider.kept)).status).toBe(503);
    await client.close();
  });

  test("a token without the scope that a tool demands is told so", async () => {
    await using server = await openOAuthServer();
    const { client, provider } = await login(server, "alice");
    server.demand("whoami", "mcp:write");
    const before = server.calls.length;
    await expect(client.callTool({ name: "whoami" })).rejects.toThrow();
    expect(server.calls.length).toBeGreaterThan(before);
    expect(provider.kept["url"]).toContain("mcp%3Awrite");
    await client.close();
  });

  test("says who it is when it sends a user back, and refuses what it does not know", async () => {
    await using server = await openOAuthServer({
      registration: false,
      clients: [
        {
          client_id: "known",
          client_secret: "a secret of the known client",
          redirect_uris: ["http://127.0.0.1:1/callback"],
        },
      ],
    });
    const url = (more: Record<string, string>) =>
      `${server.issuer}/auth?${new URLSearchParams({
        client_id: "known",
        response_type: "code",
        redirect_uri: "http://127.0.0.1:1/callback",
        code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        code_challenge_method: "S256",
        state: "s",
        resource: server.url,
        ...more,
      })}`;
    const asked = async (more: Record<string, string>) =>
      Object.fromEntries(
        new URL(await server.consent(url(more), "alice")).searchParams,
      );
    expect(await asked({})).toEqual({
      code: expect.any(String),
      state: "s",
      iss: server.issuer,
    });
    expect(await asked({ resource: "http://elsewhere/" })).toMatchObject({
      error: "invalid_target",
    });
    expect(await asked({ resource: "" })).toMatchObject({
      error: "invalid_target",
    });
    expect(await asked({ code_challenge_method: "plain" })).toMatchObject({
      error: "invalid_request",
    });
    const declined = await server.decline(url({}), "alice");
    expect(new URL(declined).searchParams.get("error")).toBe("access_denied");
    const { registration_endpoint: none } = (await (
      await fetch(`${server.issuer}/.well-known/oauth-authorization-server`)
    ).json()) as Record<string, unknown>;
    expect(none).toBeUndefined();
  });

  test("takes a client by its metadata document", async () => {
    const id = "https://client.example/metadata.json";
    await using server = await openOAuthServer({
      clientDocument: async (url) =>
        Response.json({
          client_id: url,
          client_name: "By document",
          redirect_uris: ["http://127.0.0.1:1/callback"],
          token_endpoint_auth_method: "none",
          grant_types: ["authorization_code", "refresh_token"],
        }),
    });
    const { client, provider } = await login(server, "alice", id);
    expect(provider.kept["client"].client_id).toBe(id);
    expect(server.registrations).toEqual([]);
    await client.close();
  });
});
