import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { openAuthorizationServer } from "../support/authorization-server.ts";
import type { Browser, Page } from "../support/member-browser.ts";
import { openBrowser } from "../support/member-browser.ts";
import { fakeClock } from "../support/clock.ts";
import { openGate, WORKSPACE } from "../support/gate.ts";
import { openProtectedServer } from "../support/protected-server.ts";

async function openTown(options: Parameters<typeof openGate>[0] = {}) {
  const as = openAuthorizationServer();
  const server = openProtectedServer(as);
  const clock = fakeClock();
  const gate = await openGate({ clock, ...options });
  const upstream = await gate.register({ url: server.url });
  return {
    as,
    server,
    clock,
    gate,
    upstream,
    async [Symbol.asyncDispose]() {
      await gate[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await as[Symbol.asyncDispose]();
    },
  };
}
type Town = Awaited<ReturnType<typeof openTown>>;

/** Up to, and without, the way back: the URL that the browser was sent to. */
async function goOut(
  { gate, upstream }: Pick<Town, "gate" | "upstream">,
  user: string,
  browser: Browser,
): Promise<string> {
  const { authorizeUrl } = await gate.needs(upstream, user);
  const back = (url: string) => new URL(url).pathname === "/oauth/callback";
  const page = await browser.submit(
    await browser.open(authorizeUrl!),
    {},
    back,
  );
  return page.location!;
}

const state = (url: string) => new URL(url).searchParams.get("state")!;

describe("connecting a member", () => {
  test("a link leads to consent and back, and then the server knows the member", async () => {
    await using town = await openTown();
    const { gate, upstream, server, as } = town;
    const needs = await gate.needs(upstream, "ann");
    expect(needs).toEqual({
      code: "mcp_auth_required",
      message: "Connect your account to use this server",
      authType: "oauth",
      serverId: upstream.id as never,
      authorizeUrl: expect.any(String) as never,
    });
    expect(needs["authorizeUrl"]).toStartWith(
      `${gate.url}/api/v2/w/wk/mcp-servers/${upstream.id}/oauth/authorize?ticket=`,
    );
    const page = await gate.connect(upstream, "ann", openBrowser());
    expect(page.status).toBe(200);
    expect(page.text).toContain("Server 1 is connected to ANN.");
    expect(gate.current(upstream)).toMatchObject({
      state: "ready",
      enabled: true,
      setupStep: null,
      oauth: { issuer: as.url, registration: "dcr", hasClientSecret: true },
    });
    expect(await gate.call(upstream, "ann")).toEqual({
      user: "ann",
      resource: server.url,
    });
    expect(gate.store.upstreams.credentials(upstream.id)).toMatchObject([
      { subject: "ann", name: "ANN", authType: "oauth", status: "active" },
    ]);
  });

  // Demanded: oauth-pkce, oauth-resource
  test("asks with PKCE, a state, and the resource, at the authorization and for the token", async () => {
    await using town = await openTown();
    await town.gate.connect(town.upstream, "ann", openBrowser());
    const [authorize] = town.as.of("/authorize");
    expect(Object.fromEntries(authorize!.query)).toMatchObject({
      response_type: "code",
      code_challenge_method: "S256",
      resource: town.server.url,
      redirect_uri: `${town.gate.url}/oauth/callback`,
      scope: "read offline_access",
    });
    // 256 bits in base64url.
    expect(authorize!.query.get("state")).toMatch(/^[\w-]{43}$/);
    expect(town.as.of("/token")[0]!.form.get("resource")).toBe(town.server.url);
    expect(town.as.of("/register")).toHaveLength(1);
    expect(town.as.of("/register")[0]!.json).toMatchObject({
      redirect_uris: [`${town.gate.url}/oauth/callback`],
      grant_types: ["authorization_code", "refresh_token"],
      token_endpoint_auth_method: "client_secret_basic",
      application_type: "native",
    });
  });

  test("a second member of a server that is ready connects with a grant of their own, by the same registration", async () => {
    await using town = await openTown();
    const { gate, upstream, as } = town;
    await gate.connect(upstream, "ann", openBrowser());
    const needs = await gate.needs(upstream, "bob");
    expect(needs["code"]).toBe("mcp_auth_required");
    as.user = "bob";
    expect((await gate.connect(upstream, "bob", openBrowser())).status).toBe(
      200,
    );
    expect(as.of("/register")).toHaveLength(1);
    const users = await Promise.all(
      ["ann", "bob", "ann"].map((user) => gate.call(upstream, user)),
    );
    expect(users.map(({ user }) => user)).toEqual(["ann", "bob", "ann"]);
  });

  test("a caller with the scope is redirected at once, and others are not", async () => {
    await using town = await openTown();
    const { gate, upstream, as } = town;
    const path = `/api/v2/w/${WORKSPACE}/mcp-servers/${upstream.id}/oauth/authorize`;
    const ask = (token: string | null, at = path) =>
      fetch(gate.url + at, {
        redirect: "manual",
        headers: token === null ? {} : { authorization: `Bearer ${token}` },
      });
    expect((await ask(null)).status).toBe(401);
    expect((await ask("ann=apps:read")).status).toBe(403);
    expect((await ask("ann", path.replace("/wk/", "/other/"))).status).toBe(
      404,
    );
    for (const id of ["999", "01", "-1", "1e0", "9".repeat(30), "x"]) {
      const other = path.replace(/\d+\/oauth/, `${id}/oauth`);
      expect((await ask("ann", other)).status).toBe(404);
    }
    expect(as.requests).toEqual([]);
    const response = await ask("ann");
    expect(response.status).toBe(302);
    expect(response.headers.get("location")).toStartWith(
      `${as.url}/authorize?`,
    );
    expect(response.headers.get("set-cookie")).toMatch(
      /^mcp-oauth-[\w-]{16}=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/,
    );
    expect(response.headers.get("referrer-policy")).toBe("no-referrer");
  });

  test("is refused unless the server waits for it, or the member of a ready one is not connected", async () => {
    await using town = await openTown();
    const { gate, upstream, clock } = town;
    const { upstreams } = gate.store;
    const ask = async () => {
      const response = await fetch(
        `${gate.url}/api/v2/w/${WORKSPACE}/mcp-servers/${upstream.id}/oauth/authorize`,
        { redirect: "manual", headers: { authorization: "Bearer ann" } },
      );
      if (response.status === 302) return 302;
      const { code, detail } = (await response.json()) as any;
      return [response.status, detail.code ?? code];
    };
    const become = (changes: object) =>
      upstreams.edit(upstream.id, () => changes, 0);

    await become({ state: "register" });
    expect(await ask()).toEqual([409, "not_prepared"]);
    await become({ state: "ready", enabled: false });
    expect(await ask()).toEqual([409, "server_disabled"]);
    await become({ enabled: true, authType: "bearer" });
    expect(await ask()).toEqual([409, "not_oauth"]);
    await become({ authType: "oauth" });
    expect(await ask()).toBe(302);
    await gate.connect(upstream, "ann", openBrowser());
    expect(await ask()).toEqual([409, "already_connected"]);
    clock.advance(3600_000);
    expect(await ask()).toBe(302);
    await become({ state: "authorize" });
    expect(await ask()).toBe(302);
  });
});

describe("the way back", () => {
  const refused = { status: 400, tokens: 0 };
  async function come(town: Town, url: string, browser: Browser) {
    const page = await browser.open(url);
    return { status: page.status, tokens: town.as.of("/token").length };
  }

  // Demanded: oauth-state
  test("is barred without the state of a flow, and with a made up one", async () => {
    await using town = await openTown();
    const browser = openBrowser();
    const url = new URL(await goOut(town, "ann", browser));
    const with_ = (change: (params: URLSearchParams) => void) => {
      const changed = new URL(url);
      change(changed.searchParams);
      return come(town, changed.href, browser);
    };
    expect(await with_((p) => p.delete("state"))).toEqual(refused);
    expect(await with_((p) => p.set("state", "x".repeat(43)))).toEqual(refused);
    expect(await with_((p) => p.set("state", ""))).toEqual(refused);
    expect(await with_((p) => p.append("state", "y"))).toEqual(refused);
    // None of this has used up the real one.
    expect(await come(town, url.href, browser)).toEqual({
      status: 200,
      tokens: 1,
    });
  });

  // Demanded: oauth-state
  test("is good once", async () => {
    await using town = await openTown();
    const browser = openBrowser();
    const url = await goOut(town, "ann", browser);
    const cookies = new Map(browser.cookies);
    expect(await come(town, url, browser)).toEqual({ status: 200, tokens: 1 });
    for (const [name, value] of cookies) browser.cookies.set(name, value);
    expect(await come(town, url, browser)).toEqual({ status: 400, tokens: 1 });
  });

  // Demanded: oauth-state
  test("is open for ten minutes", async () => {
    await using town = await openTown();
    const browser = openBrowser();
    const url = await goOut(town, "ann", browser);
    town.clock.advance(600_000);
    expect(await come(town, url, browser)).toEqual(refused);
  });

  // Demanded: oauth-state
  test("is barred in another browser, and with another flow's cookie, which ends the flow", async () => {
    await using town = await openTown();
    const ann = openBrowser();
    const url = await goOut(town, "ann", ann);
    const eve = openBrowser();
    await goOut(town, "eve", eve);
    // Whatever eve's browser holds, also under the name of ann's cookie.
    const [own] = eve.cookies.values();
    for (const name of ann.cookies.keys()) eve.cookies.set(name, own!);
    expect(await come(town, url, eve)).toEqual(refused);
    expect(await come(town, url, ann)).toEqual(refused);
    expect(town.gate.store.upstreams.credentials(town.upstream.id)).toEqual([]);
  });

  // Demanded: oauth-state
  test("takes no code that the attacker's browser has brought with the attacker's state", async () => {
    await using town = await openTown();
    const eve = openBrowser();
    const url = await goOut(town, "eve", eve);
    expect(await come(town, url, openBrowser())).toEqual(refused);
  });

  test("is of one workspace, if its URL names one", async () => {
    await using town = await openTown();
    const browser = openBrowser();
    const to = (url: string, workspace: string) =>
      url.replace(
        "/oauth/callback",
        `/api/v2/w/${workspace}/mcp-servers/oauth/callback`,
      );
    const first = await goOut(town, "ann", browser);
    expect(await come(town, to(first, "other"), browser)).toEqual(refused);
    const second = await goOut(town, "ann", browser);
    expect(await come(town, to(second, WORKSPACE), browser)).toEqual({
      status: 200,
      tokens: 1,
    });
  });

  test("asks for nothing when it is only looked at", async () => {
    await using town = await openTown();
    const browser = openBrowser();
    const url = await goOut(town, "ann", browser);
    expect((await fetch(url, { method: "HEAD" })).status).toBe(405);
    expect(await come(town, url, browser)).toEqual({ status: 200, tokens: 1 });
  });

  const issuers: [string, (params: URLSearchParams) => void, number][] = [
    ["another", (p) => p.set("iss", "https://evil.example"), 502],
    ["one with a slash more", (p) => p.set("iss", `${p.get("iss")}/`), 502],
    ["none, though it says that it names itself", (p) => p.delete("iss"), 502],
    ["two", (p) => p.append("iss", p.get("iss")!), 502],
    [
      "another, with an error",
      (p) => {
        p.delete("code");
        p.set("error", "access_denied");
        p.set("iss", "https://evil.example");
      },
      502,
    ],
    ["its own", () => {}, 200],
  ];
  // Demanded: oauth-issuer
  test.each(issuers)("from %s issuer", async (_name, answer, status) => {
    await using town = await openTown();
    town.as.behave.answer = answer;
    const page = await town.gate.connect(town.upstream, "ann", openBrowser());
    expect(page.status).toBe(status);
    expect(town.as.of("/token")).toHaveLength(status === 200 ? 1 : 0);
    if (status !== 200) {
      expect(page.text).toContain("not from the authorization server");
      expect(page.text).not.toContain("evil.example");
    }
  });

  test("from an issuer that does not say that it names itself, with or without a name", async () => {
    for (const [iss, status] of [
      [null, 200],
      ["own", 200],
      ["https://evil.example", 502],
    ] as const) {
      await using town = await openTown();
      const { as } = town;
      as.behave.metadata = (document) => ({
        ...document,
        authorization_response_iss_parameter_supported: undefined,
      });
      as.behave.answer = (params) => {
        if (iss === null) params.delete("iss");
        else params.set("iss", iss === "own" ? as.url : iss);
      };
      const page = await town.gate.connect(town.upstream, "ann", openBrowser());
      expect(page.status).toBe(status);
    }
  });

  test("shows nothing that the authorization server has written", async () => {
    const marks = "<script>alert(1)</script>";
    for (const error of ["access_denied", marks, "toString"]) {
      await using town = await openTown();
      town.as.behave.answer = (params) => {
        params.delete("code");
        params.set("error", error);
        params.set("error_description", marks);
        params.set("error_uri", "https://evil.example");
      };
      const page = await town.gate.connect(town.upstream, "ann", openBrowser());
      expect(page.status).toBe(502);
      expect(page.text).toContain("did not let you in");
      expect(page.text).not.toContain("script");
      expect(page.text).not.toContain("evil");
      expect(page.text.includes("said no")).toBe(error === "access_denied");
      expect(town.as.of("/token")).toEqual([]);
    }
  });

  // Demanded: oauth-no-open-redirect
  test("leads nowhere else", async () => {
    await using town = await openTown();
    const browser = openBrowser();
    const url = await goOut(town, "ann", browser);
    const page = await browser.open(
      `${url}&next=//evil.example&return_to=https:evil.example&redirect=/%5Cevil.example`,
    );
    expect(page.status).toBe(200);
    expect(page.text).not.toContain("evil");
    expect(page.location).toBeNull();
  });

  test("is of no use when the server was changed meanwhile", async () => {
    await using town = await openTown();
    const { gate, upstream } = town;
    const browser = openBrowser();
    const url = await goOut(town, "ann", browser);
    await gate.store.upstreams.edit(
      upstream.id,
      () => ({ url: "http://127.0.0.1:9/mcp" }),
      0,
    );
    expect(await come(town, url, browser)).toEqual({ status: 409, tokens: 0 });
  });

  test("a code that is refused connects nobody", async () => {
    await using town = await openTown();
    town.as.behave.answer = (params) => params.set("code", "another");
    const page = await town.gate.connect(town.upstream, "ann", openBrowser());
    expect(page.status).toBe(409);
    expect(town.gate.current(town.upstream).state).toBe("authorize");
    expect(town.gate.store.upstreams.credentials(town.upstream.id)).toEqual([]);
  });

  test.each([
    ["moved", { url: "https://elsewhere.example/mcp" }],
    ["registered anew", { oauth: null }],
    ["disconnected", { state: "register", setupStep: "connect" }],
  ] as const)(
    "brings nothing for a server that is %s while tokens are on their way",
    async (_how, change) => {
      await using town = await openTown();
      const { gate, upstream, as } = town;
      const browser = openBrowser();
      const back = await goOut(town, "ann", browser);
      as.behave.tokens = async (meant) => {
        await gate.store.upstreams.edit(upstream.id, () => change, 1);
        return meant;
      };
      const page = await browser.open(back);
      expect(page.status).toBe(409);
      expect(gate.store.upstreams.credentials(upstream.id)).toEqual([]);
      expect(gate.current(upstream)).toMatchObject({ enabled: false });
      expect(as.living()).toEqual({ access: [], refresh: [] });
    },
  );
});

describe("a link", () => {
  async function openLink(town: Town, user: string) {
    const { authorizeUrl } = await town.gate.needs(town.upstream, user);
    const browser = openBrowser();
    return {
      link: authorizeUrl!,
      browser,
      page: await browser.open(authorizeUrl!),
    };
  }

  test("says first whom it connects to what, and asks nobody until that is confirmed", async () => {
    await using town = await openTown();
    const { page } = await openLink(town, "ann");
    expect(page.status).toBe(200);
    expect(page.text).toContain("Server 1, at 127.0.0.1:");
    expect(page.text).toContain("ANN (ann)");
    expect(page.text).toContain('<form method="post"');
    expect(page.text).not.toContain("<script");
    expect(town.as.requests).toEqual([]);
    const { headers } = page;
    expect(headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/=]+'; base-uri 'none'; frame-ancestors 'none'$/,
    );
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("referrer-policy")).toBe("same-origin");
    expect(headers.get("cache-control")).toBe("no-store");
  });

  test("begins no more than 20 authorizations a minute", async () => {
    await using town = await openTown();
    const { link, page } = await openLink(town, "ann");
    const cookie = page.headers.get("set-cookie")!.split(";")[0]!;
    const proof = /name="proof" value="([^"]+)"/.exec(page.text)![1]!;
    const ticket = new URL(link).searchParams.get("ticket")!;
    const begin = async () => {
      const response = await fetch(link.split("?")[0]!, {
        method: "POST",
        headers: { cookie },
        body: new URLSearchParams({ ticket, proof }),
        redirect: "manual",
      });
      return response.status;
    };
    for (let n = 0; n < 20; n++) expect(await begin()).toBe(302);
    const asked = town.server.requests.length;
    expect(await begin()).toBe(429);
    expect(town.server.requests).toHaveLength(asked);
    town.clock.advance(60_000);
    expect(await begin()).toBe(302);
  });

  test("shows the hash of the style that it has", async () => {
    await using town = await openTown();
    const { page } = await openLink(town, "ann");
    const style = /<style>([\s\S]*?)<\/style>/.exec(page.text)![1]!;
    const hash = new Bun.CryptoHasher("sha256").update(style).digest("base64");
    expect(page.headers.get("content-security-policy")).toContain(
      `'sha256-${hash}'`,
    );
  });

  test("shows names as text", async () => {
    await using town = await openTown();
    const { gate, upstream } = town;
    const name = `<img src=x onerror=alert(1)>"'&`;
    await gate.store.upstreams.edit(upstream.id, () => ({ name }), 0);
    const { page, browser } = await openLink(town, "ann");
    expect(page.text).not.toContain("<img");
    expect(page.text).toContain("&#60;img src=x onerror=alert(1)&#62;&#34;");
    const end = await browser.submit(page);
    expect(end.status).toBe(200);
    expect(end.text).not.toContain("<img");
  });

  test("of another member connects that member, whoever opens it", async () => {
    await using town = await openTown();
    const { page, browser } = await openLink(town, "eve");
    town.as.user = "ann";
    await browser.submit(page);
    const { upstreams } = town.gate.store;
    expect(
      upstreams.credentials(town.upstream.id).map(({ subject }) => subject),
    ).toEqual(["eve"]);
    expect((await town.gate.needs(town.upstream, "ann"))["code"]).toBe(
      "mcp_auth_required",
    );
  });

  test("cannot be confirmed by a page that has made somebody's browser send the form", async () => {
    await using town = await openTown();
    const { page: eves } = await openLink(town, "eve");
    const victim = openBrowser();
    expect((await victim.submit(eves)).status).toBe(400);
    // Also not in a browser that holds a cookie of another link.
    const { browser, page: anns } = await openLink(town, "ann");
    expect((await browser.submit(eves)).status).toBe(400);
    const foreign = await fetch(anns.url, {
      method: "POST",
      headers: {
        origin: "https://evil.example",
        "content-type": "application/x-www-form-urlencoded",
      },
    });
    expect(foreign.status).toBe(403);
    expect(town.as.requests).toEqual([]);
  });

  test("is good for ten minutes, for one server, in one workspace, and as it was made", async () => {
    await using town = await openTown();
    const { link, browser, page } = await openLink(town, "ann");
    const open = async (url: string) => (await browser.open(url)).status;
    const other = await town.gate.register({ url: town.server.url });
    expect(await open(link.replace(/\d+\/oauth/, `${other.id}/oauth`))).toBe(
      400,
    );
    expect(await open(link.replace("/wk/", "/other/"))).toBe(400);
    const at = link.indexOf("ticket=") + 40;
    const changed = link.slice(0, at) + (link[at] === "A" ? "B" : "A");
    expect(await open(changed + link.slice(at + 1))).toBe(400);
    expect(await open(link.replace(/ticket=.*/, "ticket="))).toBe(400);
    expect(await open(link)).toBe(200);
    town.clock.advance(600_000);
    expect(await open(link)).toBe(400);
    expect((await browser.submit(page)).status).toBe(400);
    expect(town.as.requests).toEqual([]);
  });

  test("names nobody in its URL", async () => {
    await using town = await openTown();
    const { link } = await openLink(town, "somebody-by-name");
    expect(decodeURIComponent(link)).not.toContain("somebody");
  });

  test("two at once in one browser do not meet", async () => {
    await using town = await openTown();
    const { gate, upstream } = town;
    const second = await gate.register({ url: town.server.url });
    const browser = openBrowser();
    const [one, two] = [
      await gate.needs(upstream, "ann"),
      await gate.needs(second, "ann"),
    ];
    const pages: Page[] = [
      await browser.open(one["authorizeUrl"]!),
      await browser.open(two["authorizeUrl"]!),
    ];
    const back = (url: string) => new URL(url).pathname === "/oauth/callback";
    const ways: string[] = [];
    for (const page of pages) {
      ways.push((await browser.submit(page, {}, back)).location!);
    }
    for (const way of ways) {
      expect((await browser.open(way)).status).toBe(200);
    }
    expect(state(ways[0]!)).not.toBe(state(ways[1]!));
    expect(browser.cookies.size).toBe(0);
  });
});

