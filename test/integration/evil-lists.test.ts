import { describe, expect, test } from "bun:test";
import type { Gateway } from "../support/gateway.ts";
import { openGateway } from "../support/gateway.ts";
import type { McpClient } from "../support/mcp-clients.ts";
import { openCanary } from "../support/servers/canary.ts";
import { hiddenDescriptions } from "../support/servers/evil-lists.ts";
import type { Evil } from "../support/servers/evil.ts";
import { openEvil } from "../support/servers/evil.ts";
import type { BehaviourOptions, Mode } from "../support/servers/evil-modes.ts";
import { openLegacySseServer } from "../support/servers/legacy-v1.ts";
import { headersFor, request } from "../support/stateless.ts";

/** What a registered server lists, answers and learns, when it means ill. */

type Town = { evil: Evil; gateway: Gateway; lure: string };

async function inTown(
  era: "legacy" | "stateless",
  work: (town: Town) => Promise<void>,
): Promise<void> {
  await using evil = await openEvil({ era });
  await using canary = await openCanary();
  await using gateway = await openGateway({
    upstreams: [{ slug: "evil", at: evil.url }],
  });
  await work({ evil, gateway, lure: canary.origins[1]! });
  expect(canary.visits).toEqual([]);
}

type Row = {
  mode: Mode;
  options?: BehaviourOptions;
  /** Beside the good ones, without the prefix of the server. */
  names: string[];
  /** What the log says was left out. */
  left?: RegExp;
};

const lists: Row[] = [
  {
    mode: "bad-items",
    names: [
      "__proto__",
      "constructor",
      "description_number",
      "output_nonsense",
      "output_nowhere",
      "polluting",
      "toString",
    ],
    left: /tools: one that is no object/,
  },
  { mode: "huge-description", names: [], left: /too large/ },
  {
    mode: "colliding-names",
    names: [
      "Send_Email",
      "call-tool",
      "enable-tools",
      "search-tools",
      "send-email",
      "send_email",
    ],
  },
  { mode: "hidden-characters", names: Object.keys(hiddenDescriptions).sort() },
  {
    mode: "header-names",
    names: [0, 1, 2, 3, 4, 5].map((index) => `header_${index}`),
    left: /x-mcp-header/,
  },
  { mode: "remote-ref", names: ["ref_in", "ref_out", "ref_self"] },
  { mode: "redos", names: ["slow_pattern"] },
  { mode: "false-hints", names: ["drop_everything"] },
  { mode: "foreign-icons", names: ["iconic"] },
  { mode: "cursor-loop", names: [], left: /its pages never end/ },
];

const own = (names: string[]) =>
  names.map((name) => name.replace(/^evil_/, "")).sort();

describe.each(["legacy", "stateless"] as const)("in the era %s", (era) => {
  // Demanded: servers-misbehave
  test.each(lists)("$mode: the good items are there", async (row) => {
    await inTown(era, async ({ evil, gateway, lure }) => {
      evil.behave(row.mode, { to: lure, ...row.options });
      await using client = await gateway.client("bob", { kind: "v1" });
      const names = own(await client.toolNames());
      // A name with a dot has another in everybody's list.
      const plain = names.filter((name) => !/-[0-9a-z]{6}$/.test(name));
      expect(plain).toEqual(["good_one", "good_two", ...row.names].sort());
      expect(await client.text("evil_good_one", { words: "w" })).toContain("w");
      const said = gateway.lines
        .filter(({ event }) => event === "left out of a server's list")
        .map(({ reason }) => String(reason));
      if (row.left) expect(said.join("\n")).toMatch(row.left);
      else expect(said).toEqual([]);
      // However much it was.
      expect(said.length).toBeLessThan(15);
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    });
  });

  // Demanded: servers-lists-end
  test.each([
    { mode: "endless-cursor", most: 50 },
    { mode: "many-tools", options: { count: 20_000 }, most: 1000 },
  ] as const)(
    "$mode: there is an end to it",
    async ({ mode, most, ...row }) => {
      await inTown(era, async ({ evil, gateway }) => {
        evil.behave(mode, "options" in row ? row.options : {});
        await using client = await gateway.client("bob", { kind: "v1" });
        expect(await client.toolNames()).toHaveLength(most);
        const pages = evil.requests.filter(
          ({ body }) => body?.method === "tools/list",
        );
        expect(pages.length).toBeLessThanOrEqual(most + 1);
      });
    },
  );

  // Demanded: servers-suspicious
  test("what it says is changed by nobody", async () => {
    await inTown(era, async ({ evil, gateway }) => {
      evil.behave("hidden-characters");
      await using client = await gateway.client("bob", { kind: "v1" });
      const { tools } = await client.client.listTools();
      for (const [name, description] of Object.entries(hiddenDescriptions)) {
        const tool = tools.find((one) => one.name === `evil_${name}`);
        expect(tool?.description).toBe(description);
      }
    });
  });

  // Demanded: servers-links-not-followed
  test("no link of its results is followed, and none of its authorization is", async () => {
    await inTown(era, async ({ evil, gateway, lure }) => {
      await using client = await gateway.client("bob", { kind: "v1" });
      await client.toolNames();
      evil.behave("foreign-links", { to: lure });
      const { content } = await client.call("evil_good_one");
      expect(
        content.map((one) => one.type === "resource_link" && one.uri),
      ).toEqual(["file:///etc/passwd", lure]);
      evil.behave("unauthorized", { to: lure });
      const refused = JSON.stringify(await client.call("evil_good_one"));
      expect(refused).toContain("mcp_auth_required");
      expect(refused).not.toContain(lure);
    });
  });

  test.each([
    "javascript:alert(1)",
    "file:///etc/passwd",
    "data:text/html,hi",
    "https://user:secret@example.com/",
    "nonsense",
  ])("nobody is sent to %s", async (to) => {
    await inTown(era, async ({ evil, gateway }) => {
      const asked: unknown[] = [];
      const open = (kind: "v1" | "stateless"): Promise<McpClient> =>
        gateway.client("bob", {
          kind,
          elicit: (params) => (asked.push(params), { action: "accept" }),
        });
      for (const kind of ["v1", "stateless"] as const) {
        await using client = await open(kind);
        await client.toolNames();
        evil.behave("url-elicitation", { to });
        await client.call("evil_good_one").catch(() => {});
        evil.behave("honest");
        expect(await client.text("evil_good_one", { a: 1 })).toContain("1");
      }
      expect(asked).toEqual([]);
      expect(evil.answers.filter((one) => "result" in one)).toEqual([]);
    });
  });
});

