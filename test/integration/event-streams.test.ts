import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import type { EventType, NewEntry } from "../../src/core/journal.ts";
import { BY_ITSELF } from "../../src/core/journal.ts";
import type { Principal } from "../../src/core/principal.ts";
import { MAX_PAGES, createAudit } from "../../src/gateway/events/audit.ts";
import { MAX_READERS, createFeed } from "../../src/gateway/events/feed.ts";
import { createLooks } from "../../src/gateway/events/looks.ts";
import { createPlaces } from "../../src/gateway/events/journal-places.ts";
import { createEventStreams } from "../../src/http/event-streams.ts";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import { messages, parseEvents } from "../support/caller.ts";
import { fakeClock, silentLog } from "../support/clock.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { unlike } from "../support/documented.ts";
import { bounds } from "../support/journal-bounds.ts";
import { openStore } from "../support/open-store.ts";

/** The event stream and the audit over a real journal, with time in the hand of the test. */

const someone = (changes: Partial<Principal> = {}): Principal => ({
  workspace: "w",
  subject: "ada",
  name: null,
  method: "membrane",
  scope: "apps:read",
  token: "t",
  expiresAt: null,
  ...changes,
});
const everybody = someone({ method: "api_key", subject: "bot" });

function openJournal() {
  const directory = temporaryDirectory();
  const clock = fakeClock();
  const store = openStore(directory.path, { clock });
  const { journal } = store;
  let reads = 0;
  const counted = {
    ...journal,
    readOn: (...args: Parameters<typeof journal.readOn>) => {
      reads++;
      return journal.readOn(...args);
    },
  };
  const places = createPlaces(() => store.secret("journal-places"));
  const looks = createLooks();
  const feed = createFeed({
    journal: counted,
    places,
    looks,
    log: silentLog,
  });
  const streams = createEventStreams({ feed, clock, log: silentLog });
  let n = 0;
  return {
    clock,
    journal,
    places,
    feed,
    streams,
    directory: directory.path,
    audit: createAudit({ journal, places, looks }),
    reads: () => reads,
    /** What the credential of every stream says. */
    valid: async (who: Principal): Promise<Principal | null> => who,
    open(
      principal: Principal = everybody,
      {
        types = null,
        after = null,
      }: { types?: readonly EventType[] | null; after?: string | null } = {},
    ) {
      const stillValid = () => this.valid(principal);
      const readable = streams.open({ principal, types, after, stillValid });
      return listen(readable.getReader());
    },
    /** Writes entries with the numbers 1, 2, 3, … in their data. */
    write: (count = 1, changes: Partial<NewEntry> = {}) =>
      journal.append(
        Array.from({ length: count }, () => ({
          ...BY_ITSELF,
          type: "tool_executed" as const,
          workspace: "w",
          subject: "ada",
          data: { n: ++n },
          ...changes,
        })),
      ),
    async [Symbol.asyncDispose]() {
      streams.closeAll();
      await store.close();
      directory[Symbol.dispose]();
    },
  };
}

function listen(reader: ReadableStreamDefaultReader<string>) {
  let text = "";
  const more = async () => {
    const { value, done } = await reader.read();
    text += value ?? "";
    return !done;
  };
  return {
    text: () => text,
    numbers: () => messages(parseEvents(text)).map(({ n }) => n),
    messages: () => messages(parseEvents(text)),
    lastId: () => parseEvents(text).findLast(({ id }) => id)!.id!,
    /** Reads until so many messages have come. */
    async until(count: number) {
      while (messages(parseEvents(text)).length < count) {
        if (!(await more())) throw new Error(`It has ended: ${text}`);
      }
    },
    async untilText(part: string) {
      while (!text.includes(part)) {
        if (!(await more())) throw new Error(`It has ended: ${text}`);
      }
    },
    async toEnd() {
      while (await more());
    },
    cancel: () => reader.cancel(),
  };
}

const upTo = (last: number, first = 1) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);

