import { describe, expect, test } from "bun:test";
import type { Upstream } from "../../src/core/upstream.ts";
import { openBrowser } from "../support/member-browser.ts";
import { fakeClock } from "../support/clock.ts";
import type { Gate } from "../support/gate.ts";
import { openGate } from "../support/gate.ts";
import type { OidcProvider } from "../support/oidc.ts";
import { openOidcProvider } from "../support/oidc.ts";

const HOUR = 3600_000;

/** A server that is protected by a real provider. */
async function openTown() {
  const provider = await openOidcProvider();
  const http = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch({ url, headers }) {
      const { pathname, origin } = new URL(url);
      if (pathname === "/.well-known/oauth-protected-resource/mcp") {
        return Response.json({
          resource: `${origin}/mcp`,
          authorization_servers: [provider.url],
          scopes_supported: ["read"],
        });
      }
      if (pathname !== "/mcp") return new Response("", { status: 404 });
      const token = headers.get("authorization")?.slice("Bearer ".length);
      const found = token === undefined ? null : await provider.check(token);
      return found?.audience === `${origin}/mcp`
        ? Response.json(found)
        : new Response("", { status: 401 });
    },
  });
  const clock = fakeClock(Date.now());
  const gate = await openGate({ clock });
  const url = `http://127.0.0.1:${http.port}/mcp`;
  return {
    provider,
    gate,
    clock,
    upstream: await gate.register({ url }),
    async [Symbol.asyncDispose]() {
      await gate[Symbol.asyncDispose]();
      await http.stop(true);
      await provider[Symbol.asyncDispose]();
    },
  };
}

/** Logs in and consents on the provider's own pages. */
async function connect(gate: Gate, upstream: Upstream, user: string) {
  const browser = openBrowser();
  let page = await gate.connect(upstream, user, browser);
  for (let pages = 0; page.text.includes("<form") && pages < 3; pages++) {
    page = await browser.submit(page, { login: user, password: "any" });
  }
  expect(page.text).toContain("is connected to");
  expect(page.status).toBe(200);
}

const calls = (gate: Gate, upstream: Upstream, user: string, n: number) =>
  Promise.all(Array.from({ length: n }, () => gate.call(upstream, user)));

const refreshes = ({ grants }: OidcProvider) =>
  grants.filter((grant) => grant === "refresh_token").length;

describe("a real provider with rotation", () => {
  test("is registered with, logged in at, and asked for this server's tokens", async () => {
    await using town = await openTown();
    const { gate, upstream, provider } = town;
    await connect(gate, upstream, "ann");
    const { user, scopes } = await gate.call(upstream, "ann");
    expect(user).toBe("ann");
    expect(scopes).toContain("read");
    expect(gate.current(upstream).oauth).toMatchObject({
      issuer: provider.url,
      registration: "dcr",
    });
  });

  test("sees one refresh for fifty callers, hour after hour", async () => {
    await using town = await openTown();
    const { gate, upstream, provider, clock } = town;
    await connect(gate, upstream, "ann");
    await connect(gate, upstream, "bob");
    for (let hours = 1; hours <= 3; hours++) {
      clock.advance(HOUR);
      const answers = await calls(gate, upstream, "ann", 50);
      expect(answers.map(({ user }) => user)).toEqual(Array(50).fill("ann"));
      expect(refreshes(provider)).toBe(hours);
    }
    expect((await gate.call(upstream, "bob")).user).toBe("bob");
  });

  test("revokes everything when it finds a refresh token used twice, and the member connects again", async () => {
    await using town = await openTown();
    const { gate, upstream, clock } = town;
    await connect(gate, upstream, "ann");
    const { upstreams } = gate.store;
    const old = upstreams.credential(upstream.id, "ann")!;
    clock.advance(HOUR);
    await gate.call(upstream, "ann");
    // As after a backup was put back.
    await upstreams.editCredential(upstream.id, "ann", () => old);
    const needs = await gate.needs(upstream, "ann");
    expect(needs["code"]).toBe("mcp_auth_expired");
    await connect(gate, upstream, "ann");
    expect((await gate.call(upstream, "ann")).user).toBe("ann");
  });

  test("is told when a server is disconnected", async () => {
    await using town = await openTown();
    const { gate, upstream, provider } = town;
    await connect(gate, upstream, "ann");
    const access = gate.accounts.access(upstream, {
      workspace: upstream.workspace,
      subject: "ann",
      name: null,
      method: "operator",
      scope: null,
      token: null,
      expiresAt: null,
    });
    const token = (await access.headers())["authorization"]!.slice(7);
    expect(await provider.check(token)).not.toBeNull();
    await gate.accounts.disconnect(gate.current(upstream));
    expect(await provider.check(token)).toBeNull();
  });
});
