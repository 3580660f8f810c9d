import type {
  CallContext,
  PromptOffer,
  Source,
  SourceChange,
} from "../../src/core/source.ts";
import type { Turn } from "../support/servers/definitions.ts";
import {
  fixtureContents,
  fixturePrompts,
  fixtureTemplate,
  fixtureTools,
  readFixture,
} from "../support/servers/fixtures.ts";

/**
 * The tools, prompts and resources that the conformance suite asks a server for, by way of the port that real
 * sources use. The tool `test_simple_text` is an offer of the app `test` with the key `simple_text`.
 */

let listener: (change: SourceChange) => void = () => {};
// What the two triggers change.
let changes = 0;

const turnOf = (context: CallContext): Turn => ({
  ...context,
  headers: {},
  change() {
    changes++;
    listener({ who: null });
  },
  touch: (uri) => listener({ who: null, uri }),
  completeUrl: () => {},
  ping: async () => {},
});

const app = (key: string) => ({ ref: key, key, name: key });

/** The app and the key of a name: two halves around its first underscore. */
function offered(name: string) {
  const at = name.indexOf("_");
  const key = name.slice(at + 1);
  return { app: app(name.slice(0, at)), ref: name, key, name: key };
}

const promptOffers = (): PromptOffer[] =>
  fixturePrompts.map(({ name, description, arguments: names = [] }) => ({
    ...offered(name),
    prompt: {
      description:
        name === "test_simple_prompt"
          ? `${description} (${changes})`
          : description,
      arguments: names.map((name) => ({ name, required: true })),
    },
  }));

export const conformanceSource: Source = {
  id: "conformance",
  logs: true,
  list: async () => ({
    offers: fixtureTools.map(({ name, description, inputSchema }) => ({
      ...offered(name),
      tool: {
        description:
          name === "test_trigger_tool_change"
            ? `${description} (${changes})`
            : description,
        inputSchema: inputSchema ?? { type: "object" },
      },
    })),
    prompts: promptOffers(),
    resources: Object.entries(fixtureContents).map(([uri, { mimeType }]) => ({
      app: app("test"),
      resource: { uri, name: uri.slice("test://".length), mimeType },
    })),
    templates: [{ app: app("test"), template: fixtureTemplate }],
    failed: [],
  }),
  call: async (_principal, { ref }, args, context) =>
    fixtureTools.find(({ name }) => name === ref)!.run(turnOf(context), args),
  getPrompt: async (_principal, { ref }, args, context) =>
    fixturePrompts.find(({ name }) => name === ref)!.get(args, turnOf(context)),
  readResource: async (_principal, { uri }) => readFixture(uri)!,
  complete: async (_principal, { argument }) => ({
    completion: { values: [`${argument.value}-completed`], hasMore: false },
  }),
  onChange: (tell) => {
    listener = tell;
  },
};
