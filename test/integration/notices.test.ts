import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  test,
} from "bun:test";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { listTools, messages } from "../support/caller.ts";
import type { Listener } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";
import { fakeServers } from "../support/fake-servers.ts";
import type { FakeServer } from "../support/fake-servers.ts";
import { headersFor, request } from "../support/stateless.ts";
import type { Params } from "../support/stateless.ts";

/** What callers are told of registered servers outside of calls: how to use them, and what happens there. */

const initial = (): FakeServer[] => [
  {
    slug: "hub",
    name: "The\nHub",
    tools: ["echo"],
    prompts: ["greet"],
    resources: ["same://one", "hub://only"],
    templates: ["hub://{id}"],
    instructions: "  Ask the hub first.  ",
  },
  {
    slug: "lab",
    tools: ["echo"],
    prompts: ["greet"],
    resources: ["same://one", "lab://only"],
    instructions: "Handle with care.",
  },
  { slug: "mute", tools: ["echo"] },
  { slug: "secret", members: ["bob"], instructions: "Only for bob." },
];

const clock = fakeClock(Date.now());
const fakes = fakeServers(initial());
let rig: Rig;
beforeAll(async () => {
  rig = await openRig({ sources: [fakes.source], clock });
});
afterAll(() => rig[Symbol.asyncDispose]());
beforeEach(() => {
  fakes.servers.splice(0, Infinity, ...initial());
});

const server = (slug: string) =>
  fakes.servers.find((one) => one.slug === slug)!;
const WORKSPACE = "wk-test";
const who = (subject: string) => ({ workspace: WORKSPACE, subject });

let users = 0;
/** Somebody whom no other test has seen. */
const newcomer = () => `user-${++users}`;

const rpc = (method: string, params: Params = {}) => ({
  jsonrpc: "2.0",
  id: 1,
  method,
  params,
});

type Session = {
  headers: { "mcp-session-id": string };
  stream: Listener;
  ask(method: string, params?: Params): Promise<any>;
  /** Opens its stream again, after the last event that was seen. */
  resume(): Promise<void>;
};
async function session(
  user: string,
  path = "/mcp",
  on = rig,
): Promise<Session> {
  const base = path.split("?")[0]!;
  const headers = { "mcp-session-id": await on.open(user, {}, path) };
  const self: Session = {
    headers,
    stream: await on.listen(user, headers, base),
    ask: async (method, params) =>
      (await on.post(user, rpc(method, params), headers, base)).body,
    async resume() {
      const last = self.stream.events.findLast(({ id }) => id)!.id!;
      do {
        self.stream = await on.listen(
          user,
          { ...headers, "last-event-id": last },
          base,
        );
      } while (self.stream.status === 409);
    },
  };
  return self;
}
const listen = async (user: string, notifications: Params, path = "/mcp") => {
  const stream = await rig.start(
    user,
    request("subscriptions/listen", { notifications }),
    headersFor("subscriptions/listen"),
    path,
  );
  await stream.until(({ data }) => Boolean(data?.includes("acknowledged")));
  return stream;
};
const said = (stream: Listener, method: string) =>
  messages(stream.events).filter((one) => one.method === method);
const CHANGED = (list: string) => `notifications/${list}/list_changed`;
const UPDATED = "notifications/resources/updated";
/** Waits until it was said `n` times. */
const heard = (stream: Listener, method: string, n = 1) =>
  stream.until(() => said(stream, method).length >= n);

const LOG = "notifications/message";
/** All that a session was told until now, but for how that was found out: what comes on a stream comes in order. */
async function told({ stream, ask }: Session): Promise<any[]> {
  const end = `the end ${Math.random()}`;
  await ask("logging/setLevel", { level: "debug" });
  fakes.tell({
    who: null,
    log: { app: fakes.appOf("hub"), level: "alert", data: end },
  });
  fakes.tell({
    who: null,
    log: { app: fakes.appOf("lab"), level: "alert", data: end },
  });
  await stream.until(({ data }) => Boolean(data?.includes(end)));
  clock.advance(1000);
  return messages(stream.events).filter(({ method }) => method !== LOG);
}

