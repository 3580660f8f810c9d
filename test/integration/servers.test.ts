import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  test,
} from "bun:test";
import { GatewayError } from "../../src/core/errors.ts";
import { fakeClock } from "../support/clock.ts";
import type { RestRig } from "../support/rest-rig.ts";
import { URL_OF, W1, openRestRig } from "../support/rest-rig.ts";

const clock = fakeClock(Date.now());
let rig: RestRig;
beforeAll(async () => {
  rig = await openRestRig(clock);
});
// What one member may do in a minute is for one test.
beforeEach(() => clock.advance(60_000));
afterAll(() => rig[Symbol.asyncDispose]());

const read = "read:ada@w1";
const write = "write:ada@w1";
const admin = "admin:ada@w1";

describe("who may do what", () => {
  /** Method, path below the base, least scope, body, answer to who may. */
  const endpoints = [
    ["GET", "", "read", undefined, 200],
    ["POST", "", "write", { name: "n", url: URL_OF("n") }, 201],
    ["POST", "/oauth-discovery", "write", { url: URL_OF("n") }, 200],
    ["GET", "/ID", "read", undefined, 200],
    ["PATCH", "/ID", "write", { description: "d" }, 200],
    ["POST", "/ID/credentials", "write", {}, 200],
    ["POST", "/ID/enable", "write", undefined, 200],
    ["POST", "/ID/disable", "write", undefined, 200],
    ["POST", "/ID/test", "read", undefined, 200],
    ["GET", "/ID/tools", "read", undefined, 200],
    ["GET", "/ID/prompts", "read", undefined, 200],
    ["GET", "/ID/resources", "read", undefined, 200],
    ["GET", "/ID/members", "read", undefined, 200],
    ["POST", "/ID/tools/t/approve", "write", { hash: "HASH" }, 200],
    ["DELETE", "/ID", "admin", undefined, 200],
  ] as const;
  const scopes = ["none", "read", "write", "admin"] as const;

  let made = 0;
  /** A ready server that members link themselves to, and that Ada is linked to. */
  async function fresh() {
    const id = await rig.add(
      `scoped-${++made}`,
      { listing: { tools: [{ name: "t", inputSchema: { type: "object" } }] } },
      { authentication: { type: "direct_auth" } },
    );
    await rig.rest(write, `POST ${W1}/${id}/credentials`, {});
    await rig.rest(write, `POST ${W1}/${id}/enable`);
    const { tools } = (await rig.rest(`read:ada@w1`, `GET ${W1}/${id}/tools`))
      .body;
    return { id, hash: tools[0].hash as string };
  }
  async function ask(
    who: string | null,
    [method, path, , body]: (typeof endpoints)[number],
    base = W1,
  ) {
    const { id, hash } = await fresh();
    const sent = body && JSON.stringify(body).replace("HASH", hash);
    const before = JSON.stringify(rig.store().list("w1"));
    const answer = await rig.rest(
      who,
      `${method} ${base}${path.replace("ID", String(id))}`,
      sent,
      method === "PATCH" ? { "if-match": "*" } : {},
    );
    const changed = JSON.stringify(rig.store().list("w1")) !== before;
    return { answer, changed };
  }

  for (const endpoint of endpoints) {
    const [method, path, least, , success] = endpoint;
    const name = `${method} ${path || "/"}`;
    // Demanded: servers-scopes
    test.each(scopes)(`${name} with scope %s`, async (scope) => {
      // Another member each time: looks are limited.
      const who = `${scope}:ada@w1`;
      const may = scopes.indexOf(scope) >= scopes.indexOf(least);
      const { answer, changed } = await ask(who, endpoint);
      if (answer.status === 429) throw new Error("Limited; nothing was shown.");
      expect(answer.status).toBe(may ? success : 403);
      if (may) return;
      expect(changed).toBe(false);
      expect(answer.body.detail).toMatchObject({
        code: "missing_scope",
        required: `apps:${least}`,
      });
    });
    test.each([
      ["without a token", null],
      ["with an expired one", "expired:ada@w1"],
    ])(`${name} %s is 401`, async (_, who) => {
      const { answer, changed } = await ask(who, endpoint);
      expect(answer.status).toBe(401);
      expect(changed).toBe(false);
    });
    // Demanded: servers-foreign
    test(`${name} of another workspace is 404, whoever asks`, async () => {
      const foreign = await ask("admin:ada@w2", endpoint);
      expect(foreign.answer.status).toBe(404);
      expect(foreign.changed).toBe(false);
      // Nor by way of one's own.
      if (!path.includes("ID")) return;
      const own = "/api/v2/w/w2/mcp-servers";
      const { answer, changed } = await ask("admin:ada@w2", endpoint, own);
      expect(changed).toBe(false);
      const [verb, , , body] = endpoint;
      const unknown = await rig.rest(
        "admin:ada@w2",
        `${verb} ${own}${path.replace("ID", "987654")}`,
        body && JSON.stringify(body).replace("HASH", "0".repeat(64)),
        verb === "PATCH" ? { "if-match": "*" } : {},
      );
      expect([answer.status, answer.text]).toEqual([404, unknown.text]);
    });
  }

  // Demanded: servers-ids
  test.each([
    "01",
    "0",
    "-1",
    "1e3",
    "1;--",
    "9223372036854775808",
    "x",
    "1.0",
    "%20",
  ])("the id %s is 400 everywhere", async (id) => {
    for (const [method, path, , body] of endpoints) {
      if (!path.includes("ID")) continue;
      const answer = await rig.rest(
        admin,
        `${method} ${W1}${path.replace("ID", id)}`,
        body && JSON.stringify(body).replace("HASH", "0".repeat(64)),
        { "if-match": "*" },
      );
      expect([method, path, answer.status]).toEqual([method, path, 400]);
    }
  });

  // Demanded: servers-headers-no-power
  test("headers that say who calls, or from where, change nothing", async () => {
    const answer = await rig.rest("read:ada@w1", `GET ${W1}`, undefined, {
      "x-forwarded-host": "evil.example",
      "x-forwarded-proto": "https",
      "x-forwarded-for": "127.0.0.1",
      "x-user": "root",
      "mcp-init-host": "evil.example",
      "router-key": "x",
    });
    expect(answer.status).toBe(200);
    expect(answer.text).not.toContain("evil");
    const nobody = await rig.rest(null, `GET ${W1}`, undefined, {
      "x-user": "root",
      "router-key": "x",
    });
    expect(nobody.status).toBe(401);
  });
});

