import { describe, expect, test } from "bun:test";
import { fakeClock } from "../support/clock.ts";
import { URL_OF, W1, openRestRig } from "../support/rest-rig.ts";
import type { RestRig } from "../support/rest-rig.ts";

/** What has us connect to an address that a caller has typed is done so many times a minute, and no more. */

const write = "write:ada@w1";

/** Uses up what ada may do in this minute, when so much of it is used already. */
async function useUp(rig: RestRig, used = 0): Promise<void> {
  const id = await rig.add("down");
  rig.servers.delete(URL_OF("down"));
  for (let n = used + 1; n < 60; n++) {
    const answer = await rig.rest(write, `POST ${W1}/${id}/enable`);
    expect([answer.status, answer.body.state]).toEqual([200, "register"]);
  }
}

describe("who has us reach out too often", () => {
  const reaching: [string, (rig: RestRig, id: number) => [string, object?]][] =
    [
      ["turning on", (_, id) => [`POST ${W1}/${id}/enable`]],
      [
        "registering",
        () => [`POST ${W1}`, { name: "more", url: URL_OF("more") }],
      ],
      [
        "registering by name",
        () => ["POST /servers", { name: "more", url: URL_OF("more") }],
      ],
    ];

  // Demanded: servers-limited
  test.each(reaching)(
    "is told by %s when to come back, and nothing is sent or registered",
    async (_, routeOf) => {
      const clock = fakeClock();
      await using rig = await openRestRig(clock);
      const id = await rig.add("up", {}, {}, "write:bob@w1");
      await useUp(rig);
      const done = rig.done.length;
      const count = rig.store().list("w1").length;
      const [route, body] = routeOf(rig, id);
      const refused = await rig.rest(write, route, body);
      expect(refused.status).toBe(429);
      expect(refused.headers.get("retry-after")).toBe("60");
      expect(rig.done).toHaveLength(done);
      expect(rig.store().list("w1")).toHaveLength(count);
      // Neither another member, nor the same one a minute later.
      const [again, other] = routeOf(rig, id);
      const bobs = await rig.rest("write:bob@w1", again, other);
      expect(bobs.status).toBeLessThan(300);
      clock.advance(60_000);
      expect((await rig.rest(write, `POST ${W1}/${id}/enable`)).status).toBe(
        200,
      );
    },
  );

  test("cannot move a server to another address, and can still describe it", async () => {
    await using rig = await openRestRig(fakeClock());
    const id = await rig.add("moves");
    await useUp(rig, 1);
    const patch = (change: object) =>
      rig.rest(write, `PATCH ${W1}/${id}`, change, { "if-match": "*" });
    expect((await patch({ url: URL_OF("elsewhere") })).status).toBe(429);
    expect((await patch({ description: "Where it was" })).status).toBe(200);
    expect(rig.stored(id).url).toBe(URL_OF("moves"));
  });
});
