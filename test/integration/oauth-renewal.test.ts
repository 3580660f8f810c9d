import { describe, expect, test } from "bun:test";
import { GatewayError } from "../../src/core/errors.ts";
import { openAuthorizationServer } from "../support/authorization-server.ts";
import { openBrowser } from "../support/member-browser.ts";
import { fakeClock } from "../support/clock.ts";
import { openGate, principal } from "../support/gate.ts";
import { openProtectedServer } from "../support/protected-server.ts";

const HOUR = 3600_000;

/** A server to which the members are connected. */
async function openTown(...members: string[]) {
  const as = openAuthorizationServer();
  const server = openProtectedServer(as);
  const clock = fakeClock();
  const gate = await openGate({ clock });
  const upstream = await gate.register({ url: server.url });
  const connect = async (user: string) => {
    as.user = user;
    const { status } = await gate.connect(upstream, user, openBrowser());
    expect(status).toBe(200);
  };
  for (const user of members) await connect(user);
  const credential = (user: string) =>
    gate.store.upstreams.credential(upstream.id, user);
  const refreshes = () =>
    as
      .of("/token")
      .filter(({ form }) => form.get("grant_type") === "refresh_token");
  return {
    as,
    server,
    clock,
    gate,
    upstream,
    connect,
    credential,
    refreshes,
    call: (user: string) => gate.call(upstream, user),
    async [Symbol.asyncDispose]() {
      await gate[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await as[Symbol.asyncDispose]();
    },
  };
}

async function failure(run: () => Promise<unknown>): Promise<GatewayError> {
  const thrown = await run().then(
    () => null,
    (error: unknown) => error,
  );
  if (thrown instanceof GatewayError) return thrown;
  throw new Error("It did not fail as it should.", { cause: thrown });
}

describe("a token about to expire", () => {
  // Demanded: oauth-resource, oauth-one-refresh
  test("is renewed once for fifty callers, all of whom go on", async () => {
    await using town = await openTown("ann");
    town.clock.advance(HOUR - 30_000);
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => town.call("ann")),
    );
    expect(answers.map(({ user }) => user)).toEqual(Array(50).fill("ann"));
    expect(town.refreshes()).toHaveLength(1);
    expect(town.refreshes()[0]!.form.get("resource")).toBe(town.server.url);
  });

  test("is renewed early enough, and not before", async () => {
    await using town = await openTown("ann");
    town.clock.advance(HOUR - 61_000);
    await town.call("ann");
    expect(town.refreshes()).toHaveLength(0);
    town.clock.advance(2_000);
    await town.call("ann");
    expect(town.refreshes()).toHaveLength(1);
    await town.call("ann");
    expect(town.refreshes()).toHaveLength(1);
  });

  test("goes on for an hour after hour, each time with the newest refresh token", async () => {
    await using town = await openTown("ann");
    for (let hours = 1; hours <= 5; hours++) {
      town.clock.advance(HOUR);
      expect((await town.call("ann")).user).toBe("ann");
      expect(town.refreshes()).toHaveLength(hours);
    }
    const used = town.refreshes().map(({ form }) => form.get("refresh_token"));
    expect(new Set(used).size).toBe(5);
  });

  test("is used to its end when the authorization server does not answer", async () => {
    await using town = await openTown("ann");
    town.as.behave.before = () => new Response("down", { status: 503 });
    town.clock.advance(HOUR - 30_000);
    expect((await town.call("ann")).user).toBe("ann");
    town.clock.advance(30_000);
    const error = await failure(() => town.call("ann"));
    expect(error.code).toBe("upstream_failed");
    expect(town.credential("ann")).toMatchObject({
      status: "active",
      refreshingAt: null,
    });
    town.as.behave = {};
    expect((await town.call("ann")).user).toBe("ann");
  });

  test("of one member is renewed with that member's refresh token", async () => {
    await using town = await openTown("ann", "bob");
    town.clock.advance(HOUR);
    const users = Array.from({ length: 40 }, (_, i) => (i % 2 ? "ann" : "bob"));
    const answers = await Promise.all(users.map((user) => town.call(user)));
    expect(answers.map(({ user }) => user)).toEqual(users);
    expect(town.refreshes()).toHaveLength(2);
  });
});

