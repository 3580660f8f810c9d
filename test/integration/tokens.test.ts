import { createHmac } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SECRET, WORKSPACE_KEY, openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { initialize, listTools } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";

/** What a caller sees of who gets in. */

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const encode = (value: unknown) =>
  Buffer.from(JSON.stringify(value)).toString("base64url");
const soon = () => Math.floor(Date.now() / 1000) + 600;

/** A token made by hand. */
function forge(
  claims: object,
  { header = {}, secret = SECRET, hash = "sha256" } = {},
): string {
  const text = `${encode({ alg: "HS256", typ: "JWT", ...header })}.${encode(claims)}`;
  return `${text}.${createHmac(hash, secret).update(text).digest("base64url")}`;
}

const good = () => ({ iss: WORKSPACE_KEY, id: "ada", exp: soon() });

async function statusOf(token: string, target = rig) {
  const answer = await target.post(token, initialize());
  return answer.status;
}

describe("a token is accepted", () => {
  test.each([
    ["of the older generation", () => forge(good())],
    [
      "of the newer one",
      () =>
        forge({ workspaceKey: WORKSPACE_KEY, tenantKey: "ada", exp: soon() }),
    ],
    [
      "of both, when they agree",
      () => forge({ ...good(), workspaceKey: WORKSPACE_KEY, tenantKey: "ada" }),
    ],
    [
      "with HS384",
      () => forge(good(), { header: { alg: "HS384" }, hash: "sha384" }),
    ],
    [
      "with HS512",
      () => forge(good(), { header: { alg: "HS512" }, hash: "sha512" }),
    ],
    [
      "a few seconds after it expired",
      () => forge({ ...good(), exp: Math.floor(Date.now() / 1000) - 5 }),
    ],
    ["of a user called __proto__", () => forge({ ...good(), id: "__proto__" })],
    [
      "with headers that name keys, which are ignored",
      () =>
        forge(good(), {
          header: { kid: "../../etc/passwd", jku: "http://127.0.0.1:9/" },
        }),
    ],
  ])("%s", async (_, token) => {
    expect(await statusOf(token())).toBe(200);
  });
});

describe("a token is refused", () => {
  const unsigned = (alg: unknown) => () =>
    `${encode(alg === undefined ? {} : { alg })}.${encode(good())}.`;
  test.each<[string, () => string]>([
    ["signed with an empty secret", () => forge(good(), { secret: "\0" })],
    ["signed with a common one", () => forge(good(), { secret: "secret" })],
    ["signed with undefined", () => forge(good(), { secret: "undefined" })],
    ["alg none", unsigned("none")],
    ["alg None", unsigned("None")],
    ["alg nOnE", unsigned("nOnE")],
    ["no alg", unsigned(undefined)],
    ["a list of algs", unsigned(["HS256"])],
    [
      "alg RS256 over the secret",
      () => forge(good(), { header: { alg: "RS256" } }),
    ],
    ["with crit", () => forge(good(), { header: { crit: ["x"], x: 1 } })],
    ["expired", () => forge({ ...good(), exp: soon() - 3600 })],
    ["without exp", () => forge({ iss: WORKSPACE_KEY, id: "ada" })],
    ["exp as text", () => forge({ ...good(), exp: "9999999999" })],
    ["exp below zero", () => forge({ ...good(), exp: -1 })],
    ["not valid yet", () => forge({ ...good(), nbf: soon() })],
    ["issued in the future", () => forge({ ...good(), iat: soon() })],
    ["of another workspace", () => forge({ ...good(), iss: "other" })],
    ["of two workspaces", () => forge({ ...good(), workspaceKey: "other" })],
    ["of no workspace", () => forge({ id: "ada", exp: soon() })],
    ["of two users", () => forge({ ...good(), tenantKey: "bob" })],
    [
      "of no user",
      () => forge({ iss: WORKSPACE_KEY, exp: soon(), isAdmin: true }),
    ],
    ["user as object", () => forge({ ...good(), id: { $ne: null } })],
    ["user as list", () => forge({ ...good(), id: ["ada"] })],
    ["user as number", () => forge({ ...good(), id: 123 })],
    ["empty user", () => forge({ ...good(), id: "" })],
    ["user of 10 KB", () => forge({ ...good(), id: "a".repeat(10_000) })],
    ["user with NUL", () => forge({ ...good(), id: "a\0b" })],
    ["user written backwards", () => forge({ ...good(), id: "a\u202eb" })],
    ["not a JWT", () => "a.b.c"],
    ["15 KB of nothing", () => `${"x".repeat(15_000)}.y.z`],
  ])("%s", async (_, token) => {
    const answer = await rig.post(token(), initialize());
    expect(answer.status).toBe(401);
    expect(answer.headers.has("mcp-session-id")).toBe(false);
    expect(answer.headers.get("www-authenticate")).toContain(
      'error="invalid_token"',
    );
    expect(answer.body.error).toStartWith("Unauthorized: ");
    expect(answer.text).not.toContain(token().slice(0, 40));
  });

  test("and its claims are never listened to: Membrane is not asked", async () => {
    const before = rig.workspace.requests.length;
    await rig.post(
      forge({ ...good(), id: "mallory" }, { secret: "wrong" }),
      initialize(),
    );
    expect(rig.workspace.requests.length).toBe(before);
  });
});