describe("an event stream", () => {
  test("tells what happens from when it was opened, and not what was before", async () => {
    await using rig = openJournal();
    await rig.write(3);
    const stream = rig.open();
    await stream.untilText("\n\n");
    expect(stream.text()).toMatch(/^: open\nretry: 3000\nid: [\w-]{22}\n\n$/);
    await rig.write(2);
    await stream.until(2);
    expect(stream.numbers()).toEqual([4, 5]);
  });

  test("begins with what comes next also when others are still to be told what was", async () => {
    await using rig = openJournal();
    const other = rig.open();
    await rig.write(2);
    const stream = rig.open();
    await rig.write(1);
    await stream.until(1);
    await other.until(3);
    expect(stream.numbers()).toEqual([3]);
    expect(other.numbers()).toEqual([1, 2, 3]);
  });

  // Demanded: events-resumed
  test("goes on from every one of its ids with exactly the rest", async () => {
    await using rig = openJournal();
    const first = rig.open();
    await rig.write(200);
    await first.until(200);
    const ids = parseEvents(first.text()).map(({ id }) => id!);
    expect(new Set(ids).size).toBe(201);
    for (const [seen, after] of [...ids.entries()].filter(
      ([i]) => i % 20 === 0 || i > 196,
    )) {
      const again = rig.open(everybody, { after });
      await rig.write();
      await again.until(rig.journal.last() - seen);
      expect(again.numbers()).toEqual(upTo(rig.journal.last(), seen + 1));
      await again.cancel();
    }
  });

  test("has neither gap nor duplicate where what was missed ends and what is new begins", async () => {
    await using rig = openJournal();
    const first = rig.open();
    await first.untilText("\n\n");
    const after = first.lastId();
    await rig.write(1500);
    await first.cancel();
    // Nobody listens for a while: what comes now is in nobody's memory.
    await rig.write(1500);
    const again = rig.open(everybody, { after });
    const writing = (async () => {
      for (let i = 0; i < 100; i++) await rig.write(7);
    })();
    await again.until(3700);
    await writing;
    expect(again.numbers()).toEqual(upTo(3700));
  });

  test("resumes after more than is kept in memory while others listen", async () => {
    await using rig = openJournal();
    const other = rig.open();
    const first = rig.open();
    await first.untilText("\n\n");
    const after = first.lastId();
    await first.cancel();
    await rig.write(2500);
    await other.until(2500);
    const again = rig.open(everybody, { after });
    await again.until(2500);
    expect(again.numbers()).toEqual(upTo(2500));
  });

  test("finds the few entries that concern its reader among very many others", async () => {
    await using rig = openJournal();
    const first = rig.open(someone());
    await first.untilText("\n\n");
    const after = first.lastId();
    await first.cancel();
    await rig.write(1);
    await rig.write(45_000, { subject: "bob" });
    await rig.write(1);
    const again = rig.open(someone(), { after });
    await again.until(2);
    await rig.write(1);
    await again.until(3);
    expect(again.numbers()).toEqual([1, 45_002, 45_003]);
  });

  test("costs one reading of the journal for each commit, however many there are, and none without any", async () => {
    await using rig = openJournal();
    await rig.write(5);
    expect(rig.reads()).toBe(0);
    const streams = upTo(20).map(() => rig.open());
    const before = rig.reads();
    await rig.write(3);
    await Promise.all(streams.map((stream) => stream.until(3)));
    expect(rig.reads() - before).toBe(1);
    await Promise.all(streams.map((stream) => stream.cancel()));
    await rig.write(3);
    const another = rig.open();
    await rig.write();
    await another.until(1);
    expect(another.numbers()).toEqual([12]);
    expect(rig.reads() - before).toBe(2);
  });

  // Demanded: events-own
  test("shows a member's own things and what is nobody's; an API key sees all of its workspace, and nobody another's", async () => {
    await using rig = openJournal();
    const ada = rig.open(someone());
    const bob = rig.open(someone({ subject: "bob", scope: null }));
    const bot = rig.open();
    const other = rig.open({ ...everybody, workspace: "w2" });
    await rig.write(1);
    await rig.write(1, { subject: "bob" });
    await rig.write(1, { subject: null, type: "server_registered" });
    await rig.write(1, { workspace: "w2" });
    // The last thing each of them is told.
    await rig.write(1);
    await rig.write(1, { subject: "bob" });
    await Promise.all([
      ada.until(3),
      bob.until(2),
      bot.until(5),
      other.until(1),
    ]);
    expect(ada.numbers()).toEqual([1, 3, 5]);
    expect(bob.numbers()).toEqual([2, 6]);
    expect(bot.numbers()).toEqual([1, 2, 3, 5, 6]);
    expect(other.numbers()).toEqual([4]);
  });

  // Demanded: events-filtered
  test("tells only the types that were asked for, live and afterwards", async () => {
    await using rig = openJournal();
    const types = ["session_opened"] as const;
    const stream = rig.open(everybody, { types });
    await stream.untilText("\n\n");
    const after = stream.lastId();
    await rig.write(3);
    await rig.write(1, { type: "session_opened" });
    await stream.until(1);
    await stream.cancel();
    await rig.write(1, { type: "session_opened" });
    const again = rig.open(everybody, { types, after });
    await again.until(2);
    expect([stream.numbers(), again.numbers()]).toEqual([[4], [4, 5]]);
  });

  test("beats when it is silent, and then also says how far it is, past what its reader is not shown", async () => {
    await using rig = openJournal();
    const stream = rig.open(someone());
    await stream.untilText("\n\n");
    rig.streams.beat();
    await stream.untilText(": heartbeat\n\n");
    const before = stream.lastId();
    await rig.write(3, { subject: "bob" });
    // Until that has been read, a heartbeat says nothing new.
    while (stream.lastId() === before) {
      await new Promise((resolve) => setImmediate(resolve));
      rig.streams.beat();
      await stream.untilText(`${stream.text()}: heartbeat\n`);
    }
    const after = stream.lastId();
    await stream.cancel();
    const again = rig.open(everybody, { after });
    await rig.write();
    await again.until(1);
    expect(again.numbers()).toEqual([4]);
  });

  test("says so first when what came next is kept no longer, and tells all that is", async () => {
    await using rig = openJournal();
    const first = rig.open();
    await rig.write(10);
    await first.until(10);
    const [, one, two, three] = parseEvents(first.text()).map(({ id }) => id!);
    await first.cancel();
    await rig.journal.prune(bounds({ most: 7 }), 100);
    const cut = rig.open(everybody, { after: two! });
    await cut.until(8);
    expect(cut.messages()[0]).toMatchObject({
      event: "events_missed",
      reason: "forgotten",
    });
    expect(unlike("EventsMissed", cut.messages()[0])).toBeNull();
    expect(cut.numbers().slice(1)).toEqual(upTo(10, 4));
    for (const after of [one!, three!]) {
      const stream = rig.open(everybody, { after });
      const missed = after === one;
      await stream.until(missed ? 8 : 7);
      expect(stream.messages().map(({ event }) => event)).toEqual([
        ...(missed ? ["events_missed"] : []),
        ...upTo(7).map(() => "tool_executed"),
      ]);
    }
  });

  // Demanded: journal-truth
  test("tells all that is left between what somebody's flood has cost them, once that something is missing, and those whom it does not concern nothing", async () => {
    await using rig = openJournal();
    const ben = someone({ subject: "ben" });
    const mallory = someone({ subject: "mallory" });
    const begun = [everybody, ben, mallory].map((who) => rig.open(who));
    await rig.write(1, { type: "server_enabled", subject: null });
    for (const stream of begun) await stream.until(1);
    for (const stream of begun) await stream.cancel();
    const after = begun.map((stream) => stream.lastId());
    for (let i = 0; i < 30; i++) {
      await rig.write(100, { subject: "mallory" });
      await rig.write(3, { subject: "ben", data: { n: `ben ${i}` } });
      await rig.write(1, {
        type: "server_changed",
        subject: null,
        data: { n: `server ${i}` },
      });
    }
    for (let more = true; more;) {
      const some = bounds({ most: 590, kept: { most: 1000 } });
      ({ more } = await rig.journal.prune(some, 100));
    }
    const kept = upTo(30).flatMap((i) => [
      ...upTo(3).map(() => `ben ${i - 1}`),
      `server ${i - 1}`,
    ]);
    const told = async (who: Principal, n: number) => {
      const index = [everybody, ben, mallory].indexOf(who);
      const stream = rig.open(who, { after: after[index]! });
      await stream.until(n);
      return stream.messages();
    };

    const missed = (messages: { event?: unknown }[]) =>
      messages.flatMap(({ event }, i) =>
        event === "events_missed" ? [i] : [],
      );
    const all = await told(everybody, 621);
    expect(missed(all)).toEqual([0]);
    expect(all.map(({ n }) => n).filter((n) => typeof n === "string")).toEqual(
      kept,
    );
    expect(missed(await told(mallory, 531))).toEqual([0]);
    const bens = await told(ben, 120);
    expect(bens.map(({ n }) => n)).toEqual(kept);
  });

  test("says so when the last id is none of this workspace's, and goes on from now", async () => {
    await using rig = openJournal();
    await rig.write(2);
    const other = rig.open({ ...everybody, workspace: "w2" });
    await other.untilText("\n\n");
    const ahead = rig.places.encode("w", 99, null);
    const replaced = rig.places.encode("w", 1, "f".repeat(32));
    for (const after of [
      other.lastId(),
      ahead,
      replaced,
      "2",
      "x".repeat(9999),
    ]) {
      const stream = rig.open(everybody, { after });
      await stream.until(1);
      expect(stream.messages()).toMatchObject([
        { event: "events_missed", reason: "unknown" },
      ]);
      await rig.write();
      await stream.until(2);
      expect(stream.numbers()[1]).toBe(rig.journal.last());
      await stream.cancel();
    }
  });

  test("whose reader stalls is cut off after a minute, costs no memory until then, and resumes without a loss", async () => {
    await using rig = openJournal();
    const stalled = rig.open();
    const keeping = rig.open();
    await stalled.untilText("\n\n");
    await rig.write(1000);
    await keeping.until(1000);
    rig.clock.advance(61_000);
    rig.streams.beat();
    expect(rig.streams.count()).toBe(1);
    expect(rig.feed.count()).toBe(1);
    await expect(stalled.toEnd()).rejects.toThrow("stalled");
    // Some pages at most were on their way.
    expect(stalled.numbers().length).toBeLessThan(200);
    const again = rig.open(everybody, { after: stalled.lastId() });
    await again.until(1000 - stalled.numbers().length);
    expect([...stalled.numbers(), ...again.numbers()]).toEqual(upTo(1000));
  });

  test("ends at the next heartbeat when its credential is good no more, and not when nobody can say", async () => {
    await using rig = openJournal();
    const stream = rig.open();
    await stream.untilText("\n\n");
    rig.valid = async () => {
      throw new Error("Membrane is away.");
    };
    rig.streams.beat();
    await stream.untilText("heartbeat");
    expect(rig.streams.count()).toBe(1);
    rig.valid = async () => null;
    rig.streams.beat();
    await stream.toEnd();
    expect(rig.streams.count()).toBe(0);
    expect(rig.feed.count()).toBe(0);
  });

  test("shows less from the next heartbeat on when its credential may see less", async () => {
    await using rig = openJournal();
    const wide = someone({ scope: "apps:write" });
    const stream = rig.open(wide);
    await rig.write(1, { subject: "bob" });
    await stream.until(1);
    rig.valid = async () => someone();
    rig.streams.beat();
    await stream.untilText("heartbeat");
    await rig.write(1, { subject: "bob" });
    await rig.write(1);
    await stream.until(2);
    expect(stream.numbers()).toEqual([1, 3]);
  });

  test("is one of so many of its caller, and of others there may be more", async () => {
    await using rig = openJournal();
    const mine = upTo(MAX_READERS).map(() => rig.open(someone()));
    expect(() => rig.open(someone())).toThrow(
      expect.objectContaining({ code: "rate_limited" }),
    );
    rig.open(someone({ subject: "bob" }));
    rig.open(someone({ workspace: "w2" }));
    await mine[0]!.cancel();
    rig.open(someone());
    expect(() => rig.open(someone())).toThrow(/already/);
  });

  test("tells what another process has written when it is looked for", async () => {
    await using rig = openJournal();
    const stream = rig.open();
    await rig.write();
    await stream.until(1);
    {
      using other = new Database(databaseFile(rig.directory));
      other.run(
        `INSERT INTO journal (at, type, workspace, data) VALUES (0, 'server_removed', 'w', '{"n": 2}')`,
      );
    }
    rig.feed.look();
    await stream.until(2);
    await rig.write(1, { data: { n: 3 } });
    await stream.until(3);
    expect(stream.numbers()).toEqual([1, 2, 3]);
  });
});

