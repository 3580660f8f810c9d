import type { ReadResourceResult } from "../../../src/core/source.ts";
import {
  accepted,
  ask,
  elicit,
  object,
  roots,
  rooted,
  sample,
  sampled,
  say,
  text,
} from "./definitions.ts";
import type {
  Answer,
  Elicited,
  PromptDefinition,
  ToolDefinition,
  Turn,
} from "./definitions.ts";

/** The tools, prompts and resources that the conformance suite asks a server for. */

const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const SILENCE =
  "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==";

const image = { type: "image" as const, data: PIXEL, mimeType: "image/png" };
const resource = (uri: string, mimeType: string, words: string) => ({
  type: "resource" as const,
  resource: { uri, mimeType, text: words },
});

const askName = elicit(
  "What is your name?",
  object({ name: { type: "string" } }),
);
const confirm = elicit("Please confirm", object({ ok: { type: "boolean" } }));

/** Puts a form before the user, and tells what came of it. */
const form =
  (message: string, schema: object) =>
  (turn: Turn): Answer => {
    const answer = turn.input?.responses["form"] as Elicited | undefined;
    return answer
      ? say(
          `Elicitation completed: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`,
        )
      : ask({ form: elicit(message, schema) });
  };

export const fixtureTools: ToolDefinition[] = [
  {
    name: "test_simple_text",
    description: "Answers with text",
    run: () => ({
      content: [text("This is a simple text response for testing.")],
    }),
  },
  {
    name: "test_image_content",
    description: "Answers with an image",
    run: () => ({ content: [image] }),
  },
  {
    name: "test_audio_content",
    description: "Answers with audio",
    run: () => ({
      content: [{ type: "audio", data: SILENCE, mimeType: "audio/wav" }],
    }),
  },
  {
    name: "test_embedded_resource",
    description: "Answers with a resource",
    run: () => ({
      content: [
        resource(
          "test://embedded-resource",
          "text/plain",
          "This is an embedded resource content.",
        ),
      ],
    }),
  },
  {
    name: "test_multiple_content_types",
    description: "Answers with text, an image and a resource",
    run: () => ({
      content: [
        text("Multiple content types test:"),
        image,
        resource(
          "test://mixed-content-resource",
          "application/json",
          '{"test":"data","value":123}',
        ),
      ],
    }),
  },
  {
    name: "test_error_handling",
    description: "Fails",
    run: () => ({
      isError: true,
      content: [text("This tool intentionally returns an error for testing")],
    }),
  },
  {
    name: "test_tool_with_progress",
    description: "Reports progress",
    run: async ({ progress }) => {
      progress(0, 100);
      await Bun.sleep(50);
      progress(50, 100);
      await Bun.sleep(50);
      progress(100, 100);
      return { content: [text("Done")] };
    },
  },
  {
    name: "test_reconnection",
    description: "Closes the connection before it answers",
    run: async ({ hangUp }) => {
      await Bun.sleep(50);
      hangUp();
      await Bun.sleep(100);
      return { content: [text("Back again")] };
    },
  },
  {
    name: "json_schema_2020_12_tool",
    description: "Has a schema with the keywords of JSON Schema 2020-12",
    inputSchema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      $defs: {
        address: {
          $anchor: "addressDef",
          type: "object",
          properties: {
            street: { type: "string" },
            city: { type: "string" },
          },
        },
      },
      properties: {
        name: { type: "string" },
        address: { $ref: "#/$defs/address" },
        contactMethod: { type: "string", enum: ["phone", "email"] },
        phone: { type: "string" },
        email: { type: "string" },
      },
      allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
      if: {
        properties: { contactMethod: { const: "phone" } },
        required: ["contactMethod"],
      },
      then: { required: ["phone"] },
      else: { required: ["email"] },
      additionalProperties: false,
    },
    run: () => ({ content: [text("ok")] }),
  },
  {
    name: "test_x_mcp_header",
    description: "Has a parameter that is repeated in a header",
    inputSchema: {
      type: "object",
      properties: {
        region: { type: "string", "x-mcp-header": "Region" },
        level: { type: "integer" },
      },
    },
    run: (_context, { region }) => say(`region=${String(region)}`),
  },
  {
    name: "test_missing_capability",
    description: "Needs sampling",
    run: (turn) =>
      turn.input ? say("done") : ask({ answer: sample("Say pong") }),
  },
  {
    name: "test_streaming_elicitation",
    description: "Answers without asking anything",
    run: () => say("nothing asked"),
  },
  {
    name: "test_logging_tool",
    description: "Logs once",
    run: (turn) => {
      turn.log("info", "logged");
      return say("logged, if that was asked for");
    },
  },
  {
    name: "test_tool_with_logging",
    description: "Logs three times",
    async run(turn) {
      for (const words of ["started", "processing", "completed"]) {
        turn.log("info", `Tool execution ${words}`);
        await Bun.sleep(50);
      }
      return say("Tool with logging executed successfully");
    },
  },
  {
    name: "test_sampling",
    description: "Asks the client's model",
    inputSchema: {
      type: "object",
      properties: { prompt: { type: "string" } },
      required: ["prompt"],
    },
    run: (turn, { prompt }) =>
      turn.input
        ? say(`LLM response: ${sampled(turn, "answer")}`)
        : ask({ answer: sample(String(prompt)) }),
  },
  {
    name: "test_elicitation",
    description: "Asks the user",
    inputSchema: {
      type: "object",
      properties: { message: { type: "string" } },
      required: ["message"],
    },
    run: (turn, { message }) =>
      form(String(message), object({ response: { type: "string" } }))(turn),
  },
  {
    name: "test_elicitation_sep1034_defaults",
    description: "Asks the user with a form of defaults",
    run: form("Please review and update the form fields with defaults", {
      type: "object",
      properties: {
        name: { type: "string", default: "John Doe" },
        age: { type: "integer", default: 30 },
        score: { type: "number", default: 95.5 },
        status: {
          type: "string",
          enum: ["active", "inactive", "pending"],
          default: "active",
        },
        verified: { type: "boolean", default: true },
      },
      required: [],
    }),
  },
  {
    name: "test_elicitation_sep1330_enums",
    description: "Asks the user with every kind of choice",
    run: form("Please select options from the enum fields", {
      type: "object",
      properties: {
        untitledSingle: {
          type: "string",
          enum: ["option1", "option2", "option3"],
        },
        titledSingle: {
          type: "string",
          oneOf: [
            { const: "value1", title: "First Option" },
            { const: "value2", title: "Second Option" },
            { const: "value3", title: "Third Option" },
          ],
        },
        legacyEnum: {
          type: "string",
          enum: ["opt1", "opt2", "opt3"],
          enumNames: ["Option One", "Option Two", "Option Three"],
        },
        untitledMulti: {
          type: "array",
          minItems: 1,
          maxItems: 3,
          items: { type: "string", enum: ["option1", "option2", "option3"] },
        },
        titledMulti: {
          type: "array",
          minItems: 1,
          maxItems: 3,
          items: {
            anyOf: [
              { const: "value1", title: "First Choice" },
              { const: "value2", title: "Second Choice" },
              { const: "value3", title: "Third Choice" },
            ],
          },
        },
      },
      required: [],
    }),
  },
  {
    name: "test_input_required_result_elicitation",
    description: "Asks for a name until it gets one",
    run(turn) {
      const name = accepted(turn, "user_name")?.["name"];
      return typeof name === "string"
        ? say(`Hello, ${name}!`)
        : ask({ user_name: askName });
    },
  },
  {
    name: "test_input_required_result_sampling",
    description: "Asks the client's model for a capital",
    run(turn) {
      const answer = sampled(turn, "capital_question");
      return answer === undefined
        ? ask({ capital_question: sample("What is the capital of France?") })
        : say(`Sampling response: ${answer}`);
    },
  },
  {
    name: "test_input_required_result_list_roots",
    description: "Asks for the client's roots",
    run(turn) {
      const found = rooted(turn, "client_roots");
      return found
        ? say(`Roots: ${found.map(({ uri }) => uri).join(", ")}`)
        : ask({ client_roots: roots });
    },
  },
  {
    name: "test_input_required_result_request_state",
    description: "Asks for a confirmation, and knows its state again",
    run: (turn) =>
      accepted(turn, "confirm") && turn.input?.state === "the state"
        ? say("state-ok")
        : ask({ confirm }, "the state"),
  },
  {
    name: "test_input_required_result_multiple_inputs",
    description: "Asks for three things at once",
    run(turn) {
      const name = accepted(turn, "user_name")?.["name"];
      const greeting = sampled(turn, "greeting");
      const found = rooted(turn, "client_roots");
      return typeof name === "string" && greeting !== undefined && found
        ? say(`${greeting} ${name}, ${found.length} roots`)
        : ask(
            {
              user_name: askName,
              greeting: sample("Generate a greeting"),
              client_roots: roots,
            },
            "all three",
          );
    },
  },
  {
    name: "test_input_required_result_multi_round",
    description: "Asks twice, one after the other",
    run(turn) {
      const { state } = turn.input ?? { state: null };
      if (state === null) return ask({ step1: askName }, "after step 1");
      if (state === "after step 1") {
        const { name } = accepted(turn, "step1") ?? {};
        const color = object({ color: { type: "string" } });
        return ask(
          { step2: elicit("Which color do you like?", color) },
          `name ${String(name)}`,
        );
      }
      const { color } = accepted(turn, "step2") ?? {};
      return say(`${state} likes ${String(color)}`);
    },
  },
  {
    name: "test_input_required_result_tampered_state",
    description: "Asks for a confirmation; its state must come back as it was",
    run: (turn) =>
      turn.input?.state === "untouched" && accepted(turn, "confirm")
        ? say("integrity-ok")
        : ask({ confirm }, "untouched"),
  },
  {
    name: "test_input_required_result_capabilities",
    description: "Asks only for what the client can do",
    run(turn) {
      if (turn.input) return say("fulfilled");
      const { elicitation, sampling, roots: canRoot } = turn.capabilities;
      const requests = {
        ...(elicitation ? { user_name: askName } : {}),
        ...(sampling ? { greeting: sample("Generate a greeting") } : {}),
        ...(canRoot ? { client_roots: roots } : {}),
      };
      return Object.keys(requests).length > 0
        ? ask(requests)
        : say("the client can do nothing that could be asked for");
    },
  },
  {
    name: "test_trigger_tool_change",
    description: "Changes the list of tools",
    run({ change }) {
      change("tools");
      return say("changed");
    },
  },
  {
    name: "test_trigger_prompt_change",
    description: "Changes the list of prompts",
    run({ change }) {
      change("prompts");
      return say("changed");
    },
  },
];

