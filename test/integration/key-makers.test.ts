import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { WORKSPACE_KEY, openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { initialize } from "../support/caller.ts";

/** Keys that were made with a key are worth no more than it, and end with it. */

const KEYS = `/api/v2/w/${WORKSPACE_KEY}/api-keys`;
const DAY = 24 * 3600_000;

let rig: Rig;
beforeAll(async () => {
  rig = await openRig({ env: { TOKEN_SCOPES: "apps:admin" } });
});
afterAll(() => rig[Symbol.asyncDispose]());

/** `who`: a key, or a user who comes with a token. */
async function ask(who: string, method: string, path: string, body?: object) {
  const response = await fetch(rig.url + path, {
    method,
    headers: {
      ...(who.startsWith("mcpk_")
        ? { "x-api-key": who }
        : { authorization: `Bearer ${await rig.tokenFor(who)}` }),
      ...(body ? { "content-type": "application/json" } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: response.status, body: (await response.json()) as any };
}
const make = (who: string, more: object = {}) =>
  ask(who, "POST", KEYS, { name: "n", scope: "apps:write", ...more });

describe("a key that is made with a key", () => {
  // Demanded: keys-end-with-maker
  test("ends with it when nothing is said, and never later", async () => {
    const maker = (await make("ada", { expiresInDays: 7 })).body;
    const made = (await make(maker.key)).body;
    expect(made.expiresAt).toBe(maker.expiresAt);
    expect(made.createdWithKeyId).toBe(maker.id);
    const sooner = await make(maker.key, { expiresInDays: 1 });
    expect([sooner.status, sooner.body.createdWithKeyId]).toEqual([
      201,
      maker.id,
    ]);
    for (const later of [
      { expiresInDays: 8 },
      { expiresAt: null },
      { expiresAt: new Date(Date.now() + 7.1 * DAY).toISOString() },
    ]) {
      const refused = await make(maker.key, later);
      expect([refused.status, refused.body.code]).toEqual([400, "invalid"]);
      expect(refused.body.error ?? refused.body.detail).toContain(
        maker.expiresAt,
      );
    }
  });

  test("of one without an end is good for 90 days, or as long as was said", async () => {
    const maker = (await make("ada", { expiresAt: null })).body;
    const { body } = await make(maker.key);
    expect(Date.parse(body.expiresAt) - Date.now()).toBeLessThan(90.1 * DAY);
    expect((await make(maker.key, { expiresAt: null })).status).toBe(201);
  });

  // Demanded: keys-end-with-maker
  test("has at most its scope", async () => {
    const maker = (await make("ada")).body;
    const wider = await make(maker.key, { scope: "apps:admin" });
    expect(wider.status).toBe(403);
    const less = (await make(maker.key, { scope: "apps:read" })).body;
    expect((await make(less.key, { scope: "apps:read" })).status).toBe(403);
  });

  // Demanded: keys-end-with-maker
  test("is revoked with it, as is what was made with that one, and nothing else", async () => {
    const maker = (await make("ada", { scope: "apps:admin" })).body;
    const made = (await make(maker.key)).body;
    const theirs = (await make(maker.key, { memberId: "bob" })).body;
    const last = (await make(made.key)).body;
    const beside = (await make("ada")).body;
    const status = async (key: string) =>
      (await rig.post(key, initialize())).status;
    expect(await status(last.key)).toBe(200);
    const gone = await ask("ada", "DELETE", `${KEYS}/${maker.id}`);
    expect(gone.status).toBe(200);
    for (const { key } of [maker, made, theirs, last]) {
      expect(await status(key)).toBe(401);
    }
    expect(await status(beside.key)).toBe(200);
    const listed = (await ask("ada", "GET", KEYS)).body as any[];
    const at = (id: string) => listed.find((key) => key.id === id).revokedAt;
    expect(at(last.id)).toBe(at(maker.id));
    expect(at(last.id)).not.toBeNull();
    expect(at(beside.id)).toBeNull();
  });

  test("is not there for one that is made with a token", async () => {
    expect((await make("ada")).body.createdWithKeyId).toBeNull();
  });
});
