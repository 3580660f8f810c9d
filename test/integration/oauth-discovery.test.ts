import { describe, expect, test } from "bun:test";
import type { GatewayError } from "../../src/core/errors.ts";
import { openAuthorizationServer } from "../support/authorization-server.ts";
import { openBrowser } from "../support/member-browser.ts";
import { openGate } from "../support/gate.ts";
import { openProtectedServer } from "../support/protected-server.ts";

/** An address of this machine that is not allowed, and counts who connects to it. */
function openCanary() {
  let connections = 0;
  const listener = Bun.listen({
    hostname: "127.0.0.2",
    port: 0,
    socket: {
      open(socket) {
        connections++;
        socket.end();
      },
      data() {},
    },
  });
  return {
    origin: `http://127.0.0.2:${listener.port}`,
    connections: () => connections,
    [Symbol.dispose]: () => listener.stop(true),
  };
}

async function openTown() {
  const as = openAuthorizationServer();
  const server = openProtectedServer(as);
  const gate = await openGate();
  const upstream = await gate.register({ url: server.url });
  const canary = openCanary();
  /** How an attempt to connect ends. */
  async function connect() {
    const page = await gate.connect(upstream, "ann", openBrowser());
    return { status: page.status, text: page.text };
  }
  return {
    as,
    server,
    gate,
    upstream,
    canary,
    connect,
    discover: () => gate.accounts.discover(server.url),
    async [Symbol.asyncDispose]() {
      canary[Symbol.dispose]();
      await gate[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await as[Symbol.asyncDispose]();
    },
  };
}

describe("discovery", () => {
  test("tells all that a server and its authorization server say", async () => {
    await using town = await openTown();
    const { as, server } = town;
    expect(await town.discover()).toEqual({
      requiresAuth: true,
      resource: server.url,
      resourceMetadataUrl: server.url.replace(
        "/mcp",
        "/.well-known/oauth-protected-resource/mcp",
      ),
      authorizationServers: [as.url],
      issuer: as.url,
      authorizationEndpoint: `${as.url}/authorize`,
      tokenEndpoint: `${as.url}/token`,
      registrationEndpoint: `${as.url}/register`,
      revocationEndpoint: `${as.url}/revoke`,
      scopesSupported: ["read", "write", "offline_access"],
      codeChallengeMethodsSupported: ["S256"],
      tokenEndpointAuthMethodsSupported: ["client_secret_basic", "none"],
      supportsDynamicRegistration: true,
      supportsClientIdMetadataDocument: false,
      error: null,
    });
    expect(as.requests).toEqual([]);
  });

  test("of a server that lets everybody in asks for nothing more", async () => {
    await using town = await openTown();
    await using open = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) =>
        new Response("", { status: url.endsWith("/mcp") ? 200 : 404 }),
    });
    const found = await town.gate.accounts.discover(
      `http://127.0.0.1:${open.port}/mcp`,
    );
    expect(found).toMatchObject({
      requiresAuth: false,
      issuer: null,
      error: null,
    });
  });

  test("of a server that is not there, or that answers nonsense, says so", async () => {
    await using town = await openTown();
    const gone = await town.gate.accounts.discover("http://127.0.0.1:1025/mcp");
    expect(gone).toMatchObject({ requiresAuth: false });
    expect(gone.error).toContain("127.0.0.1");
    town.server.metadata = () => ({ resource: 5 });
    expect((await town.discover()).error).toContain(
      "protected resource metadata",
    );
  });

  test("of a destination that is blocked is refused", async () => {
    await using town = await openTown();
    const error = await town.gate.accounts
      .discover(`${town.canary.origin}/mcp`)
      .catch((thrown: unknown) => thrown as GatewayError);
    expect(error).toMatchObject({
      code: "invalid",
      data: { reason: "blocked_destination" },
    });
    expect(town.canary.connections()).toBe(0);
  });

  test("takes a server of 2025-03-26 for its own authorization server", async () => {
    await using as = openAuthorizationServer();
    await using gate = await openGate();
    const proxied = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        if (pathname === "/mcp") {
          const token = request.headers.get("authorization")?.slice(7) ?? "";
          const grant = as.check(token);
          return grant
            ? Response.json(grant)
            : new Response("", { status: 401 });
        }
        if (pathname.startsWith("/.well-known/")) {
          return new Response("", { status: 404 });
        }
        const body = await request.text();
        return fetch(as.url + pathname + search, {
          method: request.method,
          headers: request.headers,
          redirect: "manual",
          ...(body === "" ? {} : { body }),
        });
      },
    });
    as.behave.answer = (params) => params.delete("iss");
    const url = `http://127.0.0.1:${proxied.port}/mcp`;
    const upstream = await gate.register({ url });
    expect((await gate.connect(upstream, "ann", openBrowser())).status).toBe(
      200,
    );
    expect(await gate.call(upstream, "ann")).toMatchObject({
      user: "ann",
      resource: url,
    });
    await proxied.stop(true);
  });
});

