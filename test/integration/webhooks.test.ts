import { describe, expect, test } from "bun:test";
import { Webhook } from "standardwebhooks";
import { readSecret } from "../../src/gateway/events/webhook-secrets.ts";
import { openReceiver, status } from "../support/receiver.ts";
import type { Received } from "../support/receiver.ts";
import { ADMIN, entry, openWebhookRig } from "../support/webhook-rig.ts";
import { bounds } from "../support/journal-bounds.ts";

/** What happens reaches who wants to know of it, over real sockets. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const tools = (received: Received[]) => received.map(({ json }) => json.tool);
const called = (tool: string) => entry("tool_executed", { tool });

/** As the official library sees it; its own clock is right, so that only the signature is looked at. */
function verifies(secret: string, { headers, body }: Received, at: number) {
  const library = new Webhook(secret);
  const signed = library.sign(
    headers["webhook-id"] as string,
    new Date(at),
    body,
  );
  return (headers["webhook-signature"] as string).split(" ").includes(signed);
}

/** The header of our own, computed by hand. */
function ownSignature(secret: string, at: number, body: string): string {
  return new Bun.CryptoHasher("sha256", readSecret(secret)!)
    .update(`${at}.${body}`)
    .digest("hex");
}

describe("a delivery", () => {
  // Demanded: webhooks-signed
  test("has the signatures of Standard Webhooks and of the seed, over the very bytes that are sent", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    const { secret } = await rig.add(receiver.url);
    await rig.happen(called("lab_écho"));
    const [one] = await receiver.until(1);
    const seconds = Math.floor(rig.clock.now() / 1000);
    expect(one!.headers["webhook-timestamp"]).toBe(String(seconds));
    expect(verifies(secret, one!, seconds * 1000)).toBe(true);
    const flipped = { ...one!, body: one!.body.replace("lab", "lob") };
    expect(verifies(secret, flipped, seconds * 1000)).toBe(false);
    expect(one!.headers["x-mcp-signature"]).toBe(
      `t=${seconds},v1=${ownSignature(secret, seconds, one!.body)}`,
    );
    expect(one!.headers["content-type"]).toBe("application/json");
    expect(one!.headers["user-agent"]).toBe("membrane-mcp/test");
  });

  // Demanded: webhooks-signed
  test("is verified by the official library as it is, at the time of day", async () => {
    await using rig = await openWebhookRig();
    rig.clock.advance(Date.now() - rig.clock.now());
    await using receiver = await openReceiver();
    const { secret } = await rig.add(receiver.url);
    await rig.happen(called("lab_echo"));
    const [{ headers, body }] = (await receiver.until(1)) as [Received];
    const sent = headers as Record<string, string>;
    expect(new Webhook(secret).verify(body, sent)).toEqual(JSON.parse(body));
    expect(() => new Webhook(secret).verify(`${body} `, sent)).toThrow();
  });

  test("says whose doing it was, and nothing of arguments and results that were not kept", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    await rig.add(receiver.url);
    const by = { method: "api_key", subject: "bot", key: "abcd1234" } as const;
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    const cause = { by, requestId: "r-1", traceparent };
    await rig.happen(
      entry("tool_executed", { tool: "lab_echo", ms: 3, ok: true }, cause),
    );
    const [one] = await receiver.until(1);
    const [stored] = rig.journalOf("tool_executed");
    expect(Object.entries(one!.json)).toEqual([
      ["event", "tool_executed"],
      ["tool", "lab_echo"],
      ["params", null],
      ["result", null],
      ["timestamp", new Date(rig.clock.now()).toISOString()],
      ["id", `evt_${stored!.id}`],
      ["workspace", "w1"],
      ["memberId", "ada"],
      ["by", { method: "api_key", memberId: "bot", key: "abcd1234" }],
      ["requestId", "r-1"],
      ["ms", 3],
      ["ok", true],
    ]);
    expect(one!.headers["webhook-id"]).toBe(`evt_${stored!.id}`);
    expect(one!.headers["traceparent"]).toBe(traceparent);
  });

  // Demanded: webhooks-seed
  test("of the simple form is exactly the seed's, with contents where they were kept", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    await rig.add(receiver.url, { form: "simple" });
    const timestamp = new Date(rig.clock.now()).toISOString();
    await rig.happen(
      called("lab_echo"),
      entry("tool_executed", {
        tool: "lab_echo",
        params: { a: 1 },
        result: { content: [] },
        ms: 3,
      }),
      entry("server_enabled", { server: "hub", event: "x" }),
    );
    const received = await receiver.until(3);
    expect(received.map(({ body }) => body)).toEqual([
      `{"event":"tool_executed","tool":"lab_echo","params":null,"result":null,"timestamp":"${timestamp}"}`,
      `{"event":"tool_executed","tool":"lab_echo","params":{"a":1},"result":{"content":[]},"timestamp":"${timestamp}"}`,
      `{"event":"server_enabled","server":"hub","timestamp":"${timestamp}"}`,
    ]);
  });

  // Demanded: webhooks-own-workspace
  test("is of its own workspace and of the types that were asked for, and of nothing before the webhook", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    await rig.happen(called("before"));
    await rig.add(receiver.url, { types: ["tool_executed"] });
    await rig.happen(
      entry("tool_executed", { tool: "theirs" }, { workspace: "w2" }),
      entry("server_enabled", {}),
      called("ours"),
    );
    await receiver.until(1);
    await rig.happen(called("last"));
    expect(tools(await receiver.until(2))).toEqual(["ours", "last"]);
  });

  // Demanded: webhooks-rotated
  test("has the signatures of both secrets while a change of them overlaps, and of one after that", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    const { id, secret: old } = await rig.add(receiver.url, {
      types: ["tool_executed"],
    });
    const rotated = await rig.webhooks.rotate(
      ADMIN,
      id,
      { overlapMs: HOUR },
      null,
    );
    await rig.happen(called("one"));
    const at = (ms: number) => Math.floor(ms / 1000) * 1000;
    const [during] = await receiver.until(1);
    const then = at(rig.clock.now());
    expect(rotated.secret).not.toBe(old);
    expect(during!.headers["webhook-signature"]).toMatch(/^v1,\S+ v1,\S+$/);
    expect(verifies(old, during!, then)).toBe(true);
    expect(verifies(rotated.secret, during!, then)).toBe(true);
    expect(during!.headers["x-mcp-signature"]).toBe(
      `t=${then / 1000},v1=${ownSignature(rotated.secret, then / 1000, during!.body)},v1=${ownSignature(old, then / 1000, during!.body)}`,
    );
    await rig.until(() => rig.deliveries(id)[0]?.state === "delivered");
    rig.pass(HOUR);
    await rig.happen(called("two"));
    const [, after] = await receiver.until(2);
    expect(verifies(old, after!, at(rig.clock.now()))).toBe(false);
    expect(verifies(rotated.secret, after!, at(rig.clock.now()))).toBe(true);
  });
});