/** Waits until the server has noticed that nobody of that user reads a stream. */
async function untilGone(user: string): Promise<void> {
  do {
    fakes.watched.delete(user);
    rig.tick();
    await rig.post("witness", rpc("ping"), { accept: "application/json" });
  } while (fakes.watched.has(user));
}

describe("instructions", () => {
  const instructions = async (user: string, path: string) => {
    const legacy = await rig.post(
      user,
      rpc("initialize", {
        protocolVersion: "2025-11-25",
        capabilities: {},
      }),
      {},
      path,
    );
    const modern = await rig.post(
      user,
      request("server/discover"),
      headersFor("server/discover"),
      path,
    );
    const [one, two] = [
      legacy.body.result.instructions,
      modern.body.result.instructions,
    ];
    expect(one).toBe(two);
    return one as string | undefined;
  };

  test("are those of every app that is shown, under its name", async () => {
    expect(await instructions("ada", "/mcp")).toBe(
      "## The Hub (hub)\nAsk the hub first.\n\n## lab (lab)\nHandle with care.",
    );
    expect(await instructions("ada", "/mcp?apps=lab,mute")).toBe(
      "## lab (lab)\nHandle with care.",
    );
    expect(await instructions("ada", "/mcp?apps=mute")).toBeUndefined();
    expect(await instructions("bob", "/mcp?apps=secret,mute")).toBe(
      "## secret (secret)\nOnly for bob.",
    );
    expect(await instructions("ada", "/mcp?apps=secret")).toBeUndefined();
  });

  test("of one server alone are its own; those of our mode come first", async () => {
    expect(await instructions("ada", "/mcp/hub")).toBe("Ask the hub first.");
    expect(await instructions("ada", "/mcp/mute")).toBeUndefined();
    const search = (await instructions("ada", "/mcp/lab?mode=search"))!;
    expect(search).toStartWith("Find tools with search-tools");
    expect(search).toEndWith("\n\nHandle with care.");
    const all = (await instructions("ada", "/mcp?mode=search"))!;
    expect(all).toStartWith("Find tools with search-tools");
    expect(all).toContain("\n\n## The Hub (hub)\n");
  });

  test("are cut at 2,000 characters for each app and 16,000 in all, and never within one", async () => {
    server("hub").instructions = `${"x".repeat(1998)}🙂🙂`;
    const one = (await instructions("ada", "/mcp"))!;
    expect(one.split("\n\n")[0]).toBe(`## The Hub (hub)\n${"x".repeat(1998)}…`);
    for (let n = 0; n < 10; n++) {
      fakes.servers.push({ slug: `more-${n}`, instructions: "y".repeat(5000) });
    }
    const all = (await instructions("ada", "/mcp?mode=search"))!;
    expect(all.length).toBeLessThanOrEqual(16_000);
    expect(all.length).toBeGreaterThan(14_000);
    expect(all).toEndWith("y…");
    server("hub").instructions = "z".repeat(50_000);
    const alone = (await instructions("ada", "/mcp/hub?mode=search"))!;
    expect(alone).toHaveLength(16_000);
    expect(alone).toStartWith("Find tools");
  });

  test("are told over HTTP+SSE too", async () => {
    const client = await rig.connect("ada", { sse: true });
    expect(client.client.getInstructions()).toContain("Ask the hub first.");
    await client.close();
  });
});

const lists = [
  ["tools", "tools/list", (one: FakeServer) => one.tools?.push("added")],
  ["prompts", "prompts/list", (one: FakeServer) => one.prompts?.push("added")],
  [
    "resources",
    "resources/list",
    (one: FakeServer) => one.resources?.push("x://added"),
  ],
  [
    "resources",
    "resources/templates/list",
    (one: FakeServer) => (one.templates = ["y://{added}"]),
  ],
] as const;

