import { readFileSync } from "node:fs";
import { SignJWT, decodeJwt } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Scope } from "../../src/core/principal.ts";
import { makeApiKey } from "../../src/gateway/api-key-text.ts";
import { createApiKeys } from "../../src/gateway/keys.ts";
import { randomIds, systemClock } from "../../src/runtime/machine.ts";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import { openRegistry } from "../../src/store/sqlite/operate.ts";
import { SECRET, WORKSPACE_KEY, openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize, listTools } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";
import { headersFor, request } from "../support/stateless.ts";

/** API keys as their callers see them, and what every credential may do. */

const KEYS = `/api/v2/w/${WORKSPACE_KEY}/api-keys`;
const DAY = 24 * 3600_000;

let rig: Rig;
beforeAll(async () => {
  rig = await openRig({ env: { TRUSTED_PROXIES: "127.0.0.1" } });
});
afterAll(() => rig[Symbol.asyncDispose]());

let made = 0;
/** A key as the command line makes it, beside the server. */
async function keyOf(
  subject: string,
  scope: Scope = "apps:read",
  {
    on = rig,
    workspace = WORKSPACE_KEY,
    expiresAt = null as number | null,
    clock = systemClock,
    random = randomIds.random,
  } = {},
) {
  using registry = openRegistry(on.directory, systemClock);
  const { key, apiKey } = await createApiKeys({
    store: registry.apiKeys,
    clock,
    ids: { random },
  }).mint(
    {
      workspace,
      subject,
      name: null,
      method: "operator",
      scope: "apps:admin",
      token: null,
      expiresAt: null,
    },
    { name: `key ${++made}`, scope, expiresAt },
  );
  return { key, id: apiKey.id };
}

let callers = 0;
/** From another address each time, so that no test uses up the patience for bad credentials of another. */
const elsewhere = () => ({ "x-forwarded-for": `198.51.100.${++callers}` });

