import { describe, expect, test } from "bun:test";
import type { Grant } from "../../../../src/gateway/accounts/grant.ts";
import {
  isDue,
  newGrant,
  renewedGrant,
} from "../../../../src/gateway/accounts/grant.ts";

const tokens = {
  accessToken: "a",
  refreshToken: "r",
  scopes: ["read"],
  lifetimeMs: 3600_000,
};
const from = { issuer: "i", clientId: "c", asked: ["x"], rounds: 2 };
const grant: Grant = newGrant(tokens, from, 1000);

describe("a grant", () => {
  test("has the scopes that were asked for unless the server says which", () => {
    expect(grant.scopes).toEqual(["read"]);
    expect(newGrant({ ...tokens, scopes: null }, from, 0).scopes).toEqual([
      "x",
    ]);
  });

  test("keeps what a renewal does not bring", () => {
    const bare = {
      accessToken: "a2",
      refreshToken: null,
      scopes: null,
      lifetimeMs: null,
    };
    expect(renewedGrant(grant, bare, true, 2000)).toEqual({
      ...grant,
      accessToken: "a2",
      obtainedAt: 2000,
      afterRefusal: true,
    });
    expect(
      renewedGrant(
        { ...grant, interrupted: true },
        { ...bare, refreshToken: "r2", scopes: ["less"] },
        false,
        2000,
      ),
    ).toMatchObject({
      refreshToken: "r2",
      scopes: ["less"],
      interrupted: false,
      authorizedAt: 1000,
    });
  });

  test("is due a minute before its end, or a fifth of a short life", () => {
    const due = (lifetime: number, age: number) =>
      isDue({ ...grant, obtainedAt: 0 }, lifetime, age);
    expect(due(3600_000, 3539_999)).toBe(false);
    expect(due(3600_000, 3540_000)).toBe(true);
    expect(due(60_000, 47_999)).toBe(false);
    expect(due(60_000, 48_000)).toBe(true);
    expect(isDue(grant, null, 1e15)).toBe(false);
  });
});