describe("the list", () => {
  // Demanded: servers-sorted
  test("is sorted by what is asked, both ways, and refuses what it cannot be sorted by", async () => {
    await using own = await openRestRig();
    const a = await own.addReady("bravo");
    const b = await own.add("Alpha");
    const c = await own.add("charlie", {
      wants: "oauth",
      registration: "done",
    });
    await own.rest(write, `POST ${W1}/${c}/enable`);
    await own.rest(
      write,
      `PATCH ${W1}/${b}`,
      { description: "later" },
      { "if-match": "*" },
    );
    const ids = async (query: string) =>
      (await own.rest(read, `GET ${W1}${query}`)).body.map(
        ({ id }: { id: number }) => id,
      );
    expect(await ids("")).toEqual([a, b, c]);
    expect(await ids("?sortBy=name")).toEqual([b, a, c]);
    expect(await ids("?sortBy=name&sortOrder=desc")).toEqual([c, a, b]);
    expect(await ids("?sortBy=createdAt&sortOrder=desc")).toEqual([c, b, a]);
    expect(await ids("?sortBy=state")).toEqual([b, c, a]);
    expect(await ids("?sortBy=enabled&sortOrder=desc")).toEqual([a, c, b]);
    expect((await ids("?sortBy=updatedAt&sortOrder=desc"))[0]).toBe(b);
    for (const query of [
      "?sortBy=(select%201)",
      "?sortBy=__proto__",
      "?sortBy=url",
      "?sortOrder=up",
      "?sortBy=name&sortBy=id",
      "?limit=1",
    ]) {
      expect([
        query,
        (await own.rest(read, `GET ${W1}${query}`)).status,
      ]).toEqual([query, 400]);
    }
  });

  test("is the same at its other addresses, and has no tools", async () => {
    const first = await rig.rest(read, `GET ${W1}?sortBy=name`);
    expect(first.text).not.toContain("inputSchema");
    for (const path of [
      "/api/v2/w/w1/app-connections/mcp-servers",
      "/app-connections/mcp-servers",
    ]) {
      const other = await rig.rest(read, `GET ${path}?sortBy=name`);
      expect(other.text).toBe(first.text);
    }
    expect(
      (await rig.rest("read:bob@w2", "GET /app-connections/mcp-servers")).body,
    ).toEqual([]);
  });
});