describe("a list that changes", () => {
  test.each(lists)(
    "(%s, asked for by %s) is told once to the sessions that have asked for it, and no others",
    async (list, method, change) => {
      const user = newcomer();
      const [mine, other, never] = [
        await session(user),
        await session(user),
        await session(user),
      ];
      const theirs = await session(newcomer());
      await mine.ask(method);
      await theirs.ask(method);
      await other.ask(
        method === "prompts/list" ? "tools/list" : "prompts/list",
      );
      change(server("hub"));
      fakes.tell({ who: who(user) });
      await heard(mine.stream, CHANGED(list));
      // Nothing has changed since it was told.
      const before = fakes.lists();
      clock.advance(61_000);
      do await rig.post(user, listTools, { accept: "application/json" });
      while (fakes.lists() === before);
      expect(await told(mine)).toHaveLength(1);
      for (const one of [other, never, theirs]) {
        expect(await told(one)).toEqual([]);
      }
    },
  );

  test.each(lists)(
    "(%s, asked for by %s) while nobody listened and we were down is told when somebody does",
    async (list, method, change) => {
      const user = newcomer();
      const mine = await session(user);
      await mine.ask(method);
      mine.stream.close();
      await mine.stream.ended;
      change(server("hub"));
      await rig.restart();
      await mine.resume();
      await heard(mine.stream, CHANGED(list));
      expect(await told(mine)).toHaveLength(1);
    },
  );

  test.each([["/mcp/lab"], ["/mcp?apps=lab"]])(
    "elsewhere does not disturb %s, in either era",
    async (path) => {
      const user = newcomer();
      const lab = await session(user, path);
      const all = await session(user);
      for (const [, method] of lists) {
        await lab.ask(method);
        await all.ask(method);
      }
      const modern = await listen(
        user,
        {
          toolsListChanged: true,
          promptsListChanged: true,
          resourcesListChanged: true,
        },
        path,
      );
      for (const [, , change] of lists.slice(0, 3)) change(server("hub"));
      fakes.tell({ who: who(user) });
      for (const list of ["tools", "prompts", "resources"])
        await heard(all.stream, CHANGED(list));
      for (const [, , change] of lists.slice(0, 3)) change(server("lab"));
      fakes.tell({ who: who(user) });
      for (const list of ["tools", "prompts", "resources"]) {
        await heard(lab.stream, CHANGED(list));
        await heard(modern, CHANGED(list));
        expect(said(lab.stream, CHANGED(list))).toHaveLength(1);
        expect(said(modern, CHANGED(list))).toHaveLength(1);
      }
    },
  );

  test("is declared to be told, to sessions too", async () => {
    const { body } = await rig.post(
      "ada",
      rpc("initialize", { protocolVersion: "2025-11-25", capabilities: {} }),
    );
    expect(body.result.capabilities).toEqual({
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { subscribe: true, listChanged: true },
      completions: {},
      logging: {},
    });
  });

  test("and changes back before it could be told again is not told again", async () => {
    const user = newcomer();
    const mine = await session(user);
    await mine.ask("tools/list");
    const hub = server("hub");
    hub.tools = ["echo", "one"];
    fakes.tell({ who: who(user) });
    await heard(mine.stream, CHANGED("tools"));
    for (let n = 0; n < 1000; n++) {
      hub.tools = ["echo", `storm-${n}`];
      fakes.tell({ who: who(user) });
    }
    hub.tools = ["echo", "one"];
    fakes.tell({ who: who(user) });
    const loaded = fakes.lists();
    // Until the last of them was looked at.
    while (fakes.lists() === loaded) await mine.ask("ping");
    await mine.ask("tools/list");
    expect(await told(mine)).toHaveLength(1);
  });
});

