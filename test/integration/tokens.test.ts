import { createHmac } from "node:crypto";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SECRET, WORKSPACE_KEY, openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { initialize, listTools } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";

/** What a caller sees of who gets in. */

let rig: Rig;
beforeAll(async () => {
  rig = await openRig({ env: { TRUSTED_PROXIES: "127.0.0.1" } });
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

let callers = 0;
/** From another address each time, so that no test uses up the patience for bad tokens of another. */
const elsewhere = () => ({ "x-forwarded-for": `192.0.2.${++callers}` });

async function statusOf(token: string, target = rig) {
  const answer = await target.post(token, initialize(), elsewhere());
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
    ["user with half a character", () => forge({ ...good(), id: "a\ud800" })],
    ["user written backwards", () => forge({ ...good(), id: "a\u202eb" })],
    ["not a JWT", () => "a.b.c"],
    ["15 KB of nothing", () => `${"x".repeat(15_000)}.y.z`],
  ])("%s", async (_, token) => {
    const answer = await rig.post(token(), initialize(), elsewhere());
    expect(answer.status).toBe(401);
    expect(answer.headers.has("mcp-session-id")).toBe(false);
    expect(answer.headers.get("www-authenticate")).toContain(
      'error="invalid_token"',
    );
    expect(answer.body.error).toStartWith("Unauthorized: ");
    expect(answer.text).not.toContain(token().slice(0, 40));
  });

  // Demanded: token-audience
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
  // Demanded: www-authenticate
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
  // Demanded: token-places
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
    const bob = await rig.tokenFor("bob");
    for (const path of [`?token=${token}&token=${bob}`, "?token=&token="]) {
      expect((await send({}, `/mcp${path}`)).status).toBe(400);
    }
  });

  test("where a URL's is not taken, the answer says where it goes, and does not repeat it", async () => {
    const token = await rig.tokenFor("ada");
    for (const path of ["/servers", "/mcp/sessions"]) {
      const response = await fetch(`${rig.url}${path}?token=${token}`);
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).not.toContain("error");
      const text = await response.text();
      expect(text).toContain("Authorization: Bearer");
      expect(text).not.toContain(token);
    }
    const none = await fetch(`${rig.url}/servers?token=`);
    expect(await none.json()).toMatchObject({ detail: "No token provided" });
  });

  test("the query can be switched off", async () => {
    await using strict = await openRig({ env: { TOKEN_IN_QUERY: "false" } });
    const token = await strict.tokenFor("ada");
    const refused = await strict.post(
      null,
      initialize(),
      {},
      `/mcp?token=${token}`,
    );
    expect(refused.status).toBe(401);
    expect(refused.body.error).toContain("Authorization: Bearer");
    expect((await strict.post("ada", initialize())).status).toBe(200);
  });
});

// Demanded: session-not-a-credential
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
  });

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

describe("many bad tokens from one address", () => {
  test("are answered with 429 and when to come back, while good ones of the same address get in", async () => {
    const from = { "x-forwarded-for": "198.51.100.7" };
    const statuses: number[] = [];
    for (let i = 0; i < 30; i++) {
      const answer = await rig.post(
        forge(good(), { secret: `wrong ${i}` }),
        initialize(),
        from,
      );
      statuses.push(answer.status);
      if (answer.status === 429) {
        expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
        expect(answer.body.error.data.limit).toBe("credentials");
      }
    }
    expect(statuses.slice(0, 20)).toEqual(Array(20).fill(401));
    expect(statuses.slice(20)).toEqual(Array(10).fill(429));
    expect((await rig.post("ada", initialize(), from)).status).toBe(200);
  });

  test("cost Membrane a few questions, not one each", async () => {
    await using asking = await openRig({ introspect: true });
    await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        asking.post(forge(good(), { secret: `wrong ${i}` }), initialize()),
      ),
    );
    const asked = asking.workspace.requests.filter(
      ({ path }) => path === "/self",
    );
    expect(asked.length).toBeLessThanOrEqual(28);
  });

  test("the address is that of the caller, as proxies write it", async () => {
    const bad = (forwarded: string) =>
      rig.post(forge(good(), { secret: "wrong" }), initialize(), {
        "x-forwarded-for": forwarded,
      });
    // One caller behind ports and inventions of its own.
    for (let i = 0; i < 20; i++) {
      await bad(`1.1.1.${i}, 203.0.113.9:${5000 + i}`);
    }
    expect((await bad("203.0.113.9")).status).toBe(429);
    expect((await bad("1.1.1.1")).status).toBe(401);
    expect((await bad("203.0.113.9, nonsense")).status).toBe(401);
  });
});

test("a public key as JWK needs no alg", async () => {
  for (const algorithm of [
    { name: "ECDSA", namedCurve: "P-256", alg: "ES256" },
    { name: "Ed25519", alg: "EdDSA" },
  ]) {
    const { publicKey, privateKey } = (await crypto.subtle.generateKey(
      algorithm,
      true,
      ["sign", "verify"],
    )) as CryptoKeyPair;
    const { alg: _alg, ...jwk } = (await crypto.subtle.exportKey(
      "jwk",
      publicKey,
    )) as JsonWebKey;
    await using keyed = await openRig({
      introspect: true,
      env: { MEMBRANE_PUBLIC_KEY: JSON.stringify(jwk) },
    });
    const token = await new SignJWT({ id: "ada", iss: WORKSPACE_KEY })
      .setProtectedHeader({ alg: algorithm.alg })
      .setExpirationTime("10m")
      .sign(privateKey);
    expect((await keyed.post(token, initialize())).status).toBe(200);
    const [head, payload] = token.split(".");
    const other = await keyed.post(
      `${head}.${payload}.${"A".repeat(86)}`,
      initialize(),
    );
    expect(other.status).toBe(401);
  }
});

test("without a key, a JWT that never expires is refused unless that is allowed", async () => {
  const token = forge({ iss: WORKSPACE_KEY, id: "ada" });
  await using strict = await openRig({ introspect: true });
  expect((await strict.post(token, initialize())).status).toBe(401);
  await using lenient = await openRig({
    introspect: true,
    env: { ALLOW_NON_EXPIRING_TOKENS: "true" },
  });
  expect((await lenient.post(token, initialize())).status).toBe(200);
});

test("a token in the URL is for opening a connection only", async () => {
  const token = await rig.tokenFor("ada");
  const answer = await fetch(`${rig.url}/mcp/sessions?token=${token}`);
  expect(answer.status).toBe(401);
});