describe("a receiver that fails", () => {
  // Demanded: webhooks-schedule, webhooks-repeated
  test("is asked again by the schedule, under the same id, with a new time and signature; what comes after waits", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    receiver.answer = status(500);
    const { id, secret } = await rig.add(receiver.url);
    await rig.happen(called("first"), called("second"));
    const delays = [
      5000,
      5 * MINUTE,
      30 * MINUTE,
      2 * HOUR,
      5 * HOUR,
      10 * HOUR,
      10 * HOUR,
    ];
    for (const [n, delay] of delays.entries()) {
      await receiver.until(n + 1);
      await rig.until(() => rig.deliveries(id)[0]?.attempts === n + 1);
      const wait = rig.deliveries(id)[0]!.dueAt! - rig.clock.now();
      expect(wait).toBeGreaterThanOrEqual(delay * 0.8);
      expect(wait).toBeLessThanOrEqual(delay * 1.2);
      // Not a moment too early.
      rig.pass(wait - 1);
      await rig.happen(entry("server_enabled", {}));
      expect(receiver.received).toHaveLength(n + 1);
      rig.pass(1);
    }
    await receiver.until(8);
    await rig.until(() => rig.deliveries(id).at(-1)!.state === "dead");
    const tries = receiver.received.slice(0, 8);
    expect(new Set(tools(tries))).toEqual(new Set(["first"]));
    const ids = new Set(tries.map(({ headers }) => headers["webhook-id"]));
    expect(ids.size).toBe(1);
    const times = tries.map(({ headers }) =>
      Number(headers["webhook-timestamp"]),
    );
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
    expect(
      tries.every((one, n) => verifies(secret, one, times[n]! * 1000)),
    ).toBe(true);
    // The one after it has its turn now.
    expect(tools([(await receiver.until(9)).at(-1)!])).toEqual(["second"]);
    const [failure] = rig.journalOf("webhook_failed");
    expect(failure!.data).toMatchObject({
      webhook: id,
      reason: "undelivered",
      type: "tool_executed",
      attempts: 8,
      status: 500,
      error: "status",
    });
  });

  test("is not told that it has failed, and another one is", async () => {
    await using rig = await openWebhookRig();
    await using failing = await openReceiver();
    await using other = await openReceiver();
    failing.answer = status(410);
    const types = ["webhook_failed"] as const;
    const one = await rig.add(failing.url);
    await rig.add(other.url, { types });
    await failing.until(1);
    const [told] = await other.until(1);
    expect(told!.json).toMatchObject({
      event: "webhook_failed",
      webhook: one.id,
      reason: "gone",
    });
    const { webhook } = await rig.webhooks.create(ADMIN, {
      ...one,
      url: `${failing.url}?token=hidden`,
      types,
      secret: undefined,
    });
    await rig.happen(
      entry("webhook_failed", { webhook: webhook.id }),
      entry("webhook_failed", { webhook: "another" }),
    );
    expect((await failing.until(2))[1]!.json.webhook).toBe("another");
  });

  // Demanded: webhooks-schedule
  test("and says when it wants to be asked again is asked then, but not never", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    receiver.answer = status(503, { "retry-after": "3600" });
    const { id } = await rig.add(receiver.url, { types: ["tool_executed"] });
    await rig.happen(called("one"));
    await rig.until(() => rig.deliveries(id)[0]?.attempts === 1);
    expect(rig.deliveries(id)[0]!.dueAt! - rig.clock.now()).toBe(HOUR);
    receiver.answer = status(503, { "retry-after": "999999999" });
    rig.pass(HOUR);
    await rig.until(() => rig.deliveries(id)[0]!.attempts === 2);
    expect(rig.deliveries(id)[0]!.dueAt! - rig.clock.now()).toBe(24 * HOUR);
  });

  test("is asked again as soon after the clock was set back", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    receiver.answer = status(500);
    const { id } = await rig.add(receiver.url, { types: ["tool_executed"] });
    await rig.happen(called("one"));
    await rig.until(() => rig.deliveries(id)[0]?.attempts === 1);
    receiver.answer = status(200);
    rig.clock.set(-3_600_000);
    // It is noticed with the first of these; nothing is due before its time.
    rig.pass(0);
    const left = () => rig.deliveries(id)[0]!.dueAt! - rig.clock.now();
    await rig.until(() => left() < 3_600_000);
    expect(left()).toBeGreaterThan(3000);
    expect(rig.deliveries(id)[0]!.attempts).toBe(1);
    rig.pass(7000);
    await rig.until(() => rig.deliveries(id)[0]!.state === "delivered");
    expect(rig.deliveries(id)[0]!.attempts).toBe(2);
  });

  // Demanded: webhooks-schedule
  test("with 410 is turned off, and goes on with the same event when somebody turns it on", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    receiver.answer = status(410);
    const { id } = await rig.add(receiver.url, { types: ["tool_executed"] });
    await rig.happen(called("one"), called("two"));
    await rig.until(() => !rig.find(id).enabled);
    expect(rig.find(id)).toMatchObject({
      disabledReason: "gone",
      disabledAt: expect.any(Number),
    });
    await rig.happen(called("three"));
    rig.pass(24 * HOUR);
    expect(receiver.received).toHaveLength(1);
    receiver.answer = status(204);
    await rig.webhooks.change(ADMIN, id, { enabled: true }, null);
    expect(tools(await receiver.until(4))).toEqual([
      "one",
      "one",
      "two",
      "three",
    ]);
    expect(rig.find(id).disabledReason).toBeNull();
  });

  // Demanded: webhooks-dead
  test("for five days is turned off; one delivery in between begins them anew", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    receiver.answer = status(500);
    const { id } = await rig.add(receiver.url, { types: ["tool_executed"] });
    const start = rig.clock.now();
    await rig.happen(...Array.from({ length: 40 }, (_, n) => called(`t${n}`)));
    for (let n = 1; rig.find(id).enabled; n++) {
      await receiver.until(n);
      await rig.until(
        () =>
          !rig.find(id).enabled ||
          rig
            .deliveries(id)
            .every(
              ({ state, dueAt }) =>
                state !== "delivering" &&
                (dueAt === null || dueAt > rig.clock.now()),
            ),
      );
      rig.pass(13 * HOUR);
    }
    expect(rig.find(id).disabledReason).toBe("failing");
    expect(rig.find(id).disabledAt! - start).toBeGreaterThanOrEqual(120 * HOUR);
    expect(rig.find(id).disabledAt! - start).toBeLessThan(140 * HOUR);
    const reasons = rig
      .journalOf("webhook_failed")
      .map(({ data }) => data["reason"]);
    expect(reasons).toContain("failing");
    receiver.answer = status(200);
    await rig.webhooks.change(ADMIN, id, { enabled: true }, null);
    await rig.until(() => rig.find(id).failingSince === null);
  });

  // Demanded: webhooks-destinations
  test("by leading elsewhere is not followed there", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    await using elsewhere = await openReceiver();
    receiver.answer = status(307, { location: elsewhere.url });
    const { id } = await rig.add(receiver.url, { types: ["tool_executed"] });
    await rig.happen(called("one"));
    await rig.until(() => rig.deliveries(id)[0]?.attempts === 1);
    expect(rig.deliveries(id)[0]!.log[0]).toMatchObject({
      status: 307,
      error: "redirect",
    });
    expect(elsewhere.received).toEqual([]);
  });

  // Demanded: webhooks-bad-receivers
  test("by answering without end is hung up on after a few kilobytes, and has been told", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    receiver.answer = (response) => {
      response.writeHead(200);
      const chunk = Buffer.alloc(65_536);
      const write = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", write);
      write();
    };
    const { id } = await rig.add(receiver.url, { types: ["tool_executed"] });
    await rig.happen(called("one"), called("two"));
    await rig.until(
      () =>
        rig.deliveries(id).length === 2 &&
        rig.deliveries(id).every(({ state }) => state === "delivered"),
    );
    // What the kernels had taken before we hung up.
    expect(receiver.sent()).toBeLessThan(64 * 1024 * 1024);
  });

  // Demanded: webhooks-bad-receivers
  test("by hanging holds up nobody else", async () => {
    await using rig = await openWebhookRig();
    await using silent = await openReceiver();
    await using quick = await openReceiver();
    silent.answer = () => {};
    const types = ["tool_executed"] as const;
    for (let n = 0; n < 8; n++) {
      await rig.add(silent.url, { types, concurrency: 16 });
    }
    await rig.add(quick.url, { types });
    const many = Array.from({ length: 50 }, (_, n) => called(`t${n}`));
    await rig.happen(...many);
    await silent.until(8 * 16);
    expect(tools(await quick.until(50))).toEqual(
      many.map(({ data }) => data["tool"]),
    );
  });

  test("at one event of many is told of the others meanwhile, when their order does not matter", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    receiver.answer = (response, { json }) =>
      void response.writeHead(json.tool === "bad" ? 500 : 200).end();
    const { id } = await rig.add(receiver.url, {
      types: ["tool_executed"],
      concurrency: 4,
    });
    await rig.happen(called("bad"), ...["a", "b", "c", "d", "e"].map(called));
    await rig.until(
      () =>
        rig.deliveries(id).filter(({ state }) => state === "delivered")
          .length === 5,
    );
    expect(rig.find(id).failingSince).toBeNull();
  });
});