describe("a refresh that is refused", () => {
  // Demanded: oauth-one-refresh
  test("expires the member's credential only, and says so from then on without asking", async () => {
    await using town = await openTown("ann", "bob");
    town.clock.advance(HOUR);
    town.as.behave.tokens = (meant, { form }) =>
      form.get("refresh_token")?.endsWith("-of-ann")
        ? Response.json({ error: "invalid_grant" }, { status: 400 })
        : meant;
    const failures = await Promise.all(
      Array.from({ length: 20 }, () => failure(() => town.call("ann"))),
    );
    for (const { code, data } of failures) {
      expect(code).toBe("needs_authorization");
      expect(data).toMatchObject({
        code: "mcp_auth_expired",
        authType: "oauth",
        serverId: town.upstream.id,
      });
      expect(data?.["authorizeUrl"]).toStartWith(`${town.gate.url}/api/`);
    }
    expect(town.refreshes()).toHaveLength(1);
    expect(town.credential("ann")?.status).toBe("expired");
    expect(town.gate.current(town.upstream)).toMatchObject({
      state: "ready",
      enabled: true,
    });
    expect((await town.call("bob")).user).toBe("bob");
    await failure(() => town.call("ann"));
    expect(town.refreshes()).toHaveLength(2);
  });

  test("is mended by connecting again", async () => {
    await using town = await openTown("ann");
    town.clock.advance(HOUR);
    town.as.behave.tokens = () =>
      Response.json({ error: "invalid_grant" }, { status: 400 });
    await failure(() => town.call("ann"));
    town.as.behave = {};
    await town.connect("ann");
    expect((await town.call("ann")).user).toBe("ann");
  });

  // Demanded: oauth-one-refresh
  test("does not take what another process has got meanwhile", async () => {
    await using town = await openTown("ann");
    town.clock.advance(HOUR);
    const winner = town.credential("ann")!;
    town.as.behave.tokens = async () => {
      // Authorized anew, while our request is on its way.
      town.as.behave = {};
      await town.gate.store.upstreams.editCredential(
        town.upstream.id,
        "ann",
        () => ({ ...winner, status: "expired", refreshingAt: null }),
      );
      await town.connect("ann");
      return Response.json({ error: "invalid_grant" }, { status: 400 });
    };
    expect((await town.call("ann")).user).toBe("ann");
    expect(town.credential("ann")?.status).toBe("active");
  });

  test("is not made at all by a client that did not get the grant", async () => {
    await using town = await openTown("ann", "bob");
    town.clock.advance(HOUR);
    town.as.behave.before = () =>
      Response.json({ error: "invalid_client" }, { status: 401 });
    await failure(() => town.call("ann"));
    town.as.behave = {};
    await town.connect("ann");
    const before = town.refreshes().length;
    const { data } = await failure(() => town.call("bob"));
    expect(data?.["code"]).toBe("mcp_auth_expired");
    expect(town.refreshes()).toHaveLength(before);
  });

  test("because the client is not known any more makes the next authorization register anew", async () => {
    await using town = await openTown("ann");
    town.clock.advance(HOUR);
    town.as.behave.tokens = () =>
      Response.json({ error: "invalid_client" }, { status: 401 });
    const { data } = await failure(() => town.call("ann"));
    expect(data?.["code"]).toBe("mcp_auth_expired");
    expect(town.gate.current(town.upstream).oauth).toBeNull();
    town.as.behave = {};
    await town.connect("ann");
    expect(town.as.of("/register")).toHaveLength(2);
    expect((await town.call("ann")).user).toBe("ann");
  });
});

