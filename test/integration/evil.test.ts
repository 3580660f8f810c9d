import { describe, expect, test } from "bun:test";
import { openMcpClient } from "../support/mcp-clients.ts";
import type { McpClientOptions } from "../support/mcp-clients.ts";
import { openCanary } from "../support/servers/canary.ts";
import type { Evil } from "../support/servers/evil.ts";
import { openEvil } from "../support/servers/evil.ts";
import type { BehaviourOptions, Mode } from "../support/servers/evil-modes.ts";
import { headerNames } from "../support/servers/evil-lists.ts";
import { request as statelessRequest } from "../support/stateless.ts";

/** The server that misbehaves does so on command, and only then. */

const post = (
  evil: Evil,
  method: string,
  init: RequestInit = {},
  params: object = {},
) =>
  fetch(evil.url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    redirect: "manual",
    ...init,
  });
const list = async (evil: Evil, cursor?: string): Promise<any> =>
  (
    (await (
      await post(evil, "tools/list", {}, cursor === undefined ? {} : { cursor })
    ).json()) as any
  ).result;
/** Waits for what the server sees a moment later than its client. */
const until = async (seen: () => boolean) => {
  while (!seen()) await Bun.sleep(1);
};

describe("an honest one", () => {
  test.each([
    { era: "legacy", kind: "v1", path: "url" },
    { era: "legacy", kind: "auto", path: "url" },
    { era: "stateless", kind: "auto", path: "url" },
    { era: "legacy", kind: "v1", path: "sseUrl" },
  ] as const)("serves $era to $kind over $path", async (one) => {
    await using evil = await openEvil({ era: one.era });
    await using client = await openMcpClient(evil[one.path], {
      kind: one.kind,
      sse: one.path === "sseUrl",
      token: "secret",
    });
    expect(await client.toolNames()).toEqual(["good_one", "good_two"]);
    expect(await client.text("good_one", { words: "w" })).toBe('{"words":"w"}');
    expect(evil.requests.at(-1)!.headers["authorization"]).toBe(
      "Bearer secret",
    );
  });
});