describe("an authorization server that is not to be trusted", () => {
  type Town = Awaited<ReturnType<typeof openTown>>;
  const says =
    (change: (town: Town) => Record<string, unknown>) => (town: Town) => {
      town.as.behave.metadata = (document) => ({
        ...document,
        ...change(town),
      });
    };
  const bad: [string, (town: Town) => void, string][] = [
    [
      "no PKCE",
      says(() => ({ code_challenge_methods_supported: undefined })),
      "PKCE",
    ],
    [
      "plain PKCE only",
      says(() => ({ code_challenge_methods_supported: ["plain"] })),
      "PKCE",
    ],
    [
      "another issuer",
      says(() => ({ issuer: "https://other.example" })),
      "authorization server metadata",
    ],
    [
      "an issuer with a path more",
      says(({ as }) => ({ issuer: `${as.url}/x` })),
      "authorization server metadata",
    ],
    [
      "a script for an endpoint",
      says(() => ({ authorization_endpoint: "javascript:alert(1)" })),
      "authorization server metadata",
    ],
    [
      "an endpoint without TLS elsewhere",
      says(() => ({ authorization_endpoint: "http://other.example/a" })),
      "authorization_endpoint",
    ],
    [
      "a private page for people's browsers",
      says(({ canary }) => ({ authorization_endpoint: canary.origin })),
      "authorization_endpoint",
    ],
    [
      "a router for people's browsers",
      says(() => ({ authorization_endpoint: "https://192.168.1.1/reboot" })),
      "authorization_endpoint",
    ],
    [
      "this machine in another notation",
      says(() => ({ authorization_endpoint: "https://0x7f.1/" })),
      "authorization_endpoint",
    ],
    [
      "a user in an endpoint",
      says(({ as }) => ({
        authorization_endpoint: as.url.replace("//", "//evil@"),
      })),
      "authorization_endpoint",
    ],
    [
      "a private token endpoint",
      says(({ canary }) => ({ token_endpoint: `${canary.origin}/token` })),
      "token_endpoint",
    ],
    [
      "a private registration endpoint",
      says(({ canary }) => ({ registration_endpoint: canary.origin })),
      "registration_endpoint",
    ],
    [
      "a private revocation endpoint",
      says(({ canary }) => ({ revocation_endpoint: canary.origin })),
      "revocation_endpoint",
    ],
    [
      "a megabyte of metadata",
      says(() => ({ padding: "x".repeat(1_000_000) })),
      "sends more than",
    ],
    [
      "metadata that redirects to a private address",
      ({ as, canary }) => {
        as.behave.metadata = () => Response.redirect(canary.origin);
      },
      "no metadata",
    ],
    [
      "no metadata, though the server names it",
      ({ as }) => {
        as.behave.metadata = () => new Response("", { status: 404 });
      },
      "no metadata",
    ],
    [
      "a registration that redirects",
      ({ as, canary }) => {
        as.behave.registration = () => Response.redirect(canary.origin, 302);
      },
      "redirects",
    ],
    [
      "a registration that keeps the method across a redirect",
      ({ as, canary }) => {
        as.behave.registration = () => Response.redirect(canary.origin, 307);
      },
      "redirects",
    ],
    [
      "a registration of a megabyte",
      ({ as }) => {
        as.behave.registration = (meant) => ({
          ...meant,
          client_name: "x".repeat(1_000_000),
        });
      },
      "sends more than",
    ],
    [
      "a client id that is no text",
      ({ as }) => {
        as.behave.registration = (meant) => ({ ...meant, client_id: 5 });
      },
      "registration_endpoint",
    ],
    [
      "a client id that cannot be sent",
      ({ as }) => {
        as.behave.registration = (meant) => ({ ...meant, client_id: "a\nb" });
      },
      "registration_endpoint",
    ],
    [
      "a registration that is no JSON",
      ({ as }) => {
        as.behave.registration = () => new Response("<html>");
      },
      "registration_endpoint",
    ],
    [
      "resource metadata about another server",
      (town) => {
        town.server.metadata = () => ({
          resource: "https://evil.example/mcp",
          authorization_servers: [town.as.url],
        });
      },
      "about another server",
    ],
    [
      "resource metadata about another path",
      (town) => {
        town.server.metadata = () => ({
          resource: `${town.server.url}/deeper`,
          authorization_servers: [town.as.url],
        });
      },
      "about another server",
    ],
    [
      "a private authorization server",
      (town) => {
        town.server.metadata = () => ({
          resource: town.server.url,
          authorization_servers: [town.canary.origin],
        });
      },
      "may not be",
    ],
    [
      "an authorization server without TLS",
      (town) => {
        town.server.metadata = () => ({
          resource: town.server.url,
          authorization_servers: ["http://as.example"],
        });
      },
      "authorization_servers",
    ],
    [
      "a file for an authorization server",
      (town) => {
        town.server.metadata = () => ({
          resource: town.server.url,
          authorization_servers: ["file:///etc/passwd"],
        });
      },
      "authorization_servers",
    ],
    [
      "resource metadata that fails",
      (town) => {
        town.server.metadata = () => new Response("", { status: 500 });
      },
      "protected resource metadata",
    ],
  ];
  // Demanded: oauth-pkce, oauth-issuer
  test.each(bad)("with %s is not gone to", async (_name, arrange, words) => {
    await using town = await openTown();
    arrange(town);
    const { status, text } = await town.connect();
    expect(status).toBe(502);
    expect(text).toContain(words);
    expect(text).not.toContain("javascript:");
    expect(town.canary.connections()).toBe(0);
    expect(town.as.of("/authorize")).toEqual([]);
    expect(town.gate.current(town.upstream)).toMatchObject({
      state: "authorize",
      oauth: null,
    });
  });

  test("is told in the answer of the discovery, too", async () => {
    await using town = await openTown();
    const { as, canary } = town;
    as.behave.metadata = (document) => ({
      ...document,
      token_endpoint: `${canary.origin}/token`,
    });
    expect(await town.discover()).toMatchObject({
      requiresAuth: true,
      tokenEndpoint: null,
    });
    expect((await town.discover()).error).toContain("token_endpoint");
    expect(canary.connections()).toBe(0);
  });
});