describe("over https", () => {
  // Demanded: oauth-client-document
  test("cookies are bound to the host, and our metadata is the client id where that will do", async () => {
    await using town = await openTown({
      settings: {
        publicUrl: "https://gate.example/base",
        clientIdUrl: "https://gate.example/base/oauth/client.json",
      },
    });
    const { gate, upstream, as } = town;
    as.behave.metadata = (document) => ({
      ...document,
      client_id_metadata_document_supported: true,
    });
    const response = await fetch(
      `${gate.url}/api/v2/w/${WORKSPACE}/mcp-servers/${upstream.id}/oauth/authorize`,
      {
        redirect: "manual",
        headers: { authorization: "Bearer ann", host: "gate.example" },
      },
    );
    expect(response.headers.get("set-cookie")).toMatch(
      /^__Host-mcp-oauth-[\w-]{16}=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax; Secure$/,
    );
    const query = new URL(response.headers.get("location")!).searchParams;
    expect(query.get("client_id")).toBe(
      "https://gate.example/base/oauth/client.json",
    );
    expect(query.get("redirect_uri")).toBe(
      "https://gate.example/base/oauth/callback",
    );
    expect(as.of("/register")).toEqual([]);
    expect(gate.current(upstream).oauth).toMatchObject({
      registration: "cimd",
      hasClientSecret: false,
    });
    const document = await fetch(`${gate.url}/oauth/client.json`);
    expect(document.headers.get("content-type")).toStartWith(
      "application/json",
    );
    expect(document.headers.get("cache-control")).toBe("public, max-age=3600");
    expect(await document.json()).toEqual({
      client_id: "https://gate.example/base/oauth/client.json",
      client_name: "membrane-mcp",
      redirect_uris: ["https://gate.example/base/oauth/callback"],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      application_type: "web",
      token_endpoint_auth_method: "none",
    });
  });
});