describe("one that takes its time", () => {
  test.each<Mode>([
    "hang",
    "accept-and-hang",
    "hang-in-headers",
    "continue",
    "never-ending",
    "endless-line",
  ])("%s: there is no end until the client goes", async (mode) => {
    await using evil = await openEvil();
    evil.behave(mode, { everyMs: 1 });
    const controller = new AbortController();
    const { signal } = controller;
    const answered = post(evil, "tools/list", { signal })
      .then((response) => response.text())
      .catch((error: Error) => error.name);
    await until(() => evil.connections() === 1);
    const read = mode === "accept-and-hang" ? 0 : 1;
    await until(() => evil.requests.length === read);
    controller.abort();
    expect(await answered).toBe("AbortError");
    await until(() => evil.connections() === 0);
    expect(evil.requests).toHaveLength(read);
  });

  test("drip: one byte after the other", async () => {
    await using evil = await openEvil();
    evil.behave("drip", { everyMs: 1 });
    const answered = post(evil, "ping").then((response) => response.text());
    // What has been sent each time that the server had its turn.
    const steps = new Set<number>();
    let over = false;
    void answered.finally(() => (over = true));
    while (!over) {
      steps.add(evil.sent());
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { length } = await answered;
    expect(length).toBeGreaterThan(20);
    // The last may come with the end.
    expect(steps.size).toBeGreaterThanOrEqual(length);
  });

  test("flapping: it goes and comes back", async () => {
    await using evil = await openEvil();
    evil.behave("flapping", { everyMs: 20 });
    const up = () =>
      post(evil, "ping").then(
        ({ ok }) => ok,
        () => false,
      );
    while (await up());
    while (!(await up()));
    evil.behave("honest");
  });
});

describe("one that says too much", () => {
  test("a long answer, and one that unpacks to it, are right but for their size", async () => {
    await using evil = await openEvil();
    evil.behave("huge-json", { bytes: 3_000_000 });
    const huge = (await (await post(evil, "tools/call")).json()) as any;
    expect(huge.result.content[0].text.length).toBeGreaterThan(2_999_999);
    const before = evil.sent();
    evil.behave("gzip-bomb", { bytes: 20_000_000 });
    const bomb = (await (await post(evil, "tools/call")).json()) as any;
    expect(bomb.result.content[0].text).toHaveLength(20_000_000);
    expect(evil.sent() - before).toBeLessThan(100_000);
  });

  test.each<Mode>(["huge-json", "gzip-bomb"])(
    "%s: nothing more is sent when nobody reads any more",
    async (mode) => {
      await using evil = await openEvil();
      evil.behave(mode);
      const reader = (await post(evil, "tools/call")).body!.getReader();
      await reader.read();
      await reader.cancel();
      await until(() => evil.connections() === 0);
      expect(evil.sent()).toBeLessThan(100_000_000);
      evil.behave("honest");
      expect((await post(evil, "ping")).status).toBe(200);
    },
  );

  test("a flood of headers, and of notifications", async () => {
    await using evil = await openEvil();
    evil.behave("header-flood", { count: 20 });
    expect((await post(evil, "ping")).headers.get("x-19")).toBe("1");
    evil.behave("notification-flood", { count: 50, on: ["tools/call"] });
    await using client = await openMcpClient(evil.url, { kind: "v1" });
    await client.text("good_one");
    const heard = client.heard.filter(({ method }) => /changed/.test(method));
    expect(heard).toHaveLength(50);
    evil.behave("notification-flood", { count: 70 });
    await using second = await openMcpClient(evil.url, { kind: "v1" });
    await until(() => second.heard.length === 70);
  });
});

describe("one that says nonsense", () => {
  const bodies: [Mode, BehaviourOptions, RegExp][] = [
    ["malformed-json", {}, /^\{"jsonrpc":"2.0","id":1,"result":\{\}$/],
    ["not-jsonrpc", {}, /^null$/],
    ["html", {}, /^<!doctype/],
    ["empty", {}, /^$/],
    ["wrong-id", {}, /"id":"another"/],
    ["two-responses", {}, /"id":1.*\n\n.*\n.*"id":1,"result":\{\}/],
    ["result-and-error", {}, /"result".*"error"/],
    ["deep-json", {}, /^.*"deep":(\{"a":)+1\}{50000},/],
    ["no-session", {}, /Session not found/],
    ["status", { value: "a secret" }, /^a secret$/],
  ];
  test.each(bodies)("%s", async (mode, options, body) => {
    await using evil = await openEvil();
    evil.behave(mode, options);
    const text = await (await post(evil, "ping")).text();
    expect(body.test(text)).toBe(true);
    evil.behave("honest");
    const { result } = (await (await post(evil, "ping")).json()) as any;
    expect(result).toEqual({});
  });

  test.each<Mode>(["reset", "cut"])("%s", async (mode) => {
    await using evil = await openEvil();
    evil.behave(mode);
    const read = post(evil, "ping").then((response) => response.json());
    await expect(read).rejects.toThrow();
  });

  test("a revision that does not exist", async () => {
    for (const era of ["legacy", "stateless"] as const) {
      await using evil = await openEvil({ era });
      evil.behave("unknown-version");
      await expect(openMcpClient(evil.url)).rejects.toThrow();
    }
  });

  test("session ids that are no ids", async () => {
    await using evil = await openEvil();
    evil.behave("session-id");
    const { headers } = await post(evil, "initialize");
    expect(headers.get("mcp-session-id")).toHaveLength(10_000);
    evil.behave("session-id", { value: "abc\r\nx-evil: 1" });
    const second = await post(evil, "initialize");
    expect(second.headers.get("x-evil")).toBe("1");
  });
});

describe("one whose lists are bad", () => {
  test("has always one page more, or the same again", async () => {
    await using evil = await openEvil();
    evil.behave("endless-cursor");
    const { nextCursor } = await list(evil, "7");
    expect(nextCursor).toBe("8");
    evil.behave("cursor-loop");
    expect((await list(evil, "again")).nextCursor).toBe("again");
  });

  test("changes what a tool says after the first time", async () => {
    await using evil = await openEvil();
    evil.behave("rug-pull");
    const first = await list(evil);
    expect(await list(evil)).not.toEqual(first);
  });

  const lists: [Mode, BehaviourOptions, (tools: any[]) => boolean][] = [
    ["many-tools", { count: 5000 }, (tools) => tools.length === 5000],
    [
      "huge-description",
      {},
      (tools) => tools.some((tool) => tool.description?.length === 1_000_000),
    ],
    ["bad-items", {}, (tools) => tools.includes(null)],
    [
      "colliding-names",
      {},
      (tools) => tools.filter(({ name }) => name === "send_email").length === 2,
    ],
    [
      "hidden-characters",
      {},
      (tools) => tools.some((tool) => tool.description.includes("\u200B")),
    ],
    [
      "header-names",
      {},
      (tools) =>
        tools.filter((tool) => tool.inputSchema.properties?.value).length ===
        headerNames.length,
    ],
    [
      "remote-ref",
      { to: "http://127.0.0.3:9/" },
      (tools) =>
        tools.some(
          (tool) =>
            tool.outputSchema?.$ref === "http://127.0.0.3:9/output.json",
        ),
    ],
    [
      "redos",
      {},
      (tools) => tools.some((tool) => tool.inputSchema.properties?.words),
    ],
    [
      "false-hints",
      {},
      (tools) => tools.some((tool) => tool.annotations?.readOnlyHint),
    ],
    ["foreign-icons", {}, (tools) => tools.some((tool) => tool.icons)],
  ];
  test.each(lists)("%s", async (mode, options, found) => {
    await using evil = await openEvil();
    evil.behave(mode, options);
    const { tools } = await list(evil);
    expect(found(tools)).toBe(true);
    if (mode !== "many-tools") {
      expect(tools[0].name).toBe("good_one");
      expect(tools.at(-1).name).toBe("good_two");
    }
  });
});

describe("one that leads elsewhere", () => {
  test("redirects, and a naive client follows to the canary", async () => {
    await using canary = await openCanary();
    await using evil = await openEvil();
    for (const status of [301, 302, 303, 307, 308]) {
      evil.behave("redirect", { status, to: `${canary.origins[1]}/x` });
      expect((await post(evil, "ping")).status).toBe(status);
    }
    expect(canary.visits).toEqual([]);
    await post(evil, "ping", { redirect: "follow" });
    expect(canary.visits).toEqual([
      { origin: canary.origins[1]!, line: "POST /x HTTP/1.1" },
    ]);
  });

  test("refuses with a challenge of its own, and serves documents", async () => {
    await using evil = await openEvil();
    evil.behave("unauthorized", { challenge: 'Bearer realm="x"' });
    const refused = await post(evil, "ping");
    expect(refused.status).toBe(401);
    expect(refused.headers.get("www-authenticate")).toBe('Bearer realm="x"');
    evil.behave("insufficient-scope");
    const scope = await post(evil, "ping");
    expect(scope.status).toBe(403);
    expect(scope.headers.get("www-authenticate")).toContain('scope="admin"');
    const path = "/.well-known/oauth-protected-resource/mcp";
    evil.serve(path, { resource: "elsewhere" });
    expect(await (await fetch(evil.origin + path)).json()).toEqual({
      resource: "elsewhere",
    });
  });

  test("names another origin for messages, and links to others", async () => {
    await using canary = await openCanary(["127.0.0.3"]);
    await using evil = await openEvil();
    evil.behave("foreign-endpoint", { to: `${canary.origins[0]}/messages` });
    await using stream = await openSse(evil);
    expect(stream.first).toContain(`data: ${canary.origins[0]}/messages`);
    evil.behave("foreign-links", { to: canary.origins[0]! });
    const { result } = (await (await post(evil, "tools/call")).json()) as any;
    expect(result.content.map(({ uri }: any) => uri)).toEqual([
      "file:///etc/passwd",
      canary.origins[0],
    ]);
    expect(canary.visits).toEqual([]);
  });
});

/** The stream of HTTP+SSE up to its first event. */
async function openSse(
  evil: Evil,
): Promise<AsyncDisposable & { first: string }> {
  const reader = (await fetch(evil.sseUrl)).body!.getReader();
  let first = "";
  while (!/event: .*\ndata: .*\n\n/.test(first)) {
    first += new TextDecoder().decode((await reader.read()).value);
  }
  return { first, [Symbol.asyncDispose]: () => reader.cancel() };
}

describe("one that talks out of turn", () => {
  const asked: string[] = [];
  const gullible: McpClientOptions = {
    elicit: ({ url, message }) => {
      asked.push(url ?? message);
      return { action: "accept", content: { pin: "1234" } };
    },
    sample: () => "hi",
    roots: [],
  };

  test("asks for what no call needs, and a naive client answers", async () => {
    await using evil = await openEvil();
    evil.behave("unasked-requests", { on: ["tools/list"] });
    await using client = await openMcpClient(evil.url, {
      kind: "v1",
      ...gullible,
    });
    await client.toolNames();
    await until(() => evil.answers.length === 3);
    expect(evil.answers.map(({ id }) => id).sort()).toEqual([
      "unasked-elicitation/create",
      "unasked-roots/list",
      "unasked-sampling/createMessage",
    ]);
    evil.behave("unasked-requests");
    await using second = await openMcpClient(evil.url, {
      kind: "v1",
      ...gullible,
    });
    await until(() => evil.answers.length === 6);
    expect(second.heard).toEqual([]);
  });

  test.each(["legacy", "stateless"] as const)(
    "sends the user to a URL that is none (%s)",
    async (era) => {
      await using evil = await openEvil({ era });
      evil.behave("url-elicitation");
      await using client = await openMcpClient(evil.url, gullible);
      asked.length = 0;
      const call = client.text("good_one").catch(() => "refused");
      await until(() => asked.length > 0);
      expect(asked[0]).toBe("javascript:alert(1)");
      evil.behave("honest");
      await call;
    },
  );

  test("says what it likes on open streams", async () => {
    await using evil = await openEvil();
    await using client = await openMcpClient(evil.url, { kind: "v1" });
    await until(() => evil.requests.some(({ method }) => method === "GET"));
    const told = { method: "notifications/tools/list_changed" };
    while (client.heard.length === 0) {
      evil.push(told);
      await Bun.sleep(1);
    }
    expect(client.heard[0]).toMatchObject(told);
  });
});

test("a request of the newer era is answered in its way", async () => {
  await using evil = await openEvil({ era: "stateless" });
  const response = await fetch(evil.url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(statelessRequest("server/discover")),
  });
  const { result } = (await response.json()) as any;
  expect(result).toMatchObject({
    resultType: "complete",
    supportedVersions: ["2026-07-28"],
  });
});
