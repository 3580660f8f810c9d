import type { ServerParts } from "../../src/app.ts";
import { GatewayError } from "../../src/core/errors.ts";
import type { Authenticator, Principal } from "../../src/core/principal.ts";
import type { Vault } from "../../src/core/runtime.ts";
import type { Source } from "../../src/core/source.ts";
import { advance } from "../../src/core/upstream-state.ts";
import type {
  Icon,
  Upstream,
  UpstreamListing,
  UpstreamStore,
} from "../../src/core/upstream.ts";
import { probe } from "./upstreams.ts";

/** What there is behind one URL. */
export type FakeServer = {
  /** What a request needs: nothing, the shared secret as JSON, the member's own token, or a grant. */
  wants?: { secret: string } | { own: string } | "oauth";
  /** Thrown by whatever reaches it. */
  fails?: GatewayError;
  /** How its authorization server takes our registration. */
  registration?: "done" | "failed" | "impossible";
  listing?: Partial<UpstreamListing>;
  icon?: Icon;
  /** Everybody waits for it. */
  gate?: Promise<void>;
};

/** Registered servers that are not there, reached through the ports. */
export type FakeServers = {
  parts: (store: UpstreamStore) => ServerParts;
  /** By URL; what is not here cannot be reached. */
  servers: Map<string, FakeServer>;
  /** What was done, in order. */
  done: string[];
  /** The tools of ready servers; a call echoes its arguments, or does as `answers` says. */
  source: Source;
  answers: Map<string, () => Promise<never> | Promise<object>>;
  /** A member has gone through OAuth. */
  authorize(id: number, subject: string): Promise<void>;
  store(): UpstreamStore;
};

export function fakeServers(): FakeServers {
  const servers = new Map<string, FakeServer>();
  const done: string[] = [];
  const answers: FakeServers["answers"] = new Map();
  let store: UpstreamStore | null = null;

  const needed = () =>
    new GatewayError("needs_authorization", "Connect your account.");

  async function reach(
    upstream: Upstream,
    { subject }: Pick<Principal, "subject">,
  ): Promise<FakeServer> {
    const server = servers.get(upstream.url);
    await server?.gate;
    if (server?.fails) throw server.fails;
    if (!server) {
      throw new GatewayError("upstream_failed", "ECONNREFUSED 10.0.0.7", {
        data: { failureClass: "transport" },
      });
    }
    const { wants } = server;
    if (wants === undefined) return server;
    const own = store!.credential(upstream.id, subject);
    const sealed = upstream.sealedSecret;
    const has =
      wants === "oauth"
        ? own?.status === "active"
        : "own" in wants
          ? own?.sealed &&
            openFake(own.sealed, ["credentials", upstream.uuid, subject]) ===
              JSON.stringify({ token: wants.own })
          : sealed &&
            openFake(sealed, ["servers", upstream.uuid, "secret"]) ===
              wants.secret;
    if (!has) throw needed();
    return server;
  }

  const listingOf = ({ listing }: FakeServer): UpstreamListing => ({
    tools: [],
    prompts: [],
    resources: [],
    resourceTemplates: [],
    ...listing,
  });

  const parts = (opened: UpstreamStore): ServerParts => {
    store = opened;
    return {
      vault: fakeVault,
      async check(url) {
        if (/\b(10\.0\.0\.1|127\.0\.0\.1)\b/.test(url)) {
          throw new GatewayError("invalid", "That URL cannot be reached.", {
            data: { reason: "blocked_destination" },
          });
        }
      },
      findIcon: async ({ url }) => {
        done.push(`icon of ${url}`);
        return servers.get(url)?.icon ?? null;
      },
      connector: {
        async probe(upstream, principal) {
          done.push(`probe ${upstream.slug} for ${principal.subject}`);
          const { tools, prompts, resources, resourceTemplates } = listingOf(
            await reach(upstream, principal),
          );
          return {
            ...probe,
            componentCounts: {
              tools: tools.length,
              prompts: prompts.length,
              resources: resources.length,
              resourceTemplates: resourceTemplates.length,
            },
          };
        },
        async listing(upstream, principal) {
          done.push(`list ${upstream.slug} for ${principal.subject}`);
          const listing = listingOf(await reach(upstream, principal));
          const { subject } = principal;
          await opened.saveListing(upstream.id, subject, listing, 1000);
          return { listing, fetchedAt: 1000, stale: false };
        },
        drop(id, subject) {
          done.push(`drop ${id}${subject === undefined ? "" : ` ${subject}`}`);
        },
      },
      oauth: {
        authorizeUrl: ({ id }, { subject }) =>
          `https://us.example/authorize/${id}/${subject}`,
        async discover(url) {
          done.push(`discover ${url}`);
          return {
            requiresAuth: servers.get(url)?.wants === "oauth",
            resource: url,
            resourceMetadataUrl: null,
            authorizationServers: [],
            issuer: null,
            authorizationEndpoint: null,
            tokenEndpoint: null,
            registrationEndpoint: null,
            revocationEndpoint: null,
            scopesSupported: [],
            codeChallengeMethodsSupported: ["S256"],
            tokenEndpointAuthMethodsSupported: [],
            supportsDynamicRegistration: true,
            supportsClientIdMetadataDocument: false,
            error: null,
          };
        },
        async prepare(upstream) {
          done.push(`register ${upstream.slug}`);
          if (upstream.oauth?.registration === "manual") return true;
          const { registration = "impossible" } =
            servers.get(upstream.url) ?? {};
          if (registration === "failed") {
            throw new GatewayError("upstream_failed", "It says no.");
          }
          if (registration === "impossible") return false;
          await opened.edit(
            upstream.id,
            () => ({ oauth: client("dcr-1", "dcr"), sealedOauth: "sealed" }),
            2000,
          );
          return true;
        },
        async configure({ id }, { clientId = "", clientSecret }) {
          done.push(`configure ${clientId}`);
          const oauth = client(clientId, "manual", Boolean(clientSecret));
          await opened.edit(id, () => ({ oauth, sealedOauth: "sealed" }), 2000);
        },
        async disconnect({ id, url }) {
          const { length } = opened.credentials(id);
          done.push(`revoke ${length} at ${url}`);
          await opened.removeCredentials(id);
          await opened.edit(
            id,
            () => ({ oauth: null, sealedOauth: null }),
            2000,
          );
        },
      },
    };
  };

  const source: Source = {
    id: "mcp",
    async list(principal) {
      const offers = store!
        .list(principal.workspace)
        .filter(({ state, enabled }) => enabled && state === "ready")
        .flatMap(({ uuid, slug, name, url }) =>
          listingOf(servers.get(url) ?? {}).tools.map(
            ({ name: ref, ...tool }) => ({
              app: { ref: uuid, key: slug, name },
              ref: String(ref),
              key: String(ref),
              name: String(ref),
              tool: tool as never,
            }),
          ),
        );
      return { offers, failed: [] };
    },
    async call(_principal, { ref }, args) {
      const answer = answers.get(ref);
      if (answer) return (await answer()) as never;
      return { content: [{ type: "text", text: JSON.stringify(args) }] };
    },
  };

  return {
    parts,
    servers,
    done,
    source,
    answers,
    store: () => store!,
    async authorize(id, subject) {
      await store!.editCredential(id, subject, () => ({
        name: null,
        authType: "oauth",
        status: "active",
        sealed: "a grant",
        refreshingAt: null,
        connectedAt: 3000,
        expiresAt: null,
        lastUsedAt: null,
      }));
      await store!.edit(
        id,
        (current) => advance(current, { type: "authorized", at: 3000 }),
        3000,
      );
    },
  };
}

