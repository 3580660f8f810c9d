import { afterEach, beforeEach, describe, expect, jest, test } from "bun:test";
import type { Principal } from "../../../../src/core/principal.ts";
import { DEFAULT_VIEW } from "../../../../src/core/session.ts";
import type {
  Listing,
  Source,
  SourceChange,
} from "../../../../src/core/source.ts";
import { createCatalogs } from "../../../../src/gateway/catalog/catalog.ts";
import { fakeClock, silentLog } from "../../../support/clock.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

const ada: Principal = {
  workspace: "w",
  subject: "ada",
  name: null,
  method: "operator",
  scope: null,
  token: null,
  expiresAt: null,
};
const app = (key: string) => ({ ref: key, key, name: key });
const resource = (key: string, uri: string) => ({
  app: app(key),
  resource: { uri, name: `${key} ${uri}` },
});
const listing = (part: Partial<Listing>): Listing => ({
  offers: [],
  failed: [],
  ...part,
});

/** A source whose answers come when the test says so. */
function slowSource(id: string) {
  const asked: PromiseWithResolvers<Listing>[] = [];
  let tell: (change: SourceChange) => void = () => {};
  const source: Source = {
    id,
    list: () => {
      const answer = Promise.withResolvers<Listing>();
      asked.push(answer);
      return answer.promise;
    },
    call: async () => ({ content: [] }),
    onChange: (listener) => void (tell = listener),
  };
  return { source, asked, tell: (change: SourceChange) => tell(change) };
}

const open = (sources: Source[], clock = fakeClock()) =>
  createCatalogs({
    sources,
    names: { list: () => [], give: async () => {} },
    clock,
    log: silentLog,
    buildIndex: () => ({ search: () => [], close: () => {} }),
    autoStatic: 10,
    ttlMs: 60_000,
    maxBytes: 1_000_000,
    loadTimeoutMs: 60_000,
  });

