import {
  accepted,
  ask,
  elicit,
  elicited,
  object,
  protocolError,
  roots,
  rooted,
  sample,
  sampled,
  say,
} from "./definitions.ts";
import type { ToolDefinition } from "./definitions.ts";

/** What the tools below have seen and wait for; of one server, over all its sessions and restarts. */
export type Memory = {
  /** How often tools were run with each nonce. */
  runs(nonce: string): number;
  /** The nonces of calls that were cancelled. */
  cancelled: string[];
  /** Lets the calls of `hold` with this gate go, and later ones through. */
  open(gate: string): void;
  /** Resolves when so many calls of `hold` have come to this gate, one unless said. */
  held(gate: string, calls?: number): Promise<void>;
};

const string = { type: "string" } as const;
const number = { type: "number" } as const;
const optional = (properties: Record<string, object>) => ({
  type: "object" as const,
  properties,
});

/**
 * Tools for tests of what is between a server and a client: who asked, whose answer it is, how often it ran. Each
 * answers one text.
 */
export function createExtras(): { tools: ToolDefinition[]; memory: Memory } {
  const runs = new Map<string, number>();
  const cancelled: string[] = [];
  const gates = new Map<string, Gate>();
  const gate = (name: string): Gate => {
    const found = gates.get(name) ?? openableGate();
    gates.set(name, found);
    return found;
  };
  const ran = (nonce: unknown): number => {
    const times = (runs.get(String(nonce)) ?? 0) + 1;
    runs.set(String(nonce), times);
    return times;
  };

  /** Waits, but not for a call that is cancelled. */
  async function unlessCancelled(
    signal: AbortSignal,
    nonce: unknown,
    wait: Promise<unknown>,
  ): Promise<void> {
    const stopped = Promise.withResolvers<never>();
    const stop = () => {
      cancelled.push(String(nonce));
      stopped.reject(new Error("cancelled"));
    };
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    try {
      await Promise.race([wait, stopped.promise]);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  const tools: ToolDefinition[] = [
    {
      name: "whoami",
      description: "The Authorization header of this request, or X-API-Key",
      run: ({ headers }) => ({
        ...say(headers["authorization"] ?? headers["x-api-key"] ?? "nobody"),
        structuredContent: { headers },
      }),
    },
    {
      name: "echo",
      description: "The arguments, as JSON",
      run: (_turn, args) => say(JSON.stringify(args)),
    },
    {
      name: "count",
      description: "How often it has run with this nonce, now included",
      inputSchema: object({ nonce: string }),
      run: (_turn, { nonce }) => say(String(ran(nonce))),
    },
    {
      name: "slow",
      description: "Takes its time",
      inputSchema: optional({ ms: number, nonce: string }),
      async run({ signal }, { ms, nonce }) {
        ran(nonce);
        await unlessCancelled(signal, nonce, Bun.sleep(Number(ms)));
        return say(String(nonce));
      },
    },
    {
      name: "hold",
      description: "Says that it waits, and does until its gate is opened",
      inputSchema: optional({ gate: string, nonce: string }),
      async run({ signal, progress }, { gate: name, nonce }) {
        ran(nonce);
        progress(1, 2, "held");
        const { enter, opened } = gate(String(name));
        enter();
        await unlessCancelled(signal, nonce ?? name, opened);
        return say(String(nonce ?? name));
      },
    },
    {
      name: "held",
      description: "Answers when so many calls of `hold` are at this gate",
      inputSchema: optional({ gate: string, calls: number }),
      async run(_turn, { gate: name, calls = 1 }) {
        await gate(String(name)).entered(Number(calls));
        return say("held");
      },
    },
    {
      name: "was_cancelled",
      description: "Answers when the call with this nonce was cancelled",
      inputSchema: object({ nonce: string }),
      async run({ signal }, { nonce }) {
        while (!cancelled.includes(String(nonce)) && !signal.aborted) {
          await Bun.sleep(1);
        }
        return say("cancelled");
      },
    },
    {
      name: "open",
      description: "Opens the gate of `hold`",
      inputSchema: object({ gate: string }),
      run(_turn, { gate: name }) {
        gate(String(name)).open();
        return say("open");
      },
    },
    {
      name: "progress",
      description: "Reports each step with its nonce",
      inputSchema: object({ steps: number, nonce: string }),
      async run(turn, { steps, nonce }) {
        ran(nonce);
        for (let step = 1; step <= Number(steps); step++) {
          turn.progress(step, Number(steps), `${nonce} ${step}`);
          await Bun.sleep(1);
        }
        return say(String(nonce));
      },
    },
    {
      name: "log",
      description: "Logs its nonce",
      inputSchema: object({ nonce: string, level: string }),
      run(turn, { nonce, level }) {
        turn.log(level as never, nonce, "extras");
        return say(String(nonce));
      },
    },
    {
      name: "ask",
      description: "Puts a form before the user and tells what came of it",
      inputSchema: optional({ message: string, nonce: string }),
      run(turn, { message, nonce }) {
        const answer = elicited(turn, "form");
        if (!answer) {
          ran(nonce);
          const form = object({ answer: string });
          return ask({ form: elicit(String(message), form) });
        }
        const { action, content } = answer;
        return say(JSON.stringify({ message, action, content }));
      },
    },
    {
      name: "work_and_ask",
      description: "Reports progress, logs and asks, each with its nonce",
      inputSchema: object({ nonce: string }),
      run(turn, { nonce }) {
        const answer = elicited(turn, "form");
        turn.progress(answer ? 2 : 1, 2, `${nonce} ${answer ? 2 : 1}`);
        turn.log("warning", nonce, "extras");
        if (!answer) {
          const form = object({ answer: string });
          return ask({ form: elicit(`work of ${nonce}`, form) });
        }
        return say(`${nonce}: ${String(answer.content?.["answer"])}`);
      },
    },
    {
      name: "ask_late",
      description: "Asks when its gate is opened, cancelled or not",
      inputSchema: object({ gate: string, message: string }),
      async run(turn, { gate: name, message }) {
        const answer = elicited(turn, "form");
        if (answer) return say(JSON.stringify(answer.content ?? null));
        const { enter, opened } = gate(String(name));
        enter();
        await opened;
        const form = object({ answer: string });
        return ask({ form: elicit(String(message), form) });
      },
    },
    {
      name: "ask_and_open",
      description: "Asks, and opens the gate when the client has got that",
      inputSchema: object({ gate: string, message: string }),
      run(turn, { gate: name, message }) {
        const answer = elicited(turn, "form");
        if (answer) return say(JSON.stringify(answer.content ?? null));
        // When the question is on its way.
        setImmediate(async () => {
          await turn.ping();
          gate(String(name)).open();
        });
        const form = object({ answer: string });
        return ask({ form: elicit(String(message), form) });
      },
    },
    {
      name: "two_questions",
      description: "Puts two forms before the user, one after the other",
      inputSchema: optional({ nonce: string }),
      run(turn, { nonce }) {
        const form = object({ answer: string });
        const state = turn.input?.state ?? null;
        if (state === null) {
          return ask({ first: elicit(`first of ${nonce}`, form) }, "first");
        }
        if (state === "first") {
          const answer = accepted(turn, "first")?.["answer"];
          return ask(
            { second: elicit(`second of ${nonce}`, form) },
            `second ${String(answer)}`,
          );
        }
        const answer = accepted(turn, "second")?.["answer"];
        return say(`${state.slice("second ".length)} ${String(answer)}`);
      },
    },
    {
      name: "ask_url",
      description: "Sends the user to a URL, and says when that is done",
      inputSchema: optional({ message: string, url: string }),
      run(turn, { message = "Open this", url = "https://example.com/pay" }) {
        const answer = elicited(turn, "url");
        const elicitationId = turn.input?.state ?? crypto.randomUUID();
        if (!answer) {
          const params = { mode: "url", message, url, elicitationId };
          return ask(
            { url: { method: "elicitation/create", params } },
            elicitationId,
          );
        }
        turn.completeUrl(elicitationId);
        return say(String(answer.action));
      },
    },
    {
      name: "needs_url",
      description: "Cannot run before the user has opened a URL",
      inputSchema: optional({ url: string }),
      run(_turn, { url = "https://example.com/connect" }) {
        const message = "Connect first";
        const elicitationId = crypto.randomUUID();
        throw protocolError(-32042, message, {
          elicitations: [{ mode: "url", message, url, elicitationId }],
        });
      },
    },
    {
      name: "sample",
      description: "Asks the client's model and tells what it said",
      inputSchema: object({ prompt: string }),
      run(turn, { prompt }) {
        const said = sampled(turn, "model");
        return said === undefined
          ? ask({ model: sample(String(prompt)) })
          : say(said);
      },
    },
    {
      name: "roots",
      description: "The client's roots, as JSON",
      run(turn) {
        const found = rooted(turn, "roots");
        return found ? say(JSON.stringify(found)) : ask({ roots });
      },
    },
    {
      name: "change_tools",
      description: "Adds the tool `now_and_then`, or takes it away",
      run({ change }) {
        change("tools");
        return say("changed");
      },
    },
    {
      name: "touch",
      description: "Tells whoever has subscribed that a resource has changed",
      inputSchema: object({ uri: string }),
      run({ touch }, { uri }) {
        touch(String(uri));
        return say("touched");
      },
    },
    {
      name: "big",
      description: "An answer of so many bytes",
      inputSchema: object({ bytes: number }),
      run: (_turn, { bytes }) => say("x".repeat(Number(bytes))),
    },
    {
      name: "fail",
      description: "Fails: as a result, or with this code as a JSON-RPC error",
      inputSchema: optional({ message: string, code: number }),
      run(_turn, { message = "It failed", code }) {
        if (code !== undefined) {
          throw protocolError(Number(code), String(message));
        }
        return { ...say(String(message)), isError: true };
      },
    },
  ];

  return {
    tools,
    memory: {
      runs: (nonce) => runs.get(nonce) ?? 0,
      cancelled,
      open: (name) => gate(name).open(),
      held: (name, calls = 1) => gate(name).entered(calls),
    },
  };
}

/** Comes and goes with `change_tools`. */
export const nowAndThen: ToolDefinition = {
  name: "now_and_then",
  description: "Is not always there",
  run: () => say("here"),
};

type Gate = ReturnType<typeof openableGate>;
function openableGate() {
  const opening = Promise.withResolvers<void>();
  const waiting = new Set<() => void>();
  let entered = 0;
  return {
    opened: opening.promise,
    open: opening.resolve,
    enter() {
      entered++;
      for (const wake of waiting) wake();
    },
    async entered(calls: number) {
      while (entered < calls) {
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.add(resolve);
        await promise;
        waiting.delete(resolve);
      }
    },
  };
}