describe("the challenge", () => {
  test("without a token has the body that clients know, and leads to metadata that exists", async () => {
    const answer = await rig.post(null, initialize());
    expect([answer.status, answer.text]).toEqual([
      401,
      '{"error":"Unauthorized: No token provided"}',
    ]);
    const challenge = answer.headers.get("www-authenticate")!;
    const url = /^Bearer resource_metadata="([^"]+)"$/.exec(challenge)![1]!;
    expect(await (await fetch(url)).json()).toEqual({
      resource: `${rig.url}/mcp`,
      resource_name: "membrane-mcp",
      bearer_methods_supported: ["header"],
    });
  });
});

describe("where the token is", () => {
  test("a header in any case, or the query, but not both", async () => {
    const token = await rig.tokenFor("ada");
    const send = (headers: Record<string, string>, path?: string) =>
      rig.post(null, initialize(), headers, path);
    expect((await send({ authorization: `bearer ${token}` })).status).toBe(200);
    expect((await send({}, `/mcp?token=${token}`)).status).toBe(200);
    expect(
      (await send({ authorization: `Bearer ${token}` }, `/mcp?token=${token}`))
        .status,
    ).toBe(400);
    expect(
      (await send({ authorization: `Bearer ${token}, Bearer ${token}` }))
        .status,
    ).toBe(401);
    expect((await send({ authorization: `Basic ${token}` })).status).toBe(401);
    expect((await send({ authorization: "Bearer" })).status).toBe(401);
  });

  test("the query can be switched off", async () => {
    await using strict = await openRig({ env: { TOKEN_IN_QUERY: "false" } });
    const token = await strict.tokenFor("ada");
    expect(
      (await strict.post(null, initialize(), {}, `/mcp?token=${token}`)).status,
    ).toBe(401);
    expect((await strict.post("ada", initialize())).status).toBe(200);
  });
});

describe("a session is no credential", () => {
  test("an expired token is refused with a session that is fine", async () => {
    const clock = fakeClock(Date.now());
    await using timed = await openRig({ clock });
    const token = await timed.tokenFor("ada", { ttlSeconds: 600 });
    const session = await timed.open(token);
    clock.advance(700_000);
    const { status } = await timed.post(token, listTools, {
      "mcp-session-id": session,
    });
    expect(status).toBe(401);
  });

  test("the token of today is used for a session that yesterday's opened", async () => {
    const session = await rig.open(
      await rig.tokenFor("ada", { ttlSeconds: 500 }),
    );
    const today = await rig.tokenFor("ada", { ttlSeconds: 900 });
    await rig.post(
      today,
      {
        jsonrpc: "2.0",
        id: 1,
        method: "tools/call",
        params: { name: "lab_echo" },
      },
      { "mcp-session-id": session },
    );
    const run = rig.workspace.requests.findLast(({ path }) =>
      path.endsWith("/run"),
    );
    expect(run?.headers["authorization"]).toBe(`Bearer ${today}`);
  });
});

describe("without a key, Membrane is asked", () => {
  test("once for each token, and its answer counts", async () => {
    await using asking = await openRig({ introspect: true });
    const token = await asking.tokenFor("ada");
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => asking.post(token, initialize())),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200));
    const asked = () =>
      asking.workspace.requests.filter(({ path }) => path === "/self").length;
    expect(asked()).toBe(1);
    const forged = forge(good(), { secret: "wrong" });
    expect(await statusOf(forged, asking)).toBe(401);
    expect(await statusOf(forged, asking)).toBe(401);
    expect(asked()).toBe(2);
    const metadata = await (
      await fetch(`${asking.url}/.well-known/oauth-protected-resource`)
    ).json();
    expect((metadata as any).authorization_servers).toEqual([
      asking.workspace.url,
    ]);
  });

  test("and while it does not answer nobody new gets in", async () => {
    await using asking = await openRig({ introspect: true });
    const known = await asking.tokenFor("ada");
    expect(await statusOf(known, asking)).toBe(200);
    asking.workspace.faults.add({ match: "GET /self", status: 503 });
    const answer = await asking.post(
      await asking.tokenFor("bob"),
      initialize(),
    );
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(answer.headers.has("mcp-session-id")).toBe(false);
    expect(await statusOf(known, asking)).toBe(200);
  }, 20_000);

  test("a revoked token is refused once the last answer is a minute old", async () => {
    const clock = fakeClock(Date.now());
    await using asking = await openRig({ introspect: true, clock });
    const token = await asking.tokenFor("ada");
    expect(await statusOf(token, asking)).toBe(200);
    asking.workspace.tokens.revoke(token);
    expect(await statusOf(token, asking)).toBe(200);
    clock.advance(61_000);
    expect(await statusOf(token, asking)).toBe(401);
  });

  test("whoever brings many bad tokens has to wait, and others do not", async () => {
    await using asking = await openRig({ introspect: true });
    const known = await asking.tokenFor("ada");
    await statusOf(known, asking);
    const statuses = [];
    for (let i = 0; i < 25; i++) {
      statuses.push(
        await statusOf(
          forge({ ...good(), id: `x${i}` }, { secret: "wrong" }),
          asking,
        ),
      );
    }
    expect(statuses.slice(0, 20)).toEqual(Array(20).fill(401));
    expect(statuses.slice(20)).toEqual(Array(5).fill(429));
    expect(await statusOf(known, asking)).toBe(200);
  });
});