/** A REST request; `who`: a token, an API key or a user. */
async function rest(
  who: string | null,
  method: string,
  path: string,
  body?: unknown,
  on = rig,
) {
  const response = await fetch(on.url + path, {
    method,
    headers: {
      ...elsewhere(),
      ...(who === null
        ? {}
        : who.startsWith("mcpk_")
          ? { "x-api-key": who }
          : {
              authorization: `Bearer ${who.includes(".") ? who : await on.tokenFor(who)}`,
            }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: (text === "" ? undefined : JSON.parse(text)) as any,
  };
}

describe("an API key", () => {
  test.each([["/mcp"], ["/sse"]])(
    "serves the official client on %s, and calls Membrane with a token of its member",
    async (path) => {
      const { key } = await keyOf("grace");
      const { client } = await rig.connect(key, { sse: path === "/sse" });
      const { tools } = await client.listTools();
      expect(tools.length).toBeGreaterThan(30);
      const { structuredContent } = await client.callTool({
        name: "lab_whoami",
        arguments: {},
      });
      expect(structuredContent).toMatchObject({ tenant: "grace" });
      const run = rig.workspace.requests.findLast(({ path }) =>
        path.endsWith("/run"),
      )!;
      const token = run.headers["authorization"]!.slice("Bearer ".length);
      const { id, iss, exp } = decodeJwt(token);
      expect({ id, iss }).toEqual({ id: "grace", iss: WORKSPACE_KEY });
      const left = exp! * 1000 - Date.now();
      expect(left).toBeGreaterThan(2 * 60_000);
      expect(left).toBeLessThanOrEqual(5 * 60_000);
    },
  );

  test("is the same member as a token, and no other", async () => {
    const [ada, bob] = [await keyOf("ada"), await keyOf("bob")];
    const session = await rig.open("ada");
    const headers = { "mcp-session-id": session };
    expect((await rig.post(ada.key, listTools, headers)).status).toBe(200);
    expect((await rig.post(bob.key, listTools, headers)).status).toBe(404);
  });

  test("is in the log by its id, without its secret", async () => {
    const { key, id } = await keyOf("ada");
    const { headers } = await rig.post(key, initialize());
    expect(
      rig.lines.find((line) => line["id"] === headers.get("x-request-id")),
    ).toMatchObject({ user: "ada", key: id });
  });

  test("is in no log when it, or a token, is in a path by mistake", async () => {
    const { key } = await keyOf("ada");
    const token = await rig.tokenFor("ada");
    for (const path of [
      `/mcp/${token}`,
      `/mcp%3Ftoken=${token}`,
      `/mcp;token=${token}`,
      `/servers/${token}/tools`,
      `/servers/${key}`,
      `/servers/${key.replaceAll("_", "%5f")}`,
    ]) {
      const answer = await fetch(rig.url + path);
      await answer.body?.cancel();
      const id = answer.headers.get("x-request-id");
      const line = rig.lines.find((line) => line["id"] === id)!;
      expect(line["path"]).toContain("…");
      for (const secret of [token, key]) {
        expect(JSON.stringify(line)).not.toContain(secret.slice(-20));
      }
    }
  });

  test("without the workspace's secret sees no apps of Membrane's, and Membrane hears nothing", async () => {
    await using asking = await openRig({ introspect: true });
    const { key } = await keyOf("ada", "apps:read", { on: asking });
    const { client } = await asking.connect(key);
    expect((await client.listTools()).tools).toEqual([]);
    expect(asking.workspace.requests).toEqual([]);
  });

  test.each<[string, (key: string) => string]>([
    ["mistyped", (key) => key.slice(0, -1) + (key.endsWith("a") ? "b" : "a")],
    ["cut off", (key) => key.slice(0, -7)],
    ["something else", () => "sk-123"],
    ["a token", (key) => `${key}.a.b`],
  ])("that is %s is refused, and not shown", async (_, spoil) => {
    const { key } = await keyOf("ada");
    const bad = spoil(key);
    const answer = await rig.post(null, initialize(), {
      ...elsewhere(),
      "x-api-key": bad,
    });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toContain(
      'error="invalid_token"',
    );
    expect(answer.text).not.toContain(bad.slice(-20));
    expect(answer.body.error).toStartWith("Unauthorized: The API key");
  });

  test("that has another's id is refused, although nothing in it is mistyped", async () => {
    const id = randomIds.random(8);
    const withId = (bytes: number) =>
      bytes === id.length ? id : randomIds.random(bytes);
    const real = await keyOf("ada", "apps:read", { random: withId });
    const forged = makeApiKey(withId);
    expect(forged.id).toBe(real.id);
    const answer = await rig.post(forged.text, initialize(), elsewhere());
    expect([answer.status, answer.body.error]).toEqual([
      401,
      expect.stringContaining("it is not known"),
    ]);
    expect((await rig.post(real.key, initialize())).status).toBe(200);
  });

  test("of another workspace is refused", async () => {
    const { key } = await keyOf("ada", "apps:admin", { workspace: "other" });
    expect((await rig.post(key, initialize())).status).toBe(401);
    expect((await rest(key, "GET", "/api/v2/w/other/api-keys")).status).toBe(
      401,
    );
  });

  test("ends when it expires", async () => {
    const clock = fakeClock();
    await using timed = await openRig({ clock });
    const { key } = await keyOf("ada", "apps:read", {
      on: timed,
      clock,
      expiresAt: clock.now() + 1000,
    });
    expect((await timed.post(key, initialize())).status).toBe(200);
    clock.advance(999);
    expect((await timed.post(key, initialize())).status).toBe(200);
    clock.advance(1);
    const answer = await timed.post(key, initialize());
    expect([answer.status, answer.body.error]).toEqual([
      401,
      expect.stringContaining("it has expired"),
    ]);
  });

  test("remembers when it was last used, to the minute", async () => {
    const clock = fakeClock();
    await using timed = await openRig({ clock });
    const { key, id } = await keyOf("ada", "apps:write", { on: timed, clock });
    const lastUsed = async () => {
      await rest(key, "GET", KEYS, undefined, timed);
      using registry = openRegistry(timed.directory, systemClock);
      return registry.apiKeys.find(id)!.lastUsedAt;
    };
    const first = clock.now();
    while ((await lastUsed()) === null);
    clock.advance(59_999);
    expect(await lastUsed()).toBe(first);
    clock.advance(1);
    while ((await lastUsed()) === first);
    expect(await lastUsed()).toBe(first + 60_000);
  });
});

describe("one credential", () => {
  test("is taken, and never two", async () => {
    const [{ key }, other] = [await keyOf("ada"), await keyOf("ada")];
    const token = await rig.tokenFor("ada");
    const send = async (headers: Record<string, string>, path?: string) =>
      (await rig.post(null, initialize(), { ...elsewhere(), ...headers }, path))
        .status;
    expect(await send({ "x-api-key": key })).toBe(200);
    expect(await send({ "X-API-KEY": key })).toBe(200);
    const authorization = `Bearer ${token}`;
    expect(await send({ "x-api-key": key, authorization })).toBe(400);
    expect(await send({ "x-api-key": "nonsense", authorization })).toBe(400);
    expect(await send({ "x-api-key": key }, `/mcp?token=${token}`)).toBe(400);
    expect(await send({ "x-api-key": `${key}, ${other.key}` })).toBe(400);
    const twice = new Headers({ "content-type": "application/json" });
    twice.append("x-api-key", key);
    twice.append("x-api-key", other.key);
    const { status } = await fetch(`${rig.url}/mcp`, {
      method: "POST",
      headers: twice,
      body: JSON.stringify(initialize()),
    });
    expect(status).toBe(400);
    const both = await fetch(rig.url + KEYS, {
      headers: { authorization, "x-api-key": key },
    });
    expect([both.status, both.headers.get("content-type")]).toEqual([
      400,
      "application/problem+json",
    ]);
  });

  test("that is an API key counts in its own header only, and is shown to nobody", async () => {
    await using asking = await openRig({ introspect: true });
    const { key } = await keyOf("ada", "apps:read", { on: asking });
    for (const [headers, path, words] of [
      [{ authorization: `Bearer ${key}` }, "/mcp", "X-API-Key"],
      [{}, `/mcp?token=${key}`, "X-API-Key"],
      [{}, `/mcp?api_key=${key}`, "No token"],
      [{}, `/mcp?x-api-key=${key}`, "No token"],
      [{}, `/mcp?apiKey=${key}`, "No token"],
    ] as const) {
      const answer = await asking.post(null, initialize(), headers, path);
      expect([path, answer.status]).toEqual([path, 401]);
      expect(answer.body.error).toContain(words);
      expect(answer.text).not.toContain(key);
    }
    expect(asking.workspace.requests).toEqual([]);
  });

  test("may stand beside a ticket, which then does not count", async () => {
    const { key } = await keyOf("ada");
    const bob = await keyOf("bob");
    const stream = await rig.listen(key, {}, "/sse");
    const { data } = await stream.until(({ event }) => event === "endpoint");
    const list = (who: string | null) => rig.post(who, listTools, {}, data!);
    expect((await list(null)).status).toBe(202);
    expect((await list(key)).status).toBe(202);
    expect((await list(bob.key)).status).toBe(404);
    expect((await list("mcpk_bad")).status).toBe(401);
  });
});

describe("a key that is revoked", () => {
  /** By the one who holds it, and by the command line beside the server. */
  const ways: [string, (key: string, id: string) => Promise<unknown>][] = [
    ["over the API", (key, id) => rest(key, "DELETE", `${KEYS}/${id}`)],
    [
      "by another process",
      async (_, id) => {
        using registry = openRegistry(rig.directory, systemClock);
        await registry.apiKeys.revoke(WORKSPACE_KEY, id, Date.now());
      },
    ],
  ];

  // Demanded: keys-revoked-at-once
  test.each(ways)(
    "%s is refused from the next request on, and what it has open ends",
    async (_, revoke) => {
      const { key, id } = await keyOf("rita", "apps:write");
      const other = await keyOf("rita");
      const session = await rig.open(key);
      const mine = await rig.listen(key, { "mcp-session-id": session });
      const theirs = await rig.listen(other.key, {
        "mcp-session-id": await rig.open(other.key),
      });
      const sse = await rig.listen(key, {}, "/sse");
      const { data } = await sse.until(({ event }) => event === "endpoint");
      const subscription = await rig.start(
        key,
        request("subscriptions/listen", {
          notifications: { toolsListChanged: true },
        }),
        headersFor("subscriptions/listen"),
      );
      await subscription.until(({ data }) =>
        Boolean(data?.includes("acknowledged")),
      );
      rig.tick();
      await revoke(key, id);
      const answer = await rig.post(key, listTools, {
        ...elsewhere(),
        "mcp-session-id": session,
      });
      expect([answer.status, answer.body.error]).toEqual([
        401,
        expect.stringContaining("it has been revoked"),
      ]);
      rig.tick();
      await mine.ended;
      await sse.ended;
      await subscription.ended;
      expect((await rig.post(null, listTools, {}, data!)).status).toBe(401);
      const still = await Promise.race([
        theirs.ended,
        rig.post(other.key, initialize()),
      ]);
      expect(still?.status).toBe(200);
    },
  );
});

describe("what Membrane is called with", () => {
  test("is good for what a stream that has been open for long asks for", async () => {
    const clock = fakeClock();
    await using timed = await openRig({ clock });
    const { key } = await keyOf("ada", "apps:read", { on: timed, clock });
    const stream = await timed.listen(key, {}, "/sse");
    const { data } = await stream.until(({ event }) => event === "endpoint");
    const runs = () =>
      timed.workspace.requests.filter(({ path }) => path.endsWith("/run"));
    const run = async (id: number) => {
      const before = runs().length;
      await timed.post(null, call("lab_echo", {}, id), {}, data!);
      await stream.until(({ data }) => Boolean(data?.includes(`"id":${id}`)));
      expect(runs().length).toBe(before + 1);
      const token = runs().at(-1)!.headers["authorization"]!.slice(7);
      return { token, left: decodeJwt(token).exp! * 1000 - clock.now() };
    };
    const first = await run(1);
    expect((await run(2)).token).toBe(first.token);
    for (let minutes = 0; minutes < 12; minutes++) {
      clock.advance(60_000);
      timed.tick();
      // The heartbeat has been answered when the next turn has come.
      await timed.post(key, listTools, {});
      const { left } = await run(10 + minutes);
      expect(left).toBeGreaterThan(60_000);
      expect(left).toBeLessThanOrEqual(300_000);
    }
  });
});

describe("too many bad credentials", () => {
  test("are counted together, whatever they are, and good ones still pass", async () => {
    const from = { "x-forwarded-for": "192.0.2.200" };
    const { key } = await keyOf("ada");
    const bad = async (header: Record<string, string>) =>
      (await rig.post(null, initialize(), { ...from, ...header })).status;
    for (let i = 0; i < 10; i++) {
      expect(await bad({ authorization: `Bearer a.b.${i}` })).toBe(401);
      expect(await bad({ "x-api-key": `mcpk_${i}` })).toBe(401);
    }
    expect(await bad({ "x-api-key": "mcpk_x" })).toBe(429);
    expect(await bad({ authorization: "Bearer a.b.c" })).toBe(429);
    expect((await rig.post(key, initialize(), from)).status).toBe(200);
    expect((await rig.post("ada", initialize(), from)).status).toBe(200);
  });
});

describe("scopes", () => {
  type Who = "none" | "read" | "write" | "admin";
  const rigs = new Map<string, Promise<Rig>>();
  const rigOf = (scope: string) => {
    const opened = rigs.get(scope) ?? openRig({ env: { TOKEN_SCOPES: scope } });
    rigs.set(scope, opened);
    return opened;
  };
  afterAll(async () => {
    for (const opened of rigs.values()) {
      await (await opened)[Symbol.asyncDispose]();
    }
  });
  /** Somebody with that scope: by token, or by key. */
  async function somebody(who: Who, by: "token" | "key", name = "sue") {
    const on = await rigOf(who === "none" ? "none" : `apps:${who}`);
    if (by === "token") return { on, credential: name };
    const { key } = await keyOf(name, `apps:${who}` as Scope, { on });
    return { on, credential: key };
  }

  const needs: [string, string, (id: string) => [string, unknown?], Scope][] = [
    ["lists keys", "GET", () => [KEYS], "apps:write"],
    [
      "makes a key",
      "POST",
      () => [KEYS, { name: "n", scope: "apps:read" }],
      "apps:write",
    ],
    ["revokes a key", "DELETE", (id) => [`${KEYS}/${id}`], "apps:write"],
    [
      "makes a key of another member",
      "POST",
      () => [KEYS, { name: "n", scope: "apps:read", memberId: "other" }],
      "apps:admin",
    ],
    [
      "makes a key that may do everything",
      "POST",
      () => [KEYS, { name: "n", scope: "apps:admin" }],
      "apps:admin",
    ],
  ];
  const order: Who[] = ["none", "read", "write", "admin"];
  const cases = needs.flatMap(([what, method, make, needed]) =>
    order.flatMap((who) =>
      (["token", "key"] as const)
        .filter((by) => by === "token" || who !== "none")
        .map((by) => ({ what, method, make, needed, who, by })),
    ),
  );

  test.each(cases)(
    "$who by $by $what",
    async ({ method, make, needed, who, by }) => {
      const { on, credential } = await somebody(who, by);
      const { id } = await keyOf("sue", "apps:read", { on });
      const [path, body] = make(id);
      const answer = await rest(credential, method, path, body, on);
      const may = order.indexOf(who) >= order.indexOf(needed.slice(5) as Who);
      if (may) {
        expect(answer.status).toBe(method === "POST" ? 201 : 200);
        return;
      }
      expect(answer.status).toBe(403);
      expect(answer.headers.get("content-type")).toBe(
        "application/problem+json",
      );
      // A route that takes apps:write asks for that first.
      const required =
        who === "write" ? needed : ("apps:write" satisfies Scope);
      expect(answer.body.detail).toEqual({
        code: "missing_scope",
        required,
        message: expect.stringContaining(required),
      });
      expect(answer.headers.get("www-authenticate")).toBe(
        `Bearer error="insufficient_scope", scope="${required}", resource_metadata="${on.url}/.well-known/oauth-protected-resource"`,
      );
      expect((await list(on)).map(({ id }) => id)).toContain(id);
    },
  );

  /** All keys there are. */
  async function list(on: Rig) {
    using registry = openRegistry(on.directory, systemClock);
    return registry.apiKeys.list(WORKSPACE_KEY, null);
  }

  test("are those of TOKEN_SCOPES whatever a token claims", async () => {
    const token = await new SignJWT({
      id: "mallory",
      iss: WORKSPACE_KEY,
      isAdmin: true,
      admin: true,
      role: "admin",
      scope: "apps:admin apps:write",
      scopes: ["apps:admin"],
      scp: "apps:admin",
      permissions: ["apps:admin"],
    })
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime("10m")
      .sign(new TextEncoder().encode(SECRET));
    for (const introspect of [false, true]) {
      await using on = await openRig({ introspect });
      const victim = await keyOf("ada", "apps:read", { on });
      const id = `${KEYS}/${victim.id}`;
      for (const [method, path, body] of [
        ["GET", KEYS],
        ["POST", KEYS, { name: "n", scope: "apps:read" }],
        ["DELETE", id],
      ] as const) {
        const { status } = await rest(token, method, path, body, on);
        expect([method, status]).toEqual([method, 403]);
      }
      expect((await on.post(token, initialize())).status).toBe(200);
    }
  });

  test("are apps:read for a token unless said, and every credential may use MCP", async () => {
    const on = await rigOf("none");
    expect((await on.post("ada", initialize())).status).toBe(200);
    const { body } = await rest("ada", "GET", KEYS);
    expect(body.detail.message).toContain("the credential has apps:read");
  });

  test("one who may only write touches no key but their own", async () => {
    const on = await rigOf("apps:write");
    const [mine, theirs] = [
      await keyOf("una", "apps:admin", { on }),
      await keyOf("vera", "apps:read", { on }),
    ];
    const { body } = await rest("una", "GET", KEYS, undefined, on);
    expect(body.map(({ id }: any) => id)).toEqual([mine.id]);
    for (const id of [theirs.id, "unknown"]) {
      const answer = await rest(
        "una",
        "DELETE",
        `${KEYS}/${id}`,
        undefined,
        on,
      );
      expect([answer.status, answer.body.detail]).toEqual([
        404,
        "There is no such API key.",
      ]);
    }
    expect((await on.post(theirs.key, initialize())).status).toBe(200);
    const gone = await rest(
      "una",
      "DELETE",
      `${KEYS}/${mine.id}`,
      undefined,
      on,
    );
    expect([gone.status, gone.body]).toEqual([
      200,
      { success: true, id: mine.id },
    ]);
  });

  test("an administrator sees and ends the keys of everybody, and of no other workspace", async () => {
    const on = await rigOf("apps:admin");
    const [vera, far] = [
      await keyOf("vera", "apps:read", { on }),
      await keyOf("ada", "apps:read", { on, workspace: "other" }),
    ];
    const { body } = await rest("una", "GET", KEYS, undefined, on);
    const ids = body.map(({ id }: any) => id);
    expect(ids).toContain(vera.id);
    expect(ids).not.toContain(far.id);
    const end = async (id: string) =>
      (await rest("una", "DELETE", `${KEYS}/${id}`, undefined, on)).status;
    expect(await end(vera.id)).toBe(200);
    expect(await end(far.id)).toBe(404);
    expect((await on.post(vera.key, initialize())).status).toBe(401);
  });

  test.each(["none", "read", "write", "admin"] as const)(
    "to one with %s another workspace is not there",
    async (who) => {
      const { on } = await somebody(who, "token");
      for (const workspace of ["other", "%2e%2e", "wk-test%00", "WK-TEST"]) {
        for (const [method, path, body] of [
          ["GET", "api-keys"],
          ["POST", "api-keys", { name: "n", scope: "apps:read" }],
          ["DELETE", "api-keys/x"],
        ] as const) {
          const url = `/api/v2/w/${workspace}/${path}`;
          const { status } = await rest("sue", method, url, body, on);
          expect([url, method, status]).toEqual([url, method, 404]);
        }
      }
    },
  );
});

describe("making a key", () => {
  let admin: Rig;
  beforeAll(async () => {
    admin = await openRig({ env: { TOKEN_SCOPES: "apps:admin" } });
  });
  afterAll(() => admin[Symbol.asyncDispose]());
  const make = (body: unknown) => rest("ada", "POST", KEYS, body, admin);

  test("shows it once, and what was asked for", async () => {
    const { status, body } = await make({
      name: "CI of the shop",
      scope: "apps:write",
      memberId: "shop",
      expiresInDays: 7,
    });
    expect(status).toBe(201);
    const { key, ...shown } = body;
    expect(shown).toEqual({
      id: key.slice(5, 13),
      name: "CI of the shop",
      scope: "apps:write",
      memberId: "shop",
      createdByMemberId: "ada",
      createdWithKeyId: null,
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
      expiresAt: expect.any(String),
      lastUsedAt: null,
      revokedAt: null,
    });
    const days =
      (Date.parse(body.expiresAt) - Date.parse(body.createdAt)) / DAY;
    expect(Math.abs(days - 7)).toBeLessThan(0.001);
    const list = await rest("ada", "GET", KEYS, undefined, admin);
    expect(list.body).toContainEqual(shown);
    expect(list.text).not.toContain(key.slice(14, 50));
    const { client } = await admin.connect(key);
    const who = await client.callTool({ name: "lab_whoami", arguments: {} });
    expect(who.structuredContent).toMatchObject({ tenant: "shop" });
  });

  test("it ends after 90 days unless said", async () => {
    const days = async (asked: object) => {
      const { body } = await make({
        name: "n",
        scope: "apps:read",
        ...asked,
      });
      return body.expiresAt === null
        ? null
        : Math.round((Date.parse(body.expiresAt) - Date.now()) / DAY);
    };
    expect(await days({})).toBe(90);
    expect(await days({ expiresInDays: 3650 })).toBe(3650);
    expect(await days({ expiresAt: null })).toBeNull();
    const soon = new Date(Date.now() + 2 * DAY).toISOString();
    expect(await days({ expiresAt: soon })).toBe(2);
  });

  test.each<[string, unknown]>([
    ["no name", { scope: "apps:read" }],
    ["an empty name", { name: "", scope: "apps:read" }],
    ["a name that lies", { name: "a\u202eb", scope: "apps:read" }],
    ["no scope", { name: "n" }],
    ["an unknown scope", { name: "n", scope: "apps:root" }],
    ["two scopes", { name: "n", scope: ["apps:read", "apps:admin"] }],
    ["an id of its own", { name: "n", scope: "apps:read", id: "mine" }],
    ["a hash", { name: "n", scope: "apps:read", hash: "x" }],
    ["a workspace", { name: "n", scope: "apps:read", workspace: "other" }],
    ["no days", { name: "n", scope: "apps:read", expiresInDays: 0 }],
    ["half a day", { name: "n", scope: "apps:read", expiresInDays: 0.5 }],
    [
      "a past end",
      { name: "n", scope: "apps:read", expiresAt: "2020-01-01T00:00:00Z" },
    ],
    [
      "an end that is no time",
      { name: "n", scope: "apps:read", expiresAt: "never" },
    ],
    [
      "two ends",
      { name: "n", scope: "apps:read", expiresAt: null, expiresInDays: 1 },
    ],
    ["a list", []],
    ["text", "n"],
    ["null", null],
  ])("with %s is refused", async (_, body) => {
    const answer = await make(body);
    expect([answer.status, answer.body.code]).toEqual([400, "invalid"]);
  });

  test("with a body that is not JSON is refused", async () => {
    const response = await fetch(admin.url + KEYS, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${await admin.tokenFor("ada")}`,
      },
      body: "{",
    });
    expect(response.status).toBe(400);
  });

  test("is refused to a member who has a hundred", async () => {
    for (let i = 0; i < 100; i++) {
      await keyOf("hoarder", "apps:read", { on: admin });
    }
    const body = { name: "n", scope: "apps:read", memberId: "hoarder" };
    expect((await make(body)).status).toBe(409);
    expect((await make({ ...body, memberId: "modest" })).status).toBe(201);
  });
});

describe("the routes", () => {
  test("without a credential are 401 with a challenge, as a problem", async () => {
    const answer = await rest(null, "GET", KEYS);
    expect(answer.status).toBe(401);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(answer.headers.get("www-authenticate")).toBe(
      `Bearer resource_metadata="${rig.url}/.well-known/oauth-protected-resource"`,
    );
    expect(answer.body).toMatchObject({
      status: 401,
      code: "unauthenticated",
      detail: "No token provided",
    });
    const bad = await rest("a.b.c", "GET", KEYS);
    expect(bad.headers.get("www-authenticate")).toContain(
      'error="invalid_token"',
    );
  });

  test.each([
    ["PUT", KEYS, "GET, POST, OPTIONS"],
    ["HEAD", KEYS, "GET, POST, OPTIONS"],
    ["GET", `${KEYS}/x`, "DELETE, OPTIONS"],
    ["PATCH", "/api/v2/w/any%2Fthing/api-keys/x", "DELETE, OPTIONS"],
  ])("%s %s is 405, naming what it takes", async (method, path, allow) => {
    const response = await fetch(rig.url + path, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(allow);
  });

  test.each([`${KEYS}/`, `${KEYS}/x/y`, "/api/v2/w//api-keys", "/api/v2/w/x"])(
    "%s is 404",
    async (path) => {
      expect((await fetch(rig.url + path)).status).toBe(404);
    },
  );
});

test("the secret of a key is in no database, log or answer but the one that made it", async () => {
  await using on = await openRig({ env: { TOKEN_SCOPES: "apps:admin" } });
  const { body } = await rest(
    "ada",
    "POST",
    KEYS,
    { name: "n", scope: "apps:admin" },
    on,
  );
  const { key, id } = body;
  const secret = key.slice(14, 57);
  const answers = [
    await rest(key, "GET", KEYS, undefined, on),
    await rest(key, "GET", `/api/v2/w/${key}/api-keys`, undefined, on),
    await rest(key, "DELETE", `${KEYS}/${key}`, undefined, on),
    await rest("ada", "GET", `${KEYS}?key=${key}`, undefined, on),
    await rest(`${key}x`, "GET", KEYS, undefined, on),
    await on.post(key, "{"),
    await on.post(null, initialize(), { authorization: `Bearer ${key}` }),
    await on.post(null, initialize(), {}, `/mcp?token=${key}`),
    await rest(key, "DELETE", `${KEYS}/${id}`, undefined, on),
    await rest(key, "GET", KEYS, undefined, on),
  ];
  expect(answers.map(({ status }) => status)).toEqual([
    200, 404, 404, 200, 401, 400, 401, 401, 200, 401,
  ]);
  for (const { text } of answers) expect(text).not.toContain(secret);
  expect(JSON.stringify(on.lines)).not.toContain(secret);
  expect(JSON.stringify(on.lines)).toContain(id);
  const file = databaseFile(on.directory);
  for (const name of [file, `${file}-wal`]) {
    expect(readFileSync(name).includes(secret)).toBe(false);
  }
  expect(JSON.stringify(on.workspace.requests)).not.toContain(secret);
});