describe("where webhooks lead", () => {
  // Demanded: webhooks-destinations
  test("is nowhere that is not public, in any spelling, and in the clear only where the operator has allowed it", async () => {
    // Allowed here is 127.0.0.0/8, and nothing by a name.
    await using rig = await openWebhookRig();
    for (const url of [
      "https://10.0.0.1/",
      "https://0xa.1/",
      "https://167772161/",
      "https://012.0.0.1/",
      "https://①⓪.⓪.⓪.①/",
      "https://172.16.0.1/",
      "https://192.168.0.1/",
      "https://100.64.0.1/",
      "https://169.254.169.254/latest",
      "https://[::1]/",
      "https://[::]/",
      "https://[::ffff:a9fe:a9fe]/",
      "https://[fe80::1]/",
      "https://[fc00::1]/",
      "https://[64:ff9b::a00:1]/",
      "https://[2002:a00:1::]/",
      "https://93.184.215.14:6379/",
      "ftp://example.com/",
      "file:///etc/passwd",
      "data:text/plain,x",
      "http://93.184.215.14/",
      "http://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
    ]) {
      const error = await rig.add(url).catch((thrown: unknown) => thrown);
      expect([url, error]).toMatchObject([
        url,
        { code: "invalid", data: { reason: "blocked_destination" } },
      ]);
    }
    expect(rig.webhooks.list(ADMIN)).toEqual([]);
    await rig.add("https://93.184.215.14/");
    await rig.add("http://127.0.0.1:9999/");
  });

  test.each(["https://10.0.0.1/", "http://93.184.215.14/"])(
    "is looked at for every attempt: %s, which may not be reached any more, is not",
    async (url) => {
      await using rig = await openWebhookRig();
      await using receiver = await openReceiver();
      const { id } = await rig.add(receiver.url, { types: ["tool_executed"] });
      await rig.store.webhooks.edit("w1", id, () => ({ url }), 0);
      await rig.happen(called("one"));
      await rig.until(() => rig.deliveries(id)[0]?.attempts === 1);
      expect(rig.deliveries(id)[0]!.log[0]).toMatchObject({
        status: null,
        error: "blocked_destination",
      });
    },
  );
});