describe("who listens is told to the source", () => {
  test("with what is subscribed to and whose that is, at every step and every tick", async () => {
    const user = newcomer();
    const watched = () => fakes.watched.get(user);
    const all = await session(user);
    expect(watched()).toEqual([]);
    await all.ask("resources/subscribe", { uri: "same://one" });
    expect(watched()).toEqual(["hub same://one"]);
    const lab = await session(user, "/mcp/lab");
    await lab.ask("resources/subscribe", { uri: "same://one" });
    await lab.ask("resources/subscribe", { uri: "never://listed" });
    expect(watched()!.toSorted()).toEqual([
      "hub same://one",
      "lab never://listed",
      "lab same://one",
    ]);
    await lab.ask("resources/unsubscribe", { uri: "never://listed" });
    const modern = await listen(user, {
      resourceSubscriptions: ["hub://7", "same://one", "nobody://has"],
    });
    expect(watched()!.toSorted()).toEqual([
      "hub hub://7",
      "hub same://one",
      "lab same://one",
    ]);
    const narrowed = await listen(
      user,
      { resourceSubscriptions: ["same://one"] },
      "/mcp?apps=lab",
    );
    const before = fakes.watches();
    rig.tick();
    expect(fakes.watches()).toBeGreaterThan(before);
    expect(watched()!.toSorted()).toEqual([
      "hub hub://7",
      "hub same://one",
      "lab same://one",
    ]);
    narrowed.close();
    modern.close();
    while (watched()!.length > 2) {
      rig.tick();
      await all.ask("ping");
    }
    expect(watched()!.toSorted()).toEqual(["hub same://one", "lab same://one"]);
  });

  test("by HTTP+SSE, by a listener for lists alone, and after a restart", async () => {
    const user = newcomer();
    const sse = await rig.listen(user, {}, "/sse");
    await sse.until(({ event }) => event === "endpoint");
    expect(fakes.watched.get(user)).toEqual([]);
    const modern = newcomer();
    await listen(modern, { toolsListChanged: true });
    expect(fakes.watched.get(modern)).toEqual([]);
    const mine = await session(user);
    await mine.ask("resources/subscribe", { uri: "hub://only" });
    fakes.watched.delete(user);
    await rig.restart();
    await mine.resume();
    // Whose it is, is known when the lists are there.
    while (fakes.watched.get(user)?.[0] !== "hub hub://only")
      await mine.ask("tools/list");
  });

  test("no more when nobody of that user does", async () => {
    const user = newcomer();
    const mine = await session(user);
    await mine.ask("resources/subscribe", { uri: "hub://only" });
    const other = newcomer();
    await session(other);
    mine.stream.close();
    await untilGone(user);
    fakes.watched.clear();
    rig.tick();
    expect([fakes.watched.has(user), fakes.watched.has(other)]).toEqual([
      false,
      true,
    ]);
  });

  test("and a session that has not been used for hours counts no more", async () => {
    const own = fakeClock(Date.now());
    const theirs = fakeServers(initial());
    await using other = await openRig({ sources: [theirs.source], clock: own });
    const user = newcomer();
    const token = await other.tokenFor(user, { ttlSeconds: 86_400 });
    const old = await session(token, "/mcp", other);
    await old.ask("resources/subscribe", { uri: "hub://only" });
    old.stream.close();
    await old.stream.ended;
    const mine = await session(token, "/mcp", other);
    expect(theirs.watched.get(user)).toEqual(["hub hub://only"]);
    own.advance(3 * 3_600_000);
    other.tick();
    expect(theirs.watched.get(user)).toEqual([]);
    // One that is used counts, whoever reads.
    await old.ask("ping");
    while (theirs.watched.get(user)!.length === 0) {
      other.tick();
      await mine.ask("ping");
    }
  });
});

