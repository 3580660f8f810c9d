import type {
  CallContext,
  InputRequired,
  PromptOffer,
  Source,
  SourceChange,
} from "../../src/core/source.ts";
import type { CallToolResult, Offer } from "../../src/core/tool.ts";

/**
 * The tools, prompts and resources that the conformance suite asks a server for, by way of the port that real
 * sources use. An offer of the app `test` with the key `simple_text` is the tool `test_simple_text`.
 */

const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const SILENCE =
  "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==";

const text = (words: string) => ({ type: "text" as const, text: words });
const image = { type: "image" as const, data: PIXEL, mimeType: "image/png" };
const resource = (uri: string, mimeType: string, words: string) => ({
  type: "resource" as const,
  resource: { uri, mimeType, text: words },
});

type Fixture = {
  app: string;
  key: string;
  description: string;
  inputSchema?: Offer["tool"]["inputSchema"];
  run(
    context: CallContext,
    args: Record<string, unknown>,
  ): Answer | Promise<Answer>;
};
type Answer = CallToolResult | InputRequired;

const say = (words: string): CallToolResult => ({ content: [text(words)] });

const elicit = (message: string, requestedSchema: object) => ({
  method: "elicitation/create",
  params: { mode: "form", message, requestedSchema },
});
const sample = (prompt: string) => ({
  method: "sampling/createMessage",
  params: {
    messages: [{ role: "user", content: text(prompt) }],
    maxTokens: 100,
  },
});
const roots = { method: "roots/list", params: {} };
const object = (properties: Record<string, object>) => ({
  type: "object",
  properties,
  required: Object.keys(properties),
});
const askName = elicit(
  "What is your name?",
  object({ name: { type: "string" } }),
);
const confirm = elicit("Please confirm", object({ ok: { type: "boolean" } }));

const ask = (
  inputRequests: NonNullable<InputRequired["inputRequests"]>,
  requestState?: string,
): InputRequired => ({
  resultType: "input_required",
  inputRequests,
  ...(requestState === undefined ? {} : { requestState }),
});

type Elicited = { action?: string; content?: Record<string, unknown> };
type Sampled = { content?: { text?: string } };
type Rooted = { roots?: { uri: string }[] };

/** What the user has put into a form, if that was accepted. */
function accepted({ input }: CallContext, key: string) {
  const { action, content } = (input?.responses[key] ?? {}) as Elicited;
  return action === "accept" ? content : undefined;
}
const sampled = ({ input }: CallContext, key: string) =>
  (input?.responses[key] as Sampled | undefined)?.content?.text;
const rooted = ({ input }: CallContext, key: string) =>
  (input?.responses[key] as Rooted | undefined)?.roots;

/** Puts a form before the user, and tells what came of it. */
const form =
  (message: string, schema: object) =>
  (context: CallContext): Answer => {
    const answer = context.input?.responses["form"] as Elicited | undefined;
    return answer
      ? say(
          `Elicitation completed: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`,
        )
      : ask({ form: elicit(message, schema) });
  };

let listener: (change: SourceChange) => void = () => {};
// What the two triggers change.
let changes = 0;
function change(): CallToolResult {
  changes++;
  listener({ who: null });
  return say("changed");
}

