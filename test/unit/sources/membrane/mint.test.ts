import { jwtVerify } from "jose";
import { expect, test } from "bun:test";
import { createTokenMint } from "../../../../src/sources/membrane/mint.ts";
import { fakeClock } from "../../../support/clock.ts";

const SECRET = "a-test-secret-of-more-than-32-bytes";
const ada = { workspace: "w", subject: "ada" };

function openMint() {
  const clock = fakeClock();
  const mint = createTokenMint({ clock, workspaceKey: "w", secret: SECRET });
  const claims = async (token: string | null) =>
    (
      await jwtVerify(token!, new TextEncoder().encode(SECRET), {
        algorithms: ["HS256"],
        currentDate: new Date(clock.now()),
      })
    ).payload;
  return { clock, mint, claims };
}

test("a token says whose it is and what workspace it is for, as the SDK's own do, and is good for five minutes", async () => {
  const { clock, mint, claims } = openMint();
  expect(await claims(await mint(ada))).toEqual({
    id: "ada",
    iss: "w",
    exp: clock.now() / 1000 + 300,
  });
});

test("the same one is given while it is good for two minutes more, and to nobody else", async () => {
  const { clock, mint, claims } = openMint();
  const first = await mint(ada);
  clock.advance(179_000);
  expect(await mint(ada)).toBe(first);
  const bobs = await claims(await mint({ workspace: "w", subject: "bob" }));
  expect(bobs["id"]).toBe("bob");
  clock.advance(1000);
  const second = await mint(ada);
  expect(second).not.toBe(first);
  expect((await claims(second)).exp).toBe(clock.now() / 1000 + 300);
});

test("none is made for another workspace", async () => {
  const { mint } = openMint();
  expect(await mint({ workspace: "other", subject: "ada" })).toBeNull();
});
