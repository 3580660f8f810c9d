import { describe, expect, test } from "bun:test";
import { GatewayError } from "../../src/core/errors.ts";
import type { Upstream } from "../../src/core/upstream.ts";
import { openAuthorizationServer } from "../support/authorization-server.ts";
import { openBrowser } from "../support/member-browser.ts";
import { fakeClock } from "../support/clock.ts";
import type { Gate } from "../support/gate.ts";
import { openGate, principal } from "../support/gate.ts";
import { openProtectedServer } from "../support/protected-server.ts";

async function openTown() {
  const as = openAuthorizationServer();
  const server = openProtectedServer(as);
  const clock = fakeClock();
  const gate = await openGate({ clock });
  const upstream = await gate.register({ url: server.url });
  return {
    as,
    server,
    clock,
    gate,
    upstream,
    async connect(user: string) {
      as.user = user;
      const page = await gate.connect(upstream, user, openBrowser());
      expect(page.status).toBe(200);
    },
    async [Symbol.asyncDispose]() {
      await gate[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await as[Symbol.asyncDispose]();
    },
  };
}

/** A server that answers with what it was sent. */
function openMirror() {
  const http = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ headers }) => Response.json(Object.fromEntries(headers)),
  });
  return {
    url: `http://127.0.0.1:${http.port}/mcp`,
    [Symbol.asyncDispose]: () => http.stop(true),
  };
}

async function refusal(run: () => Promise<unknown>): Promise<GatewayError> {
  const thrown = await run().then(
    () => null,
    (error: unknown) => error,
  );
  if (thrown instanceof GatewayError) return thrown;
  throw new Error("It was not refused as it should be.", { cause: thrown });
}

const connection = (gate: Gate, upstream: Upstream, user: string) =>
  gate.store.upstreams.editCredential(upstream.id, user, () => ({
    name: null,
    authType: upstream.authType,
    status: "active",
    sealed: null,
    refreshingAt: null,
    connectedAt: 1,
    expiresAt: null,
    lastUsedAt: null,
  }));

describe("members of one server", () => {
  // Demanded: servers-members-apart
  test("are never taken for each other in a thousand calls, with renewals between", async () => {
    await using town = await openTown();
    await town.connect("ann");
    await town.connect("bob");
    for (let round = 0; round < 4; round++) {
      const users = Array.from({ length: 250 }, (_, i) =>
        (i + round) % 2 ? "ann" : "bob",
      );
      const answers = await Promise.all(
        users.map((user) => town.gate.call(town.upstream, user)),
      );
      expect(answers.map(({ user }) => user)).toEqual(users);
      town.clock.advance(3600_000);
    }
  });

  // Demanded: oauth-own-grant
  test("get nothing by another's consent", async () => {
    await using town = await openTown();
    await town.connect("ann");
    const asked = town.server.requests.length;
    const error = await refusal(() => town.gate.call(town.upstream, "bob"));
    expect(error.data?.["code"]).toBe("mcp_auth_required");
    expect(town.server.requests).toHaveLength(asked);
  });

  test("who are disconnected have to connect again, and others do not", async () => {
    await using town = await openTown();
    await town.connect("ann");
    await town.connect("bob");
    await town.gate.store.upstreams.removeCredential(town.upstream.id, "ann");
    const error = await refusal(() => town.gate.call(town.upstream, "ann"));
    expect(error.data?.["code"]).toBe("mcp_auth_required");
    expect((await town.gate.call(town.upstream, "bob")).user).toBe("bob");
  });

  test("have the last use of their credential written down now and then", async () => {
    await using town = await openTown();
    await town.connect("ann");
    const lastUsed = () =>
      town.gate.store.upstreams.credential(town.upstream.id, "ann")!.lastUsedAt;
    expect(lastUsed()).toBeNull();
    await town.gate.call(town.upstream, "ann");
    await town.gate.store.upstreams.edit(town.upstream.id, () => null, 0);
    const first = town.clock.now();
    expect(lastUsed()).toBe(first);
    town.clock.advance(599_000);
    await town.gate.call(town.upstream, "ann");
    await town.gate.store.upstreams.edit(town.upstream.id, () => null, 0);
    expect(lastUsed()).toBe(first);
    town.clock.advance(1_000);
    await town.gate.call(town.upstream, "ann");
    await town.gate.store.upstreams.edit(town.upstream.id, () => null, 0);
    expect(lastUsed()).toBe(town.clock.now());
  });
});

