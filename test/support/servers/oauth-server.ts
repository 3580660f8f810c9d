import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Adapter, ClientMetadata, Configuration } from "oidc-provider";
import Provider, { errors } from "oidc-provider";
import { openBrowser } from "../browser.ts";
import type { Browser } from "../browser.ts";
import { createFull } from "./full.ts";
import type { Full } from "./full.ts";
import { keepTokens } from "./oauth-store.ts";
import { openProtected } from "./protected.ts";
import type { Protected } from "./protected.ts";
import type { RecordedRequest } from "./recording.ts";
import { keepSecret } from "../suite-secrets.ts";

export const users = ["alice", "bob"] as const;
export type User = (typeof users)[number];

/** A real authorization server, and an MCP server that lets in whom it has authorized. */
export type OAuthServer = AsyncDisposable &
  Pick<Protected, "url" | "metadataUrl" | "demand"> & {
    issuer: string;
    /** What is behind the tokens. */
    server: Full;
    /** What the MCP server was sent. */
    calls: RecordedRequest[];
    /** What the authorization server was sent. Secrets and all: this is a test. */
    requests: RecordedRequest[];
    /** Tokens issued so far. */
    issued: { access: number; refresh: number };
    /** Refreshes that were granted, and refused. */
    refreshes: { granted: number; refused: number };
    /** Clients that have registered themselves. */
    registrations: Record<string, unknown>[];
    /** Logs in and agrees in a browser of its own; the URL with the code that the browser would open then. */
    consent(
      authorizeUrl: string,
      user: User,
      browser?: Browser,
    ): Promise<string>;
    /** The same for a user who does not agree. */
    decline(
      authorizeUrl: string,
      user: User,
      browser?: Browser,
    ): Promise<string>;
    /** Every access token is refused from now on; refresh tokens still work. */
    expireAll(): void;
    /** The user takes everything back: access and refresh tokens, and the consent. */
    revoke(user: User): void;
    /** The user whom an access token stands for, with or without `Bearer`; null when it is good for nothing. */
    whose(token: string): Promise<User | null>;
    /** Access tokens of this user that would be let in now. */
    live(user: User): number;
    /**
     * Token requests are worked on, but their answers wait. `answered` resolves when the given number of them is
     * waiting; `release` lets them go, and later ones through.
     */
    holdTokens(): { answered(count: number): Promise<void>; release(): void };
    /** Token requests are answered with this status, untouched; null ends it. */
    failTokens(status: number | null): void;
  };

export type OAuthOptions = {
  /** 3600 */
  accessTokenSeconds?: number;
  /** Whether a refresh gives a new refresh token; a second use of an old one then ends the grant. On. */
  rotate?: boolean;
  /** Whether clients may register themselves. On. */
  registration?: boolean;
  /** Clients that are known beforehand. */
  clients?: ClientMetadata[];
  /** Client-id metadata documents are looked up here; without it they are not supported. */
  clientDocument?(url: string): Promise<Response>;
  /** Refuses requests that do not say for which resource. On. */
  requireResource?: boolean;
  /** Of its OAuth metadata, over what it says by itself. */
  metadata?: Record<string, unknown>;
};

export const scopes = ["mcp:read", "mcp:write"];