type Message = {
  role: "user";
  content: ReturnType<typeof text> | typeof image | ReturnType<typeof resource>;
};
const user = (content: Message["content"]): Message => ({
  role: "user",
  content,
});

export const fixturePrompts: PromptDefinition[] = [
  {
    name: "test_simple_prompt",
    description: "Has no arguments",
    get: () => ({
      messages: [user(text("This is a simple prompt for testing."))],
    }),
  },
  {
    name: "test_prompt_with_arguments",
    description: "Has two arguments",
    arguments: ["arg1", "arg2"],
    get: ({ arg1, arg2 }) => ({
      messages: [
        user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
      ],
    }),
  },
  {
    name: "test_prompt_with_embedded_resource",
    description: "Brings a resource",
    arguments: ["resourceUri"],
    get: ({ resourceUri = "" }) => ({
      messages: [
        user(
          resource(
            resourceUri,
            "text/plain",
            "Embedded resource content for testing.",
          ),
        ),
        user(text("Please process the embedded resource above.")),
      ],
    }),
  },
  {
    name: "test_prompt_with_image",
    description: "Brings an image",
    get: () => ({
      messages: [user(image), user(text("Please analyze the image above."))],
    }),
  },
  {
    name: "test_input_required_result_prompt",
    description: "Asks for the context to use",
    get(_args, turn) {
      const words = accepted(turn, "user_context")?.["context"];
      return typeof words === "string"
        ? { messages: [user(text(`Use the following context: ${words}`))] }
        : ask({
            user_context: elicit(
              "What context should the prompt use?",
              object({ context: { type: "string" } }),
            ),
          });
    },
  },
];

export const fixtureContents: Record<
  string,
  { mimeType: string; text?: string; blob?: string }
> = {
  "test://static-text": {
    mimeType: "text/plain",
    text: "This is the content of the static text resource.",
  },
  "test://static-binary": { mimeType: "image/png", blob: PIXEL },
  "test://watched-resource": {
    mimeType: "text/plain",
    text: "Watched resource content",
  },
};

export const fixtureTemplate = {
  uriTemplate: "test://template/{id}/data",
  name: "template",
  mimeType: "application/json",
};

/** What reading a resource answers; null for a URI that leads to nothing. */
export function readFixture(uri: string) {
  const fixed = fixtureContents[uri];
  if (fixed) return { contents: [{ uri, ...fixed } as Contents] };
  const id = /^test:\/\/template\/(.*)\/data$/.exec(uri)?.[1];
  if (id === undefined) return null;
  const words = JSON.stringify({ id, templateTest: true });
  const { mimeType } = fixtureTemplate;
  return { contents: [{ uri, mimeType, text: words } as Contents] };
}
type Contents = ReadResourceResult["contents"][number];
