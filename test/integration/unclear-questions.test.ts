import { describe, expect, test } from "bun:test";
import type { GatewayOptions } from "../support/gateway.ts";
import { openGateway } from "../support/gateway.ts";
import { openUpstreams } from "../support/servers/upstreams.ts";

/** Servers that do not say which call a question of theirs belongs to: nobody is asked what is another's. */

async function openTown(slug: string, times: GatewayOptions["times"] = {}) {
  const upstreams = await openUpstreams();
  const gateway = await openGateway({
    upstreams: upstreams.registrations.filter((one) => one.slug === slug),
    times,
  });
  const clients = new AsyncDisposableStack();
  return {
    /** A session of the same member, and what its user was asked. `answer`: what the user waits for. */
    async open(answer: () => Promise<unknown> = async () => {}) {
      const asked: string[] = [];
      const client = await gateway.client("ann", {
        kind: "v1",
        path: `/mcp/${slug}`,
        async elicit({ message }) {
          asked.push(message);
          await answer();
          return { action: "accept", content: { answer: `to ${message}` } };
        },
      });
      return { ...clients.use(client), asked };
    },
    async [Symbol.asyncDispose]() {
      await clients.disposeAsync();
      await gateway[Symbol.asyncDispose]();
      await upstreams[Symbol.asyncDispose]();
    },
  };
}

const answered = (message: string) => ({
  message,
  action: "accept",
  content: { answer: `to ${message}` },
});

describe.each(["aside", "sse", "stdio"])("the server %s", (slug) => {
  test("has its question held until it is clear whose it is; from then on each call has a session", async () => {
    await using town = await openTown(slug, { unclear: 600_000 });
    let waiting = 0;
    const both = Promise.withResolvers<void>();
    const [one, other] = [
      await town.open(async () => {
        if (++waiting === 3) both.resolve();
        if (waiting > 1) await both.promise;
      }),
      await town.open(async () => {
        if (++waiting === 3) both.resolve();
        await both.promise;
      }),
    ];
    const held = other.text("hold", { gate: "g", nonce: "other" });
    await one.text("held", { gate: "g" });
    // The question waits for the other call, which is over when it is here.
    const asked = one.text("ask_and_open", { gate: "g", message: "mine" });
    expect(await held).toBe("other");
    expect(JSON.parse(await asked)).toEqual({ answer: "to mine" });
    expect([one.asked, other.asked]).toEqual([["mine"], []]);

    // Neither user answers before the other was asked too.
    const texts = await Promise.all([
      one.text("ask", { message: "first" }),
      other.text("ask", { message: "second" }),
    ]);
    expect(texts.map((text) => JSON.parse(text) as unknown)).toEqual([
      answered("first"),
      answered("second"),
    ]);
    expect([one.asked, other.asked]).toEqual([["mine", "first"], ["second"]]);
  });

  test("is told that nobody answers what stays unclear", async () => {
    await using town = await openTown(slug, { unclear: 20 });
    const [one, other] = [await town.open(), await town.open()];
    const controller = new AbortController();
    const held = other.text(
      "hold",
      { gate: "g", nonce: "other" },
      { signal: controller.signal },
    );
    await one.text("held", { gate: "g" });
    await expect(one.text("ask", { message: "mine" })).rejects.toThrow(
      /does not answer this/,
    );
    controller.abort("enough");
    await expect(held).rejects.toThrow();
    expect([one.asked, other.asked]).toEqual([[], []]);
  });
});

// Over the other two the SDK sends nothing that belongs to a request that was cancelled.
test("the server aside has nobody asked in the place of who has cancelled", async () => {
  await using town = await openTown("aside");
  const [one, other] = [await town.open(), await town.open()];
  const controller = new AbortController();
  const cancelled = one.text(
    "ask_late",
    { gate: "late", message: "nobody's" },
    { signal: controller.signal },
  );
  // Both on the one session that there is.
  const busy = other.text("hold", { gate: "busy", nonce: "busy" });
  await one.text("open", { gate: "unused" });
  controller.abort("enough");
  await expect(cancelled).rejects.toThrow();
  await other.text("open", { gate: "late" });
  await other.text("echo", {});
  await other.text("open", { gate: "busy" });
  expect(await busy).toBe("busy");
  expect([one.asked, other.asked]).toEqual([[], []]);
});
