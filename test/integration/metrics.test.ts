import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { createRest } from "../support/absent-servers.ts";
import { WORKSPACE_KEY, openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, listTools } from "../support/caller.ts";
import { parseMetrics } from "../support/prometheus.ts";
import type { Scraped } from "../support/prometheus.ts";
import type { FullServer } from "../support/servers/full.ts";
import { openFullServer } from "../support/servers/full.ts";
import { headersFor, request } from "../support/stateless.ts";

/** What is told to Prometheus, over real sockets. */

const TOKEN = "a-token.for-scrapers";

/** Names that a label could have been given, and must not. */
const USER = "sentinel-user";
const SLUG = "sentinel-server";
const CHAT = "sentinel-chat";
const ARGUMENT = "sentinel-argument";

const get = (url: string, headers: Record<string, string> = {}) =>
  fetch(url, { headers });

describe("metrics after traffic over every door", () => {
  let rig: Rig;
  let full: FullServer;
  let at: string;
  let scraped: Scraped;
  let text: string;
  let sessionId: string;
  let token: string;

  beforeAll(async () => {
    full = await openFullServer();
    rig = await openRig({
      env: {
        METRICS_PORT: "0",
        OUTBOUND_ALLOW: "127.0.0.0/8",
        TOKEN_SCOPES: "apps:admin",
      },
    });
    at = String(rig.lines.find(({ event }) => event === "metrics")!["address"]);
    token = await rig.tokenFor(USER);
    const rest = createRest(rig.url);
    await rest(token, "POST /servers", { name: SLUG, url: full.url });
    await rest(token, "POST /servers", {
      name: "gone",
      url: full.url.replace(/:\d+/, ":55555"),
    });

    const chat = { "x-chat-id": CHAT };
    sessionId = await rig.open(USER, chat);
    const session = { "mcp-session-id": sessionId };
    const say = (message: unknown) => rig.post(USER, message, session);
    await say(listTools);
    await say(call(`${SLUG}_echo`, { text: ARGUMENT }));
    await say(call("lab_fail-throw", { text: ARGUMENT }));
    await say(call(ARGUMENT, {}));
    await say({ jsonrpc: "2.0", id: 9, method: `x/${ARGUMENT}` });
    await rig.post(USER, request("tools/list"), headersFor("tools/list"));
    await rest(token, `POST /tools/${SLUG}_echo/call`, {
      params: { text: ARGUMENT },
    });
    await rig.post(null, listTools);
    await rig.post("a.b.c", listTools);
    await get(`${rig.url}/${ARGUMENT}?token=sentinel-token`);
    await get(`${rig.url}/health`);
    const old = await rig.connect(USER, { sse: true });
    await old.client.listTools();
    await rig.listen(USER, session);

    const answer = await get(at);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toStartWith("text/plain");
    text = await answer.text();
    scraped = parseMetrics(text);
  });
  afterAll(async () => {
    await rig[Symbol.asyncDispose]();
    await full[Symbol.asyncDispose]();
  });

  // Demanded: metrics-names
  test("count requests by door, method and how they ended", () => {
    const requests = (labels: Record<string, string>) =>
      scraped.value("mcp_requests_total", labels);
    const mcp = { door: "mcp" };
    const of = (method: string, status: string) =>
      requests({ ...mcp, method, status });
    expect(of("initialize", "ok")).toBe(1);
    expect(of("tools/list", "ok")).toBe(2);
    expect(of("tools/call", "ok")).toBe(1);
    expect(of("tools/call", "tool_error")).toBe(1);
    expect(of("tools/call", "refused")).toBe(1);
    expect(of("other", "refused")).toBe(1);
    expect(requests({ door: "sse", method: "tools/list" })).toBe(1);
    expect(requests({ door: "sse", method: "initialize" })).toBe(1);
    const http = (labels: Record<string, string>) =>
      scraped.value("mcp_http_requests_total", labels);
    expect(http({ door: "health", method: "GET", status: "2xx" })).toBe(1);
    expect(http({ door: "rest", method: "POST", status: "2xx" })).toBe(3);
    expect(http({ door: "other", method: "GET", status: "4xx" })).toBe(1);
    expect(http({ door: "mcp", status: "4xx" })).toBe(2);
  });

  test("measure as many durations as they count", () => {
    const count = (name: string) => scraped.value(name);
    expect(count("mcp_request_duration_seconds_count")).toBe(
      count("mcp_requests_total"),
    );
    expect(count("mcp_http_request_duration_seconds_count")).toBe(
      count("mcp_http_requests_total"),
    );
    expect(count("mcp_tool_call_duration_seconds_count")).toBe(
      count("mcp_tool_calls_total"),
    );
    expect(count("mcp_request_duration_seconds_sum")).toBeGreaterThan(0);
  });

  test("tell what came of calls, of fetches and of credentials", () => {
    const { value } = scraped;
    const calls = (source: string, outcome: string) =>
      value("mcp_tool_calls_total", { source, outcome });
    // Over MCP and by REST.
    expect(calls("mcp", "ok")).toBe(2);
    expect(calls("membrane", "tool_error")).toBe(1);
    const fetched = { source: "membrane", outcome: "ok" };
    expect(value("mcp_catalog_fetches_total", fetched)).toBeGreaterThan(0);
    expect(value("mcp_auth_failures_total", { reason: "missing" })).toBe(1);
    expect(value("mcp_auth_failures_total", { reason: "refused" })).toBe(1);
  });

  // Demanded: metrics-names
  test("tell what is there: connections, sessions, servers, sizes, the process", () => {
    const { value } = scraped;
    expect(value("mcp_active_connections", { kind: "session" })).toBe(2);
    expect(value("mcp_active_connections", { kind: "call" })).toBe(0);
    expect(value("mcp_sessions", { where: "database" })).toBe(2);
    expect(value("mcp_sessions", { where: "memory" })).toBe(2);
    expect(value("mcp_events_written_total")).toBeGreaterThan(3);
    expect(value("mcp_servers", { state: "ready", enabled: "true" })).toBe(1);
    expect(value("mcp_servers", { state: "register" })).toBe(1);
    expect(value("mcp_servers_down")).toBe(0);
    expect(value("mcp_database_bytes", { file: "database" })).toBeGreaterThan(
      0,
    );
    expect(value("mcp_database_bytes", { file: "wal" })).toBeGreaterThan(0);
    expect(value("mcp_event_loop_delay_seconds", { stat: "max" })).toBeLessThan(
      30,
    );
    expect(value("process_resident_memory_bytes")).toBeGreaterThan(1e7);
    expect(value("process_cpu_seconds_total")).toBeGreaterThan(0);
    const now = Date.now() / 1000;
    expect(value("process_start_time_seconds")).toBeWithin(now - 3600, now);
    expect(value("mcp_build_info", { bun: Bun.version })).toBe(1);
  });

  // Demanded: metrics-labels
  test("have no label with a value that is not known beforehand, and name nobody and nothing", () => {
    const known: Record<string, RegExp> = {
      door: /^(mcp|sse|ws|events|rest|webhook|oauth|health|other)$/,
      method: /^([A-Z]{3,7}|[a-z]+(\/[a-zA-Z]+){0,2})$/,
      status: /^(ok|tool_error|refused|failed|cancelled|[1-5]xx)$/,
      source: /^(membrane|mcp)$/,
      outcome: /^[a-z_]+$/,
      reason: /^(missing|refused|limited|scope|unverified)$/,
      limit: /^(user|all|server|calls|streams)$/,
      kind: /^(session|call|stateless|websocket)$/,
      where: /^(memory|database)$/,
      state: /^(ready|authorize|register)$/,
      enabled: /^(true|false)$/,
      file: /^(database|wal)$/,
      stat: /^(mean|p99|max)$/,
      version: /^\d+\.\d+\.\d+$/,
      what: /^(not_stored|removed)$/,
      bun: /^\d+\.\d+\.\d+$/,
      le: /^(\d+(\.\d+)?|\+Inf)$/,
    };
    for (const { name, labels } of scraped.samples) {
      for (const [label, value] of Object.entries(labels)) {
        expect([name, label, value]).toEqual([
          name,
          label,
          expect.stringMatching(known[label] ?? /$^/),
        ]);
      }
    }
    for (const secret of ["sentinel", WORKSPACE_KEY, sessionId, token]) {
      expect(text).not.toContain(secret);
    }
  });

  test("come as OpenMetrics to who asks for that, with the same values", async () => {
    const answer = await get(at, {
      accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    });
    expect(answer.headers.get("content-type")).toStartWith(
      "application/openmetrics-text; version=1.0.0",
    );
    const open = parseMetrics(await answer.text(), true);
    const name = "mcp_requests_total";
    expect(open.value(name)).toBe(scraped.value(name));
    expect(open.families.get("mcp_requests")?.type).toBe("counter");
  });

  test("have the same names for everybody, whoever else scrapes in which form", async () => {
    const accept = "application/openmetrics-text";
    const answers = await Promise.all(
      [{}, { accept }, {}, { accept }, {}].map(async (headers) =>
        parseMetrics(
          await (await get(at, headers)).text(),
          "accept" in headers,
        ),
      ),
    );
    const namesOf = ({ samples }: Scraped) =>
      new Set(samples.map(({ name }) => name));
    expect(namesOf(answers[0]!)).toContain("mcp_requests_total");
    for (const answer of answers) {
      expect(namesOf(answer)).toEqual(namesOf(answers[0]!));
    }
  });

  // Demanded: metrics-names
  test("every expression of the README's panels is about metrics and labels that were scraped", async () => {
    const readme = await Bun.file(
      join(import.meta.dir, "../../README.md"),
    ).text();
    const [, table = ""] =
      /### Metrics\n[\s\S]*?\n(\| panel[\s\S]*?)\n\n/.exec(readme) ?? [];
    const panels = table.split("\n").slice(2);
    expect(panels.length).toBeGreaterThan(10);
    const used = new Set<string>();
    for (const panel of panels) {
      const expression = /`([^`]+)`/.exec(panel)?.[1]?.replaceAll("\\|", "|");
      if (!expression) throw new Error(`No expression: ${panel}`);
      const names = expression.match(/\b(mcp|process)_\w+/g) ?? [];
      expect([panel, names.length > 0]).toEqual([panel, true]);
      for (const name of names) {
        used.add(name.replace(/_(bucket|sum|count)$/, ""));
        const samples = scraped.samples.filter((one) => one.name === name);
        expect([name, samples.length > 0]).toEqual([name, true]);
        const labels = Object.keys(samples[0]!.labels);
        const selected = new RegExp(`${name}\\{([^}]*)\\}`).exec(expression);
        const grouped = expression.matchAll(/\bby \(([^)]*)\)/g);
        const asked = [
          ...(selected?.[1] ?? "").matchAll(/(\w+)(?:=|!=|=~|!~)"/g),
        ]
          .map((match) => match[1]!)
          .concat([...grouped].flatMap((match) => match[1]!.split(/, ?/)));
        for (const label of asked) {
          expect([expression, label, labels]).toEqual([
            expression,
            label,
            expect.arrayContaining([label]),
          ]);
        }
      }
    }
    const unseen = [...scraped.families.keys()].filter((name) => {
      // Panels of durations show what counters of the same thing would.
      return !used.has(name) && !/^process_start|_build_info/.test(name);
    });
    expect(unseen).toEqual([]);
  });

  // Demanded: metrics-private
  test("are at /metrics of their own listener, for names of this machine, and nowhere else", async () => {
    const status = async (url: string, init: RequestInit = {}) =>
      (await fetch(url, init)).status;
    expect(await status(`${rig.url}/metrics`)).toBe(404);
    for (const host of [
      "rebound.example",
      "127.example",
      "127.0.0.1.example",
    ]) {
      const answer = await status(at, { headers: { host } });
      expect([host, answer]).toEqual([host, 403]);
    }
    expect(await status(at, { method: "POST" })).toBe(405);
    expect(await status(new URL("/mcp", at).href)).toBe(404);
    expect(await status(at.replace("127.0.0.1", "localhost"))).toBe(200);
  });

  test("say each of what kind it is, and in a sentence what it is about", () => {
    for (const [name, { type, help }] of scraped.families) {
      expect([name, type !== "", help.endsWith(".")]).toEqual([
        name,
        true,
        true,
      ]);
    }
  });
});

describe("metrics on the main listener", () => {
  // Demanded: metrics-private
  test("are for who has the token, and for nobody else", async () => {
    await using rig = await openRig({
      env: { METRICS_TOKEN: TOKEN, TOKEN_SCOPES: "apps:admin" },
    });
    const scrape = (headers: Record<string, string>) =>
      get(`${rig.url}/metrics`, headers);
    const user = await rig.tokenFor("ada");
    for (const headers of [
      {},
      { authorization: `Bearer ${user}` },
      { authorization: `Bearer ${TOKEN}x` },
      { authorization: `Bearer ${"x".repeat(TOKEN.length)}` },
      { authorization: TOKEN },
      { authorization: `Basic ${TOKEN}` },
      { "x-api-key": TOKEN },
    ]) {
      const refused = await scrape(headers);
      expect(refused.status).toBe(401);
      expect(refused.headers.get("www-authenticate")).toBe("Bearer");
      expect(await refused.text()).not.toContain("mcp_");
    }
    const inQuery = await get(`${rig.url}/metrics?token=${TOKEN}`);
    expect(inQuery.status).toBe(401);
    const answer = await scrape({ authorization: `Bearer ${TOKEN}` });
    expect(answer.status).toBe(200);
    const { value } = parseMetrics(await answer.text());
    expect(value("mcp_http_requests_total", { status: "4xx" })).toBe(8);
    expect(JSON.stringify(rig.lines)).not.toContain(TOKEN);
    const asCaller = await rig.post(TOKEN, listTools);
    expect(asCaller.status).toBe(401);
  });

  test("are not there unless they are asked for", async () => {
    await using rig = await openRig({ env: { METRICS_TOKEN: "" } });
    expect((await get(`${rig.url}/metrics`)).status).toBe(404);
  });

  test("open to others than this machine without a token, they are warned of", async () => {
    const warned = async (env: Record<string, string>) => {
      await using rig = await openRig({ env: { METRICS_PORT: "0", ...env } });
      return rig.lines.find(({ event }) => event === "metrics are open");
    };
    const open = { METRICS_HOST: "0.0.0.0" };
    expect((await warned(open))?.["reason"]).toContain("Set METRICS_TOKEN");
    expect(await warned({ ...open, METRICS_TOKEN: TOKEN })).toBeUndefined();
    expect(await warned({})).toBeUndefined();
  });

  test("with a listener and a token both are asked for", async () => {
    await using rig = await openRig({
      env: { METRICS_TOKEN: TOKEN, METRICS_PORT: "0" },
    });
    const at = String(
      rig.lines.find(({ event }) => event === "metrics")!["address"],
    );
    expect((await get(at)).status).toBe(401);
    const authorization = `Bearer ${TOKEN}`;
    expect((await get(at, { authorization })).status).toBe(200);
    const main = await get(`${rig.url}/metrics`, { authorization });
    expect(main.status).toBe(404);
  });
});

test("a server that does not answer any more counts as down", async () => {
  const full = await openFullServer();
  await using rig = await openRig({
    env: {
      METRICS_PORT: "0",
      OUTBOUND_ALLOW: "127.0.0.0/8",
      TOKEN_SCOPES: "apps:admin",
    },
  });
  const rest = createRest(rig.url);
  const token = await rig.tokenFor(USER);
  await rest(token, "POST /servers", { name: SLUG, url: full.url });
  await rest(token, `POST /tools/${SLUG}_echo/call`, { params: {} });
  await full[Symbol.asyncDispose]();
  for (let i = 0; i < 6; i++) {
    await rest(token, `POST /tools/${SLUG}_echo/call`, { params: {} });
  }
  const at = String(
    rig.lines.find(({ event }) => event === "metrics")!["address"],
  );
  const { value } = parseMetrics(await (await get(at)).text());
  expect(value("mcp_servers_down")).toBe(1);
  const failed = { source: "mcp", outcome: "upstream_failed" };
  expect(value("mcp_tool_calls_total", failed)).toBeGreaterThanOrEqual(5);
});
