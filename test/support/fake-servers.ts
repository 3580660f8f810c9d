import type {
  CallContext,
  Completing,
  Listing,
  ResourceRef,
  Source,
  SourceChange,
} from "../../src/core/source.ts";
import type { Identity } from "../../src/core/principal.ts";
import type { CallToolResult } from "../../src/core/tool.ts";

/** Registered MCP servers, as the port of a source shows them; each answers with who was asked what. */
export type FakeServer = {
  slug: string;
  name?: string;
  /** Who has it; everybody by default. */
  members?: string[];
  tools?: string[];
  prompts?: string[];
  resources?: string[];
  templates?: string[];
  instructions?: string;
};

export type FakeServers = {
  source: Source;
  /** As they are; a change is told with `tell`. */
  servers: FakeServer[];
  tell(change: SourceChange): void;
  /** What the door has said that is listened for, by subject, the last time. */
  watched: Map<string, string[]>;
  /** How often it has said so, whoever listens. */
  watches: () => number;
  lists: () => number;
  /** Holds every listing until it is released. */
  hold(): { release(): void };
  /** What the tool of this name does. */
  onCall(
    tool: string,
    run: (
      args: Record<string, unknown>,
      context: CallContext,
    ) => CallToolResult | Promise<CallToolResult>,
  ): void;
  /** Every prompt, resource and completion fails with this, while it is set. */
  fail: { with: Error | null };
  appOf(slug: string): ResourceRef["app"];
};

const text = (words: string): CallToolResult => ({
  content: [{ type: "text", text: words }],
});

export function fakeServers(servers: FakeServer[]): FakeServers {
  let listener: (change: SourceChange) => void = () => {};
  let listed = 0;
  let said = 0;
  let held: Promise<void> | null = null;
  const watched = new Map<string, string[]>();
  const calls = new Map<string, Parameters<FakeServers["onCall"]>[1]>();
  const fail: FakeServers["fail"] = { with: null };

  const appOf = (slug: string) => {
    const server = servers.find((one) => one.slug === slug);
    return { ref: `ref-${slug}`, key: slug, name: server?.name ?? slug };
  };
  const of = ({ subject }: Identity) =>
    servers.filter(({ members }) => members?.includes(subject) ?? true);

  function listing(who: Identity): Listing {
    const all = of(who);
    const from = <T>(
      pick: (server: FakeServer) => string[] | undefined,
      make: (app: ResourceRef["app"], name: string) => T,
    ) =>
      all.flatMap((server) =>
        (pick(server) ?? []).map((name) => make(appOf(server.slug), name)),
      );
    return {
      offers: from(
        ({ tools }) => tools,
        (app, name) => ({
          app,
          ref: name,
          key: name,
          name,
          tool: {
            description: `Runs ${name}`,
            inputSchema: { type: "object" },
          },
        }),
      ),
      prompts: from(
        ({ prompts }) => prompts,
        (app, name) => ({
          app,
          ref: name,
          key: name,
          name,
          prompt: { description: `Says ${name}` },
        }),
      ),
      resources: from(
        ({ resources }) => resources,
        (app, uri) => ({ app, resource: { uri, name: `${app.key} ${uri}` } }),
      ),
      templates: from(
        ({ templates }) => templates,
        (app, uriTemplate) => ({
          app,
          template: { uriTemplate, name: app.key },
        }),
      ),
      failed: [],
    };
  }

  const target = ({ of }: Completing) =>
    "prompt" in of
      ? `${of.prompt.app.key} ${of.prompt.ref}`
      : `${of.app.key} ${of.uri}`;

  const failing = () => {
    if (fail.with) throw fail.with;
  };

  const source: Source = {
    id: "servers",
    logs: true,
    async list(principal) {
      listed++;
      const now = listing(principal);
      await held;
      return now;
    },
    async call(_principal, { app, ref }, args, context) {
      const run = calls.get(ref);
      if (run) return run(args, context);
      return text(`${app.key} ran ${ref} with ${JSON.stringify(args)}`);
    },
    async getPrompt(_principal, { app, ref }) {
      failing();
      return {
        messages: [
          {
            role: "user",
            content: { type: "text", text: `${app.key} says ${ref}` },
          },
        ],
      };
    },
    async readResource(_principal, { app, uri }) {
      failing();
      return { contents: [{ uri, text: `${app.key} has ${uri}` }] };
    },
    async complete(_principal, completing) {
      failing();
      return { completion: { values: [target(completing)] } };
    },
    alone: (who, appKey) =>
      of(who).some(({ slug }) => slug === appKey) ? appOf(appKey) : null,
    instructions: (who) =>
      of(who)
        .filter(({ instructions }) => instructions !== undefined)
        .map(({ slug, instructions }) => ({
          app: appOf(slug),
          text: instructions!,
        })),
    watch(principal, resources) {
      said++;
      watched.set(
        principal.subject,
        resources.map(({ app, uri }) => `${app.key} ${uri}`),
      );
    },
    onChange(tell) {
      listener = tell;
    },
  };

  return {
    source,
    servers,
    tell: (change) => listener(change),
    watched,
    watches: () => said,
    lists: () => listed,
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      held = promise;
      return {
        release() {
          held = null;
          resolve();
        },
      };
    },
    onCall: (tool, run) => void calls.set(tool, run),
    fail,
    appOf,
  };
}