const client = (
  clientId: string,
  registration: "dcr" | "manual",
  hasClientSecret = false,
) => ({
  issuer: "https://as.example",
  clientId,
  registration,
  scopes: [],
  hasClientSecret,
});

function openFake(sealed: string, context: readonly (string | number)[]) {
  const [where, plain] = JSON.parse(
    Buffer.from(sealed.slice("sealed:".length), "base64").toString(),
  ) as [unknown, string];
  if (JSON.stringify(where) !== JSON.stringify(context)) {
    throw new GatewayError("internal", "Sealed for something else.");
  }
  return plain;
}

/** Hides nothing, but keeps to what each value was sealed for. */
export const fakeVault: Vault = {
  seal: (plain, context) =>
    `sealed:${Buffer.from(JSON.stringify([context, plain])).toString("base64")}`,
  open: openFake,
  outdated: () => false,
  mac: (purpose, text) =>
    new Bun.CryptoHasher("sha256", "a key")
      .update(`${purpose} ${text}`)
      .digest("base64url"),
};

/** Takes tokens that say all there is to know: `read:ada@w1`; `none` has no scope, `expired` is over. */
export const fakeAuthenticator: Authenticator = {
  async verify(token) {
    const match = /^(none|read|write|admin|expired):([\w-]+)@([\w-]+)$/.exec(
      token,
    );
    if (!match || match[1] === "expired") {
      throw new GatewayError("unauthenticated", "The token has expired.");
    }
    const [, scope, subject, workspace] = match as unknown as string[];
    return {
      workspace: workspace!,
      subject: subject!,
      name: null,
      method: "membrane",
      scope: scope === "none" ? null : (`apps:${scope}` as never),
      token,
      expiresAt: null,
    };
  },
};

export type RestAnswer = {
  status: number;
  headers: Headers;
  text: string;
  body: any;
};

/** Asks by hand. `who`: a token of {@link fakeAuthenticator}, or null for nobody. */
export function createRest(url: string) {
  return async (
    who: string | null,
    route: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<RestAnswer> => {
    const [method, path] = route.split(" ") as [string, string];
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(who === null ? {} : { authorization: `Bearer ${who}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = (response.headers.get("content-type") ?? "").includes("json");
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: json ? JSON.parse(text) : undefined,
    };
  };
}