describe("a refresh that a crash has cut off", () => {
  /** The request has gone out, and nobody is there any more when it is answered. */
  async function crash(town: Awaited<ReturnType<typeof openTown>>) {
    const asked = Promise.withResolvers<void>();
    const hold = Promise.withResolvers<void>();
    town.as.behave.before = async () => {
      asked.resolve();
      await hold.promise;
    };
    const lost = town.call("ann").catch(() => {});
    await asked.promise;
    expect(town.credential("ann")?.refreshingAt).toBe(town.clock.now());
    await town.gate.reopen();
    town.as.behave = {};
    hold.resolve();
    await lost;
  }

  test("is tried once more, and then the member has to connect again", async () => {
    await using town = await openTown("ann");
    town.clock.advance(HOUR);
    await crash(town);
    town.clock.advance(20_000);
    const failures = await Promise.all(
      Array.from({ length: 10 }, () => failure(() => town.call("ann"))),
    );
    // The authorization server has rotated: the second use of a refresh token is one too many.
    expect(failures.map(({ data }) => data?.["code"])).toEqual(
      Array(10).fill("mcp_auth_expired"),
    );
    expect(town.refreshes()).toHaveLength(2);
    expect(town.gate.current(town.upstream).state).toBe("ready");
    await town.connect("ann");
    expect((await town.call("ann")).user).toBe("ann");
  });

  test("is not waited for longer than a connection may take: it is said what is going on, and when to come back", async () => {
    await using town = await openTown("ann");
    town.clock.advance(HOUR);
    await crash(town);
    const called = failure(() => town.call("ann"));
    // It is looked at until then.
    town.clock.advance(8_000);
    const { code, message, retryAfterMs, data } = await called;
    expect([code, retryAfterMs, data?.["failureClass"]]).toEqual([
      "upstream_failed",
      12_000,
      "auth",
    ]);
    expect(message).toContain("is being renewed");
    expect(town.refreshes()).toHaveLength(1);
    expect(town.credential("ann")?.status).toBe("active");
  });

  test("succeeds the second time where refresh tokens are not rotated", async () => {
    await using town = await openTown("ann");
    town.clock.advance(HOUR);
    // Cut off before it reached the authorization server.
    await town.gate.store.upstreams.editCredential(
      town.upstream.id,
      "ann",
      (current) => ({ ...current!, refreshingAt: town.clock.now() }),
    );
    await town.gate.reopen();
    town.clock.advance(20_000);
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => town.call("ann")),
    );
    expect(answers).toHaveLength(50);
    expect(town.refreshes()).toHaveLength(1);
    expect(town.credential("ann")).toMatchObject({
      status: "active",
      refreshingAt: null,
    });
  });

  test("is not tried a third time", async () => {
    await using town = await openTown("ann");
    town.clock.advance(HOUR);
    await crash(town);
    town.clock.advance(20_000);
    await crash(town);
    town.clock.advance(20_000);
    const { data } = await failure(() => town.call("ann"));
    expect(data?.["code"]).toBe("mcp_auth_expired");
    expect(town.refreshes()).toHaveLength(2);
  });

  test("is not what another process is still at: both get the same answer", async () => {
    await using town = await openTown("ann");
    await using other = town.gate.beside();
    town.clock.advance(HOUR);
    const ann = principal("ann");
    const theirs = other.accounts.access(town.upstream, ann);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        town.gate.call(town.upstream, "ann", i % 2 ? theirs : undefined),
      ),
    );
    expect(answers.map(({ user }) => user)).toEqual(Array(50).fill("ann"));
    expect(town.refreshes()).toHaveLength(1);
  });
});

