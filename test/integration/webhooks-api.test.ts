import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Webhook } from "standardwebhooks";
import { createRest, fakeAuthenticator } from "../support/absent-servers.ts";
import { WORKSPACE_KEY, openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { unlike } from "../support/documented.ts";
import { openReceiver, status } from "../support/receiver.ts";
import type { Receiver } from "../support/receiver.ts";
import { entry } from "../support/webhook-rig.ts";
import { openStore } from "../support/open-store.ts";

/** Webhooks as those see them who manage them over HTTP. */

let rig: Rig;
let receiver: Receiver;
let rest: ReturnType<typeof createRest>;
beforeAll(async () => {
  receiver = await openReceiver();
  rig = await openRig({
    authenticator: fakeAuthenticator,
    sources: [],
    env: { OUTBOUND_ALLOW: "127.0.0.0/8" },
  });
  rest = createRest(rig.url);
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
});

const WRITE = "write:ada@w1";
const READ = "read:ben@w1";

async function add(body: object = {}, who = WRITE) {
  const answer = await rest(who, "POST /webhooks", {
    url: receiver.url,
    types: ["tool_executed"],
    ...body,
  });
  if (answer.status !== 201) throw new Error(answer.text);
  return answer.body as { id: string; secret: string };
}

describe("webhooks over REST", () => {
  test("one is made, with a secret that is shown once", async () => {
    const made = await rest(WRITE, "POST /webhooks", {
      url: `${receiver.url}?key=hidden`,
      description: "ours",
    });
    expect(made.status).toBe(201);
    expect(made.headers.get("etag")).toBe('"1"');
    const { secret, ...more } = made.body;
    expect(Uint8Array.fromBase64(secret.replace("whsec_", "")).length).toBe(32);
    expect(more).toEqual({
      id: expect.stringMatching(/^wh_[0-9a-f]{32}$/),
      url: `${receiver.url}?key=hidden`,
      description: "ours",
      types: null,
      enabled: true,
      form: "full",
      concurrency: 1,
      configured: false,
      failingSince: null,
      disabledReason: null,
      disabledAt: null,
      missed: 0,
      previousSecretUntil: null,
      createdAt: expect.stringMatching(/Z$/),
      updatedAt: expect.stringMatching(/Z$/),
      createdByMemberId: "ada",
    });
    const path = `/webhooks/${more.id}`;
    const again = await rest(WRITE, `GET ${path}`);
    expect(again.body).toEqual(more);
    // Who may only look does not see what may be a credential.
    const seen = await rest(READ, `GET ${path}`);
    expect(seen.body.url).toBe(`${new URL(receiver.url).origin}/…`);
    const below = `/api/v2/w/w1${path}`;
    expect((await rest(READ, `GET ${below}`)).body).toEqual(seen.body);
    const listed = await rest(READ, "GET /api/v2/w/w1/webhooks");
    expect(listed.text).not.toContain("hidden");
    expect(listed.body.map(({ id }: any) => id)).toContain(more.id);
    expect(JSON.stringify(rig.lines)).not.toContain("hidden");
    await rest(WRITE, `DELETE ${path}`);
  });

  test("the query of the environment's URL is for nobody's eyes", async () => {
    await using own = await openRig({
      authenticator: fakeAuthenticator,
      sources: [],
      env: {
        OUTBOUND_ALLOW: "127.0.0.0/8",
        WEBHOOK_URL: `${receiver.url}?key=hidden`,
        WEBHOOK_SECRET: `whsec_${Buffer.alloc(24, 7).toString("base64")}`,
      },
    });
    const ask = createRest(own.url);
    const who = `admin:ada@${WORKSPACE_KEY}`;
    const listed = await ask(who, "GET /webhooks");
    expect(listed.body).toMatchObject([
      { configured: true, url: `${new URL(receiver.url).origin}/…` },
    ]);
    const path = `/webhooks/${listed.body[0].id}`;
    const turned = { enabled: false };
    const any = { "if-match": "*" };
    const changed = await ask(who, `PATCH ${path}`, turned, any);
    expect(changed.body.enabled).toBe(false);
    const seen = [await ask(who, `GET ${path}`), changed, listed];
    expect(seen.map(({ text }) => text.includes("hidden"))).toEqual([
      false,
      false,
      false,
    ]);
  });

  test("each takes its scope, and is not found in another workspace", async () => {
    const { id } = await add();
    const at = `/webhooks/${id}`;
    const event = `evt_${"0".repeat(32)}`;
    const look = ["GET /webhooks", `GET ${at}`];
    // Deliveries tell what every member does, and when.
    const change = [
      `GET ${at}/deliveries`,
      "POST /webhooks",
      `PATCH ${at}`,
      `POST ${at}/rotate`,
      `POST ${at}/test`,
      `POST ${at}/replay`,
      `POST ${at}/deliveries/${event}/replay`,
      `DELETE ${at}`,
    ];
    const statusOf = async (who: string | null, route: string) => {
      const body = route.startsWith("GET") ? undefined : {};
      return (await rest(who, route, body)).status;
    };
    for (const route of [...look, ...change]) {
      expect([route, await statusOf(null, route)]).toEqual([route, 401]);
      expect([route, await statusOf("none:ada@w1", route)]).toEqual([
        route,
        403,
      ]);
    }
    for (const route of look) {
      expect([route, await statusOf(READ, route)]).toEqual([route, 200]);
    }
    for (const route of change) {
      expect([route, await statusOf(READ, route)]).toEqual([route, 403]);
    }
    for (const route of [...look, ...change]) {
      if (route.endsWith(" /webhooks")) continue;
      expect([route, await statusOf("admin:eve@w2", route)]).toEqual([
        route,
        404,
      ]);
    }
    const below = "GET /api/v2/w/w1/webhooks";
    expect((await rest("admin:eve@w2", below)).status).toBe(404);
    expect((await rest("admin:eve@w2", "GET /webhooks")).body).toEqual([]);
  });

  test.each([
    [{ url: "ftp://x.example" }, "url"],
    [{ url: "https://ada:pw@x.example" }, "url"],
    [{ url: "https://10.0.0.1/" }, "url"],
    [{ url: "http://93.184.215.14/" }, "url"],
    [{ types: [] }, "types"],
    [{ types: ["no_such_event"] }, "types.0"],
    [{ form: "other" }, "form"],
    [{ concurrency: 17 }, "concurrency"],
    [{ concurrency: 0 }, "concurrency"],
    [{ secret: "whsec_short" }, "secret"],
    [{ secret: `whsec_${Buffer.alloc(23).toString("base64")}` }, "secret"],
    [{ secret: `whsec_${Buffer.alloc(65).toString("base64")}` }, "secret"],
    [{ secret: Buffer.alloc(32).toString("base64") }, "secret"],
    [{ other: 1 }, "other"],
  ])("%j is refused", async (body, names) => {
    const answer = await rest(WRITE, "POST /webhooks", {
      url: receiver.url,
      ...body,
    });
    expect(answer.status).toBe(400);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(answer.body.detail).toStartWith(`${names}: `);
  });

  test("changes need the ETag of what is changed", async () => {
    const { id } = await add();
    const route = `PATCH /webhooks/${id}`;
    const change = { types: null, concurrency: 4 };
    expect((await rest(WRITE, route, change)).status).toBe(428);
    const match = (tag: string) => ({ "if-match": tag });
    expect((await rest(WRITE, route, change, match('"7"'))).status).toBe(412);
    const changed = await rest(WRITE, route, change, match('"1"'));
    expect([changed.status, changed.headers.get("etag")]).toEqual([200, '"2"']);
    expect(changed.body).toMatchObject(change);
    // What changes nothing makes no other version of it.
    for (const same of [{}, change]) {
      const kept = await rest(WRITE, route, same, match('"2"'));
      expect([kept.status, kept.headers.get("etag")]).toEqual([200, '"2"']);
      expect(kept.body).toEqual(changed.body);
    }
    expect(
      (await rest(WRITE, `DELETE /webhooks/${id}`, undefined, match('"1"')))
        .status,
    ).toBe(412);
    expect((await rest(WRITE, `DELETE /webhooks/${id}`)).body).toEqual({
      success: true,
      id,
    });
    expect((await rest(WRITE, `GET /webhooks/${id}`)).status).toBe(404);
  });

  test("a workspace has fifty, and no more", async () => {
    const made = [];
    for (let n = 0; n < 50; n++) made.push(await add({}, "write:ada@w3"));
    const body = { url: receiver.url };
    const one = await rest("write:ada@w3", "POST /webhooks", body);
    expect(one.status).toBe(409);
    await add({}, "write:ada@w4");
    for (const { id } of made)
      await rest("write:ada@w3", `DELETE /webhooks/${id}`);
  });

  test("a test is sent at once, signed, also to one that is turned off, and its outcome is the answer", async () => {
    const brought = `whsec_${Buffer.alloc(24, 5).toString("base64")}`;
    const { id, secret } = await add({ enabled: false, secret: brought });
    expect(secret).toBe(brought);
    const before = receiver.received.length;
    receiver.answer = status(204);
    const sent = await rest(WRITE, `POST /webhooks/${id}/test`);
    expect(sent.body).toEqual({
      success: true,
      status: 204,
      latencyMs: expect.any(Number),
      error: null,
    });
    const { headers, body } = receiver.received[before]!;
    expect(
      new Webhook(secret).verify(body, headers as Record<string, string>),
    ).toMatchObject({ event: "webhook_test", webhook: id, workspace: "w1" });
    expect(unlike("WebhookTestEvent", JSON.parse(body))).toBeNull();
    receiver.answer = status(500);
    const failed = await rest(WRITE, `POST /webhooks/${id}/test`);
    expect(failed.body).toMatchObject({
      success: false,
      status: 500,
      error: "status",
    });
    const list = await rest(WRITE, `GET /webhooks/${id}/deliveries`);
    expect(list.body).toEqual({ deliveries: [], nextCursor: null });
  });

  test("is tested once at a time, whatever its receiver takes", async () => {
    const { id } = await add();
    const before = receiver.received.length;
    let go = () => {};
    receiver.answer = (response) => void (go = () => response.end());
    const route = `POST /webhooks/${id}/test`;
    const first = rest(WRITE, route);
    await receiver.until(before + 1);
    const second = await rest(WRITE, route);
    expect(second.status).toBe(429);
    expect(second.headers.get("retry-after")).toBe("5");
    expect(receiver.received.length).toBe(before + 1);
    go();
    expect((await first).body.success).toBe(true);
    receiver.answer = status(200);
    expect((await rest(WRITE, route)).status).toBe(200);
  });

  test("a new secret is shown once, and signs beside the old one for as long as it is said", async () => {
    const { id, secret: old } = await add();
    const route = `POST /webhooks/${id}/rotate`;
    const rotated = await rest(WRITE, route, { overlapSeconds: 60 });
    const { secret, previousSecretUntil } = rotated.body;
    expect(secret).toMatch(/^whsec_/);
    expect(secret).not.toBe(old);
    const left = Date.parse(previousSecretUntil) - Date.now();
    expect(left > 0 && left <= 60_000).toBe(true);
    const at = receiver.received.length;
    receiver.answer = status(200);
    const signatures = async () => {
      await rest(WRITE, `POST /webhooks/${id}/test`);
      const { headers, body } = receiver.received.at(-1)!;
      return [old, secret].map((one) => {
        try {
          new Webhook(one).verify(body, headers as Record<string, string>);
          return true;
        } catch {
          return false;
        }
      });
    };
    expect(await signatures()).toEqual([true, true]);
    await rest(WRITE, route, { secret, overlapSeconds: 0 });
    expect(await signatures()).toEqual([false, true]);
    expect(receiver.received.length).toBe(at + 2);
    expect(JSON.stringify(rig.lines)).not.toContain(secret.slice(6));
  });

  // Demanded: webhooks-dead, journal-asked-for
  test("deliveries are listed page by page, by their state, and sent again; also what another process has written is delivered", async () => {
    // Webhooks of other tests are told the same.
    await using receiver = await openReceiver();
    const { id } = await add({ url: receiver.url });
    receiver.answer = (response, { json }) =>
      void response.writeHead(json.tool === "t0" ? 410 : 200).end();
    {
      const beside = openStore(rig.directory, { beside: true });
      await beside.journal.append(
        ["t1", "t2", "t3"].map((tool) => entry("tool_executed", { tool })),
      );
      await beside.close();
    }
    const list = async (query = "") =>
      (await rest(WRITE, `GET /webhooks/${id}/deliveries${query}`)).body;
    let all: any[] = [];
    while (all.length < 3) all = (await list("?state=delivered")).deliveries;
    expect(all[0]).toEqual({
      id: expect.stringMatching(/^evt_[0-9a-f]{32}$/),
      type: "tool_executed",
      state: "delivered",
      replayed: false,
      attempts: 1,
      nextAttemptAt: null,
      log: [
        {
          at: expect.stringMatching(/Z$/),
          latencyMs: expect.any(Number),
          status: 200,
          error: null,
        },
      ],
      createdAt: expect.stringMatching(/Z$/),
      finishedAt: expect.stringMatching(/Z$/),
    });
    const first = await list("?limit=2");
    expect(first.deliveries).toEqual(all.slice(0, 2));
    const more = await list(`?limit=2&cursor=${first.nextCursor}`);
    expect(more).toEqual({ deliveries: all.slice(2), nextCursor: null });
    expect((await list("?state=dead")).deliveries).toEqual([]);
    const wrong = await rest(WRITE, `GET /webhooks/${id}/deliveries?cursor=x`);
    expect(wrong.status).toBe(400);

    const before = receiver.received.length;
    const route = `POST /webhooks/${id}/deliveries/${all[1].id}/replay`;
    expect((await rest(WRITE, route)).body).toMatchObject({
      id: all[1].id,
      replayed: true,
    });
    const again = (await receiver.until(before + 1)).at(-1)!;
    expect(again.headers["webhook-id"]).toBe(all[1].id);
    const none = `POST /webhooks/${id}/deliveries/evt_${"0".repeat(32)}/replay`;
    expect((await rest(WRITE, none)).status).toBe(404);
    expect((await rest(WRITE, `POST /webhooks/${id}/replay`)).body).toEqual({
      success: true,
      replayed: 0,
    });
    const done = rig.lines.filter(({ action }) => action === "replayed");
    expect(done.map(({ user, webhook }) => [user, webhook])).toEqual([
      ["ada", id],
      ["ada", id],
    ]);
    const audit = `GET /api/v2/w/w1/audit?types=webhook_replayed`;
    expect((await rest(WRITE, audit)).body.entries).toEqual([
      expect.objectContaining({
        by: { method: "membrane", memberId: "ada", key: null },
        webhook: id,
        delivery: all[1].id,
        count: 1,
      }),
    ]);
  });

  test("what waits for a webhook that is off has no next attempt", async () => {
    await using receiver = await openReceiver();
    receiver.answer = (response) => void response.writeHead(500).end();
    const { id } = await add({ url: receiver.url, types: ["webhook_created"] });
    await add();
    await receiver.until(1);
    const waiting = async () => {
      const { body } = await rest(WRITE, `GET /webhooks/${id}/deliveries`);
      return body.deliveries[0];
    };
    while ((await waiting()).attempts === 0);
    expect((await waiting()).nextAttemptAt).toEndWith("Z");
    const any = { "if-match": "*" };
    await rest(WRITE, `PATCH /webhooks/${id}`, { enabled: false }, any);
    const { state, nextAttemptAt } = await waiting();
    expect([state, nextAttemptAt]).toEqual(["pending", null]);
    await rest(WRITE, `DELETE /webhooks/${id}`);
  });

  // Demanded: journal-asked-for
  test("what is done to them is in the journal, and they hear of each other", async () => {
    await using receiver = await openReceiver();
    await add({
      url: receiver.url,
      types: ["webhook_created", "webhook_changed", "webhook_removed"],
      description: "watching",
    });
    const { id } = await add();
    await rest(
      WRITE,
      `PATCH /webhooks/${id}`,
      { enabled: false, description: "off" },
      { "if-match": "*" },
    );
    await rest(WRITE, `POST /webhooks/${id}/rotate`);
    await rest(WRITE, `DELETE /webhooks/${id}`);
    const told = await receiver.until(4);
    expect(
      told.map(({ json }) => [json.event, json.webhook, json.changed]),
    ).toEqual([
      ["webhook_created", id, undefined],
      ["webhook_changed", id, ["description", "enabled"]],
      ["webhook_changed", id, ["secret"]],
      ["webhook_removed", id, undefined],
    ]);
    expect(told[0]!.json.by).toEqual({
      method: "membrane",
      memberId: "ada",
      key: null,
    });
  });
});
