import { describe, expect, test } from "bun:test";
import { GatewayError } from "../../../../src/core/errors.ts";
import type { OutboundOptions } from "../../../../src/core/runtime.ts";
import {
  fieldError,
  oauthFetch,
} from "../../../../src/sources/mcp/oauth-fetch.ts";

describe("a request to an authorization server", () => {
  test("ends when its answer does not, however it trickles", async () => {
    const trickle = (signal: AbortSignal) =>
      new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode("{"));
          signal.addEventListener("abort", () =>
            controller.error(signal.reason),
          );
        },
      });
    const send = oauthFetch(
      async (_url, options: OutboundOptions = {}) =>
        new Response(trickle(options.signal!)),
      20,
    );
    const response = await send("https://as.example/token", { method: "POST" });
    const thrown = await response.json().catch((error: unknown) => error);
    expect(fieldError(thrown, "token_endpoint", "https://as.example")).toEqual(
      new GatewayError(
        "timeout",
        "The token_endpoint of as.example did not answer in time.",
      ),
    );
  });

  test("carries what it was given, in the words of the outbound guard", async () => {
    const asked: [string, OutboundOptions | undefined][] = [];
    const send = oauthFetch(async (url, options) => {
      asked.push([url, options]);
      return new Response();
    });
    await send(new URL("https://as.example/token"), {
      method: "POST",
      headers: new Headers({ "X-A": "1" }),
      body: new URLSearchParams({ a: "b c" }),
    });
    expect(asked).toEqual([
      [
        "https://as.example/token",
        {
          method: "POST",
          headers: { "x-a": "1" },
          body: "a=b+c",
          maxBytes: 65_536,
          signal: expect.any(AbortSignal),
        },
      ],
    ]);
  });
});

describe("what an authorization server's answer threw", () => {
  const told = (thrown: unknown) =>
    fieldError(thrown, "token_endpoint", "https://as.example/x");

  test("is told without a word of the answer, and without a cause", () => {
    const error = told(new Error("Raw body: access-token-1"));
    expect(error.code).toBe("upstream_failed");
    expect(error.message).toContain("token_endpoint of as.example");
    expect(error.message).not.toContain("access-token-1");
    expect(error.cause).toBeUndefined();
  });

  test("is not taken for a fault of who asked", () => {
    const blocked = told(
      new GatewayError("invalid", "This URL cannot be used.", {
        data: { reason: "blocked_destination" },
      }),
    );
    expect(blocked.code).toBe("upstream_failed");
    expect(blocked.data).toEqual({
      reason: "blocked_destination",
      field: "token_endpoint",
    });
    const late = new GatewayError("timeout", "late");
    expect(told(late)).toBe(late);
  });
});