describe("what a token endpoint gives", () => {
  const bad: [string, object][] = [
    ["another type of token", { token_type: "mac" }],
    ["no type", { token_type: undefined }],
    ["a token with a line break", { access_token: "a\r\nX-Evil: 1" }],
    ["a token that is too long", { access_token: "a".repeat(20_000) }],
    ["an empty token", { access_token: "" }],
    ["a token that is no text", { access_token: 5 }],
    ["a megabyte", { access_token: "a".repeat(1_000_000) }],
    ["a negative lifetime", { expires_in: -1 }],
    ["a lifetime that is no number", { expires_in: "soon" }],
    ["a refresh token with a line break", { refresh_token: "a\nb" }],
    ["an error with status 200", { access_token: undefined, error: "no" }],
  ];
  // Demanded: oauth-token-answer
  test.each(bad)("is not stored when it is %s", async (_name, change) => {
    await using town = await openTown();
    town.as.behave.tokens = (meant) => ({ ...meant, ...change });
    const { status } = await town.gate.connect(
      town.upstream,
      "ann",
      openBrowser(),
    );
    expect(status).toBe(502);
    expect(town.credential("ann")).toBeNull();
    expect(town.gate.current(town.upstream).state).toBe("authorize");
    expect(JSON.stringify(town.gate.lines)).not.toContain("access-");
  });

  test("is not stored either when a refresh brings it, and what was there stays", async () => {
    await using town = await openTown("ann");
    const before = town.credential("ann")!;
    town.as.behave.tokens = (meant) => ({ ...meant, token_type: "mac" });
    town.clock.advance(HOUR);
    expect((await failure(() => town.call("ann"))).code).toBe(
      "upstream_failed",
    );
    expect(town.credential("ann")).toMatchObject({
      sealed: before.sealed,
      expiresAt: before.expiresAt,
      refreshingAt: null,
    });
  });

  const lifetimes: [unknown, number | null][] = [
    [1e12, 24 * HOUR],
    [0, 60_000],
    [5, 60_000],
    [undefined, null],
    ["3600", HOUR],
  ];
  test.each(lifetimes)(
    "lives for a minute to a day (%p)",
    async (expires_in, lifetime) => {
      await using town = await openTown();
      town.as.behave.tokens = (meant) => ({ ...meant, expires_in });
      await town.connect("ann");
      const { expiresAt } = town.credential("ann")!;
      expect(expiresAt).toBe(
        lifetime === null ? null : town.clock.now() + lifetime,
      );
    },
  );
});

describe("a token that the server refuses", () => {
  test("is renewed once for all who were refused", async () => {
    await using town = await openTown("ann");
    town.as.expireAll();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => town.call("ann")),
    );
    expect(answers.map(({ user }) => user)).toEqual(Array(20).fill("ann"));
    expect(town.refreshes()).toHaveLength(1);
  });

  test("and was renewed meanwhile is given anew without another look", async () => {
    await using town = await openTown("ann");
    const access = town.gate.accounts.access(town.upstream, principal("ann"));
    const headers = await access.headers();
    town.as.expireAll();
    await town.call("ann");
    const refusal = { status: 401, challenge: null, headers } as const;
    expect(await access.refused(refusal)).toBe(true);
    expect(await access.headers()).not.toEqual(headers);
    expect(town.refreshes()).toHaveLength(1);
    expect(town.credential("ann")?.status).toBe("active");
  });

  test("though it is fresh is not renewed again", async () => {
    await using town = await openTown("ann");
    town.server.as = { url: town.as.url, check: () => null };
    const { code, data } = await failure(() => town.call("ann"));
    expect(code).toBe("needs_authorization");
    expect(data?.["code"]).toBe("mcp_auth_expired");
    expect(town.refreshes()).toHaveLength(1);
    const asked = town.server.requests.length;
    await failure(() => town.call("ann"));
    expect(town.server.requests).toHaveLength(asked);
  });

  test("is not renewed where there is no refresh token", async () => {
    await using town = await openTown();
    town.as.behave.tokens = (meant) => ({ ...meant, refresh_token: undefined });
    await town.connect("ann");
    town.as.expireAll();
    const { data } = await failure(() => town.call("ann"));
    expect(data?.["code"]).toBe("mcp_auth_expired");
    expect(town.refreshes()).toHaveLength(0);
  });

  test("is not shown to the authorization server that the server has moved to", async () => {
    await using town = await openTown("ann");
    const { oauth: oldRegistration } = town.gate.current(town.upstream);
    await using second = openAuthorizationServer("second");
    second.user = "ann";
    town.server.as = second;
    const { data } = await failure(() => town.call("ann"));
    expect(data?.["code"]).toBe("mcp_auth_expired");
    expect(town.refreshes()).toHaveLength(0);
    expect(second.requests).toHaveLength(0);
    const page = await town.gate.connect(town.upstream, "ann", openBrowser());
    expect(page.status).toBe(200);
    expect((await town.call("ann")).user).toBe("ann");
    expect(second.of("/register")).toHaveLength(1);
    const shown = JSON.stringify(
      second.requests.map(({ query, form, headers }) => [
        [...query],
        [...form],
        [...headers],
      ]),
    );
    const { refresh, access } = town.as.living();
    const { clientId } = oldRegistration!;
    const secrets = [...refresh, ...access, `"${clientId}"`, "secret-1-as"];
    expect(secrets.length).toBeGreaterThan(3);
    for (const secret of secrets) expect(shown).not.toContain(secret);
    expect(town.gate.current(town.upstream).oauth?.issuer).toBe(second.url);
  });

  test("is not refreshed at an authorization server that a member of another one has moved us to", async () => {
    await using town = await openTown("ann", "bob");
    await using second = openAuthorizationServer();
    town.server.as = second;
    await failure(() => town.call("bob"));
    second.user = "bob";
    await town.gate.connect(town.upstream, "bob", openBrowser());
    const before = second.of("/token").length;
    town.clock.advance(HOUR);
    const { data } = await failure(() => town.call("ann"));
    expect(data?.["code"]).toBe("mcp_auth_expired");
    expect(second.of("/token")).toHaveLength(before);
    expect(town.refreshes()).toHaveLength(0);
  });
});

