import type {
  CallContext,
  CallToolResult,
  Offer,
  ToolSource,
} from "../../src/core/tool.ts";

/**
 * The tools that the conformance suite asks a server for, by way of the port that real sources use. An
 * offer of the app `test` with the key `simple_text` is the tool `test_simple_text`.
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
  run(context: CallContext): CallToolResult | Promise<CallToolResult>;
};

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
];

export const conformanceSource: ToolSource = {
  id: "conformance",
  list: async () => ({
    offers: fixtures.map(({ app, key, description, inputSchema }) => ({
      app: { ref: app, key: app, name: app },
      ref: key,
      key,
      name: key,
      tool: { description, inputSchema: inputSchema ?? { type: "object" } },
    })),
    failed: [],
  }),
  call: async (_principal, { ref }, _args, context) =>
    fixtures.find(({ key }) => key === ref)!.run(context),
};