describe("a row that was changed behind our back", () => {
  // Demanded: vault-bound
  test("with another member's tokens in it lets nobody in", async () => {
    await using town = await openTown();
    await town.connect("ann");
    await town.connect("bob");
    town.gate.tamper(
      "UPDATE credentials SET sealed = (SELECT sealed FROM credentials WHERE subject = 'ann') WHERE subject = 'bob'",
    );
    const asked = town.server.requests.length;
    const error = await refusal(() => town.gate.call(town.upstream, "bob"));
    expect(error.code).toBe("needs_authorization");
    expect(town.server.requests).toHaveLength(asked);
    expect(town.gate.lines).toContainEqual(
      expect.objectContaining({
        level: "error",
        event: "credential tampered",
        user: "bob",
      }),
    );
    expect((await town.gate.call(town.upstream, "ann")).user).toBe("ann");
    await town.connect("bob");
    expect((await town.gate.call(town.upstream, "bob")).user).toBe("bob");
  });

  test("with another server's secret in it sends nothing", async () => {
    await using mirror = openMirror();
    await using gate = await openGate();
    const bearer = { url: mirror.url, authType: "bearer" } as const;
    const one = await gate.register(bearer);
    const two = await gate.register(bearer);
    const sealedSecret = gate.accounts.sealShared(one, { token: "of-one" });
    for (const { id } of [one, two]) {
      await gate.store.upstreams.edit(id, () => ({ sealedSecret }), 0);
    }
    expect((await gate.call(gate.current(one), "ann")).authorization).toBe(
      "Bearer of-one",
    );
    const error = await refusal(() => gate.call(gate.current(two), "ann"));
    expect(error.code).toBe("needs_authorization");
    expect(error.message).not.toContain("of-one");
  });
});

describe("what a request carries", () => {
  // Demanded: servers-no-passthrough
  test("is never the caller's own token, whatever the server is", async () => {
    await using mirror = openMirror();
    await using gate = await openGate();
    for (const authType of [
      "none",
      "bearer",
      "api_key",
      "headers",
      "direct_auth",
    ] as const) {
      const made = await gate.register({ url: mirror.url, authType });
      const sealedSecret = gate.accounts.sealShared(made, {
        token: "shared",
        headers: { "x-one": "1", "x-two": "2" },
      });
      await gate.store.upstreams.edit(made.id, () => ({ sealedSecret }), 0);
      const upstream = gate.current(made);
      if (authType === "direct_auth") await connection(gate, upstream, "ann");
      const sent = await gate.call(upstream, "ann");
      expect(JSON.stringify(sent)).not.toContain("the-own-token");
      expect({
        authorization: sent.authorization,
        key: sent["x-api-key"],
        headers: [sent["x-one"], sent["x-two"]],
      }).toEqual({
        authorization: authType === "bearer" ? "Bearer shared" : undefined,
        key: authType === "api_key" ? "shared" : undefined,
        headers: authType === "headers" ? ["1", "2"] : [undefined, undefined],
      });
    }
  });

  test("is an API key in the header that was said", async () => {
    await using mirror = openMirror();
    await using gate = await openGate();
    const made = await gate.register({ url: mirror.url, authType: "api_key" });
    const sealedSecret = gate.accounts.sealShared(made, {
      token: "k",
      header: "X-Custom",
    });
    await gate.store.upstreams.edit(made.id, () => ({ sealedSecret }), 0);
    const sent = await gate.call(gate.current(made), "ann");
    expect(sent).toMatchObject({ "x-custom": "k" });
    expect(sent).not.toHaveProperty("x-api-key");
  });

  test("for direct_auth is the member's own token, or nothing, once they have connected", async () => {
    await using mirror = openMirror();
    await using gate = await openGate();
    const upstream = await gate.register({
      url: mirror.url,
      authType: "direct_auth",
      appUuid: "app-1",
    });
    const error = await refusal(() => gate.call(upstream, "ann"));
    expect(error.data).toEqual({
      code: "mcp_auth_required",
      message: "Connect your account to use this server",
      authType: "direct_auth",
      serverId: upstream.id,
      appUuid: "app-1",
    });
    await connection(gate, upstream, "ann");
    expect(await gate.call(upstream, "ann")).not.toHaveProperty(
      "authorization",
    );
    await gate.store.upstreams.editCredential(
      upstream.id,
      "ann",
      (current) => ({
        ...current!,
        sealed: gate.accounts.sealOwnToken(upstream, "ann", "anns-own"),
      }),
    );
    expect((await gate.call(upstream, "ann")).authorization).toBe(
      "Bearer anns-own",
    );
    expect((await gate.needs(upstream, "bob"))["code"]).toBe(
      "mcp_auth_required",
    );
  });

  test("of a member's own that is refused expires, and is not sent again", async () => {
    await using gate = await openGate();
    await using as = openAuthorizationServer();
    await using server = openProtectedServer(as);
    const upstream = await gate.register({
      url: server.url,
      authType: "direct_auth",
    });
    await connection(gate, upstream, "ann");
    await gate.store.upstreams.editCredential(
      upstream.id,
      "ann",
      (current) => ({
        ...current!,
        sealed: gate.accounts.sealOwnToken(upstream, "ann", "stale"),
      }),
    );
    expect((await gate.needs(upstream, "ann"))["code"]).toBe(
      "mcp_auth_expired",
    );
    const asked = server.requests.length;
    expect((await gate.needs(upstream, "ann"))["code"]).toBe(
      "mcp_auth_expired",
    );
    expect(server.requests).toHaveLength(asked);
  });

  test("that everybody shares and the server refuses is for an administrator to set again", async () => {
    await using as = openAuthorizationServer();
    await using server = openProtectedServer(as);
    await using gate = await openGate();
    const upstream = await gate.register({
      url: server.url,
      authType: "bearer",
    });
    const needs = await gate.needs(upstream, "ann");
    expect(needs).toMatchObject({
      code: "mcp_auth_required",
      authType: "bearer",
    });
    expect(needs).not.toHaveProperty("authorizeUrl");
  });

  test("a refusal that names a place of the server's own leads to ours", async () => {
    await using town = await openTown();
    await town.connect("ann");
    town.server.challenge =
      'Bearer resource_metadata="https://evil.example/x", authorization_uri="https://evil.example/login", error="insufficient_scope", scope="more"';
    town.server.needs = ["more"];
    const error = await refusal(() => town.gate.call(town.upstream, "ann"));
    expect(error.data?.["authorizeUrl"]).toStartWith(town.gate.url);
    expect(error.message + JSON.stringify(error.data)).not.toContain("evil");
  });

  test("to a stdio server is its environment", async () => {
    await using gate = await openGate();
    const made = await gate.register({ transport: "stdio", authType: "none" });
    const sealedSecret = gate.accounts.sealShared(made, { env: { KEY: "v" } });
    await gate.store.upstreams.edit(made.id, () => ({ sealedSecret }), 0);
    const access = gate.accounts.access(gate.current(made), principal("ann"));
    expect(access.env()).toEqual({ KEY: "v" });
  });
});