describe("where a server says that its metadata is", () => {
  // Demanded: oauth-metadata-place
  test("is believed on its own origin only, without climbing dots", async () => {
    const spots: [(town: { server: string; canary: string }) => string][] = [
      [({ canary }) => `${canary}/metadata`],
      [({ server }) => `${server}/../../etc`],
      [({ server }) => `${server}/%2e%2e/etc`],
      [() => "file:///etc/passwd"],
      [() => "nonsense"],
      [({ server }) => server.replace("//", "//user:pw@")],
      // Nothing is there: the usual places are.
      [({ server }) => `${server}/nothing`],
    ];
    for (const [spot] of spots) {
      await using town = await openTown();
      const { server, canary } = town;
      server.challenge = `Bearer resource_metadata="${spot({ server: server.url, canary: canary.origin })}"`;
      expect((await town.discover()).error).toBeNull();
      expect((await town.discover()).resourceMetadataUrl).toEndWith(
        "/.well-known/oauth-protected-resource/mcp",
      );
      expect(canary.connections()).toBe(0);
    }
  });
});

describe("registration", () => {
  test("by hand is used, bound to the first authorization server, and never shown to another", async () => {
    await using town = await openTown();
    const { gate, as, upstream, server } = town;
    as.behave.metadata = (document) => ({
      ...document,
      registration_endpoint: undefined,
    });
    expect(await gate.accounts.prepare(upstream)).toBe(false);
    expect(gate.current(upstream).oauth).toMatchObject({
      issuer: as.url,
      clientId: null,
      registration: null,
    });
    const { status, text } = await town.connect();
    expect(status).toBe(409);
    expect(text).toContain("Register one there by hand");
    as.adopt("by-hand", "a secret: with / and +");
    await gate.accounts.configure(gate.current(upstream), {
      clientId: "by-hand",
      clientSecret: "a secret: with / and +",
    });
    expect(gate.current(upstream).oauth).toMatchObject({
      issuer: null,
      clientId: "by-hand",
      registration: "manual",
      hasClientSecret: true,
    });
    expect(await gate.accounts.prepare(upstream)).toBe(true);
    expect((await town.connect()).status).toBe(200);
    expect((await gate.call(upstream, "ann")).user).toBe("ann");
    expect(gate.current(upstream).oauth?.issuer).toBe(as.url);

    await using second = openAuthorizationServer("second");
    server.as = second;
    expect((await gate.needs(upstream, "ann"))["code"]).toBe(
      "mcp_auth_expired",
    );
    expect(await gate.accounts.prepare(upstream)).toBe(false);
    const moved = await town.connect();
    expect(moved.status).toBe(409);
    expect(moved.text).toContain("another authorization server");
    expect(second.requests).toEqual([]);
  });

  test("by hand again with another client forgets what members have got by the old one", async () => {
    await using town = await openTown();
    const { gate, upstream } = town;
    expect((await town.connect()).status).toBe(200);
    await gate.accounts.configure(gate.current(upstream), { scopes: ["read"] });
    expect((await gate.call(upstream, "ann")).user).toBe("ann");
    await gate.accounts.configure(gate.current(upstream), {
      clientId: "another",
    });
    expect(gate.store.upstreams.credentials(upstream.id)).toEqual([]);
    expect(gate.current(upstream).oauth).toMatchObject({
      clientId: "another",
      hasClientSecret: false,
      scopes: ["read"],
    });
  });

  test("asks for the scopes that were set, whatever is found", async () => {
    await using town = await openTown();
    const { gate, as, upstream } = town;
    await gate.accounts.configure(upstream, { scopes: ["read", "mine"] });
    expect((await town.connect()).status).toBe(200);
    expect(as.of("/authorize")[0]!.query.get("scope")).toBe("read mine");
    expect(gate.current(upstream).oauth?.scopes).toEqual(["read", "mine"]);
  });

  test("happens once for members who come at the same time", async () => {
    await using town = await openTown();
    const { gate, as, upstream } = town;
    const pages = await Promise.all(
      ["ann", "bob", "eve"].map((user) =>
        gate.connect(upstream, user, openBrowser()),
      ),
    );
    expect(pages.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(as.of("/register")).toHaveLength(1);
  });

  test("is made anew when its secret has expired, or browsers come back elsewhere", async () => {
    await using town = await openTown();
    const { gate, as, upstream } = town;
    as.behave.registration = (meant) => ({
      ...meant,
      client_secret_expires_at: 1,
    });
    await gate.accounts.prepare(upstream);
    await gate.accounts.prepare(upstream);
    expect(as.of("/register")).toHaveLength(2);
    as.behave.registration = (meant) => ({
      ...meant,
      client_secret_expires_at: 0,
    });
    await gate.accounts.prepare(upstream);
    await gate.accounts.prepare(upstream);
    expect(as.of("/register")).toHaveLength(3);
    gate.settings.publicUrl = "https://gate.example";
    await gate.accounts.prepare(upstream);
    expect(as.of("/register")).toHaveLength(4);
  });

  test("that is rejected takes a person", async () => {
    await using town = await openTown();
    const { gate, as, upstream } = town;
    as.behave.registration = () =>
      Response.json({ error: "invalid_client_metadata" }, { status: 400 });
    expect(await gate.accounts.prepare(upstream)).toBe(false);
    expect((await town.connect()).status).toBe(409);
  });
});
