import { describe, expect, test } from "bun:test";
import { openAuthorizationServer } from "../support/authorization-server.ts";
import { openBrowser } from "../support/member-browser.ts";
import { openGate } from "../support/gate.ts";
import { openProtectedServer } from "../support/protected-server.ts";

describe("connecting a member", () => {
  test("a link leads to consent and back, and then the server knows the member", async () => {
    await using as = openAuthorizationServer();
    await using server = openProtectedServer(as);
    await using gate = await openGate();
    const upstream = await gate.register({ url: server.url });
    const needs = await gate.needs(upstream, "ann");
    expect(needs).toMatchObject({
      code: "mcp_auth_required",
      authType: "oauth",
      serverId: upstream.id,
    });
    expect(needs.authorizeUrl).toStartWith(
      `${gate.url}/api/v2/w/wk/mcp-servers/${upstream.id}/oauth/authorize?ticket=`,
    );
    const page = await gate.connect(upstream, "ann", openBrowser());
    console.log(page.status, page.text, page.url);
    expect(page.status).toBe(200);
    expect(gate.current(upstream)).toMatchObject({
      state: "ready",
      enabled: true,
      setupStep: null,
    });
    expect(await gate.call(upstream, "ann")).toEqual({
      user: "ann",
      resource: server.url,
    });
  });
});