const fixtures: Fixture[] = [
  {
    app: "test",
    key: "simple_text",
    description: "Answers with text",
    run: () => ({
      content: [text("This is a simple text response for testing.")],
    }),
  },
  {
    app: "test",
    key: "image_content",
    description: "Answers with an image",
    run: () => ({ content: [image] }),
  },
  {
    app: "test",
    key: "audio_content",
    description: "Answers with audio",
    run: () => ({
      content: [{ type: "audio", data: SILENCE, mimeType: "audio/wav" }],
    }),
  },
  {
    app: "test",
    key: "embedded_resource",
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
    app: "test",
    key: "multiple_content_types",
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
    app: "test",
    key: "error_handling",
    description: "Fails",
    run: () => ({
      isError: true,
      content: [text("This tool intentionally returns an error for testing")],
    }),
  },
  {
    app: "test",
    key: "tool_with_progress",
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
    app: "test",
    key: "reconnection",
    description: "Closes the connection before it answers",
    run: async ({ hangUp }) => {
      await Bun.sleep(50);
      hangUp();
      await Bun.sleep(100);
      return { content: [text("Back again")] };
    },
  },
  {
    app: "json",
    key: "schema_2020_12_tool",
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
    app: "test",
    key: "x_mcp_header",
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
    app: "test",
    key: "missing_capability",
    description: "Needs sampling",
    run: (context) =>
      context.input ? say("done") : ask({ answer: sample("Say pong") }),
  },
  {
    app: "test",
    key: "streaming_elicitation",
    description: "Answers without asking anything",
    run: () => say("nothing asked"),
  },
  {
    app: "test",
    key: "logging_tool",
    description: "Logs once",
    run: (context) => {
      context.log("info", "logged");
      return say("logged, if that was asked for");
    },
  },
  {
    app: "test",
    key: "tool_with_logging",
    description: "Logs three times",
    async run(context) {
      for (const words of ["started", "processing", "completed"]) {
        context.log("info", `Tool execution ${words}`);
        await Bun.sleep(50);
      }
      return say("Tool with logging executed successfully");
    },
  },
  {
    app: "test",
    key: "sampling",
    description: "Asks the client's model",
    inputSchema: {
      type: "object",
      properties: { prompt: { type: "string" } },
      required: ["prompt"],
    },
    run: (context, { prompt }) =>
      context.input
        ? say(`LLM response: ${sampled(context, "answer")}`)
        : ask({ answer: sample(String(prompt)) }),
  },
  {
    app: "test",
    key: "elicitation",
    description: "Asks the user",
    inputSchema: {
      type: "object",
      properties: { message: { type: "string" } },
      required: ["message"],
    },
    run: (context, { message }) =>
      form(String(message), object({ response: { type: "string" } }))(context),
  },
  {
    app: "test",
    key: "elicitation_sep1034_defaults",
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
    app: "test",
    key: "elicitation_sep1330_enums",
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
    app: "test",
    key: "input_required_result_elicitation",
    description: "Asks for a name until it gets one",
    run(context) {
      const name = accepted(context, "user_name")?.["name"];
      return typeof name === "string"
        ? say(`Hello, ${name}!`)
        : ask({ user_name: askName });
    },
  },
  {
    app: "test",
    key: "input_required_result_sampling",
    description: "Asks the client's model for a capital",
    run(context) {
      const answer = sampled(context, "capital_question");
      return answer === undefined
        ? ask({ capital_question: sample("What is the capital of France?") })
        : say(`Sampling response: ${answer}`);
    },
  },
  {
    app: "test",
    key: "input_required_result_list_roots",
    description: "Asks for the client's roots",
    run(context) {
      const found = rooted(context, "client_roots");
      return found
        ? say(`Roots: ${found.map(({ uri }) => uri).join(", ")}`)
        : ask({ client_roots: roots });
    },
  },
  {
    app: "test",
    key: "input_required_result_request_state",
    description: "Asks for a confirmation, and knows its state again",
    run: (context) =>
      accepted(context, "confirm") && context.input?.state === "the state"
        ? say("state-ok")
        : ask({ confirm }, "the state"),
  },
  {
    app: "test",
    key: "input_required_result_multiple_inputs",
    description: "Asks for three things at once",
    run(context) {
      const name = accepted(context, "user_name")?.["name"];
      const greeting = sampled(context, "greeting");
      const found = rooted(context, "client_roots");
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
    app: "test",
    key: "input_required_result_multi_round",
    description: "Asks twice, one after the other",
    run(context) {
      const { state } = context.input ?? { state: null };
      if (state === null) return ask({ step1: askName }, "after step 1");
      if (state === "after step 1") {
        const { name } = accepted(context, "step1") ?? {};
        const color = object({ color: { type: "string" } });
        return ask(
          { step2: elicit("Which color do you like?", color) },
          `name ${String(name)}`,
        );
      }
      const { color } = accepted(context, "step2") ?? {};
      return say(`${state} likes ${String(color)}`);
    },
  },
  {
    app: "test",
    key: "input_required_result_tampered_state",
    description: "Asks for a confirmation; its state must come back as it was",
    run: (context) =>
      context.input?.state === "untouched" && accepted(context, "confirm")
        ? say("integrity-ok")
        : ask({ confirm }, "untouched"),
  },
  {
    app: "test",
    key: "input_required_result_capabilities",
    description: "Asks only for what the client can do",
    run(context) {
      if (context.input) return say("fulfilled");
      const { elicitation, sampling, roots: canRoot } = context.capabilities;
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
    app: "test",
    key: "trigger_tool_change",
    description: "Changes the list of tools",
    run: change,
  },
  {
    app: "test",
    key: "trigger_prompt_change",
    description: "Changes the list of prompts",
    run: change,
  },
];

type PromptFixture = {
  key: string;
  description: string;
  arguments?: string[];
  get(
    args: Record<string, string>,
    context: CallContext,
  ): { messages: Message[] } | InputRequired;
};
type Message = {
  role: "user";
  content: ReturnType<typeof text> | typeof image | ReturnType<typeof resource>;
};
const user = (content: Message["content"]): Message => ({
  role: "user",
  content,
});

const prompts: PromptFixture[] = [
  {
    key: "simple_prompt",
    description: "Has no arguments",
    get: () => ({
      messages: [user(text("This is a simple prompt for testing."))],
    }),
  },
  {
    key: "prompt_with_arguments",
    description: "Has two arguments",
    arguments: ["arg1", "arg2"],
    get: ({ arg1, arg2 }) => ({
      messages: [
        user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
      ],
    }),
  },
  {
    key: "prompt_with_embedded_resource",
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
    key: "prompt_with_image",
    description: "Brings an image",
    get: () => ({
      messages: [user(image), user(text("Please analyze the image above."))],
    }),
  },
  {
    key: "input_required_result_prompt",
    description: "Asks for the context to use",
    get(_args, context) {
      const words = accepted(context, "user_context")?.["context"];
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

const app = (key: string) => ({ ref: key, key, name: key });

const promptOffers = (): PromptOffer[] =>
  prompts.map(({ key, description, arguments: names = [] }) => ({
    app: app("test"),
    ref: key,
    key,
    name: key,
    prompt: {
      description:
        key === "simple_prompt" ? `${description} (${changes})` : description,
      arguments: names.map((name) => ({ name, required: true })),
    },
  }));

const contents: Record<
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

export const conformanceSource: Source = {
  id: "conformance",
  logs: true,
  list: async () => ({
    offers: fixtures.map(({ app: key, ...fixture }) => ({
      app: app(key),
      ref: fixture.key,
      key: fixture.key,
      name: fixture.key,
      tool: {
        description:
          fixture.key === "trigger_tool_change"
            ? `${fixture.description} (${changes})`
            : fixture.description,
        inputSchema: fixture.inputSchema ?? { type: "object" },
      },
    })),
    prompts: promptOffers(),
    resources: Object.entries(contents).map(([uri, { mimeType }]) => ({
      app: app("test"),
      resource: { uri, name: uri.slice("test://".length), mimeType },
    })),
    templates: [
      {
        app: app("test"),
        template: {
          uriTemplate: "test://template/{id}/data",
          name: "template",
          mimeType: "application/json",
        },
      },
    ],
    failed: [],
  }),
  call: async (_principal, { ref }, args, context) =>
    fixtures.find(({ key }) => key === ref)!.run(context, args),
  getPrompt: async (_principal, { ref }, args, context) =>
    prompts.find(({ key }) => key === ref)!.get(args, context),
  async readResource(_principal, { uri }) {
    const { mimeType, ...content } = contents[uri] ?? {
      mimeType: "application/json",
      text: JSON.stringify({
        id: /^test:\/\/template\/(.*)\/data$/.exec(uri)![1],
        templateTest: true,
      }),
    };
    return { contents: [{ uri, mimeType, ...content } as never] };
  },
  complete: async (_principal, { argument }) => ({
    completion: { values: [`${argument.value}-completed`], hasMore: false },
  }),
  onChange: (tell) => {
    listener = tell;
  },
};
