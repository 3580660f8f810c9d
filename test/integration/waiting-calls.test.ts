import { describe, expect, test } from "bun:test";
import type { Gateway, GatewayOptions } from "../support/gateway.ts";
import { openGateway } from "../support/gateway.ts";
import { openFullServer } from "../support/servers/full.ts";
import type { LegacyServer } from "../support/servers/legacy-v1.ts";
import {
  openLegacyServer,
  openLegacySseServer,
} from "../support/servers/legacy-v1.ts";
import { messagesOf } from "../support/servers/recording.ts";
import { PREFIX, headersFor, request } from "../support/stateless.ts";

/**
 * A call to a server with sessions that waits in the middle for its caller's answer: whoever comes back, or does not.
 */

type Town = { gateway: Gateway; server: LegacyServer } & AsyncDisposable;

async function openTown(
  options: Parameters<typeof openLegacyServer>[0] & { sse?: boolean } = {},
  more: Partial<GatewayOptions> = {},
): Promise<Town> {
  const { sse = false, ...manner } = options;
  const server = sse
    ? await openLegacySseServer(manner)
    : await openLegacyServer(manner);
  const gateway = await openGateway({
    upstreams: [{ slug: "s", at: server.url, sse }],
    ...more,
  });
  return {
    gateway,
    server,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** One round of a stateless caller who can be asked everything. */
async function round(
  gateway: Gateway,
  user: string,
  name: string,
  args: object,
  answers: { state?: string; responses?: object } = {},
): Promise<any> {
  const params = {
    name,
    arguments: args,
    ...(answers.responses ? { inputResponses: answers.responses } : {}),
    ...(answers.state === undefined ? {} : { requestState: answers.state }),
    _meta: {
      [`${PREFIX}clientCapabilities`]: {
        elicitation: { form: {}, url: {} },
        sampling: {},
      },
    },
  };
  const { body } = await gateway.post(
    user,
    request("tools/call", params),
    headersFor("tools/call", name),
  );
  return body;
}

const question = { message: "well?" };
/** Asks, and returns what it takes to answer. */
async function asked(gateway: Gateway, user = "ann", tool = "s_ask") {
  const { result } = await round(gateway, user, tool, question);
  expect(result.resultType).toBe("input_required");
  const [key] = Object.keys(result.inputRequests as object);
  return {
    state: result.requestState as string,
    responses: { [key!]: { action: "accept", content: { answer: "so" } } },
  };
}

/** Whether the server was told that a call is cancelled, now or later. */
async function cancelled(server: LegacyServer): Promise<void> {
  const told = () =>
    messagesOf(server.requests).some(
      ({ method }) => method === "notifications/cancelled",
    );
  while (!told()) await Bun.sleep(1);
}

const texts = (body: any) => JSON.stringify(body.result ?? body.error);

describe.each([{ sse: false }, { sse: true }])("over SSE: $sse", (kind) => {
  test("is answered by who comes back, and by nobody else", async () => {
    await using town = await openTown(kind);
    const { gateway } = town;
    const answer = await asked(gateway);
    const others = await round(gateway, "bob", "s_ask", question, answer);
    expect(others.error.code).toBe(-32602);
    const other = { message: "another" };
    const misled = await round(gateway, "ann", "s_ask", other, answer);
    expect(misled.error.code).toBe(-32602);
    const mine = await round(gateway, "ann", "s_ask", question, answer);
    expect(texts(mine)).toContain('\\"answer\\":\\"so\\"');
  });

  test("is answered once, and runs once", async () => {
    await using town = await openTown(kind);
    const { gateway, server } = town;
    const nonce = crypto.randomUUID();
    const args = { ...question, nonce };
    const { result } = await round(gateway, "ann", "s_ask", args);
    const answer = {
      state: result.requestState,
      responses: { q1: { action: "accept", content: { answer: "so" } } },
    };
    const both = await Promise.all(
      [1, 2].map(() => round(gateway, "ann", "s_ask", args, answer)),
    );
    both.push(await round(gateway, "ann", "s_ask", args, answer));
    const good = both.filter(({ result }) => result?.isError !== true);
    expect(good).toHaveLength(1);
    for (const body of both) {
      if (body !== good[0]) {
        expect(texts(body)).toMatch(/not waiting any more/);
      }
    }
    // Once before the answer, and once with it.
    expect(server.runs(nonce)).toBe(1);
  });

  test("that nobody comes back to is cancelled", async () => {
    await using town = await openTown(kind, { times: { patience: 20 } });
    const { gateway, server } = town;
    const answer = await asked(gateway);
    await cancelled(server);
    const late = await round(gateway, "ann", "s_ask", question, answer);
    expect(texts(late)).toMatch(/not waiting any more/);
  });

  test("is cancelled when we stop, and says so afterwards", async () => {
    await using town = await openTown(kind);
    const { gateway, server } = town;
    const answer = await asked(gateway);
    await gateway.restart();
    if (!kind.sse) await cancelled(server);
    const late = await round(gateway, "ann", "s_ask", question, answer);
    expect(late.result.isError).toBe(true);
    expect(texts(late)).toMatch(/not waiting any more.*restarted/);
  });

  test("that the server gives up has its end told to who comes back", async () => {
    await using town = await openTown({ ...kind, patienceMs: 20 });
    const { gateway } = town;
    let { state } = await asked(gateway);
    let body: any;
    do {
      // Whoever comes back without an answer is asked again.
      const nothing = { state, responses: {} };
      body = await round(gateway, "ann", "s_ask", question, nothing);
      state = body.result?.requestState as string;
    } while (body.result?.resultType === "input_required");
    expect(texts(body)).toMatch(/timed out/);
  });
});

test("a server that keeps nothing goes on after our restart", async () => {
  await using server = await openFullServer({ era: "stateless" });
  await using gateway = await openGateway({
    upstreams: [{ slug: "s", at: server.url }],
  });
  const args = { nonce: "n" };
  const first = await round(gateway, "ann", "s_two_questions", args);
  const answers = (body: any, key: string, answer: string) => ({
    state: body.result.requestState as string,
    responses: { [key]: { action: "accept", content: { answer } } },
  });
  await gateway.restart();
  const second = await round(
    gateway,
    "ann",
    "s_two_questions",
    args,
    answers(first, "first", "one"),
  );
  await gateway.restart();
  const third = await round(
    gateway,
    "ann",
    "s_two_questions",
    args,
    answers(second, "second", "two"),
  );
  expect(texts(third)).toContain("one two");
});