describe("disconnecting a server", () => {
  test("revokes what every member holds, and forgets it and the registration", async () => {
    await using town = await openTown();
    const { gate, as, upstream } = town;
    for (const user of ["ann", "bob", "eve"]) await town.connect(user);
    expect(as.living().access).toHaveLength(3);
    await gate.accounts.disconnect(gate.current(upstream));
    expect(as.living()).toEqual({ access: [], refresh: [] });
    expect(as.of("/revoke")).toHaveLength(3);
    for (const { form, headers } of as.of("/revoke")) {
      expect(form.get("token_type_hint")).toBe("refresh_token");
      expect(headers.get("authorization")).toStartWith("Basic ");
    }
    expect(gate.store.upstreams.credentials(upstream.id)).toEqual([]);
    expect(gate.current(upstream)).toMatchObject({
      oauth: null,
      sealedOauth: null,
    });
  });

  test("forgets all the same when the authorization server is gone", async () => {
    const town = await openTown();
    await town.connect("ann");
    await town.as[Symbol.asyncDispose]();
    await town.gate.accounts.disconnect(town.gate.current(town.upstream));
    expect(town.gate.store.upstreams.credentials(town.upstream.id)).toEqual([]);
    expect(town.gate.current(town.upstream).oauth).toBeNull();
    await town[Symbol.asyncDispose]();
  });

  test("ends a renewal that is under way: what it brings is revoked", async () => {
    await using town = await openTown();
    await town.connect("ann");
    town.clock.advance(3600_000);
    town.as.behave.tokens = async (meant) => {
      await town.gate.store.upstreams.removeCredentials(town.upstream.id);
      return meant;
    };
    const error = await refusal(() => town.gate.call(town.upstream, "ann"));
    expect(error.data?.["code"]).toBe("mcp_auth_required");
    expect(town.as.living().access).toEqual([]);
  });
});
