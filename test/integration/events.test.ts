import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EventSource } from "eventsource";
import type { Scope } from "../../src/core/principal.ts";
import { createApiKeys } from "../../src/gateway/keys.ts";
import { randomIds, systemClock } from "../../src/runtime/machine.ts";
import { openRegistry } from "../../src/store/sqlite/operate.ts";
import { WORKSPACE_KEY, openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { bounds } from "../support/journal-bounds.ts";

/** The event stream and the audit as their callers see them. */

const AUDIT = `/api/v2/w/${WORKSPACE_KEY}/audit`;

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

async function keyOf(subject: string, scope: Scope = "apps:read", on = rig) {
  using registry = openRegistry(on.directory, systemClock);
  const keys = createApiKeys({
    store: registry.apiKeys,
    clock: systemClock,
    ids: randomIds,
  });
  const { key, apiKey } = await keys.mint(operator, {
    name: "k",
    subject,
    scope,
  });
  return { key, id: apiKey.id };
}
const operator = {
  workspace: WORKSPACE_KEY,
  subject: "operator",
  name: null,
  method: "operator",
  scope: "apps:admin",
  token: null,
  expiresAt: null,
} as const;

/** A page's `EventSource`, and what it has been told. */
async function listen(user: string, more = "", on = rig) {
  const token = await on.tokenFor(user);
  const source = new EventSource(`${on.url}/mcp/stream?token=${token}${more}`);
  const told: any[] = [];
  const ids: string[] = [];
  let wake = () => {};
  source.onmessage = ({ data, lastEventId }) => {
    told.push(JSON.parse(data));
    ids.push(lastEventId);
    wake();
  };
  let opened = 0;
  source.onopen = () => {
    opened++;
    wake();
  };
  const until = async (found: () => boolean) => {
    while (!found()) await new Promise<void>((resolve) => (wake = resolve));
  };
  await until(() => opened > 0);
  return {
    told,
    ids,
    until: (count: number) => until(() => told.length >= count),
    reopened: () => until(() => opened > 1),
    [Symbol.dispose]: () => source.close(),
  };
}

async function headersOf(who: string): Promise<Record<string, string>> {
  return who.startsWith("mcpk_")
    ? { "x-api-key": who }
    : { authorization: `Bearer ${await rig.tokenFor(who)}` };
}
async function get(who: string, path: string, headers = {}) {
  const response = await fetch(rig.url + path, {
    headers: { ...(await headersOf(who)), ...headers },
  });
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  return {
    status: response.status,
    type,
    text,
    body:
      type.includes("json") && !type.includes("ndjson")
        ? JSON.parse(text)
        : null,
  };
}

describe("GET /mcp/stream", () => {
  // Demanded: events-own
  test("tells a page's EventSource what happens to its user, and to nobody else", async () => {
    using ada = await listen("ada1");
    using bob = await listen("bob1");
    const session = await rig.open("ada1");
    await rig.open("bob1");
    await ada.until(1);
    await bob.until(1);
    await rig.open("ada1");
    await ada.until(2);
    expect(ada.told[0]).toMatchObject({
      event: "session_opened",
      memberId: "ada1",
      session,
    });
    const whose = (told: any[]) =>
      new Set(told.map(({ memberId }) => memberId));
    expect(whose(ada.told)).toEqual(new Set(["ada1"]));
    expect(whose(bob.told)).toEqual(new Set(["bob1"]));
  });

  test("is server-sent events that no proxy keeps back", async () => {
    const stream = await fetch(`${rig.url}/mcp/stream`, {
      headers: await headersOf("ada2"),
    });
    expect(stream.headers.get("content-type")).toStartWith("text/event-stream");
    expect(stream.headers.get("cache-control")).toBe("no-cache");
    expect(stream.headers.get("x-accel-buffering")).toBe("no");
    await stream.body!.cancel();
  });

  test("shows an API key everything of its workspace, by what is asked for", async () => {
    const { key } = await keyOf("bot3");
    const stream = await rig.listen(
      key,
      {},
      "/mcp/stream?types=session_opened&types=session_ended,tools_enabled",
    );
    const session = await rig.open("ada3");
    await fetch(`${rig.url}/mcp`, {
      method: "DELETE",
      headers: { ...(await headersOf("ada3")), "mcp-session-id": session },
    });
    await rig.open("bob3");
    await stream.until(
      ({ data }) => data?.includes('"memberId":"bob3"') ?? false,
    );
    const told = stream.events
      .filter(({ data }) => data)
      .map(({ data }) => JSON.parse(data!))
      .filter(({ memberId }) => memberId?.endsWith("3"));
    expect(told.map(({ event, memberId }) => [event, memberId])).toEqual([
      ["session_opened", "ada3"],
      ["session_ended", "ada3"],
      ["session_opened", "bob3"],
    ]);
    // No `event:`: a page reads all of them with `onmessage`.
    expect(stream.events.every(({ event }) => event === undefined)).toBeTrue();
    stream.close();
  });

  test("an EventSource goes on by itself after a restart, without a gap or a duplicate", async () => {
    await using own = await openRig();
    using ada = await listen("ada", "", own);
    await own.open("ada");
    await ada.until(1);
    const restarted = own.restart();
    await restarted;
    // Before it is back.
    const missed = await own.open("ada");
    await ada.reopened();
    const live = await own.open("ada");
    await ada.until(3);
    expect(ada.told.slice(1).map(({ session }) => session)).toEqual([
      missed,
      live,
    ]);
    expect(new Set(ada.ids).size).toBe(3);
  });

  test.each(["Last-Event-ID", "?lastEventId="])(
    "begins after %s with exactly the rest",
    async (how) => {
      const who = `ada-${how.length}`;
      const first = await rig.listen(who, {}, "/mcp/stream");
      await rig.open(who);
      const { id } = await first.until(({ data }) => data !== undefined);
      first.close();
      const missed = await rig.open(who);
      const again =
        how === "Last-Event-ID"
          ? await rig.listen(who, { "last-event-id": id! }, "/mcp/stream")
          : await rig.listen(who, {}, `/mcp/stream?lastEventId=${id}`);
      const next = await again.until(({ data }) => data !== undefined);
      expect(JSON.parse(next.data!)).toMatchObject({ session: missed });
      again.close();
    },
  );

  test("refuses types that there are not, naming those that there are", async () => {
    const answer = await get("ada", "/mcp/stream?types=tool_executed,nonsense");
    expect(answer.status).toBe(400);
    expect(answer.type).toStartWith("application/problem+json");
    expect(answer.body.detail).toContain("no type of event nonsense");
    expect(answer.body.detail).toContain("tool_executed, tools_enabled");
  });

  test("asks for a credential, and takes one", async () => {
    const response = await fetch(`${rig.url}/mcp/stream`);
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toStartWith("Bearer ");
    const { key } = await keyOf("bot");
    const both = await get("ada", "/mcp/stream", { "x-api-key": key });
    expect(both.status).toBe(400);
    const post = await fetch(`${rig.url}/mcp/stream`, { method: "POST" });
    expect(post.status).toBe(405);
  });

  test("takes no token in its URL where that is switched off", async () => {
    await using own = await openRig({ env: { TOKEN_IN_QUERY: "false" } });
    const token = await own.tokenFor("ada");
    const response = await fetch(`${own.url}/mcp/stream?token=${token}`);
    expect(response.status).toBe(401);
  });

  test("ends within a heartbeat when its API key is revoked, and is not opened again", async () => {
    const { key, id } = await keyOf("bot4");
    const stream = await rig.listen(key, {}, "/mcp/stream");
    {
      using registry = openRegistry(rig.directory, systemClock);
      await registry.apiKeys.revoke(WORKSPACE_KEY, id, systemClock.now());
    }
    rig.tick();
    await stream.ended;
    expect((await get(key, "/mcp/stream")).status).toBe(401);
  });
});

describe("GET …/audit", () => {
  // Demanded: audit
  test("shows a member their own things, and an API key everybody's", async () => {
    await rig.open("ada5");
    await rig.open("bob5");
    const { key } = await keyOf("bot5");
    const members = async (who: string) => {
      const { status, body } = await get(who, `${AUDIT}?types=session_opened`);
      expect(status).toBe(200);
      return body.entries
        .map(({ memberId }: any) => memberId)
        .filter((member: string) => member.endsWith("5"));
    };
    expect(await members("ada5")).toEqual(["ada5"]);
    expect(await members("bob5")).toEqual(["bob5"]);
    expect(await members(key)).toEqual(["bob5", "ada5"]);
    const { body } = await get("ada5", `${AUDIT}?user=bob5`);
    expect(body).toEqual({
      entries: [],
      cursor: null,
      pruned: false,
    });
  });

  // Demanded: audit
  test("pages with a cursor, the newest first", async () => {
    const sessions = [];
    for (let i = 0; i < 5; i++) sessions.unshift(await rig.open("ada6"));
    const found: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const more: string = cursor && `&cursor=${cursor}`;
      const { body } = await get("ada6", `${AUDIT}?limit=2${more}`);
      expect(body.entries.length).toBeLessThanOrEqual(2);
      found.push(...body.entries.map(({ session }: any) => session));
      ({ cursor } = body);
    }
    expect(found).toEqual(sessions);
  });

  // Demanded: audit
  test("filters by member and time", async () => {
    const { key } = await keyOf("bot7");
    const before = new Date().toISOString();
    await rig.open("ada7");
    const of = (query: string) =>
      get(key, `${AUDIT}?${query}`).then(({ body }) =>
        body.entries.map(({ event }: any) => event),
      );
    expect(await of("user=ada7")).toEqual(["session_opened"]);
    expect(await of(`user=ada7&since=${before}`)).toEqual(["session_opened"]);
    expect(await of(`user=ada7&until=${before}`)).toEqual([]);
    expect(await of("user=ada7&since=2001-01-01")).toEqual(["session_opened"]);
    expect(await of("user=ada7&requestId=none")).toEqual([]);
  });

  test.each([
    ["limit=0", "limit"],
    ["limit=501", "limit"],
    ["limit=x", "limit"],
    ["since=yesterday", "since"],
    ["until=2026-13-01", "until"],
    ["types=nonsense", "nonsense"],
    ["cursor=nonsense", "cursor"],
    ["format=xml", "format"],
    ["frm=1", "frm"],
    ["user=", "user"],
    ["limit=1&limit=2", "limit"],
    ["format=ndjson&cursor=nonsense", "cursor"],
  ])("refuses %s, and says what is wrong", async (query, word) => {
    const answer = await get("ada", `${AUDIT}?${query}`);
    expect(answer.status).toBe(400);
    expect(answer.type).toStartWith("application/problem+json");
    expect(answer.body.detail).toContain(word);
  });

  test("of another workspace is not found, and without a scope it is refused", async () => {
    expect((await get("ada", "/api/v2/w/other/audit")).status).toBe(404);
    await using own = await openRig({ env: { TOKEN_SCOPES: "none" } });
    const response = await fetch(own.url + AUDIT, {
      headers: { authorization: `Bearer ${await own.tokenFor("ada")}` },
    });
    expect(response.status).toBe(403);
  });

  test.each(["format=ndjson", "Accept"])(
    "is exported whole by %s, one line for each entry",
    async (how) => {
      const { key } = await keyOf("bot8");
      const accept = how === "Accept" ? { accept: "application/x-ndjson" } : {};
      const query = how === "Accept" ? "" : `?${how}`;
      const answer = await get(key, AUDIT + query, accept);
      expect(answer.type).toBe("application/x-ndjson");
      const lines = answer.text
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
      const { body } = await get(key, `${AUDIT}?limit=500`);
      expect(lines).toEqual(body.entries);
      expect(lines.length).toBeGreaterThan(3);
      const none = await get(key, `${AUDIT}?user=nobody&format=ndjson`);
      expect([none.status, none.text]).toEqual([200, ""]);
      const few = await get(key, `${AUDIT}?limit=2&format=ndjson`);
      expect(few.text.trimEnd().split("\n")).toHaveLength(2);
    },
  );

  // Demanded: audit
  test("exports more than a page, and a large one while others are answered", async () => {
    await using own = await openRig();
    using registry = openRegistry(own.directory, systemClock);
    await registry.journal.append(
      Array.from({ length: 3000 }, (_, n) => ({
        type: "tool_executed" as const,
        workspace: WORKSPACE_KEY,
        subject: "ada",
        by: null,
        requestId: null,
        traceparent: null,
        data: { n },
      })),
    );
    const response = await fetch(`${own.url}${AUDIT}?format=ndjson`, {
      headers: { authorization: `Bearer ${await own.tokenFor("ada")}` },
    });
    const lines = (await response.text()).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line).n)).toEqual(
      Array.from({ length: 3000 }, (_, i) => 2999 - i),
    );
  });

  test("says in an export, after all that is kept, that some is kept no longer", async () => {
    await using own = await openRig();
    using registry = openRegistry(own.directory, systemClock);
    const { journal } = registry;
    await journal.append(
      Array.from({ length: 1200 }, (_, n) => ({
        type: "tool_executed" as const,
        workspace: WORKSPACE_KEY,
        subject: n < 1199 ? "ada" : "bob",
        by: null,
        requestId: null,
        traceparent: null,
        data: { n },
      })),
    );
    const linesOf = async (user: string, more = "") => {
      const response = await fetch(`${own.url}${AUDIT}?format=ndjson${more}`, {
        headers: { authorization: `Bearer ${await own.tokenFor(user)}` },
      });
      const text = await response.text();
      return text
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line));
    };
    for (let more = true; more;) {
      ({ more } = await journal.prune(bounds({ most: 1100 }), 5000));
    }
    const lines = await linesOf("ada");
    const last = lines.pop();
    expect(last).toEqual({
      event: "events_missed",
      timestamp: expect.any(String),
      reason: "forgotten",
      message: expect.stringContaining("kept no longer"),
    });
    expect(lines).toHaveLength(1099);
    expect(lines.every(({ event }) => event === "tool_executed")).toBe(true);
    // What is missing is not before those, and not of everybody.
    expect((await linesOf("ada", "&limit=3")).map(({ n }) => n)).toEqual([
      1198, 1197, 1196,
    ]);
    expect((await linesOf("bob")).map(({ n }) => n)).toEqual([1199]);
  });
});
