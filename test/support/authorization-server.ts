import { keepSecret } from "./suite-secrets.ts";

/**
 * An authorization server that does what it should, with rotation and detection of reuse, and that can be told to
 * misbehave in any step.
 */
export type TestAuthorizationServer = AsyncDisposable & {
  url: string;
  /** Logs in at the next authorization. */
  user: string;
  /** Everything that was asked, but for metadata. */
  requests: Asked[];
  of(path: string): Asked[];
  behave: Behaviour;
  /** Knows a client that nobody has registered. */
  adopt(clientId: string, secret: string): void;
  /** Whose token it is, and for what; null when it is none, or none any more. */
  check(
    token: string,
  ): { user: string; scopes: string[]; resource: string | null } | null;
  /** From now on no access token is good. */
  expireAll(): void;
  /** What has been given and not revoked. */
  living(): { access: string[]; refresh: string[] };
};

export type Asked = {
  path: string;
  query: URLSearchParams;
  form: URLSearchParams;
  json: Record<string, unknown>;
  headers: Headers;
};

export type Behaviour = {
  metadata?: (document: Record<string, unknown>) => unknown;
  /** Where its metadata is; at the root by default. */
  metadataPath?: string;
  /** Of the redirect back. */
  answer?: (params: URLSearchParams) => void;
  /** In the place of what was meant. */
  tokens?: (
    meant: Record<string, unknown>,
    asked: Asked,
  ) => unknown | Response | Promise<unknown | Response>;
  /** Before a token request is looked at; an answer ends it there. */
  before?: (asked: Asked) => Response | void | Promise<Response | void>;
  registration?: (meant: Record<string, unknown>) => unknown | Response;
};

type Grant = {
  user: string;
  scopes: string[];
  resource: string | null;
  clientId: string;
  dead: boolean;
};
type Code = Grant & { challenge: string; redirectUri: string };

const formDecoded = (text: string) => new URLSearchParams(`a=${text}`).get("a");

const sha256 = (text: string) =>
  new Bun.CryptoHasher("sha256").update(text).digest("base64url");