describe("subscribing", () => {
  test("to what nobody has is refused where that can be known; unsubscribing never is", async () => {
    const user = newcomer();
    const all = await session(user);
    for (const uri of ["nobody://has", "hub:/"]) {
      const { error } = await all.ask("resources/subscribe", { uri });
      expect(error).toMatchObject({ code: -32602, data: { uri } });
      expect((await all.ask("resources/unsubscribe", { uri })).result).toEqual(
        {},
      );
    }
    const narrow = await session(user, "/mcp?apps=lab");
    expect(
      (await narrow.ask("resources/subscribe", { uri: "hub://only" })).error
        .code,
    ).toBe(-32602);
    expect(
      (await narrow.ask("resources/subscribe", { uri: "same://one" })).result,
    ).toEqual({});
  });
});

describe("a resource that changes", () => {
  test("is told to a session that does not read its stream, once, when it comes back, also after a restart", async () => {
    const user = newcomer();
    const mine = await session(user);
    await mine.ask("resources/subscribe", { uri: "hub://only" });
    fakes.tell({ who: who(user), uri: "hub://only" });
    await heard(mine.stream, UPDATED);
    mine.stream.close();
    await untilGone(user);
    const witness = await session(user);
    for (const uri of ["hub://1", "hub://2", "hub://3"]) {
      await witness.ask("resources/subscribe", { uri });
      for (let n = 0; n < 50; n++) {
        fakes.tell({ who: who(user), uri: "hub://only" });
        // Each of these has a second of its own.
        const app = fakes.appOf("hub");
        fakes.tell({ who: who(user), uri: "hub://only", app });
      }
      fakes.tell({ who: who(user), uri });
      await witness.stream.until(({ data }) => Boolean(data?.includes(uri)));
    }
    await rig.restart();
    await mine.resume();
    await heard(mine.stream, UPDATED);
    fakes.tell({ who: who(user), uri: "hub://only" });
    await heard(mine.stream, UPDATED, 2);
    expect(said(mine.stream, UPDATED).map(({ params }) => params.uri)).toEqual([
      "hub://only",
      "hub://only",
    ]);
  });

  test("is told anew when what was told of it is too old to be on record", async () => {
    const own = fakeClock(Date.now());
    const theirs = fakeServers(initial());
    await using other = await openRig({
      sources: [theirs.source],
      clock: own,
      env: { EVENT_TTL: "1m" },
    });
    const mine = await session("ada", "/mcp", other);
    for (const uri of ["hub://1", "hub://2", "hub://3"]) {
      await mine.ask("resources/subscribe", { uri });
    }
    await mine.ask("tools/list");
    theirs.tell({ who: who("ada"), uri: "hub://1" });
    await heard(mine.stream, UPDATED);
    mine.stream.close();
    await mine.stream.ended;
    const witness = await session("ada", "/mcp", other);
    for (const uri of ["hub://2", "hub://3"]) {
      await witness.ask("resources/subscribe", { uri });
      theirs.tell({ who: who("ada"), uri });
      await witness.stream.until(({ data }) => Boolean(data?.includes(uri)));
    }
    own.advance(120_000);
    await other.retain();
    await mine.resume();
    await heard(mine.stream, CHANGED("tools"));
    const { stream } = mine;
    await stream.until(
      () =>
        new Set(said(stream, UPDATED).map(({ params }) => params.uri)).size ===
        3,
    );
  });

  test("is told to those whose resource it is: two servers may have the same URI", async () => {
    const user = newcomer();
    const sessions = {
      hub: await session(user, "/mcp/hub"),
      lab: await session(user, "/mcp/lab"),
      all: await session(user),
    };
    const streams: Record<string, Listener> = {};
    for (const [name, one] of Object.entries(sessions)) {
      await one.ask("resources/subscribe", { uri: "same://one" });
      streams[name] = one.stream;
    }
    const notifications = { resourceSubscriptions: ["same://one"] };
    streams["modern hub"] = await listen(user, notifications);
    streams["modern lab"] = await listen(user, notifications, "/mcp?apps=lab");
    const times = () =>
      Object.fromEntries(
        Object.entries(streams).map(([name, stream]) => [
          name,
          said(stream, UPDATED).length,
        ]),
      );
    const uri = "same://one";
    fakes.tell({ who: who(user), uri, app: fakes.appOf("lab") });
    for (const name of ["lab", "modern lab"])
      await heard(streams[name]!, UPDATED);
    // Nobody says whose.
    fakes.tell({ who: who(user), uri });
    for (const name of ["lab", "modern lab"])
      await heard(streams[name]!, UPDATED, 2);
    for (const name of ["hub", "all", "modern hub"])
      await heard(streams[name]!, UPDATED);
    expect(times()).toEqual({
      hub: 1,
      all: 1,
      "modern hub": 1,
      lab: 2,
      "modern lab": 2,
    });
  });

  test("is told each time that a session has been away", async () => {
    const user = newcomer();
    const mine = await session(user);
    await mine.ask("resources/subscribe", { uri: "hub://only" });
    await mine.ask("tools/list");
    // So that there is an event to go on after.
    server("hub").tools = ["another"];
    fakes.tell({ who: who(user) });
    await heard(mine.stream, CHANGED("tools"));
    const whose = [undefined, fakes.appOf("hub")];
    for (const app of whose) {
      mine.stream.close();
      await mine.stream.ended;
      const witness = await session(user);
      const uri = `hub://${app?.key}`;
      await witness.ask("resources/subscribe", { uri });
      for (const one of ["hub://only", uri]) {
        fakes.tell({ who: who(user), uri: one, ...(app ? { app } : {}) });
      }
      await heard(witness.stream, UPDATED);
      await mine.resume();
      await heard(mine.stream, UPDATED);
    }
  });

  test("ten thousand times is told at once and a second later, in either era", async () => {
    const user = newcomer();
    const mine = await session(user, "/mcp/hub");
    await mine.ask("resources/subscribe", { uri: "hub://only" });
    await mine.ask("resources/subscribe", { uri: "hub://last" });
    const modern = await listen(user, {
      resourceSubscriptions: ["hub://only", "hub://last"],
    });
    const marked = ({ data }: { data?: string }) =>
      Boolean(data?.includes("hub://last"));
    for (let n = 0; n < 10_000; n++) {
      fakes.tell({ who: n % 2 ? null : who(user), uri: "hub://only" });
    }
    for (const stream of [mine.stream, modern]) {
      await heard(stream, UPDATED, 2);
    }
    fakes.tell({ who: who(user), uri: "hub://last" });
    for (const stream of [mine.stream, modern]) {
      await stream.until(marked);
      expect(
        said(stream, UPDATED).filter(
          ({ params }) => params.uri === "hub://only",
        ),
      ).toHaveLength(2);
    }
  });

  test("for everybody is told to everybody who has subscribed, and to nobody else", async () => {
    const gone = newcomer();
    const [one, two, three] = [
      await session(newcomer()),
      await session(gone),
      await session(newcomer()),
    ];
    for (const { ask } of [one, two]) {
      await ask("resources/subscribe", { uri: "hub://shared" });
    }
    await three.ask("resources/subscribe", { uri: "hub://other" });
    two.stream.close();
    await untilGone(gone);
    fakes.tell({ who: null, uri: "hub://shared" });
    await heard(one.stream, UPDATED);
    await two.resume();
    await heard(two.stream, UPDATED);
    expect(await told(three)).toEqual([]);
  });

  test("while the server stops is on record for who comes back", async () => {
    const user = newcomer();
    const mine = await session(user);
    await mine.ask("resources/subscribe", { uri: "hub://only" });
    fakes.tell({ who: who(user), uri: "hub://only" });
    fakes.tell({ who: who(user), uri: "hub://only" });
    await heard(mine.stream, UPDATED);
    await rig.restart();
    await mine.stream.ended;
    if (said(mine.stream, UPDATED).length < 2) {
      await mine.resume();
      await heard(mine.stream, UPDATED);
    }
  });
});