describe("the audit", () => {
  const view = { workspace: "w", subject: null, shared: true };
  const query = { who: someone(), view, types: null, cursor: null, limit: 10 };

  test("goes through everything, the newest first, in pages that fit together", async () => {
    await using rig = openJournal();
    await rig.write(25);
    const found: unknown[] = [];
    let pages = 0;
    for (let cursor: string | null = null; pages === 0 || cursor !== null;) {
      const page = await rig.audit.page({ ...query, cursor });
      found.push(...page.entries.map(({ data }) => data["n"]));
      // What comes meanwhile is on no later page.
      await rig.write();
      ({ cursor } = page);
      pages++;
    }
    expect(found).toEqual(upTo(25).toReversed());
    expect(pages).toBe(3);
  });

  test("finds the few that are meant among very many, and lets others have their turn meanwhile", async () => {
    await using rig = openJournal();
    await rig.write(1, { type: "session_opened" });
    await rig.write(70_000);
    let turns = 0;
    let looking = true;
    const others = (async () => {
      while (looking) {
        await new Promise((resolve) => setImmediate(resolve));
        turns++;
      }
    })();
    const { entries, cursor } = await rig.audit.page({
      ...query,
      types: ["session_opened"],
    });
    looking = false;
    await others;
    expect(entries.map(({ seq }) => seq)).toEqual([1]);
    expect(cursor).toBeNull();
    expect(turns).toBeGreaterThan(2);
  });

  test("looks once in a turn for all who ask, in their turns, and for one of them so many times at once", async () => {
    await using rig = openJournal();
    await rig.write(70_000);
    const page = (subject: string) =>
      rig.audit.page({
        ...query,
        who: someone({ subject }),
        types: ["session_opened"],
      });
    const order: string[] = [];
    let turns = 0;
    let looking = true;
    const others = (async () => {
      while (looking) {
        await new Promise((resolve) => setImmediate(resolve));
        turns++;
      }
    })();
    const many = Array.from({ length: MAX_PAGES }, () =>
      page("eve").then(() => order.push("eve")),
    );
    const one = page("bob").then(() => order.push("bob"));
    expect(await page("eve").catch((error: unknown) => error)).toMatchObject({
      code: "rate_limited",
    });
    await Promise.all([...many, one]);
    looking = false;
    await others;
    expect(order[0]).toBe("bob");
    // Four looks for each of them.
    expect(turns).toBeGreaterThan(4 * MAX_PAGES);
    await page("eve");
  });

  // Demanded: journal-truth
  test("says which pages entries are missing from", async () => {
    await using rig = openJournal();
    const shared = { type: "server_changed", subject: null } as const;
    await rig.write(5, shared);
    await rig.write(25_000);
    await rig.write(5, { ...shared, data: { n: "new" } });
    const some = bounds({ before: Infinity, kept: { before: 0 } });
    for (let more = true; more;) {
      ({ more } = await rig.journal.prune(some, 5000));
    }
    const first = await rig.audit.page({ ...query, limit: 5 });
    expect(first).toMatchObject({ pruned: false });
    const next = await rig.audit.page({ ...query, cursor: first.cursor });
    expect(next).toMatchObject({ pruned: true, cursor: null });
    expect(next.entries.map(({ data }) => data["n"])).toEqual([5, 4, 3, 2, 1]);
    const asked = { ...query, types: ["server_changed"] as const };
    expect(await rig.audit.page(asked)).toMatchObject({ pruned: false });
  });

  test("misses nothing that went before the time that was asked for", async () => {
    await using rig = openJournal();
    await rig.write(3);
    rig.clock.advance(1000);
    const since = rig.clock.now();
    await rig.write(3);
    await rig.journal.prune(bounds({ most: 3 }), 100);
    const pruned = async (from: number) =>
      (await rig.audit.page({ ...query, since: from })).pruned;
    expect(await pruned(since - 1)).toBe(true);
    rig.clock.advance(1000);
    await rig.write(1);
    expect(await pruned(since + 1000)).toBe(false);
    expect((await rig.audit.page(query)).pruned).toBe(true);
  });

  test("tells nobody that entries of others are missing", async () => {
    await using rig = openJournal();
    await rig.write(10, { subject: "bob" });
    await rig.write(1);
    await rig.journal.prune(bounds({ most: 6 }), 100);
    const pruned = async (subject: string | null, of: string) => {
      const view = { ...query.view, subject, shared: true };
      return (await rig.audit.page({ ...query, view, of })).pruned;
    };
    expect(await pruned(null, "bob")).toBe(true);
    expect(await pruned("bob", "bob")).toBe(true);
    expect(await pruned("ada", "bob")).toBe(false);
    expect(await pruned("ada", "ada")).toBe(false);
    expect(await pruned(null, "ada")).toBe(false);
  });

  test("of nothing is one page without a next", async () => {
    await using rig = openJournal();
    expect(await rig.audit.page(query)).toEqual({
      entries: [],
      cursor: null,
      pruned: false,
    });
    await rig.write(10);
    const { cursor } = await rig.audit.page(query);
    expect(cursor).toBeNull();
  });

  test("refuses a cursor of another workspace, and what is none", async () => {
    await using rig = openJournal();
    await rig.write(20, { workspace: "w2" });
    await rig.write(20);
    const { cursor } = await rig.audit.page({
      ...query,
      view: { ...view, workspace: "w2" },
    });
    expect(cursor).not.toBeNull();
    for (const wrong of [cursor, "1", ""]) {
      await expect(
        rig.audit.page({ ...query, cursor: wrong }),
      ).rejects.toMatchObject({ code: "invalid" });
    }
  });
});
