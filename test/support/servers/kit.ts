import type { InputRequired, LogLevel } from "../../../src/core/source.ts";
import { isInputRequired } from "../../../src/core/source.ts";
import type { PromptDefinition, ToolDefinition, Turn } from "./definitions.ts";
import { createExtras, nowAndThen } from "./extras.ts";
import type { Memory } from "./extras.ts";
import {
  fixtureContents,
  fixturePrompts,
  fixtureTemplate,
  fixtureTools,
} from "./fixtures.ts";

/** What a server says has changed: a list, or a resource. */
export type Change =
  { list: "tools" | "prompts" | "resources" } | { uri: string };

/** Everything that one test server offers, before an SDK serves it. */
export type Kit = {
  tools(): ToolDefinition[];
  prompts: PromptDefinition[];
  resources: { uri: string; name: string; mimeType: string }[];
  templates: (typeof fixtureTemplate)[];
  memory: Memory;
  /** How often a list has changed. */
  changes(list: "prompts" | "resources"): number;
  /** Changes a list or a resource, and tells everybody who listens. */
  change(change: Change): void;
  /** The function that it returns ends it. */
  onChange(listener: (change: Change) => void): () => void;
};

export function createKit(more: ToolDefinition[] = []): Kit {
  const { tools: extras, memory } = createExtras();
  const fixed = [...fixtureTools, ...extras, ...more];
  const listeners = new Set<(change: Change) => void>();
  let toggled = false;
  const changes = { prompts: 0, resources: 0 };
  return {
    tools: () => (toggled ? [...fixed, nowAndThen] : fixed),
    prompts: fixturePrompts,
    resources: Object.entries(fixtureContents).map(([uri, { mimeType }]) => ({
      uri,
      name: uri.slice("test://".length),
      mimeType,
    })),
    templates: [fixtureTemplate],
    memory,
    changes: (list) => changes[list],
    change(change) {
      if ("list" in change) {
        if (change.list === "tools") toggled = !toggled;
        else changes[change.list]++;
      }
      for (const listener of listeners) listener(change);
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

const nth = (changes: number) => (changes === 0 ? "" : ` (${changes})`);

/** The lists as the wire has them. */
export const wireLists = (kit: Kit) => ({
  tools: () => ({
    tools: kit.tools().map(({ name, description, inputSchema }) => ({
      name,
      description,
      inputSchema: (inputSchema ?? { type: "object" }) as any,
    })),
  }),
  prompts: () => ({
    prompts: kit.prompts.map(({ name, description, arguments: names }) => ({
      name,
      description: `${description}${nth(kit.changes("prompts"))}`,
      arguments: (names ?? []).map((name) => ({ name, required: true })),
    })),
  }),
  resources: () => ({
    resources: kit.resources.map((resource) => ({
      ...resource,
      description: `A resource${nth(kit.changes("resources"))}`,
    })),
  }),
  templates: () => ({ resourceTemplates: kit.templates }),
});

/** Every capability that there is. */
export const capabilities = {
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
  logging: {},
  completions: {},
};

/** A turn, made of what an SDK hands to a request handler. */
export function createTurn(
  kit: Kit,
  {
    progressToken,
    notify,
    ...rest
  }: Pick<
    Turn,
    "signal" | "capabilities" | "input" | "headers" | "hangUp" | "ping"
  > & {
    progressToken: string | number | undefined;
    /** Sends a notification to the client that asked, along with this request. */
    notify(method: string, params: Record<string, unknown>): Promise<void>;
    log(level: LogLevel, data: unknown, logger?: string): Promise<void>;
  },
): {
  turn: Turn;
  /** Resolves when everything that the turn has told the client so far is on its way. */
  told(): Promise<void>;
} {
  let told = Promise.resolve();
  const tell = (send: () => Promise<void>) => void (told = told.then(send));
  return {
    told: () => told,
    turn: {
      ...rest,
      log: (level, data, logger) => tell(() => rest.log(level, data, logger)),
      progress(progress, total, message) {
        if (progressToken === undefined) return;
        tell(() =>
          notify("notifications/progress", {
            progressToken,
            progress,
            ...(total === undefined ? {} : { total }),
            ...(message === undefined ? {} : { message }),
          }),
        );
      },
      completeUrl: (elicitationId) =>
        tell(() =>
          notify("notifications/elicitation/complete", { elicitationId }),
        ),
      change: (list) => kit.change({ list }),
      touch: (uri) => kit.change({ uri }),
    },
  };
}

/** Runs until there is a result, putting every question to the client while the call is open. */
export async function untilAnswered<Result extends object>(
  turn: Turn,
  run: (turn: Turn) => Result | InputRequired | Promise<Result | InputRequired>,
  put: (request: {
    method: string;
    params?: Record<string, unknown>;
  }) => Promise<unknown>,
): Promise<Result> {
  let { input } = turn;
  for (;;) {
    const result = await run({ ...turn, input });
    if (!isInputRequired(result)) return result;
    const responses: Record<string, unknown> = {};
    for (const [key, request] of Object.entries(result.inputRequests ?? {})) {
      responses[key] = await put(request);
    }
    input = { responses, state: result.requestState ?? null };
  }
}
