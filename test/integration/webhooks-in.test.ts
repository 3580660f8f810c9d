import { SignJWT } from "jose";
import { describe, expect, test } from "bun:test";
import { Webhook } from "standardwebhooks";
import { ToolListChangedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { mintToken } from "../../src/demo/token.ts";
import { readSecret } from "../../src/gateway/events/webhook-secrets.ts";
import { SECRET, WORKSPACE_KEY, openRig } from "../support/app.ts";
import { fakeClock } from "../support/clock.ts";
import { until } from "../support/raw-server.ts";
import { openWebhookRig } from "../support/webhook-rig.ts";

/** Webhooks that others send us. */

const KEY = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;
const ENV = { WEBHOOK_RECEIVE_SECRET: KEY };
const BODY = JSON.stringify({ event: "catalog_changed", name: "é" });
const REFUSED = { status: 401, text: '{"error":"Invalid signature"}' };
const TAKEN = { status: 200, text: '{"status":"received"}' };

async function send(
  { url }: { url: string },
  headers: Record<string, string>,
  body = BODY,
) {
  const response = await fetch(`${url}/webhook/mcp`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
  return { status: response.status, text: await response.text() };
}

const seconds = (clock: { now(): number }) => Math.floor(clock.now() / 1000);

function own(at: number, body = BODY, key = KEY) {
  const hex = new Bun.CryptoHasher("sha256", readSecret(key)!)
    .update(`${at}.${body}`)
    .digest("hex");
  return { "x-mcp-signature": `t=${at},v1=${hex}` };
}

function standard(at: number, id = "msg_1", body = BODY, key = KEY) {
  return {
    "webhook-id": id,
    "webhook-timestamp": String(at),
    "webhook-signature": new Webhook(key).sign(id, new Date(at * 1000), body),
  };
}

describe("a webhook that comes in", () => {
  // Demanded: webhooks-received
  test("is taken with either signature, and with nothing else", async () => {
    const clock = fakeClock();
    await using rig = await openRig({ env: ENV, clock });
    const at = seconds(clock);
    expect(await send(rig, own(at))).toEqual(TAKEN);
    expect(await send(rig, standard(at))).toEqual(TAKEN);
    const other = `whsec_${Buffer.alloc(32, 8).toString("base64")}`;
    const wrong: Record<string, string>[] = [
      {},
      own(at, `${BODY} `),
      own(at, BODY, other),
      { "x-mcp-signature": "" },
      { "x-mcp-signature": own(at)["x-mcp-signature"].slice(0, -2) },
      { "x-mcp-signature": `t=${at}` },
      { "x-mcp-signature": own(at)["x-mcp-signature"].replace("t=", "t=t=") },
      standard(at, "msg_1", `${BODY} `),
      standard(at, "msg_1", BODY, other),
      { ...standard(at), "webhook-id": "msg_2" },
      { ...standard(at), "webhook-timestamp": String(at + 1) },
      { ...standard(at), "webhook-signature": "v1,AAAA" },
      { ...standard(at), "webhook-signature": "v1a,AAAA" },
      { "webhook-signature": standard(at)["webhook-signature"] },
      // One that is good does not make up for one that is not.
      { ...standard(at), ...own(at, BODY, other) },
      { ...standard(at, "msg_1", BODY, other), ...own(at) },
      { "x-integration-app-token": "a.b.c" },
    ];
    for (const headers of wrong) {
      expect([headers, await send(rig, headers)]).toEqual([headers, REFUSED]);
    }
  });

  // Demanded: webhooks-received
  test("is of these five minutes, and of the five to come", async () => {
    const clock = fakeClock();
    await using rig = await openRig({ env: ENV, clock });
    const at = seconds(clock);
    for (const [off, expected] of [
      [-300, TAKEN],
      [300, TAKEN],
      [-301, REFUSED],
      [301, REFUSED],
    ] as const) {
      const id = `msg_${off}`;
      expect(await send(rig, standard(at + off, id))).toEqual(expected);
      expect(await send(rig, own(at + off))).toEqual(expected);
    }
  });

  // Demanded: webhooks-received
  test("counts once, however often and in whatever dress it comes, also after a restart", async () => {
    const clock = fakeClock();
    await using rig = await openRig({ env: ENV, clock });
    const at = seconds(clock);
    const both = { ...standard(at), ...own(at) };
    const news = () =>
      rig.lines
        .filter(({ event }) => event === "webhook received")
        .map(({ isNew }) => isNew);
    expect(await send(rig, both)).toEqual(TAKEN);
    expect(await send(rig, both)).toEqual(TAKEN);
    expect(await send(rig, own(at))).toEqual(TAKEN);
    // As its sender sends it again.
    expect(await send(rig, standard(at + 5))).toEqual(TAKEN);
    await rig.restart();
    expect(await send(rig, both)).toEqual(TAKEN);
    expect(await send(rig, standard(at, "msg_2"))).toEqual(TAKEN);
    expect(news()).toEqual([true, false, false, false, false, true]);
  });

  test("that is signed and no JSON is refused as that, and one that is too large before it is looked at", async () => {
    const clock = fakeClock();
    await using rig = await openRig({
      env: { ...ENV, MAX_BODY_BYTES: "2000" },
      clock,
    });
    const at = seconds(clock);
    expect((await send(rig, own(at, "no"), "no")).status).toBe(400);
    const large = JSON.stringify("x".repeat(3000));
    expect((await send(rig, own(at, large), large)).status).toBe(413);
    expect((await send(rig, {}, large)).status).toBe(413);
  });

  test("is not found where nobody has said who may send", async () => {
    await using rig = await openRig({ introspect: true });
    expect((await send(rig, {})).status).toBe(404);
  });

  test("of another gateway has the catalogues looked at again", async () => {
    await using rig = await openRig({ env: ENV });
    const { client } = await rig.connect("ada");
    await client.listTools();
    const heard = Promise.withResolvers<void>();
    client.setNotificationHandler(ToolListChangedNotificationSchema, () =>
      heard.resolve(),
    );
    rig.workspace.world.changeConnection("ada", "lab", { connected: false });
    const at = Math.floor(Date.now() / 1000);
    expect(await send(rig, standard(at))).toEqual(TAKEN);
    await heard.promise;
  });
});

describe("a connection that changes in Membrane", () => {
  // Demanded: webhooks-connections
  test("is heard of at once by that member's clients, and by nobody else's", async () => {
    await using rig = await openRig();
    rig.workspace.sendWebhooks(`${rig.url}/webhook/mcp`);
    const told = { ada: 0, bob: 0 };
    const clients = { ada: rig, bob: rig };
    const lists = {} as Record<string, () => Promise<string[]>>;
    for (const user of Object.keys(clients) as (keyof typeof told)[]) {
      const { client } = await rig.connect(user);
      lists[user] = async () =>
        (await client.listTools()).tools.map(({ name }) => name);
      expect(await lists[user]()).toContain("lab_echo");
      client.setNotificationHandler(
        ToolListChangedNotificationSchema,
        () => void told[user]++,
      );
    }
    const { world } = rig.workspace;
    world.changeConnection("ada", "lab", { connected: false });
    await until(() => told.ada === 1);
    expect(await lists["ada"]!()).not.toContain("lab_echo");
    world.changeConnection("ada", "lab", { connected: true });
    await until(() => told.ada === 2);
    expect(await lists["ada"]!()).toContain("lab_echo");
    // Had bob heard of ada's, he would have heard it before his own.
    world.removeConnection("bob", "lab");
    await until(() => told.bob > 0);
    expect(told).toEqual({ ada: 2, bob: 1 });
  });

  test("has a member's catalogue looked at once, however often it is told of at a time", async () => {
    await using rig = await openWebhookRig({
      MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY,
      MEMBRANE_WORKSPACE_SECRET: SECRET,
    });
    const of = async (user: string) => {
      const token = await new SignJWT({ iss: WORKSPACE_KEY, id: user })
        .setProtectedHeader({ alg: "HS256" })
        .sign(new TextEncoder().encode(SECRET));
      const event = {
        eventType: "connection.created",
        data: { connection: { id: "c", customerId: user } },
      };
      const headers = new Headers({ "x-integration-app-token": token });
      return () =>
        rig.incoming!.receive(headers, new Uint8Array(), () => event);
    };
    const [eve, bob] = [await of("eve"), await of("bob")];
    const taken = await Promise.all([eve(), eve(), eve(), eve(), bob()]);
    expect(taken).not.toContain(false);
    expect(rig.refreshed).toEqual([
      `${WORKSPACE_KEY} eve`,
      `${WORKSPACE_KEY} bob`,
    ]);
  });

  test("is believed from who knows the workspace's secret, about a member only from that member or the workspace", async () => {
    await using rig = await openRig();
    const body = (customer: object) =>
      JSON.stringify({
        eventType: "connection.created",
        data: { connection: { id: "c", ...customer } },
      });
    const token = (claims: object, secret = SECRET) =>
      new SignJWT({ ...claims })
        .setProtectedHeader({ alg: "HS256" })
        .sign(new TextEncoder().encode(secret));
    const told = async (jwt: string, customer: object) => {
      const headers = { "x-integration-app-token": jwt };
      const { status } = await send(rig, headers, body(customer));
      const last = rig.lines.findLast(
        ({ event }) => event === "connection webhook received",
      );
      return [status, last?.["user"]];
    };
    const workspace = await token({ iss: WORKSPACE_KEY, sub: "x", fields: {} });
    expect(await told(workspace, { customerId: "ada" })).toEqual([200, "ada"]);
    // As it was said before.
    expect(await told(workspace, { user: { internalId: "bob" } })).toEqual([
      200,
      "bob",
    ]);
    const own = await mintToken({
      workspaceKey: WORKSPACE_KEY,
      secret: SECRET,
      user: "eve",
    });
    expect(await told(own, { customerId: "eve" })).toEqual([200, "eve"]);
    expect(await told(own, { customerId: "ada" })).toEqual([401, "eve"]);
    const wrong = [
      await token(
        { iss: WORKSPACE_KEY },
        "another-secret-of-more-than-32-bytes",
      ),
      await token({ iss: "another" }),
      await token({ iss: WORKSPACE_KEY, exp: 1000 }),
      `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from(JSON.stringify({ iss: WORKSPACE_KEY })).toString("base64url")}.`,
    ];
    for (const jwt of wrong) {
      expect(await told(jwt, { customerId: "ada" })).toEqual([401, "eve"]);
    }
  });
});
