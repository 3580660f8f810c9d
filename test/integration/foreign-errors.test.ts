import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  test,
} from "bun:test";
import { GatewayError } from "../../src/core/errors.ts";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, initialize, messages } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";
import { fakeServers } from "../support/fake-servers.ts";
import { PREFIX, headersFor, request } from "../support/stateless.ts";
import type { Params } from "../support/stateless.ts";

/** What another server answers and says during a call, as its callers get it. */

const fakes = fakeServers([
  {
    slug: "hub",
    tools: ["fails", "talks"],
    prompts: ["greet"],
    resources: ["hub://one"],
  },
]);
const clock = fakeClock(Date.now());
let rig: Rig;
beforeAll(async () => {
  rig = await openRig({ sources: [fakes.source], clock });
});
afterAll(() => rig[Symbol.asyncDispose]());

const PLAIN = { accept: "application/json" };

/** Everything that can fail, each as method and parameters. */
const requests: [string, Params][] = [
  ["tools/call", { name: "hub_fails", arguments: {} }],
  ["prompts/get", { name: "hub_greet" }],
  ["resources/read", { uri: "hub://one" }],
  [
    "completion/complete",
    {
      ref: { type: "ref/prompt", name: "hub_greet" },
      argument: { name: "a", value: "b" },
    },
  ],
];
const rpc = (method: string, params: Params, id: number | string = 1) => ({
  jsonrpc: "2.0",
  id,
  method,
  params,
});

/** The official codes of this house say nothing of what is passed on. */
function failWith(
  code: number,
  data?: unknown,
  message = "words of the server",
  as: GatewayError["code"] = "upstream_failed",
) {
  fakes.fail.with = new GatewayError(as, message, {
    rpc: { code, ...(data === undefined ? {} : { data }) },
    data: { ours: true },
    retryAfterMs: 5000,
  });
}
beforeEach(() => {
  fakes.fail.with = null;
  fakes.onCall("fails", () => {
    throw fakes.fail.with!;
  });
});

async function open(protocolVersion: string, capabilities: Params = {}) {
  const message = initialize(protocolVersion);
  const { headers } = await rig.post("ada", {
    ...message,
    params: { ...message.params, capabilities },
  });
  return { "mcp-session-id": headers.get("mcp-session-id")! };
}
const stateless = (method: string, params: Params, capabilities: Params = {}) =>
  rig.post(
    "ada",
    request(method, {
      ...params,
      _meta: { [`${PREFIX}clientCapabilities`]: capabilities },
    }),
    headersFor(method, (params["name"] ?? params["uri"]) as string | undefined),
  );

describe.each(requests)(
  "an error of another server, from %s,",
  (method, params) => {
    test.each([
      [-32000, { retry: true }],
      [-32001, undefined],
      [-32601, "a text"],
      [-32602, { uri: "x" }],
      [-32603, ["a", "list"]],
      [-32021, { requiredCapabilities: { sampling: {} } }],
      [4711, { nested: { deep: null } }],
      [0, 0],
    ])("%d with %j comes as it is, to whoever asks", async (code, data) => {
      failWith(code, data);
      const expected = {
        code,
        message: "words of the server",
        ...(data === undefined ? {} : { data }),
      };
      const session = await open("2025-11-25");
      const inSession = await rig.post(
        "ada",
        rpc(method, params, "s"),
        session,
      );
      expect(inSession.body).toEqual({
        jsonrpc: "2.0",
        error: expected,
        id: "s",
      });
      expect(inSession.status).toBe(200);
      const { body, status } = await stateless(method, params);
      expect(body).toEqual({ jsonrpc: "2.0", error: expected, id: 1 });
      expect(status).toBe(code === -32021 ? 400 : 200);
      const plain = await rig.post("ada", rpc(method, params), PLAIN);
      expect([plain.status, plain.body.error]).toEqual([200, expected]);
      const batches = await open("2025-03-26");
      const batch = await rig.post(
        "ada",
        [rpc(method, params, 1), rpc(method, params, 2)],
        { ...batches, ...PLAIN },
      );
      expect(batch.body.map(({ error, id }: any) => [id, error])).toEqual([
        [1, expected],
        [2, expected],
      ]);
      const streamed = await rig.post(
        "ada",
        [rpc(method, params, 1), rpc(method, params, 2)],
        batches,
      );
      expect(messages(streamed.events).map(({ error }) => error)).toEqual([
        expected,
        expected,
      ]);
    });

    test.each([
      "needs_authorization",
      "not_found",
      "timeout",
      "internal",
    ] as const)("comes as it is whatever it is to us (%s)", async (as) => {
      failWith(4711, { a: 1 }, "words", as);
      for (const { body } of [
        await rig.post("ada", rpc(method, params), PLAIN),
        await stateless(method, params),
      ]) {
        expect(body.error).toEqual({
          code: 4711,
          message: "words",
          data: { a: 1 },
        });
      }
    });

    test("-32002 stays for sessions, and is -32602 where it is forbidden", async () => {
      const uri = params["uri"] as string | undefined;
      for (const [data, expected] of [
        [
          { uri: "their://own", more: 1 },
          { uri: "their://own", more: 1 },
        ],
        [undefined, uri === undefined ? {} : { uri }],
      ] as const) {
        failWith(-32002, data);
        const session = await open("2025-11-25");
        const inSession = await rig.post("ada", rpc(method, params), session);
        expect(inSession.body.error).toEqual({
          code: -32002,
          message: "words of the server",
          ...(data ? { data } : {}),
        });
        const { body, status } = await stateless(method, params);
        expect(status).toBe(200);
        expect(body.error).toEqual({
          code: -32602,
          message: "words of the server",
          data: expected,
        });
      }
    });

    const elicitations = [
      {
        mode: "url",
        elicitationId: "1",
        url: "https://example.com/connect",
        message: "Connect your account.",
      },
    ];
    test("-32042 comes to sessions that can open a URL; others get the link in words", async () => {
      failWith(-32042, { elicitations });
      const able = { elicitation: { url: {} } };
      const session = await open("2025-11-25", able);
      const { body } = await rig.post("ada", rpc(method, params), session);
      expect(body.error).toEqual({
        code: -32042,
        message: "words of the server",
        data: { elicitations },
      });
      const answers = [
        await rig.post(
          "ada",
          rpc(method, params),
          await open("2025-11-25", { elicitation: {} }),
        ),
        await rig.post("ada", rpc(method, params), PLAIN),
        await stateless(method, params, able),
        await stateless(method, params),
      ];
      for (const answer of answers) {
        const { result, error } = answer.body;
        if (method === "tools/call") expect(result.isError).toBe(true);
        else expect(error.code).toBe(-32600);
        const words = result?.content[0].text ?? error.message;
        expect(words).toContain(
          "words of the server\nConnect your account. https://example.com/connect",
        );
        expect(answer.text).not.toContain("-32042");
      }
    });

    test.each([["javascript:alert(1)"], ["file:///etc/passwd"], [7]])(
      "-32042 that would have %j opened comes to nobody",
      async (url) => {
        failWith(-32042, {
          elicitations: [...elicitations, { mode: "url", url }],
        });
        const session = await open("2025-11-25", { elicitation: { url: {} } });
        for (const { text } of [
          await rig.post("ada", rpc(method, params), session),
          await stateless(method, params),
        ]) {
          expect(text).not.toContain("-32042");
          expect(text).toContain("no address of the web");
          expect(text).not.toContain("example.com");
        }
      },
    );
  },
);