describe("what is kept", () => {
  test("goes on where it was after a restart, and what was under way is sent again", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    receiver.answer = () => {};
    const { id } = await rig.add(receiver.url, { types: ["tool_executed"] });
    await rig.happen(called("one"), called("two"));
    await receiver.until(1);
    receiver.answer = status(200);
    await rig.restart();
    const received = await receiver.until(3);
    expect(tools(received)).toEqual(["one", "one", "two"]);
    expect(received[0]!.headers["webhook-id"]).toBe(
      received[1]!.headers["webhook-id"],
    );
    await rig.until(() =>
      rig.deliveries(id).every(({ state }) => state === "delivered"),
    );
    expect(rig.deliveries(id).map(({ attempts }) => attempts)).toEqual([1, 1]);
  });

  test("what a process was at that is gone is not waited for", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    const { id } = await rig.add(receiver.url, { types: ["tool_executed"] });
    await rig.restart({}, async ({ journal, deliveries }) => {
      await journal.append([called("one")]);
      const at = { now: rig.clock.now(), until: rig.clock.now() + MINUTE };
      const { claimed } = await deliveries.claim(id, at, 1);
      expect(claimed).toHaveLength(1);
    });
    expect(tools(await receiver.until(1))).toEqual(["one"]);
  });

  test("what the journal forgets first is counted, and told of", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    receiver.answer = status(500);
    const { id } = await rig.add(receiver.url, { types: ["tool_executed"] });
    const many = Array.from({ length: 10 }, (_, n) => called(`t${n}`));
    await rig.happen(...many, entry("server_enabled", {}));
    await rig.until(() => rig.deliveries(id)[0]?.attempts === 1);
    const last = rig.store.journal.last();
    await rig.store.journal.prune(bounds({ most: 1 }), 1000);
    expect(rig.store.journal.first()).toBe(last - 1);
    // The first is on its way, and the last is still there.
    expect(rig.find(id).missed).toBe(8);
    expect(rig.journalOf("webhook_failed").at(-1)!.data).toMatchObject({
      webhook: id,
      reason: "events_missed",
      missed: 8,
    });
    receiver.answer = status(200);
    rig.pass(10_000);
    expect((await receiver.until(2)).at(-1)!.json.tool).toBe("t9");
    await rig.until(() => rig.find(id).missed === 0);
  });

  // Demanded: webhooks-dead
  test("a delivery that was given up is sent again when somebody asks, beside what is next", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    receiver.answer = (response, { json }) =>
      void response.writeHead(json.tool === "bad" ? 500 : 200).end();
    const { id } = await rig.add(receiver.url, { types: ["tool_executed"] });
    await rig.happen(called("bad"));
    for (let n = 1; n <= 8; n++) {
      await rig.until(() => (rig.deliveries(id)[0]?.attempts ?? 0) >= n);
      rig.pass(12 * HOUR);
    }
    await rig.until(() => rig.deliveries(id)[0]!.state === "dead");
    await rig.until(() => rig.counted.length === 8);
    expect(rig.counted).toEqual([
      ...Array(7).fill("webhookDeliveries retried"),
      "webhookDeliveries dead",
    ]);
    const { event } = rig.deliveries(id)[0]!;
    // Each line says what happened, and to which delivery.
    expect(
      rig.lines.filter((line) => line["delivery"] === `evt_${event}`),
    ).toEqual(
      Array(8).fill(
        expect.objectContaining({ event: "webhook not delivered" }),
      ),
    );
    await rig.webhooks.replay(ADMIN, id, event);
    await receiver.until(9);
    // It fails again, and holds up nothing.
    await rig.happen(called("good"));
    await rig.until(() => rig.deliveries(id)[0]!.state === "delivered");
    receiver.answer = status(200);
    rig.pass(10_000);
    await rig.until(() => rig.deliveries(id)[1]!.state === "delivered");
    expect(receiver.received.at(-1)!.headers["webhook-id"]).toBe(
      `evt_${event}`,
    );
    await rig.until(() => rig.counted.length === 11);
    expect(rig.counted.at(-1)).toBe("webhookDeliveries delivered");
    expect(await rig.webhooks.replayAll(ADMIN, id)).toBe(0);
  });

  test("secrets are nowhere in the database and the log in clear, nor is more of a URL than its origin in the log and the journal", async () => {
    await using rig = await openWebhookRig();
    await using receiver = await openReceiver();
    receiver.answer = status(500);
    const { id, secret } = await rig.add(`${receiver.url}?token=hidden`);
    await rig.happen(called("one"));
    await rig.until(() => rig.deliveries(id)[0]?.attempts === 1);
    const [{ sealed }] = [{ sealed: rig.find(id).sealedSecret }];
    expect(sealed).not.toContain(secret.slice(6, 20));
    const said = JSON.stringify([
      rig.lines,
      rig.store.journal.readOn(0, 1000),
      rig.deliveries(id),
    ]);
    expect(said).toContain(`${new URL(receiver.url).origin}/…`);
    expect(said).not.toContain(receiver.url);
    expect(said).not.toContain("hidden");
    expect(said).not.toContain(secret.slice(6, 20));
  });
});