export async function openOAuthServer(
  options: OAuthOptions = {},
): Promise<OAuthServer> {
  const listener = createServer();
  await new Promise<void>((resolve) =>
    listener.listen(0, "127.0.0.1", resolve),
  );
  const issuer = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const tokens = keepTokens();
  const requests: RecordedRequest[] = [];
  const registrations: Record<string, unknown>[] = [];
  const issued = { access: 0, refresh: 0 };
  const refreshes = { granted: 0, refused: 0 };

  const server = createFull({ name: "protected" });
  const find = async (token: string) => {
    const found = await provider.AccessToken.find(token);
    return found && found.aud === guarded.url
      ? { user: found.accountId, scopes: [...found.scopes] }
      : null;
  };
  const guarded = await openProtected({
    issuer,
    scopes,
    whose: find,
    serve: server.fetch,
  });

  const provider = new Provider(
    issuer,
    configure(options, guarded.url, tokens.adapter),
  );
  provider.on("access_token.saved", ({ jti }) => {
    issued.access++;
    keepSecret("an access token", jti);
  });
  provider.on("refresh_token.saved", ({ jti }) => {
    issued.refresh++;
    keepSecret("a refresh token", jti);
  });
  provider.on("authorization_code.saved", ({ jti }) =>
    keepSecret("a code", jti),
  );
  provider.on("registration_create.success", (_ctx, client) => {
    keepSecret("a client's secret", client.clientSecret ?? "");
    registrations.push({ ...client.metadata() });
  });
  const isRefresh = (ctx: { oidc: { params?: object | undefined } }) =>
    (ctx.oidc.params as { grant_type?: string } | undefined)?.grant_type ===
    "refresh_token";
  provider.on("grant.success", (ctx) => {
    if (isRefresh(ctx)) refreshes.granted++;
  });
  provider.on("grant.error", (ctx) => {
    if (isRefresh(ctx)) refreshes.refused++;
  });

  let failing: number | null = null;
  let gate: { waiting: number; opened: Promise<void>; wake(): void } | null =
    null;

  provider.use(async (ctx, next) => {
    if (ctx.path === "/token" && failing !== null) {
      ctx.status = failing;
      ctx.body = { error: "temporarily_unavailable" };
      return;
    }
    if (ctx.path.startsWith("/interaction/")) {
      await interact(ctx.req, ctx.res, ctx.method);
      ctx.respond = false;
      return;
    }
    // Who asks for no scope is given the first one (RFC 6749 §3.3).
    if (ctx.path === "/auth" && ctx.query["scope"] === undefined) {
      ctx.query = { ...ctx.query, scope: scopes[0]! };
    }
    await next();
    requests.push({
      method: ctx.method,
      path: ctx.url,
      headers: ctx.headers as Record<string, string>,
      body: ctx.oidc?.body ?? null,
    });
    if (ctx.path === "/token" && gate) {
      gate.waiting++;
      gate.wake();
      await gate.opened;
    }
  });

  /** The page on which a user logs in and agrees, both at once. */
  async function interact(
    req: Parameters<Provider["interactionDetails"]>[0],
    res: Parameters<Provider["interactionDetails"]>[1],
    method: string,
  ): Promise<void> {
    const details = await provider.interactionDetails(req, res);
    if (method !== "POST") {
      res.setHeader("content-type", "text/html");
      res.end(`<form method="post">${details.prompt.name}</form>`);
      return;
    }
    const form = new URLSearchParams(await readAll(req));
    if (form.get("decision") !== "allow") {
      return provider.interactionFinished(req, res, {
        error: "access_denied",
        error_description: "The user does not agree.",
      });
    }
    if (details.prompt.name === "login") {
      return provider.interactionFinished(req, res, {
        login: { accountId: form.get("user")! },
      });
    }
    const grant =
      (details.grantId && (await provider.Grant.find(details.grantId))) ||
      new provider.Grant({
        accountId: details.session!.accountId,
        clientId: details.params["client_id"] as string,
      });
    const missing = details.prompt.details as {
      missingOIDCScope?: string[];
      missingOIDCClaims?: string[];
      missingResourceScopes?: Record<string, string[]>;
    };
    grant.addOIDCScope(missing.missingOIDCScope ?? []);
    grant.addOIDCClaims(missing.missingOIDCClaims ?? []);
    for (const [resource, names] of Object.entries(
      missing.missingResourceScopes ?? {},
    )) {
      grant.addResourceScope(resource, names);
    }
    return provider.interactionFinished(
      req,
      res,
      { consent: { grantId: await grant.save() } },
      { mergeWithLastSubmission: true },
    );
  }

  async function decide(
    authorizeUrl: string,
    user: User,
    decision: "allow" | "deny",
    browser = openBrowser(),
  ): Promise<string> {
    // Elsewhere is where the client takes over.
    const stop = (url: URL) => url.origin !== issuer;
    let at = await browser.visit(authorizeUrl, { stop });
    while (at.response) {
      const page = await at.response.text();
      if (!at.url.includes("/interaction/")) {
        throw new Error(
          `The authorization server refuses: ${at.response.status} ${page}`,
        );
      }
      at = await browser.visit(at.url, { form: { user, decision }, stop });
    }
    return at.url;
  }

  listener.on("request", provider.callback());
  return {
    issuer,
    server,
    url: guarded.url,
    metadataUrl: guarded.metadataUrl,
    demand: guarded.demand,
    calls: guarded.requests,
    requests,
    issued,
    refreshes,
    registrations,
    consent: (url, user, browser) => decide(url, user, "allow", browser),
    decline: (url, user, browser) => decide(url, user, "deny", browser),
    expireAll: () => tokens.forget((model) => model === "AccessToken"),
    revoke: (user) =>
      tokens.forget(
        (model, { accountId }) => accountId === user && model !== "Session",
      ),
    whose: async (token) =>
      ((await find(token.replace(/^Bearer /, "")))?.user ??
        null) as User | null,
    live: (user) =>
      tokens.count(
        (model, { accountId, exp }) =>
          model === "AccessToken" &&
          accountId === user &&
          exp! > Date.now() / 1000,
      ),
    holdTokens() {
      const opening = Promise.withResolvers<void>();
      let wake = () => {};
      const held = {
        waiting: 0,
        opened: opening.promise,
        wake: () => wake(),
      };
      gate = held;
      return {
        async answered(count) {
          while (held.waiting < count) {
            await new Promise<void>((resolve) => (wake = resolve));
          }
        },
        release() {
          gate = null;
          opening.resolve();
        },
      };
    },
    failTokens: (status) => void (failing = status),
    async [Symbol.asyncDispose]() {
      await server.close();
      await guarded[Symbol.asyncDispose]();
      listener.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

function configure(
  options: OAuthOptions,
  resource: string,
  adapter: (model: string) => Adapter,
): Configuration {
  const accessTokenTTL = options.accessTokenSeconds ?? 3600;
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    adapter,
    clients: options.clients ?? [],
    cookies: { keys: [randomBytes(16).toString("hex")] },
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig" }] },
    discovery: { ...options.metadata },
    pkce: { required: () => true },
    responseTypes: ["code"],
    scopes: ["openid", "offline_access", ...scopes],
    findAccount: (_ctx, sub) =>
      users.some((user) => user === sub)
        ? { accountId: sub, claims: () => ({ sub }) }
        : undefined,
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    rotateRefreshToken: options.rotate ?? true,
    issueRefreshToken: (_ctx, client) =>
      client.grantTypeAllowed("refresh_token"),
    expiresWithSession: () => false,
    ttl: {
      AccessToken: accessTokenTTL,
      AuthorizationCode: 60,
      Grant: 86_400,
      IdToken: 3600,
      Interaction: 600,
      RefreshToken: 86_400,
      Session: 86_400,
    },
    // Documents of clients; it asks for nothing else.
    fetch: async (url) => options.clientDocument!(String(url)),
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      revocation: { enabled: true, allowedPolicy: () => true },
      registration: { enabled: options.registration ?? true },
      ...(options.clientDocument
        ? { clientIdMetadataDocument: { enabled: true, ack: "draft-02" } }
        : {}),
      resourceIndicators: {
        enabled: true,
        defaultResource(_ctx, _client, oneOf) {
          if (oneOf) return oneOf;
          if (options.requireResource === false) return resource;
          throw new errors.InvalidTarget("The resource parameter is missing.");
        },
        useGrantedResource: () => false,
        getResourceServerInfo(_ctx, identifier) {
          if (identifier !== resource) {
            throw new errors.InvalidTarget(`Unknown resource ${identifier}.`);
          }
          return {
            scope: scopes.join(" "),
            audience: resource,
            accessTokenTTL,
            accessTokenFormat: "opaque",
          };
        },
      },
    },
  };
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
