import { describe, expect, test } from "bun:test";
import { readChallenge, uniteScopes } from "../../../src/core/challenge.ts";

describe("a challenge", () => {
  const cases: [string, ReturnType<typeof readChallenge>][] = [
    ["", { resourceMetadata: null, scopes: [], error: null }],
    ["Bearer", { resourceMetadata: null, scopes: [], error: null }],
    [
      'Bearer scope="a b", resource_metadata="https://x/.well-known/p", error="insufficient_scope"',
      {
        resourceMetadata: "https://x/.well-known/p",
        scopes: ["a", "b"],
        error: "insufficient_scope",
      },
    ],
    [
      "bearer error=invalid_token,scope=one",
      { resourceMetadata: null, scopes: ["one"], error: "invalid_token" },
    ],
    [
      'Basic realm="scope=\\"x\\", Bearer", DPoP algs="ES256", scope="mine"',
      { resourceMetadata: null, scopes: ["mine"], error: null },
    ],
    [
      'Bearer scope="first", Bearer scope="second", error="x"',
      { resourceMetadata: null, scopes: ["first"], error: null },
    ],
    [
      'Basic realm="x", scope="of another scheme"',
      { resourceMetadata: null, scopes: [], error: null },
    ],
    [
      'Bearer resource_metadata="https://x/a/../b%2e%2e/c"',
      {
        resourceMetadata: "https://x/a/../b%2e%2e/c",
        scopes: [],
        error: null,
      },
    ],
  ];
  test.each(cases)("%s", (header, read) => {
    expect(readChallenge(header)).toEqual(read);
  });

  test("gives no scope that is none, none twice, and at most 50", () => {
    expect(readChallenge('Bearer scope="a  a \\" é b"').scopes).toEqual([
      "a",
      "b",
    ]);
    const many = Array.from({ length: 90 }, (_, i) => `s${i}`);
    expect(uniteScopes(many, ["s1"])).toHaveLength(50);
    expect(uniteScopes(["x".repeat(300), "y"])).toEqual(["y"]);
  });

  test("of any length is read at once", () => {
    const hostile = `Bearer ${'a="'.repeat(200_000)}`;
    expect(readChallenge(hostile).scopes).toEqual([]);
  });
});
