import { describe, expect, test } from "bun:test";
import { openGateway } from "../support/gateway.ts";
import { openCanary } from "../support/servers/canary.ts";
import { openEvil } from "../support/servers/evil.ts";
import type { BehaviourOptions, Mode } from "../support/servers/evil-modes.ts";
import { openLegacyServer } from "../support/servers/legacy-v1.ts";

/**
 * A registered server that misbehaves in every way there is costs nobody who does not use it: others' tools are served,
 * and who calls it gets an answer or a clear error, in time.
 */

/** What a call of its good tool comes to. */
type Outcome = "works" | RegExp;
type Row = {
  mode: Mode;
  /** With sessions, and without. */
  call: Outcome;
  stateless?: Outcome;
  options?: BehaviourOptions;
};

const LATE = /did not answer within/;
const BROKEN = /evil does not answer as an MCP server does/;
const CUT = /evil broke off .* unknown/;
const LARGE = /evil has sent a message of more than 8 MB/;

const rows: Row[] = [
  { mode: "hang", call: LATE },
  { mode: "accept-and-hang", call: LATE },
  { mode: "hang-in-headers", call: LATE },
  { mode: "drip", call: LATE },
  {
    mode: "continue",
    options: { everyMs: 1 },
    call: /does not come to its answer/,
  },
  { mode: "never-ending", call: LARGE },
  { mode: "huge-json", call: LARGE },
  { mode: "gzip-bomb", call: LARGE },
  { mode: "endless-line", call: LARGE },
  { mode: "header-flood", call: /does not answer as an HTTP server should/ },
  {
    mode: "notification-flood",
    options: { count: 30_000, on: ["tools/call", "tools/list"] },
    call: /evil sends more notifications than anybody could read/,
  },
  {
    mode: "notification-flood",
    options: { on: ["GET", "subscriptions/listen"] },
    call: "works",
  },
  { mode: "malformed-json", call: BROKEN },
  { mode: "not-jsonrpc", call: BROKEN },
  { mode: "html", call: BROKEN },
  {
    mode: "html",
    options: { status: 502 },
    call: /evil answers with HTTP 502/,
  },
  {
    mode: "html",
    options: { status: 404 },
    call: /evil forgets each session/,
    stateless: /evil answers with HTTP 404/,
  },
  { mode: "empty", call: BROKEN },
  { mode: "reset", call: CUT },
  { mode: "cut", call: CUT },
  { mode: "wrong-id", call: BROKEN },
  { mode: "two-responses", call: "works" },
  { mode: "result-and-error", call: BROKEN },
  { mode: "deep-json", call: /nested more than 64 levels/ },
  // What is connected already goes on.
  { mode: "unknown-version", options: { on: ["initialize"] }, call: "works" },
  { mode: "session-id", call: "works" },
  { mode: "session-id", options: { value: "a\r\nb: c" }, call: "works" },
  {
    mode: "no-session",
    call: /evil forgets each session/,
    stateless: /Session not found/,
  },
  { mode: "redirect", call: /evil sends its requests elsewhere \(HTTP 307\)/ },
  { mode: "redirect", options: { status: 302 }, call: /\(HTTP 302\)/ },
  { mode: "unauthorized", call: /an administrator has to set it up/ },
  { mode: "insufficient-scope", call: /evil does not permit this/ },
  { mode: "status", call: /evil answers with HTTP 500/ },
  {
    mode: "status",
    options: { status: 429 },
    call: /evil takes no more requests at present/,
  },
  {
    mode: "status",
    options: { status: 400, value: "no such session" },
    call: /evil forgets each session/,
    stateless: /evil answers with HTTP 400/,
  },
  { mode: "unasked-requests", call: "works" },
  { mode: "flapping", options: { everyMs: 20 }, call: /./ },
];

