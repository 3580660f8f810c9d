import { createServer } from "node:http";
import Provider from "oidc-provider";

/** A certified OpenID provider, with rotation, detection of reuse, registration and its own pages for login and consent. */
export type OidcProvider = AsyncDisposable & {
  url: string;
  /** Tokens that were asked for, by grant type. */
  grants: string[];
  check(
    token: string,
  ): Promise<{ user: string; scopes: string[]; audience: string } | null>;
};

export async function openOidcProvider(): Promise<OidcProvider> {
  const http = createServer();
  await new Promise<void>((resolve) =>
    http.listen(0, "127.0.0.1", () => resolve()),
  );
  const { port } = http.address() as { port: number };
  const url = `http://127.0.0.1:${port}`;
  const provider = new Provider(url, {
    scopes: ["openid", "offline_access", "read", "write"],
    rotateRefreshToken: true,
    issueRefreshToken: async () => true,
    ttl: { AccessToken: 3600, RefreshToken: 86_400 },
    cookies: { keys: ["a key for the cookies of a test"] },
    features: {
      registration: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: async () => [],
        useGrantedResource: async () => true,
        getResourceServerInfo: async () => ({
          scope: "read write",
          accessTokenFormat: "opaque" as const,
          accessTokenTTL: 3600,
        }),
      },
    },
    findAccount: async (_context, id) => ({
      accountId: id,
      claims: async () => ({ sub: id }),
    }),
  });
  const grants: string[] = [];
  provider.on("grant.success", (context) => {
    grants.push(String(context.oidc.params?.["grant_type"]));
  });
  http.on("request", provider.callback());
  return {
    url,
    grants,
    async check(token) {
      const found = await provider.AccessToken.find(token);
      return found
        ? {
            user: found.accountId,
            scopes: (found.scope ?? "").split(" "),
            audience: String(found.aud),
          }
        : null;
    },
    async [Symbol.asyncDispose]() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}
