import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Gateway } from "../support/gateway.ts";
import { openGateway } from "../support/gateway.ts";
import type { McpClient } from "../support/mcp-clients.ts";
import { openUpstreams } from "../support/servers/upstreams.ts";
import type { Upstreams } from "../support/servers/upstreams.ts";

/** Many calls of many callers at once: whatever a server says or asks meanwhile, each has its own and no other's. */

const slugs = ["stateless", "keeping", "older", "aside", "sse", "stdio"];
const SESSIONS = [
  { user: "ann", kind: "v1" },
  { user: "ann", kind: "stateless" },
  { user: "bob", kind: "legacy" },
  { user: "bob", kind: "stateless" },
] as const;
/** Of each session. All together are fewer than the 256 requests that `fetch` has under way at a time. */
const CALLS = 50;

let upstreams: Upstreams;
let gateway: Gateway;
beforeAll(async () => {
  upstreams = await openUpstreams();
  gateway = await openGateway({ upstreams: upstreams.registrations });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstreams[Symbol.asyncDispose]();
});

/** A session whose user and model answer with its own name, and take note of what they were asked. */
async function openSession(slug: string, index: number) {
  const { user, kind } = SESSIONS[index]!;
  const id = `session-${index}`;
  const asked: string[] = [];
  const client = await gateway.client(user, {
    kind,
    path: `/mcp/${slug}`,
    elicit({ message }) {
      asked.push(message);
      return {
        action: "accept",
        content: { answer: `${id} on ${message}` },
      };
    },
    sample({ messages }) {
      const { text } = messages[0].content;
      asked.push(text);
      return `${id} on ${text}`;
    },
    roots: [{ uri: `file:///${id}` }],
  });
  return { id, asked, client };
}

const kinds = ["progress", "work_and_ask", "sample", "ask", "roots"];

/** One call, which says in every way who made it; what it came to, and what it should. */
async function oneCall(client: McpClient, id: string, index: number) {
  const tool = kinds[index % kinds.length]!;
  const nonce = `${id} call-${index}`;
  const steps: (string | undefined)[] = [];
  const args =
    tool === "progress"
      ? { steps: 3, nonce }
      : tool === "sample"
        ? { prompt: nonce }
        : tool === "ask"
          ? { message: nonce }
          : { nonce };
  const text = await client.text(tool, args, {
    progress: ({ message }) => steps.push(message),
    timeoutMs: 60_000,
  });
  const own = steps.filter((step) => !step?.startsWith("Fulfilling"));
  const expected: Record<string, [string, string[]]> = {
    progress: [nonce, [1, 2, 3].map((step) => `${nonce} ${step}`)],
    work_and_ask: [
      `${nonce}: ${id} on work of ${nonce}`,
      [`${nonce} 1`, `${nonce} 2`],
    ],
    sample: [`${id} on ${nonce}`, []],
    ask: [
      JSON.stringify({
        message: nonce,
        action: "accept",
        content: { answer: `${id} on ${nonce}` },
      }),
      [],
    ],
    roots: [JSON.stringify([{ uri: `file:///${id}` }]), []],
  };
  // What we say of a call that takes long is no step of its own.
  const said = own.filter((step) => !step?.startsWith("Running for"));
  return { got: [text, said], wanted: expected[tool] };
}

describe.each(slugs)("the server %s", (slug) => {
  test("never takes one caller, or one call, for another", async () => {
    await using clients = new AsyncDisposableStack();
    const sessions = await Promise.all(
      SESSIONS.map((_, index) => openSession(slug, index)),
    );
    for (const { client } of sessions) clients.use(client);
    // One at a time: now it is known how each member's connection is asked.
    for (const { client, id } of sessions) {
      await client.text("ask", { message: `${id} first` });
    }
    const outcomes = await Promise.all(
      sessions.flatMap(({ client, id }) =>
        Array.from({ length: CALLS }, (_, index) => oneCall(client, id, index)),
      ),
    );
    for (const { got, wanted } of outcomes) expect(got).toEqual(wanted!);
    for (const { asked, id } of sessions) {
      const others = asked.filter((words) => !words.includes(id));
      expect(others).toEqual([]);
      // First, and three of each five calls.
      expect(asked).toHaveLength(1 + (CALLS / kinds.length) * 3);
    }
  }, 120_000);
});