describe("a server that wants more", () => {
  test("makes the member grant it all together", async () => {
    await using town = await openTown("ann");
    town.server.needs = ["write"];
    const { code, data } = await failure(() => town.call("ann"));
    expect(code).toBe("needs_authorization");
    expect(data).toMatchObject({ code: "mcp_auth_required" });
    expect(data?.["message"]).toContain("permissions");
    await town.connect("ann");
    expect(town.as.of("/authorize").at(-1)!.query.get("scope")).toBe(
      "read offline_access write",
    );
    expect((await town.call("ann")).user).toBe("ann");
    expect(town.refreshes()).toHaveLength(0);
  });

  // Demanded: oauth-step-up
  test("again and again is obeyed three times in all", async () => {
    await using town = await openTown("ann");
    town.server.needs = ["never-granted"];
    town.as.behave.tokens = (meant) => ({ ...meant, scope: "read" });
    const check = town.as.check;
    town.server.as = {
      url: town.as.url,
      check: (token) => ({ ...check(token)!, scopes: [] }),
    };
    for (const round of [2, 3]) {
      expect((await failure(() => town.call("ann"))).code).toBe(
        "needs_authorization",
      );
      await town.connect("ann");
      expect(town.as.of("/authorize")).toHaveLength(round);
    }
    const error = await failure(() => town.call("ann"));
    expect(error.code).toBe("forbidden");
    expect(error.data).not.toHaveProperty("authorizeUrl");
    // Later it may be worth a try.
    town.clock.advance(600_001);
    expect((await failure(() => town.call("ann"))).code).toBe(
      "needs_authorization",
    );
  });

  test("than the authorization server knows is asked for less the next time", async () => {
    await using town = await openTown("ann");
    town.server.needs = ["unheard-of"];
    await failure(() => town.call("ann"));
    town.as.behave.answer = (params) => {
      params.delete("code");
      params.set("error", "invalid_scope");
    };
    const page = await town.gate.connect(town.upstream, "ann", openBrowser());
    expect(page.status).toBe(502);
    town.as.behave = {};
    town.server.needs = ["read"];
    const browser = openBrowser();
    const link = town.gate.accounts.authorizeUrl(
      town.upstream,
      principal("ann"),
    );
    const end = await browser.submit(await browser.open(link));
    expect(end.status).toBe(200);
    expect(town.as.of("/authorize").at(-1)!.query.get("scope")).not.toContain(
      "unheard-of",
    );
  });

  test("without saying that it is a matter of scopes is not asked for", async () => {
    await using town = await openTown("ann");
    const access = town.gate.accounts.access(town.upstream, principal("ann"));
    const headers = await access.headers();
    const error = await failure(() =>
      access.refused({ status: 403, challenge: null, headers }),
    );
    expect(error.code).toBe("forbidden");
    expect(town.credential("ann")?.status).toBe("active");
  });
});