describe("the webhook of the environment", () => {
  const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
  const OTHER = `whsec_${Buffer.alloc(32, 8).toString("base64")}`;
  const base = { MEMBRANE_WORKSPACE_KEY: "w1", WEBHOOK_SECRET: SECRET };

  test("is told in the seed's form, keeps its place, moves with its URL, and goes with it", async () => {
    await using receiver = await openReceiver();
    await using next = await openReceiver();
    await using rig = await openWebhookRig({
      ...base,
      WEBHOOK_URL: receiver.url,
    });
    await rig.happen(called("one"));
    const [one] = await receiver.until(1);
    expect(Object.keys(one!.json)).toEqual([
      "event",
      "tool",
      "params",
      "result",
      "timestamp",
    ]);
    const now = Math.floor(rig.clock.now() / 1000) * 1000;
    expect(verifies(SECRET, one!, now)).toBe(true);
    const [{ id, version }] = rig.webhooks.list(ADMIN) as [any];
    // Or it would be sent again.
    await rig.until(() => rig.deliveries(id)[0]?.state === "delivered");
    await rig.restart();
    expect(rig.webhooks.list(ADMIN)).toMatchObject([{ id, version }]);
    await rig.restart({
      WEBHOOK_URL: next.url,
      WEBHOOK_SECRET: `${OTHER},${SECRET}`,
    });
    await rig.happen(called("two"));
    const isTwo = ({ json }: Received) => json.tool === "two";
    await rig.until(() => next.received.some(isTwo));
    const two = next.received.find(isTwo)!;
    expect(verifies(SECRET, two, now)).toBe(true);
    expect(verifies(OTHER, two, now)).toBe(true);
    expect(rig.webhooks.list(ADMIN)).toMatchObject([{ id }]);
    await rig.restart({ WEBHOOK_URL: "", WEBHOOK_SECRET: "" });
    expect(rig.webhooks.list(ADMIN)).toEqual([]);
  });

  test("can be tried and turned on by those who manage, and not changed, and says by what it is made", async () => {
    await using receiver = await openReceiver();
    await using rig = await openWebhookRig({
      ...base,
      WEBHOOK_URL: receiver.url,
    });
    const [{ id }] = rig.webhooks.list(ADMIN) as [any];
    const refused = { code: "conflict", data: { code: "configured" } };
    for (const run of [
      () => rig.webhooks.remove(ADMIN, id, null),
      () => rig.webhooks.change(ADMIN, id, { concurrency: 2 }, null),
      () => rig.webhooks.rotate(ADMIN, id, { overlapMs: 0 }, null),
    ]) {
      const error = await run().then(
        () => null,
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject(refused);
      expect(String(error)).toContain("WEBHOOK_URL");
    }
    await rig.webhooks.change(ADMIN, id, { enabled: false }, null);
    await rig.webhooks.change(ADMIN, id, { enabled: true }, null);
  });

  test("that leads where nothing may is said at the start", async () => {
    await using rig = await openWebhookRig({
      ...base,
      WEBHOOK_URL: "http://10.0.0.1/?key=hidden",
    });
    const said = () =>
      rig.lines.find(({ event }) => event === "nothing is sent to WEBHOOK_URL");
    await rig.until(() => said() !== undefined);
    expect(said()!["reason"]).toContain("OUTBOUND_ALLOW");
    expect(JSON.stringify(rig.lines)).not.toContain("hidden");
  });

  test("takes a workspace", async () => {
    const { MEMBRANE_WORKSPACE_KEY: _, ...rest } = base;
    await expect(
      openWebhookRig({ ...rest, WEBHOOK_URL: "https://example.com/" }),
    ).rejects.toThrow("MEMBRANE_WORKSPACE_KEY");
  });
});