describe("what a server logs outside of calls", () => {
  const log = (
    slug: string,
    level: "debug" | "warning",
    data: unknown,
    logger?: string,
  ) => ({
    app: fakes.appOf(slug),
    level,
    data,
    ...(logger ? { logger } : {}),
  });

  test("comes to the sessions of that user that listen, want it and show that server", async () => {
    const user = newcomer();
    const all = await session(user);
    const silent = await session(user);
    const quiet = await session(user);
    const lab = await session(user, "/mcp/lab");
    const narrow = await session(user, "/mcp?apps=hub");
    const theirs = await session(newcomer());
    for (const one of [all, lab, narrow, theirs])
      await one.ask("logging/setLevel", { level: "debug" });
    await quiet.ask("logging/setLevel", { level: "error" });
    fakes.tell({ who: who(user), log: log("hub", "debug", { n: 1 }, "db") });
    fakes.tell({ who: who(user), log: log("lab", "warning", "two") });
    fakes.tell({ who: null, log: log("hub", "warning", "three") });
    await heard(all.stream, LOG, 3);
    await heard(theirs.stream, LOG);
    await heard(narrow.stream, LOG, 2);
    await heard(lab.stream, LOG);
    expect(said(all.stream, LOG).map(({ params }) => params)).toEqual([
      { level: "debug", logger: "db", data: { n: 1 } },
      { level: "warning", logger: "lab", data: "two" },
      { level: "warning", logger: "hub", data: "three" },
    ]);
    expect(said(narrow.stream, LOG).map(({ params }) => params.data)).toEqual([
      { n: 1 },
      "three",
    ]);
    // Of the only server nobody asks who speaks.
    expect(said(lab.stream, LOG).map(({ params }) => params)).toEqual([
      { level: "warning", data: "two" },
    ]);
    expect(said(theirs.stream, LOG)).toHaveLength(1);
    for (const one of [silent, quiet]) {
      const before = said(one.stream, LOG).length;
      await told(one);
      expect([before, said(one.stream, LOG)[0]!.params.level]).toEqual([
        0,
        "alert",
      ]);
    }
  });

  test("comes twenty times a second, and what is more is left out", async () => {
    const user = newcomer();
    const mine = await session(user);
    await mine.ask("logging/setLevel", { level: "warning" });
    const storm = (from: number) => {
      for (let n = from; n < from + 10_000; n++) {
        fakes.tell({ who: who(user), log: log("hub", "debug", "unwanted") });
        fakes.tell({ who: who(user), log: log("hub", "warning", n) });
      }
    };
    storm(0);
    await heard(mine.stream, LOG, 20);
    clock.advance(1000);
    storm(100_000);
    await heard(mine.stream, LOG, 40);
    clock.advance(1000);
    fakes.tell({ who: who(user), log: log("hub", "warning", "last") });
    await heard(mine.stream, LOG, 41);
    const heardOf = said(mine.stream, LOG).map(({ params }) => params.data);
    const twenty = Array.from({ length: 20 }, (_, n) => n);
    expect(heardOf).toEqual([
      ...twenty,
      ...twenty.map((n) => 100_000 + n),
      "last",
    ]);
  });

  test("is not kept for who does not listen", async () => {
    const user = newcomer();
    const mine = await session(user);
    await mine.ask("logging/setLevel", { level: "debug" });
    fakes.tell({ who: who(user), log: log("hub", "debug", "one") });
    await heard(mine.stream, LOG);
    await rig.restart();
    await mine.stream.ended;
    fakes.tell({ who: who(user), log: log("hub", "debug", "unheard") });
    await mine.resume();
    fakes.tell({ who: who(user), log: log("hub", "debug", "two") });
    await heard(mine.stream, LOG);
    expect(said(mine.stream, LOG).map(({ params }) => params.data)).toEqual([
      "two",
    ]);
  });
});