test("an error of ours is what it was: a result in tools/call, with what helps", async () => {
  fakes.fail.with = new GatewayError("upstream_failed", "It is down.");
  const { body } = await rig.post("ada", call("hub_fails"), PLAIN);
  expect(body.result).toMatchObject({
    isError: true,
    content: [{ text: "It is down." }],
  });
});

describe("a call that says too much", () => {
  const PROGRESS = "notifications/progress";
  const LOG = "notifications/message";
  const run = async (era: "sessions" | "stateless") => {
    const meta = { progressToken: "p" };
    const params = { name: "hub_talks", arguments: {} };
    if (era === "stateless") {
      const { events } = await rig.post(
        "ada",
        request("tools/call", {
          ...params,
          _meta: { ...meta, [`${PREFIX}logLevel`]: "debug" },
        }),
        headersFor("tools/call", "hub_talks"),
      );
      return messages(events);
    }
    const session = await open("2025-11-25");
    await rig.post("ada", rpc("logging/setLevel", { level: "debug" }), session);
    const { events } = await rig.post(
      "ada",
      call("hub_talks", {}, 1, meta),
      session,
    );
    return messages(events);
  };
  const of = (said: any[], method: string) =>
    said.filter((one) => one.method === method);

  test.each(["sessions", "stateless"] as const)(
    "(%s) has twenty steps of its progress told, and always the last, before its answer",
    async (era) => {
      fakes.onCall("talks", (_args, { progress }) => {
        for (let n = 1; n <= 10_000; n++) progress(n, 10_000, `step ${n}`);
        progress(9999);
        return { content: [] };
      });
      const said = await run(era);
      const steps = of(said, PROGRESS).map(({ params }) => params.progress);
      expect(steps).toEqual([
        ...Array.from({ length: 20 }, (_, n) => n + 1),
        10_000,
      ]);
      expect(said.at(-2).params).toEqual({
        progressToken: "p",
        progress: 10_000,
        total: 10_000,
        message: "step 10000",
      });
      expect(said.at(-1).result).toBeDefined();
    },
  );

  test.each(["sessions", "stateless"] as const)(
    "(%s) has fifty messages a second told",
    async (era) => {
      fakes.onCall("talks", (_args, { log }) => {
        for (let n = 0; n < 10_000; n++) log("info", n);
        clock.advance(1000);
        log("info", "a second later");
        return { content: [] };
      });
      const data = of(await run(era), LOG).map(({ params }) => params.data);
      expect(data).toEqual([
        ...Array.from({ length: 50 }, (_, n) => n),
        "a second later",
      ]);
    },
  );

  test("and does not stop when it has answered, is not heard", async () => {
    let late = () => {};
    fakes.onCall("talks", (_args, { progress, log }) => {
      late = () => {
        progress(1);
        log("info", "late");
      };
      return { content: [] };
    });
    const session = await open("2025-11-25");
    await rig.post("ada", rpc("logging/setLevel", { level: "debug" }), session);
    const { events } = await rig.post(
      "ada",
      call("hub_talks", {}, 1, { progressToken: 1 }),
      session,
    );
    late();
    await rig.post("ada", call("hub_fails"), session);
    const replay = await rig.listen("ada", {
      ...session,
      "last-event-id": events[0]!.id!,
    });
    await replay.ended;
    expect(messages(replay.events)).toHaveLength(1);
  });
});
