import { describe, expect, test } from "bun:test";
import {
  authorizationServerUrl,
  canonicalResource,
  endpoint,
  resourceMetadataUrl,
} from "../../../../src/sources/mcp/oauth-endpoint.ts";

const AS = "https://as.example/tenant";
const LOCAL = "http://127.0.0.1:9000";

describe("an endpoint", () => {
  const good: [string, string][] = [
    ["https://as.example/token", AS],
    ["https://elsewhere.example/token?x=1", AS],
    ["https://as.example:8443/token", AS],
    ["http://127.0.0.1:9000/token", LOCAL],
    ["https://elsewhere.example/token", LOCAL],
    ["https://10.0.0.1/token", "https://10.0.0.1"],
  ];
  test.each(good)("%s of %s is used as it is written", (text, near) => {
    expect(endpoint(text, "token_endpoint", near)).toBe(text);
  });

  const bad: [string, string][] = [
    ["http://as.example/token", AS],
    ["http://elsewhere.example/token", LOCAL],
    ["http://127.0.0.1:9001/token", LOCAL],
    ["http://localhost:9000/token", LOCAL],
    ["https://localhost/token", AS],
    ["https://localhost./token", AS],
    ["https://a.localhost/token", AS],
    ["https://127.0.0.1/token", AS],
    ["https://2130706433/token", AS],
    ["https://0x7f.1/token", AS],
    ["https://[::1]/token", AS],
    ["https://[::ffff:10.0.0.1]/token", AS],
    ["https://192.168.1.1/token", AS],
    ["https://user@as.example/token", AS],
    ["https://:pw@as.example/token", AS],
    ["https://as.example/token#x", AS],
    ["javascript:alert(1)", AS],
    ["data:text/html,x", AS],
    ["file:///etc/passwd", AS],
    ["//as.example/token", AS],
    ["/token", AS],
    ["", AS],
  ];
  test.each(bad)("%s of %s is refused by name", (text, near) => {
    expect(() => endpoint(text, "token_endpoint", near)).toThrow(
      /^The token_endpoint that /,
    );
  });
});

describe("an authorization server", () => {
  test("is reached over TLS, or on this machine", () => {
    for (const url of [
      AS,
      "https://as.example/",
      LOCAL,
      "http://localhost:1234/x",
      "http://[::1]:1234",
    ]) {
      expect(authorizationServerUrl(url, "https://mcp.example")).toBe(url);
    }
    for (const url of [
      "http://as.example",
      "http://10.0.0.1",
      "http://127.0.0.1.evil.example",
      "http://localhost.evil.example",
      "https://user:pw@as.example",
      "https://as.example/#x",
      "ftp://as.example",
      "as.example",
    ]) {
      expect(() => authorizationServerUrl(url, "https://mcp.example")).toThrow(
        /authorization_servers that mcp\.example names/,
      );
    }
  });
});

describe("the place of resource metadata", () => {
  const server = "https://mcp.example/mcp";
  test("is on the server's own origin, and no climb", () => {
    expect(resourceMetadataUrl("https://mcp.example/a/b.json", server)).toBe(
      "https://mcp.example/a/b.json",
    );
    expect(
      resourceMetadataUrl("https://mcp.example/a..b/.well-known/c", server),
    ).toBe("https://mcp.example/a..b/.well-known/c");
    for (const text of [
      null,
      "",
      "/a",
      "https://other.example/a",
      "http://mcp.example/a",
      "https://mcp.example:8443/a",
      "https://mcp.example.evil.example/a",
      "https://mcp.example@evil.example/a",
      "https://evil@mcp.example/a",
      "https://mcp.example/../a",
      "https://mcp.example/a/..",
      "https://mcp.example/a/%2e%2e/b",
      "https://mcp.example/a/%2E./b",
      "https://mcp.example/a/./b",
      "https://mcp.example/a\\..\\b",
      "https://mcp.example/a%2f..%2fb",
      "https://mcp.example/a/..?x",
    ]) {
      expect(resourceMetadataUrl(text, server)).toBeNull();
    }
  });
});

describe("a server as a resource", () => {
  test("has no query, no fragment, and no slash alone", () => {
    expect(canonicalResource("https://MCP.example")).toBe(
      "https://mcp.example",
    );
    expect(canonicalResource("https://mcp.example/?key=secret")).toBe(
      "https://mcp.example",
    );
    expect(canonicalResource("https://mcp.example:443/a/#b")).toBe(
      "https://mcp.example/a/",
    );
  });
});