/** Lets everything happen that is waiting for nothing but its turn. */
async function settle() {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("a change that is told while the lists are being asked for", () => {
  test("has them asked for again, for they may be from before it", async () => {
    const { source, asked, tell } = slowSource("s");
    const catalogs = open([source]);
    const uris = () =>
      catalogs
        .peek(ada)
        ?.select(DEFAULT_VIEW)
        .resources.entries.map(({ key }) => key);
    const answer = async (n: number, uri: string) => {
      asked[n]!.resolve(listing({ resources: [resource("a", uri)] }));
      await settle();
    };
    void catalogs.get(ada);
    await answer(0, "x://old");
    expect(uris()).toEqual(["x://old"]);
    tell({ who: ada });
    await settle();
    expect(asked).toHaveLength(2);
    jest.advanceTimersByTime(5000);
    tell({ who: ada });
    await settle();
    // One at a time.
    expect(asked).toHaveLength(2);
    await answer(1, "x://old");
    expect(asked).toHaveLength(3);
    await answer(2, "x://new");
    expect(uris()).toEqual(["x://new"]);
    jest.advanceTimersByTime(5000);
    await settle();
    expect(asked).toHaveLength(3);
  });

  test.each([
    ["of one member", { who: ada }],
    ["of everybody", { who: null }],
    ["by who manages the servers", "refresh"],
  ] as const)(
    "for the first time has them asked for again, %s",
    async (_, change) => {
      const { source, asked, tell } = slowSource("s");
      const catalogs = open([source]);
      void catalogs.get(ada);
      await settle();
      expect(asked).toHaveLength(1);
      if (change === "refresh") catalogs.refresh("w", null);
      else tell(change);
      asked[0]!.resolve(listing({}));
      await settle();
      expect(asked).toHaveLength(2);
    },
  );

  test("ten thousand times has them asked for once a second", async () => {
    const { source, asked, tell } = slowSource("s");
    const catalogs = open([source]);
    void catalogs.get(ada);
    asked[0]!.resolve(listing({}));
    await settle();
    for (const who of [ada, null]) {
      for (let n = 0; n < 10_000; n++) tell({ who });
    }
    await settle();
    expect(asked).toHaveLength(2);
    asked[1]!.resolve(listing({}));
    await settle();
    jest.advanceTimersByTime(1000);
    await settle();
    expect(asked).toHaveLength(3);
  });

  test("of one whose lists nobody has asked for has nothing asked for", async () => {
    const { source, asked, tell } = slowSource("s");
    open([source]);
    tell({ who: ada });
    tell({ who: null });
    await settle();
    expect(asked).toHaveLength(0);
  });
});

describe("of two that have the same URI", () => {
  const first = (catalogs: ReturnType<typeof open>) =>
    catalogs.peek(ada)!.select(DEFAULT_VIEW).owner("x://same")?.app.key;

  test("the first source's counts, whichever answers first", async () => {
    const [one, two] = [slowSource("one"), slowSource("two")];
    const catalogs = open([one.source, two.source]);
    void catalogs.get(ada);
    two.asked[0]!.resolve(listing({ resources: [resource("b", "x://same")] }));
    await settle();
    one.asked[0]!.resolve(listing({ resources: [resource("a", "x://same")] }));
    await settle();
    expect(first(catalogs)).toBe("a");
  });

  test("the first app's counts, also while it cannot be listed and what it had is kept", async () => {
    const { source, asked, tell } = slowSource("s");
    const catalogs = open([source]);
    const all = ["a", "b"].map((key) => resource(key, "x://same"));
    void catalogs.get(ada);
    asked[0]!.resolve(listing({ resources: all }));
    await settle();
    const before = catalogs.peek(ada)!.select(DEFAULT_VIEW).digests.resources;
    tell({ who: ada });
    await settle();
    asked[1]!.resolve(
      listing({
        resources: [all[1]!],
        failed: [{ appRef: "a", appKey: "a", message: "no" }],
      }),
    );
    await settle();
    expect(first(catalogs)).toBe("a");
    const { digests } = catalogs.peek(ada)!.select(DEFAULT_VIEW);
    expect(digests.resources).toBe(before);
  });
});

test("what is being loaded can be waited for, and nothing else is", async () => {
  const { source, asked, tell } = slowSource("s");
  const catalogs = open([source]);
  expect(catalogs.coming(ada)).toBeNull();
  void catalogs.get(ada);
  asked[0]!.resolve(listing({}));
  await settle();
  expect(catalogs.coming(ada)).toBeNull();
  tell({ who: ada });
  const coming = catalogs.coming(ada)!;
  asked[1]!.resolve(listing({ resources: [resource("a", "x://new")] }));
  const { resources } = (await coming).select(DEFAULT_VIEW);
  expect(resources.entries.map(({ key }) => key)).toEqual(["x://new"]);
  expect(asked).toHaveLength(2);
  await settle();
  expect(catalogs.coming(ada)).toBeNull();
});

test.each(["answers", "fails"])(
  "what is being loaded since before the change is not what is waited for, whether it %s",
  async (how) => {
    const { source, asked } = slowSource("s");
    const catalogs = open([source]);
    void catalogs.get(ada);
    asked[0]!.resolve(listing({}));
    await settle();
    catalogs.refresh("w", null);
    catalogs.refresh("w", null);
    const coming = catalogs.coming(ada)!;
    expect(asked).toHaveLength(2);
    if (how === "answers") asked[1]!.resolve(listing({}));
    else asked[1]!.reject(new Error("no"));
    await settle();
    asked[2]!.resolve(listing({ resources: [resource("a", "x://new")] }));
    const { resources } = (await coming).select(DEFAULT_VIEW);
    expect(resources.entries.map(({ key }) => key)).toEqual(["x://new"]);
    await settle();
    expect(asked).toHaveLength(3);
  },
);

test("what an app is missing from is asked for again after 15 seconds, and what is whole after its time", async () => {
  const { source, asked } = slowSource("s");
  const clock = fakeClock();
  const catalogs = open([source], clock);
  const ageBy = async (ms: number) => {
    clock.advance(ms);
    void catalogs.get(ada);
    await settle();
  };
  await ageBy(0);
  asked[0]!.resolve(
    listing({ failed: [{ appRef: "a", appKey: "a", message: "no" }] }),
  );
  await settle();
  await ageBy(14_900);
  expect(asked).toHaveLength(1);
  await ageBy(200);
  expect(asked).toHaveLength(2);
  asked[1]!.resolve(listing({}));
  await settle();
  await ageBy(59_900);
  expect(asked).toHaveLength(2);
  await ageBy(200);
  expect(asked).toHaveLength(3);
});

test("what others list does not change the digests of a view without them", async () => {
  const { source, asked, tell } = slowSource("s");
  const catalogs = open([{ ...source, alone: (_who, key) => app(key) }]);
  const views = [
    { ...DEFAULT_VIEW, apps: ["a"] },
    { ...DEFAULT_VIEW, server: "a" },
    DEFAULT_VIEW,
  ];
  const digests = () => {
    const catalog = catalogs.peek(ada)!;
    return views.map((view) => [
      catalog.show(view).digest,
      catalog.select(view).digests.prompts,
      catalog.select(view).digests.resources,
    ]);
  };
  const offer = (key: string, name: string) => ({
    app: app(key),
    ref: name,
    key: name,
    name,
  });
  const part = (key: string, name: string): Partial<Listing> => ({
    offers: [
      { ...offer(key, name), tool: { inputSchema: { type: "object" } } },
    ],
    prompts: [{ ...offer(key, name), prompt: {} }],
    resources: [resource(key, `${key}://${name}`)],
  });
  const both = (a: string, b: string) => {
    const parts = [part("a", a), part("b", b)];
    return listing({
      offers: parts.flatMap(({ offers }) => offers!),
      prompts: parts.flatMap(({ prompts }) => prompts!),
      resources: parts.flatMap(({ resources }) => resources!),
    });
  };
  void catalogs.get(ada);
  asked[0]!.resolve(both("one", "one"));
  await settle();
  const before = digests();
  tell({ who: ada });
  await settle();
  asked[1]!.resolve(both("one", "two"));
  await settle();
  const after = digests();
  expect(after.slice(0, 2)).toEqual(before.slice(0, 2));
  for (const [n, digest] of after[2]!.entries()) {
    expect(digest).not.toBe(before[2]![n]!);
  }
});

test("a server's own tool with the name of one of ours is not shown beside it", async () => {
  const { source, asked } = slowSource("s");
  const catalogs = open([{ ...source, alone: (_who, key) => app(key) }]);
  const names = ["call-tool", "enable-tools", "other", "search-tools"];
  void catalogs.get(ada);
  asked[0]!.resolve(
    listing({
      offers: names.map((name) => ({
        app: app("a"),
        ref: name,
        key: name,
        name,
        tool: { inputSchema: { type: "object" } },
      })),
    }),
  );
  await settle();
  const shown = (mode: "static" | "dynamic" | "search") => {
    const view = { ...DEFAULT_VIEW, server: "a", mode, enabled: names };
    const { entries, find } = catalogs.peek(ada)!.show(view);
    return entries.map(({ name }) => [name, find(name) === null]);
  };
  expect(shown("static")).toEqual(names.map((name) => [name, false]));
  expect(shown("dynamic")).toEqual([
    ["enable-tools", true],
    ["call-tool", false],
    ["other", false],
    ["search-tools", false],
  ]);
  expect(shown("search")).toEqual([
    ["search-tools", true],
    ["call-tool", true],
  ]);
});

test("how old a catalogue is does not depend on what the time is set to", async () => {
  const clock = fakeClock();
  const { source, asked } = slowSource("s");
  const catalogs = open([source], clock);
  void catalogs.get(ada);
  asked[0]!.resolve(listing({}));
  await settle();
  clock.set(-3_600_000);
  clock.advance(5000);
  catalogs.warm(ada, 5000);
  expect(asked).toHaveLength(2);
  asked[1]!.resolve(listing({}));
  await settle();
  clock.set(7_200_000);
  catalogs.warm(ada, 5000);
  expect(asked).toHaveLength(2);
});