describe("registration", () => {
  // Demanded: servers-registered
  test("answers what was registered, off and to be connected, with every member there is and no secret", async () => {
    await using own = await openRestRig();
    const answer = await own.rest(write, `POST ${W1}`, {
      name: "Ärger & Söhne",
      url: "https://x.example/mcp",
      transport: "http",
      description: "d",
      authentication: { type: "bearer", token: "s3cret-token" },
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get("etag")).toBe('"1"');
    const { iconUrl, createdAt, uuid, ...rest } = answer.body;
    expect(rest).toEqual({
      id: 1,
      workspaceUuid: "w1",
      name: "Ärger & Söhne",
      slug: "arger-sohne",
      description: "d",
      url: "https://x.example/mcp",
      transport: "streamable_http",
      state: "register",
      enabled: false,
      authType: "bearer",
      appUuid: null,
      connected: false,
      memberCount: 0,
      serverInfo: null,
      protocolVersion: null,
      capabilities: null,
      instructions: null,
      oauth: null,
      setupStep: "connect",
      lastCheckedAt: null,
      lastLatencyMs: null,
      lastError: null,
      updatedAt: createdAt,
      createdByMemberId: "ada",
    });
    expect(uuid).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    expect(createdAt).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(iconUrl).toStartWith(`${own.url}${W1}/1/icon?token=`);
    const seen = await own.rest(read, `GET ${W1}/1`);
    expect(seen.body).toEqual(answer.body);
    expect(answer.text + seen.text + JSON.stringify(own.lines)).not.toContain(
      "s3cret",
    );
    expect(own.stored(1).sealedSecret).not.toContain("s3cret");
  });

  test("slugs are unique, stay when the name changes, and are no names of our own URLs", async () => {
    await using own = await openRestRig();
    const names = ["Git Hub", "git-hub", "Git_Hub!", "日本"];
    for (const name of names) {
      await own.rest(write, `POST ${W1}`, { name, url: URL_OF("x") });
    }
    const slugs = () =>
      own
        .store()
        .list("w1")
        .map(({ slug }) => slug);
    expect(slugs()).toEqual(["git-hub", "git-hub-2", "git-hub-3", "server"]);
    await own.rest(
      write,
      `PATCH ${W1}/1`,
      { name: "Other" },
      { "if-match": "*" },
    );
    expect(slugs()[0]).toBe("git-hub");
    for (const name of ["sessions", "Sessions!", "stream", "messages"]) {
      const answer = await own.rest(write, `POST ${W1}`, {
        name,
        url: URL_OF("x"),
      });
      expect([name, answer.status]).toEqual([name, 400]);
    }
    const long = { name: `${"x".repeat(40)}`, url: URL_OF("x") };
    await own.rest(write, `POST ${W1}`, long);
    await own.rest(write, `POST ${W1}`, long);
    expect(slugs().slice(-2)).toEqual(["x".repeat(32), `${"x".repeat(30)}-2`]);
  });

  const valid = { name: "n", url: "https://n.example/mcp" };
  const bearer = (token: unknown) => ({
    ...valid,
    authentication: { type: "bearer", token },
  });
  const headers = (given: unknown) => ({
    ...valid,
    authentication: { type: "headers", headers: given },
  });
  test.each([
    ["a missing name", { url: valid.url }, "name"],
    ["an empty name", { ...valid, name: "" }, "name"],
    ["a name with a line break", { ...valid, name: "a\nb" }, "name"],
    [
      "a name that turns the text around",
      { ...valid, name: "a\u202eb" },
      "name",
    ],
    ["a missing URL", { name: "n" }, "url"],
    ["another scheme", { ...valid, url: "file:///etc/passwd" }, "url"],
    ["s3", { ...valid, url: "s3://b/k" }, "url"],
    [
      "a user in the URL",
      { ...valid, url: "https://good@evil.example/" },
      "url",
    ],
    ["a fragment", { ...valid, url: "https://n.example/#x" }, "url"],
    ["an empty fragment", { ...valid, url: "https://n.example/#" }, "url"],
    ["a tab in the URL", { ...valid, url: "ht\ttps://n.example/" }, "url"],
    ["a URL that is none", { ...valid, url: "//n.example" }, "url"],
    ["stdio", { name: "n", transport: "stdio", command: "sh" }, "transport"],
    ["an unknown transport", { ...valid, transport: "ws" }, "transport"],
    ["a state", { ...valid, state: "ready" }, "state"],
    ["a workspace", { ...valid, workspace: "w2" }, "workspace"],
    ["a workspace_id", { ...valid, workspace_id: 2 }, "workspace_id"],
    ["enabled", { ...valid, enabled: true }, "enabled"],
    ["an id", { ...valid, id: 7 }, "id"],
    ["a slug of our own URLs", { ...valid, slug: "sessions" }, "slug"],
    ["a slug that is none", { ...valid, slug: "A B" }, "slug"],
    [
      "an unknown type of authentication",
      { ...valid, authentication: { type: "x" } },
      "authentication",
    ],
    [
      "a secret where there is none",
      { ...valid, authentication: { type: "none", token: "t" } },
      "authentication.token",
    ],
    [
      "a client secret elsewhere",
      { ...valid, client_secret: "s" },
      "client_secret",
    ],
    ["no token", bearer(undefined), "authentication.token"],
    ["an empty token", bearer(""), "authentication.token"],
    [
      "a token with a line break",
      bearer("a\r\nX-Evil: 1"),
      "authentication.token",
    ],
    ["a token that is no text", bearer({ a: 1 }), "authentication.token"],
    ["no headers", headers({}), "authentication.headers"],
    [
      "a header of the transport",
      headers({ "Mcp-Session-Id": "x" }),
      "authentication.headers",
    ],
    ["Host", headers({ host: "evil.example" }), "authentication.headers"],
    [
      "a header that is none",
      headers({ "a b": "x" }),
      "authentication.headers",
    ],
    [
      "a header's value with a line break",
      headers({ a: "x\ny" }),
      "authentication.headers",
    ],
    ["a header twice", headers({ a: "1", A: "2" }), "authentication.headers"],
    ["what is no object", "[]", ""],
    ["what is no JSON", "{", ""],
    ["what is too deep", "[".repeat(100), ""],
  ])("%s is 400, and says where", async (_, body, where) => {
    const before = rig.store().list("w1").length;
    const answer = await rig.rest(write, `POST ${W1}`, body);
    expect(answer.status).toBe(400);
    expect(answer.body.detail).toStartWith(where);
    expect(rig.store().list("w1")).toHaveLength(before);
  });

  test("a destination that may not be reached is 400 blocked_destination, at registration and change", async () => {
    const url = "http://10.0.0.1/mcp";
    const answer = await rig.rest(write, `POST ${W1}`, { name: "n", url });
    expect([answer.status, answer.body.reason]).toEqual([
      400,
      "blocked_destination",
    ]);
    const id = await rig.add("blocked");
    const change = await rig.rest(
      write,
      `PATCH ${W1}/${id}`,
      { url },
      { "if-match": "*" },
    );
    expect([change.status, change.body.reason]).toEqual([
      400,
      "blocked_destination",
    ]);
    expect(rig.stored(id).url).toBe(URL_OF("blocked"));
  });

  test("a workspace has at most 200 servers", async () => {
    await using own = await openRestRig();
    const answers = await Promise.all(
      Array.from({ length: 205 }, (_, i) =>
        own.rest(`write:ada${i % 5}@w1`, `POST ${W1}`, {
          name: `s${i}`,
          url: URL_OF("x"),
        }),
      ),
    );
    const refused = answers.filter(({ status }) => status !== 201);
    expect(refused.map(({ status }) => status)).toEqual(Array(5).fill(409));
    expect(refused[0]!.body.detail.code).toBe("too_many_servers");
    expect(own.store().list("w1")).toHaveLength(200);
    const elsewhere = await own.rest(
      "write:bob@w2",
      "POST /api/v2/w/w2/mcp-servers",
      { name: "s", url: URL_OF("x") },
    );
    expect(elsewhere.status).toBe(201);
  });
});

describe("change", () => {
  // Demanded: servers-racing
  test("without If-Match is 428, with an old one 412, and with the present one 200", async () => {
    const id = await rig.add("locked");
    const path = `${W1}/${id}`;
    const { headers } = await rig.rest(read, `GET ${path}`);
    const etag = headers.get("etag")!;
    const blind = await rig.rest(write, `PATCH ${path}`, { description: "x" });
    expect([blind.status, blind.body.detail.code]).toEqual([
      428,
      "precondition_required",
    ]);
    expect(blind.body.detail.message).toContain("If-Match");
    const patch = (description: string) =>
      rig.rest(write, `PATCH ${path}`, { description }, { "if-match": etag });
    const both = await Promise.all([patch("one"), patch("two")]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 412]);
    const winner = both.find(({ status }) => status === 200)!;
    expect(winner.headers.get("etag")).toBe('"2"');
    expect(rig.stored(id).description).toBe(winner.body.description);
    expect(both.find(({ status }) => status === 412)!.body.detail.code).toBe(
      "version_mismatch",
    );
    for (const action of ["POST /enable", "POST /disable", "DELETE "]) {
      const [method, tail] = action.split(" ") as [string, string];
      const stale = await rig.rest(
        admin,
        `${method} ${path}${tail}`,
        undefined,
        { "if-match": etag },
      );
      expect([action, stale.status]).toEqual([action, 412]);
    }
    expect(rig.stored(id)).toMatchObject({ version: 2, enabled: false });
    for (const [given, status] of [
      ['W/"2"', 412],
      ["2", 412],
      ['"1", "2"', 200],
      ["*", 200],
    ] as const) {
      const answer = await rig.rest(
        write,
        `PATCH ${path}`,
        { description: given },
        { "if-match": given },
      );
      expect([given, answer.status]).toEqual([given, status]);
      if (status === 200) break;
    }
  });

  // Demanded: servers-strict
  test("of nothing changes nothing, and unknown members are refused by name", async () => {
    const id = await rig.add("same");
    const patch = (body: object) =>
      rig.rest(write, `PATCH ${W1}/${id}`, body, { "if-match": '"1"' });
    const same = await patch({ name: "same", url: URL_OF("same") });
    expect([same.status, same.headers.get("etag")]).toEqual([200, '"1"']);
    for (const name of [
      "state",
      "enabled",
      "workspaceUuid",
      "client_secret",
      "slug",
      "createdByMemberId",
      "version",
    ]) {
      const answer = await patch({ [name]: "x" });
      expect([answer.status, answer.body.detail]).toEqual([
        400,
        `${name}: is not known here.`,
      ]);
    }
    expect(rig.stored(id).version).toBe(1);
  });

  // Demanded: secrets-not-moved
  test("of the URL turns it off, to be connected anew, and keeps a secret at its origin only", async () => {
    const secret = { secret: JSON.stringify({ token: "t0" }) };
    const authentication = { type: "bearer", token: "t0" };
    const id = await rig.addReady(
      "moving",
      { wants: secret },
      { authentication },
    );
    const sealed = rig.stored(id).sealedSecret;
    const patch = (body: object) =>
      rig.rest(write, `PATCH ${W1}/${id}`, body, { "if-match": "*" });
    const elsewhere = await patch({ url: "https://evil.example/mcp" });
    expect([elsewhere.status, elsewhere.body.detail]).toEqual([
      400,
      expect.stringContaining("authentication: has to be given in full"),
    ]);
    for (const url of [
      "http://moving.example/mcp",
      "https://moving.example:8443/mcp",
    ]) {
      expect((await patch({ url })).status).toBe(400);
    }
    // The type alone does not bring a secret along either.
    const typed = { type: "bearer" };
    expect(
      (await patch({ url: "https://evil.example/", authentication: typed }))
        .status,
    ).toBe(400);
    expect((await patch({ authentication: { type: "api_key" } })).status).toBe(
      400,
    );
    expect(rig.stored(id)).toMatchObject({
      enabled: true,
      sealedSecret: sealed,
    });
    const within = await patch({ url: "https://moving.example/v2" });
    expect(within.body).toMatchObject({
      state: "register",
      enabled: false,
      setupStep: "connect",
      serverInfo: null,
    });
    expect(rig.stored(id).sealedSecret).toBe(sealed);
    const away = await patch({
      url: URL_OF("away"),
      authentication: { type: "bearer", token: "t1" },
    });
    expect(away.status).toBe(200);
    expect(rig.stored(id).sealedSecret).not.toBe(sealed);
    const open = await patch({ authentication: { type: "none" } });
    expect(open.body.authType).toBe("none");
    expect(rig.stored(id).sealedSecret).toBeNull();
  });

  test("of a shared secret leaves a server on, and of its description too", async () => {
    const id = await rig.addReady(
      "rotating",
      {},
      { authentication: { type: "bearer", token: "t0" } },
    );
    const patch = (body: object) =>
      rig.rest(write, `PATCH ${W1}/${id}`, body, { "if-match": "*" });
    const before = rig.stored(id).sealedSecret;
    await patch({ description: "x", authentication: { type: "bearer" } });
    expect(rig.stored(id).sealedSecret).toBe(before);
    await patch({ authentication: { type: "bearer", token: "t1" } });
    expect(rig.stored(id).sealedSecret).not.toBe(before);
    expect(rig.stored(id)).toMatchObject({ state: "ready", enabled: true });
    expect(rig.done).toContain(`drop ${id}`);
    await patch({ transport: "sse" });
    expect(rig.stored(id)).toMatchObject({
      state: "register",
      transport: "sse",
    });
  });

  test("of an OAuth server's URL revokes what was granted before anything can be sent there", async () => {
    await using own = await openRestRig();
    const id = await own.add("granted", {
      wants: "oauth",
      registration: "done",
    });
    await own.rest(write, `POST ${W1}/${id}/enable`);
    await own.authorize(id, "ada");
    const answer = await own.rest(
      write,
      `PATCH ${W1}/${id}`,
      { url: "https://evil.example/" },
      { "if-match": "*" },
    );
    expect(answer.body).toMatchObject({
      state: "register",
      oauth: null,
      memberCount: 0,
    });
    expect(own.done).toContain(`revoke 1 at ${URL_OF("granted")}`);
    expect(own.store().credentials(id)).toEqual([]);
  });
});