/** `name` is part of whatever it gives. */
export function openAuthorizationServer(name = "as"): TestAuthorizationServer {
  let n = 0;
  const codes = new Map<string, Code>();
  const access = new Map<string, { grant: Grant; live: boolean }>();
  const refresh = new Map<string, { grant: Grant; used: boolean }>();
  const clients = new Map<string, string | null>();
  const kill = (grant: Grant) => {
    grant.dead = true;
  };

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request): Promise<Response> {
      const url = new URL(request.url);
      const path = url.pathname;
      const wellKnown =
        as.behave.metadataPath ?? "/.well-known/oauth-authorization-server";
      if (path === wellKnown) {
        const document = as.behave.metadata?.(metadata()) ?? metadata();
        return document instanceof Response
          ? document
          : Response.json(document);
      }
      const text = await request.text();
      const isJson = request.headers.get("content-type")?.includes("json");
      const asked: Asked = {
        path,
        query: url.searchParams,
        form: new URLSearchParams(isJson ? "" : text),
        json: isJson ? JSON.parse(text) : {},
        headers: request.headers,
      };
      if (path in endpoints) {
        as.requests.push(asked);
        return endpoints[path]!(asked);
      }
      return new Response("nothing here", { status: 404 });
    },
  });
  const url = `http://127.0.0.1:${server.port}`;

  const metadata = (): Record<string, unknown> => ({
    issuer: url,
    authorization_endpoint: `${url}/authorize`,
    token_endpoint: `${url}/token`,
    registration_endpoint: `${url}/register`,
    revocation_endpoint: `${url}/revoke`,
    response_types_supported: ["code"],
    grant_types_supported: ["authorization_code", "refresh_token"],
    code_challenge_methods_supported: ["S256"],
    token_endpoint_auth_methods_supported: ["client_secret_basic", "none"],
    authorization_response_iss_parameter_supported: true,
    scopes_supported: ["read", "write", "offline_access"],
  });

  function give(grant: Grant): Record<string, unknown> {
    const token = `access-${++n}-${name}-of-${grant.user}`;
    const renewal = `refresh-${++n}-${name}-of-${grant.user}`;
    keepSecret("an access token", token);
    keepSecret("a refresh token", renewal);
    access.set(token, { grant, live: true });
    refresh.set(renewal, { grant, used: false });
    return {
      access_token: token,
      token_type: "Bearer",
      expires_in: 3600,
      refresh_token: renewal,
      scope: grant.scopes.join(" "),
    };
  }

  const no = (error: string, status = 400) =>
    Response.json({ error, error_description: "<b>no</b>" }, { status });

  function clientOf({ form, headers }: Asked): string | null {
    const basic = /^Basic (.*)$/.exec(headers.get("authorization") ?? "");
    const [id, secret] = basic
      ? atob(basic[1]!).split(":").map(formDecoded)
      : [form.get("client_id"), form.get("client_secret")];
    const known = clients.get(id ?? "");
    const isDocument = id?.startsWith("https://");
    if (!isDocument && known === undefined) return null;
    return isDocument || known === (secret ?? null) ? id! : null;
  }

  const endpoints: Record<
    string,
    (asked: Asked) => Response | Promise<Response>
  > = {
    "/register"({ json }) {
      const id = `client-${++n}-${name}`;
      const secret = `secret-${n}-${name}`;
      clients.set(id, secret);
      const meant = { ...json, client_id: id, client_secret: secret };
      const answer = as.behave.registration?.(meant) ?? meant;
      return answer instanceof Response
        ? answer
        : Response.json(answer, { status: 201 });
    },
    "/authorize"({ query }) {
      const code = `code-${++n}`;
      codes.set(code, {
        user: as.user,
        scopes: query.get("scope")?.split(" ") ?? [],
        resource: query.get("resource"),
        clientId: query.get("client_id")!,
        dead: false,
        challenge: query.get("code_challenge")!,
        redirectUri: query.get("redirect_uri")!,
      });
      const back = new URL(query.get("redirect_uri")!);
      back.searchParams.set("code", code);
      back.searchParams.set("state", query.get("state")!);
      back.searchParams.set("iss", url);
      as.behave.answer?.(back.searchParams);
      return Response.redirect(back.href, 302);
    },
    async "/token"(asked) {
      const early = await as.behave.before?.(asked);
      if (early) return early;
      const meant = answerTokens(asked);
      if (meant instanceof Response) return meant;
      const answer = (await as.behave.tokens?.(meant, asked)) ?? meant;
      return answer instanceof Response ? answer : Response.json(answer);
    },
    "/revoke"({ form }) {
      const token = form.get("token")!;
      const grant = refresh.get(token)?.grant ?? access.get(token)?.grant;
      if (grant) kill(grant);
      return new Response(null);
    },
  };

  function answerTokens(asked: Asked): Record<string, unknown> | Response {
    const { form } = asked;
    const clientId = clientOf(asked);
    if (clientId === null) return no("invalid_client", 401);
    if (form.get("grant_type") === "authorization_code") {
      const code = codes.get(form.get("code")!);
      codes.delete(form.get("code")!);
      const good =
        code?.clientId === clientId &&
        code.redirectUri === form.get("redirect_uri") &&
        code.challenge === sha256(form.get("code_verifier") ?? "") &&
        code.resource === form.get("resource");
      return good ? give(code) : no("invalid_grant");
    }
    const token = refresh.get(form.get("refresh_token")!);
    if (!token || token.grant.dead || token.grant.clientId !== clientId) {
      return no("invalid_grant");
    }
    if (token.used) {
      kill(token.grant);
      return no("invalid_grant");
    }
    token.used = true;
    return give(token.grant);
  }

  const as: TestAuthorizationServer = {
    url,
    user: "ann",
    requests: [],
    of: (path) => as.requests.filter((asked) => asked.path === path),
    behave: {},
    adopt: (clientId, secret) => void clients.set(clientId, secret),
    check(token) {
      const found = access.get(token);
      return found?.live && !found.grant.dead ? found.grant : null;
    },
    expireAll() {
      for (const token of access.values()) token.live = false;
    },
    living: () => ({
      access: [...access].filter(([t]) => as.check(t)).map(([t]) => t),
      refresh: [...refresh]
        .filter(([, { grant, used }]) => !grant.dead && !used)
        .map(([t]) => t),
    }),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  return as;
}
