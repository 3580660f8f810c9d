import { describe, expect, test } from "bun:test";
import { readTokens } from "../../../../src/sources/mcp/oauth-tokens.ts";

const answer = { access_token: "token", token_type: "Bearer" };

describe("the answer of a token endpoint", () => {
  test("is read with what is missing left open", () => {
    expect(readTokens({ ...answer, token_type: "bEARER" })).toEqual({
      accessToken: "token",
      refreshToken: null,
      scopes: null,
      lifetimeMs: null,
    });
    expect(
      readTokens({
        ...answer,
        expires_in: 3600.5,
        scope: "a b a",
        refresh_token: "r",
      }),
    ).toEqual({
      accessToken: "token",
      refreshToken: "r",
      scopes: ["a", "b"],
      lifetimeMs: 3600_500,
    });
  });

  test("gives tokens of visible ASCII, at most 16 KiB", () => {
    const odd = "a|b:c~!*'()%20==";
    expect(readTokens({ ...answer, access_token: odd }).accessToken).toBe(odd);
    const longest = "x".repeat(16_384);
    expect(readTokens({ ...answer, access_token: longest })).toBeDefined();
    for (const token of [
      "",
      " ",
      "a b",
      "a\r\nb",
      "é",
      "\u0000",
      `${longest}x`,
    ]) {
      expect(() => readTokens({ ...answer, access_token: token })).toThrow();
      expect(() => readTokens({ ...answer, refresh_token: token })).toThrow();
    }
  });

  test("that makes no sense is not used", () => {
    for (const change of [
      { token_type: "DPoP" },
      { token_type: "" },
      { expires_in: -1 },
      { expires_in: NaN },
    ]) {
      expect(() => readTokens({ ...answer, ...change })).toThrow(
        /^The authorization server gave /,
      );
    }
  });
});