describe("the states", () => {
  // Demanded: servers-states
  test("register → ready by enable, off and on again, without asking it twice", async () => {
    const id = await rig.add("plain", { listing: { tools: [{ name: "t" }] } });
    const enable = () => rig.rest(write, `POST ${W1}/${id}/enable`);
    const on = await enable();
    expect(on.body).toMatchObject({
      state: "ready",
      enabled: true,
      setupStep: null,
      connected: true,
      serverInfo: { name: "fake", version: "1.0.0" },
      protocolVersion: "2025-11-25",
      lastLatencyMs: 12,
    });
    const again = await enable();
    expect(again.body).toEqual(on.body);
    const off = await rig.rest(write, `POST ${W1}/${id}/disable`);
    expect(off.body).toMatchObject({ state: "ready", enabled: false });
    expect(off.headers.get("etag")).not.toBe(on.headers.get("etag"));
    expect(rig.done).toContain(`drop ${id}`);
    expect((await enable()).body.enabled).toBe(true);
    expect(
      rig.done.filter((one) => one === "probe plain for ada"),
    ).toHaveLength(1);
  });

  test("what cannot be reached stays in register, with an error that says nothing of the network", async () => {
    const ids = [
      await rig.add("gone"),
      await rig.add("slow"),
      await rig.add("blocked-later"),
    ];
    rig.servers.delete(URL_OF("gone"));
    rig.servers.set(URL_OF("slow"), {
      fails: new GatewayError("timeout", "10.0.0.7 took 15 s"),
    });
    rig.servers.set(URL_OF("blocked-later"), {
      fails: new GatewayError("invalid", "10.0.0.9", {
        data: { reason: "blocked_destination" },
      }),
    });
    const errors = [];
    for (const id of ids) {
      const answer = await rig.rest(write, `POST ${W1}/${id}/enable`);
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject({
        state: "register",
        enabled: false,
        setupStep: "connect",
      });
      const { at: _, ...error } = answer.body.lastError;
      errors.push(error);
      expect(answer.text).not.toContain("10.0.0");
    }
    expect(new Set(errors.map((error) => JSON.stringify(error))).size).toBe(1);
    expect(errors[0]).toEqual({
      code: "upstream_unreachable",
      message: "The server could not be reached.",
    });
  });

  // Demanded: servers-authorize-first
  test("OAuth: register → authorize, 409 with the link, then ready for who has logged in, and cleared", async () => {
    const id = await rig.add("oauth", { wants: "oauth", registration: "done" });
    const enable = () => rig.rest(write, `POST ${W1}/${id}/enable`);
    const first = await enable();
    expect(first.body).toMatchObject({
      state: "authorize",
      setupStep: "authorize",
      enabled: false,
      authType: "oauth",
      connected: false,
      oauth: {
        issuer: "https://as.example",
        clientId: "dcr-1",
        registration: "dcr",
        scopes: [],
        hasClientSecret: false,
      },
    });
    const second = await enable();
    expect([second.status, second.body.detail]).toEqual([
      409,
      {
        code: "authorization_required",
        authorizeUrl: `https://us.example/authorize/${id}/ada`,
        message: expect.any(String),
      },
    ]);
    const tools = await rig.rest(read, `GET ${W1}/${id}/tools`);
    expect([tools.status, tools.body.detail]).toEqual([
      403,
      {
        code: "mcp_auth_required",
        message: "Connect your account to use this server",
        authType: "oauth",
        serverId: id,
        authorizeUrl: `https://us.example/authorize/${id}/ada`,
      },
    ]);
    await rig.authorize(id, "ada");
    const ready = await rig.rest(read, `GET ${W1}/${id}`);
    expect(ready.body).toMatchObject({
      state: "ready",
      enabled: true,
      connected: true,
      memberCount: 1,
    });
    const other = await rig.rest("read:bob@w1", `GET ${W1}/${id}`);
    expect(other.body).toMatchObject({ connected: false, memberCount: 1 });
    expect(
      (await rig.rest("read:bob@w1", `GET ${W1}/${id}/prompts`)).status,
    ).toBe(403);
    expect((await rig.rest(read, `GET ${W1}/${id}/prompts`)).status).toBe(200);
    const cleared = await rig.rest(
      write,
      `POST ${W1}/${id}/disable?clear_registration=true`,
    );
    expect(cleared.body).toMatchObject({
      state: "register",
      enabled: false,
      setupStep: "connect",
      oauth: null,
      memberCount: 0,
    });
    expect(rig.done).toContain(`revoke 1 at ${URL_OF("oauth")}`);
    expect(
      (
        await rig.rest(
          write,
          `POST ${W1}/${id}/disable?clear_registration=maybe`,
        )
      ).status,
    ).toBe(400);
  });

  test.each([
    ["impossible", "add_credentials"],
    ["failed", "register_client"],
  ] as const)(
    "a registration that is %s leaves it in register: %s",
    async (registration, setupStep) => {
      const id = await rig.add(`oauth-${registration}`, {
        wants: "oauth",
        registration,
      });
      const answer = await rig.rest(write, `POST ${W1}/${id}/enable`);
      expect(answer.body).toMatchObject({
        state: "register",
        setupStep,
        lastError: { code: "mcp_auth_required" },
      });
    },
  );

  test("a client registered by hand leads from add_credentials to authorize", async () => {
    const id = await rig.add(
      "manual",
      { wants: "oauth", registration: "impossible" },
      { authentication: { type: "oauth" } },
    );
    await rig.rest(write, `POST ${W1}/${id}/enable`);
    const answer = await rig.rest(
      write,
      `PATCH ${W1}/${id}`,
      {
        authentication: {
          type: "oauth",
          clientId: "mine",
          clientSecret: "hush",
        },
      },
      { "if-match": "*" },
    );
    expect(answer.body).toMatchObject({
      state: "authorize",
      oauth: {
        clientId: "mine",
        registration: "manual",
        hasClientSecret: true,
      },
    });
    expect(answer.text).not.toContain("hush");
  });

  test("a refused secret is no case for OAuth", async () => {
    const id = await rig.add(
      "refused",
      {
        wants: { secret: JSON.stringify({ token: "right" }) },
        registration: "done",
      },
      { authentication: { type: "bearer", token: "wrong" } },
    );
    const answer = await rig.rest(write, `POST ${W1}/${id}/enable`);
    expect(answer.body).toMatchObject({
      state: "register",
      setupStep: "add_credentials",
      authType: "bearer",
    });
    expect(rig.done).not.toContain("register refused");
    const again = await rig.rest(
      write,
      `PATCH ${W1}/${id}`,
      { authentication: { type: "bearer", token: "right" } },
      { "if-match": "*" },
    );
    expect(again.body).toMatchObject({ setupStep: "connect", lastError: null });
    expect((await rig.rest(write, `POST ${W1}/${id}/enable`)).body.state).toBe(
      "ready",
    );
  });

  test("an outcome that comes after somebody else's change is not what becomes of the server", async () => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => (open = resolve));
    const id = await rig.add("contested", { gate });
    const enabling = rig.rest(write, `POST ${W1}/${id}/enable`);
    while (!rig.done.includes("probe contested for ada")) await Bun.sleep(1);
    await rig.rest(
      "write:bob@w1",
      `PATCH ${W1}/${id}`,
      { url: "https://other.example/" },
      { "if-match": "*" },
    );
    open();
    const answer = await enabling;
    expect([answer.status, answer.body.detail.code]).toEqual([
      409,
      "changed_meanwhile",
    ]);
    expect(rig.stored(id)).toMatchObject({ state: "register", enabled: false });
  });

  // Demanded: servers-racing
  test("a hundred administrators at once leave a documented state, and nothing of what was deleted", async () => {
    await using own = await openRestRig();
    const id = await own.add("busy", { wants: "oauth", registration: "done" });
    const actions = [
      () => own.rest(admin, `POST ${W1}/${id}/enable`),
      () => own.rest(admin, `POST ${W1}/${id}/disable`),
      () => own.rest(admin, `POST ${W1}/${id}/disable?clear_registration=true`),
      () =>
        own.authorize(id, "ada").then(
          () => null,
          () => null,
        ),
      () =>
        own.rest(
          admin,
          `PATCH ${W1}/${id}`,
          { transport: "sse" },
          { "if-match": "*" },
        ),
      () => own.rest(admin, `POST ${W1}/${id}/test`),
    ];
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        actions[(i * 7 + (i >> 3)) % actions.length]!(),
      ),
    );
    for (const answer of answers) {
      expect([200, 409, 412, 429]).toContain(answer?.status ?? 200);
    }
    const { state, enabled, setupStep } = own.stored(id);
    expect([
      "register false connect",
      "authorize false authorize",
      "ready true null",
      "ready false null",
    ]).toContain(`${state} ${enabled} ${setupStep}`);
    const ends = await Promise.all([
      own.rest(admin, `DELETE ${W1}/${id}`),
      ...actions.map((action) => action()),
    ]);
    if (ends[0].status !== 200) await own.rest(admin, `DELETE ${W1}/${id}`);
    expect(own.store().find("w1", id)).toBeNull();
    expect(own.store().credentials(id)).toEqual([]);
    expect((await own.rest(admin, `POST ${W1}/${id}/enable`)).status).toBe(404);
  });
});
