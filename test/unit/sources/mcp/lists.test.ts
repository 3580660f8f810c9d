import { expect, test } from "bun:test";
import type { Principal } from "../../../../src/core/principal.ts";
import type {
  Upstream,
  UpstreamListing,
} from "../../../../src/core/upstream.ts";
import { createLists } from "../../../../src/sources/mcp/lists.ts";
import { usualTimes } from "../../../../src/sources/mcp/times.ts";
import { fakeClock, silentLog } from "../../../support/clock.ts";

const server = { id: 1, name: "One" } as Upstream;
const by = (subject: string) => ({ subject, workspace: "w" }) as Principal;
const [ada, ben] = [by("ada"), by("ben")];
const instructed = (text: string) =>
  ({ tools: [], text }) as unknown as UpstreamListing;

/** Lists of a server whose answers come when the test says so. */
function openLists() {
  const asked: PromiseWithResolvers<UpstreamListing>[] = [];
  const saved: UpstreamListing[] = [];
  const list = () => {
    const answer = Promise.withResolvers<UpstreamListing>();
    asked.push(answer);
    return answer.promise;
  };
  const lists = createLists({
    store: {
      listing: () => null,
      definitions: () => [],
      saveListing: async (_id: number, _who: string, one: UpstreamListing) =>
        void saved.push(one),
    } as never,
    members: { of: () => ({ list }) } as never,
    breakers: { require() {}, succeeded() {}, judge() {} } as never,
    clock: fakeClock(),
    log: silentLog,
    late() {},
    freshMs: 30_000,
    times: usualTimes,
  });
  return { lists, asked, saved };
}

test("who asks after a member's account has changed does not get what was asked for before, and it is not kept", async () => {
  const { lists, asked, saved } = openLists();
  const refresh = (who: Principal) => lists.refresh(server, who, 30_000);
  const before = refresh(ada);
  const others = refresh(ben);
  expect(refresh(ada)).toBe(before);
  lists.forget(server.id, "ada");
  const after = refresh(ada);
  expect(refresh(ben)).toBe(others);
  expect(asked).toHaveLength(3);
  asked[2]!.resolve(instructed("new"));
  expect((await after).listing).toEqual(instructed("new"));
  asked[0]!.resolve(instructed("old"));
  await before;
  expect((await refresh(ada)).listing).toEqual(instructed("new"));
  expect(saved).toEqual([instructed("new")]);
  expect(asked).toHaveLength(3);
});

test("who asks after a server has changed gets what it has now, whoever it is", async () => {
  const { lists, asked } = openLists();
  const before = [ada, ben].map((who) => lists.refresh(server, who, 30_000));
  asked[0]!.resolve(instructed("kept"));
  await before[0];
  lists.forget(server.id);
  for (const who of [ada, ben]) void lists.refresh(server, who, 30_000);
  expect(asked).toHaveLength(4);
  lists.forget(2);
  void lists.refresh(server, ben, 30_000);
  expect(asked).toHaveLength(4);
});
