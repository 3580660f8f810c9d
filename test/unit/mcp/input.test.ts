import { describe, expect, test } from "bun:test";
import type { Input, InputRequired } from "../../../src/core/source.ts";
import type { InputContext } from "../../../src/mcp/input.ts";
import { createInputs } from "../../../src/mcp/input.ts";
import { fakeClock } from "../../support/clock.ts";

const inputs = createInputs({
  secret: () => new Uint8Array(32).fill(7),
  clock: fakeClock(),
});
const context = (more: Partial<InputContext> = {}): InputContext => ({
  who: { workspace: "w", subject: "ada" },
  capabilities: { elicitation: {} },
  ask: "stateless",
  ...more,
});
const question = (
  mode: string,
  url = "https://example.com/",
): InputRequired => ({
  resultType: "input_required",
  inputRequests: {
    q: {
      method: "elicitation/create",
      params: { mode, ...(mode === "url" ? { url } : {}) },
    },
  },
  requestState: "the state",
});

async function stateOf(of: InputContext, method: string, params: object) {
  const outcome = (await inputs.run(of, method, params as never, async () =>
    question("form"),
  )) as { ask: { fields: string } };
  return JSON.parse(`{${outcome.ask.fields}}`).requestState as string;
}

describe("the state of a question", () => {
  test.each([
    ["the same", context(), "tools/call", { name: "t" }, true],
    [
      "another workspace",
      context({ who: { workspace: "x", subject: "ada" } }),
      "tools/call",
      { name: "t" },
      false,
    ],
    [
      "another user",
      context({ who: { workspace: "w", subject: "bob" } }),
      "tools/call",
      { name: "t" },
      false,
    ],
    ["another method", context(), "prompts/get", { name: "t" }, false],
    [
      "the same, written differently",
      context(),
      "tools/call",
      { arguments: {}, name: "t" },
      true,
    ],
    ["other parameters", context(), "tools/call", { name: "t", x: 1 }, false],
  ] as [string, InputContext, string, object, boolean][])(
    "comes back with %s",
    async (_, of, method, params, good) => {
      const requestState = await stateOf(context(), "tools/call", {
        name: "t",
      });
      let seen: Input | null = null;
      const run = inputs.run(
        of,
        method,
        { ...params, requestState, inputResponses: { q: 1 } },
        async (input) => {
          seen = input;
          return { done: true };
        },
      );
      if (good) {
        expect(await run).toEqual({ done: true });
        expect(seen as unknown).toEqual({
          responses: { q: 1 },
          state: "the state",
        });
      } else {
        expect(await run.catch((error: unknown) => error)).toMatchObject({
          code: -32602,
        });
        expect(seen).toBeNull();
      }
    },
  );
});

describe("a question", () => {
  const ask = (capabilities: Record<string, unknown>, mode: string) =>
    inputs
      .run(context({ capabilities }), "tools/call", {}, async () =>
        question(mode),
      )
      .then(
        () => "asked",
        (error: { code: number; data: unknown }) => error,
      );

  test.each([
    [{ elicitation: {} }, "form", "asked"],
    [{ elicitation: { url: {} } }, "url", "asked"],
    [{ elicitation: {} }, "url", { elicitation: { url: {} } }],
    [{}, "url", { elicitation: { url: {} } }],
    [{}, "form", { elicitation: {} }],
  ] as [Record<string, unknown>, string, unknown][])(
    "to a client that declares %j in mode %s",
    async (capabilities, mode, expected) => {
      const outcome = await ask(capabilities, mode);
      if (expected === "asked") expect(outcome).toBe("asked");
      else {
        expect(outcome).toMatchObject({
          code: -32021,
          data: { requiredCapabilities: expected },
        });
      }
    },
  );

  test.each([
    ["javascript:alert(1)"],
    ["file:///etc/passwd"],
    ["data:text/html,x"],
    ["//example.com"],
    [""],
  ])("to open %j is never put", async (url) => {
    const able = context({ capabilities: { elicitation: { url: {} } } });
    const run = inputs.run(able, "tools/call", {}, async () =>
      question("url", url),
    );
    expect(await run.catch((error: unknown) => error)).toMatchObject({
      code: "upstream_failed",
    });
  });

  test("of a kind that no client answers is a failure of who asks", async () => {
    const run = inputs.run(context(), "tools/call", {}, async () => ({
      resultType: "input_required",
      inputRequests: { q: { method: "tools/list" } },
    }));
    expect(await run.catch((error: unknown) => error)).toMatchObject({
      code: "upstream_failed",
    });
  });
});