const sseRows: Row[] = [
  { mode: "hang", call: LATE },
  { mode: "never-ending", call: LATE },
  { mode: "endless-line", options: { on: ["GET"] }, call: "works" },
  { mode: "notification-flood", options: { on: ["GET"] }, call: "works" },
  { mode: "reset", call: CUT },
  { mode: "html", options: { status: 404 }, call: /evil forgets each session/ },
  { mode: "redirect", call: /\(HTTP 307\)/ },
  { mode: "redirect", options: { on: ["GET"] }, call: "works" },
  { mode: "unauthorized", call: /an administrator has to set it up/ },
  { mode: "foreign-endpoint", options: { on: [] }, call: "works" },
  { mode: "wrong-id", call: LATE },
];

const all = [
  ...rows.map((row) => ({ ...row, era: "legacy" as const, sse: false })),
  ...rows.map(({ stateless, ...row }) => ({
    ...row,
    call: stateless ?? row.call,
    era: "stateless" as const,
    sse: false,
  })),
  ...sseRows.map((row) => ({ ...row, era: "legacy" as const, sse: true })),
].map((row) => ({
  ...row,
  name: `${row.mode} ${JSON.stringify(row.options ?? {})}`,
}));

/** Much more than eight megabytes for each request, with what waits in sockets. */
const MAX_SENT = 250_000_000;

describe("a server that misbehaves", () => {
  // Demanded: servers-misbehave
  test.each(all)(
    "$name (era $era, SSE $sse)",
    async (row) => {
      const { mode, options, era, sse } = row;
      await using evil = await openEvil({ era });
      await using good = await openLegacyServer();
      await using canary = await openCanary();
      await using gateway = await openGateway({
        env: { CALL_TIMEOUT: row.call === LATE ? "400ms" : "20s" },
        times: { soon: 100, list: 5000, connect: 15_000 },
        upstreams: [
          { slug: "good", at: good.url },
          { slug: "evil", at: sse ? evil.sseUrl : evil.url, sse },
        ],
      });
      const asked: unknown[] = [];
      await using ann = await gateway.client("ann", { kind: "v1" });
      await using bob = await gateway.client("bob", {
        kind: "v1",
        elicit: (params) => (asked.push(params), { action: "accept" }),
        sample: (params) => (asked.push(params), "yes"),
        roots: [],
      });
      const has = async (client: typeof ann, name: string) =>
        (await client.toolNames()).includes(name);
      while (!(await has(ann, "evil_good_one"))) await Bun.sleep(1);

      const sent = evil.sent();
      evil.behave(mode, { to: canary.origins[1]!, ...options });
      const outcome = await ann
        .text("evil_good_one", { words: "w" })
        .catch((error: Error) => error.message);
      if (row.call === "works") expect(outcome).toBe('{"words":"w"}');
      else expect(outcome).toMatch(row.call);

      // One who has never listed before.
      while (!(await has(bob, "good_echo"))) await Bun.sleep(1);
      let echo: string;
      // What is little time for the other may be for this one, on a slow machine.
      do {
        echo = await bob
          .text("good_echo", { a: 1 })
          .catch((error: Error) => error.message);
      } while (row.call === LATE && LATE.test(echo));
      expect(echo).toBe('{"a":1}');
      expect((await fetch(`${gateway.url}/health`)).status).toBe(200);
      expect(await has(ann, "evil_good_one")).toBe(true);
      expect(outcome).not.toContain(canary.origins[1]!);
      expect(canary.visits).toEqual([]);
      // Nor does it get an answer to what nobody was asked.
      expect(asked).toEqual([]);
      expect(evil.answers.filter((answer) => "result" in answer)).toEqual([]);
      expect(evil.sent() - sent).toBeLessThan(MAX_SENT);
      // One that reads nothing does not see who leaves; one that comes and goes may be gone.
      if (mode === "accept-and-hang" || mode === "flapping") return;
      // What each member listens on, and what just ends.
      while (evil.connections() > 2) await Bun.sleep(1);
    },
    60_000,
  );
});
