import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { WORKSPACE_KEY, openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { listTools, messages } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";

/** A ticket of HTTP+SSE is worth what the credential is that opened its stream, post by post. */

const clock = fakeClock(Date.now());
let rig: Rig;
beforeAll(async () => {
  rig = await openRig({ clock, env: { TOKEN_SCOPES: "apps:write" } });
});
afterAll(() => rig[Symbol.asyncDispose]());

async function open(who: string) {
  const stream = await rig.listen(who, {}, "/sse");
  const { data } = await stream.until(({ event }) => event === "endpoint");
  return { stream, endpoint: data! };
}

const post = (endpoint: string, body: object = listTools) =>
  fetch(rig.url + endpoint, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

const KEYS = `/api/v2/w/${WORKSPACE_KEY}/api-keys`;

async function keys(method: string, path = "", body?: object) {
  const response = await fetch(rig.url + KEYS + path, {
    method,
    headers: {
      authorization: `Bearer ${await rig.tokenFor("ada", { ttlSeconds: 9999 })}`,
      ...(body ? { "content-type": "application/json" } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return (await response.json()) as { key: string; id: string };
}

describe("a ticket", () => {
  // Demanded: keys-revoked-at-once
  test("is refused from the first post after the key that opened the stream was revoked", async () => {
    const { key, id } = await keys("POST", "", {
      name: "sse",
      scope: "apps:read",
    });
    const { stream, endpoint } = await open(key);
    expect((await post(endpoint)).status).toBe(202);
    await stream.until(({ data }) => Boolean(data?.includes('"id":2')));
    await keys("DELETE", `/${id}`);
    const refused = await post(endpoint, { ...listTools, id: 77 });
    expect(refused.status).toBe(401);
    // Nor is there any more to read.
    await stream.ended;
    expect(
      messages(stream.events.filter(({ event }) => event === "message")).map(
        (message) => message.id,
      ),
    ).toEqual([2]);
  });

  test("is refused from the first post after the token that opened the stream has expired", async () => {
    const token = await rig.tokenFor("bob", { ttlSeconds: 600 });
    const { stream, endpoint } = await open(token);
    expect((await post(endpoint)).status).toBe(202);
    clock.advance(700_000);
    expect((await post(endpoint)).status).toBe(401);
    await stream.ended;
  });
});