describe("what is kept", () => {
  // Demanded: oauth-nothing-shown
  test("no token, secret, code, verifier or state is in a file, in the log or on a page", async () => {
    await using town = await openTown();
    const { gate, upstream, as } = town;
    const browser = openBrowser();
    const pages = [await gate.connect(upstream, "ann", browser)];
    await goOut({ gate, upstream }, "bob", browser);
    await gate.call(upstream, "ann");
    const [token] = as.of("/token");
    const [register] = as.of("/register");
    const living = as.living();
    const secrets = [
      ...living.access,
      ...living.refresh,
      "secret-1-as",
      token!.form.get("code")!,
      token!.form.get("code_verifier")!,
      ...as.of("/authorize").map(({ query }) => query.get("state")!),
    ];
    expect(register).toBeDefined();
    expect(secrets.length).toBeGreaterThan(6);
    const files = readdirSync(gate.directory)
      .filter((name) => name.startsWith("membrane-mcp.db"))
      .map((name) => readFileSync(join(gate.directory, name), "latin1"));
    const everything = [
      ...files,
      JSON.stringify(gate.lines),
      ...pages.map(({ text }) => text),
    ].join("\n");
    expect(everything).toContain("authorized");
    for (const secret of secrets) expect(everything).not.toContain(secret);
  });
});