describe("what a caller's requests carry reaches no server", () => {
  const secrets = {
    cookie: "session=the-cookie",
    "x-chat-id": "the-chat",
    "x-forwarded-for": "203.0.113.77",
    "x-custom": "the-custom-header",
    // The trace it stands in goes on, and nothing that was put beside it.
    baggage: "user=the-baggage",
  };

  // Demanded: servers-no-passthrough
  test.each([
    { kind: "a stateless server", era: "stateless" },
    { kind: "one with sessions", era: "legacy" },
    { kind: "one of HTTP+SSE", era: "legacy", sse: true },
  ] as const)("to $kind", async ({ era, ...more }) => {
    await using evil = await openEvil({ era });
    const sse = "sse" in more;
    await using gateway = await openGateway({
      upstreams: [
        {
          slug: "evil",
          at: sse ? evil.sseUrl : evil.url,
          sse,
          authentication: { type: "bearer", token: "its-own-credential" },
        },
      ],
    });
    const token = await gateway.tokenFor("ann");
    const key = await gateway.mintKey("ann");
    const call = { name: "evil_good_one", arguments: { words: "w" } };
    const _meta = { secret: "in-the-meta", progressToken: "the-token" };
    const plain = { accept: "application/json", ...secrets };
    const rpc = { jsonrpc: "2.0", id: 1, method: "tools/call" };
    const answers = await Promise.all([
      gateway.post(token, { ...rpc, params: { ...call, _meta } }, plain),
      gateway.post(key, { ...rpc, params: call }, plain),
      gateway.post(
        null,
        { ...rpc, params: call },
        { accept: "application/json" },
        `/mcp?token=${token}`,
      ),
      gateway.post(token, request("tools/call", { ...call, _meta }), {
        ...headersFor("tools/call", call.name),
        ...secrets,
      }),
    ]);
    for (const { body } of answers) {
      expect(JSON.stringify(body)).toContain("words");
    }
    const sent = JSON.stringify(evil.requests);
    expect(sent).toContain("Bearer its-own-credential");
    for (const secret of [
      token,
      key,
      "in-the-meta",
      "the-token",
      ...Object.values(secrets),
    ]) {
      expect(sent).not.toContain(secret);
    }
    for (const { headers, path } of evil.requests) {
      // Whoever looks for its icon has no credential at all.
      if (!/^\/(mcp|sse|messages)/.test(path)) continue;
      expect(headers["authorization"]).toBe("Bearer its-own-credential");
      expect(Object.keys(headers)).not.toContain("x-api-key");
    }
  });
});

// Demanded: servers-links-not-followed
test("a server of HTTP+SSE does not get anybody to another origin", async () => {
  await using evil = await openEvil();
  await using canary = await openCanary();
  await using good = await openLegacySseServer();
  await using gateway = await openGateway({
    upstreams: [
      { slug: "evil", at: evil.sseUrl, sse: true },
      { slug: "good", at: good.url, sse: true },
    ],
  });
  evil.behave("foreign-endpoint", { to: `${canary.origins[1]}/messages` });
  await using client = await gateway.client("bob", { kind: "v1" });
  expect(await client.toolNames()).toContain("good_echo");
  expect(canary.visits).toEqual([]);
});
