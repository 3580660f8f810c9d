import { GatewayError } from "../../core/errors.ts";
import type { CallContext, InputRequired } from "../../core/source.ts";
import { logLevels } from "../../core/source.ts";
import type { LogLevel } from "../../core/source.ts";
import type { Answer, Incoming, Params } from "./connection.ts";
import { NOBODY } from "./connection.ts";
import { askable, safeRequest } from "./questions.ts";

/**
 * A call to a server with sessions, which may ask the caller's client something in the middle of it and waits for the
 * answer. To the caller's side it is one that returns its questions: the call itself goes on here until somebody comes
 * back with the answers.
 */
export type Conversation = {
  /** What comes of it next: the result, or questions. `context`: of whoever waits now. */
  next(context: CallContext): Promise<Params | InputRequired>;
  /** The answers to its questions, by their keys; what is missing is asked again. */
  answer(responses: Record<string, unknown>): void;
  /** What the server says meanwhile. */
  on: Incoming;
  isOver(): boolean;
};

export type Conversations = {
  /** Begins one. `owner` says whose it is and of what: nobody else can go on with it. `work` is aborted with its signal. */
  begin(
    owner: string,
    work: (on: Incoming, signal: AbortSignal) => Promise<Params>,
  ): Conversation;
  /** One that waits for answers. Throws `conflict` when there is none of that state any more. */
  resume(owner: string, state: string): Conversation;
  /** True for a state of ours, and not of a server's own. */
  knows(state: string): boolean;
};

const PREFIX = "waiting-call:";
const MAX_WAITING = 1000;

/** `patienceMs`: how long a call waits for somebody to come back. */
export function createConversations(
  newId: () => string,
  patienceMs: number,
): Conversations {
  const waiting = new Map<
    string,
    { owner: string; conversation: Conversation; giveUp: () => void }
  >();

  function forget(state: string) {
    const found = waiting.get(state);
    waiting.delete(state);
    return found;
  }

  return {
    knows: (state) => state.startsWith(PREFIX),

    resume(owner, state) {
      const found = waiting.get(state);
      if (found?.owner !== owner) {
        throw new GatewayError(
          "conflict",
          "The call that has asked for this is not waiting any more: the server was restarted, or it took too long. Whether it took effect is unknown.",
        );
      }
      forget(state);
      return found.conversation;
    },

    begin(owner, work) {
      const controller = new AbortController();
      const questions = new Map<
        string,
        { method: string; params: Params; reply: (answer: Answer) => void }
      >();
      let context: CallContext | null = null;
      let count = 0;
      let asked = Promise.withResolvers<void>();
      let over = false;

      const on: Incoming = {
        request(request, reply) {
          const { capabilities } = context ?? { capabilities: {} };
          if (over || !askable(request, capabilities)) return reply(NOBODY);
          const fault = safeRequest(request);
          if (fault !== null) {
            return reply({ error: { code: -32602, message: fault } });
          }
          questions.set(`q${++count}`, { ...request, reply });
          asked.resolve();
        },
        notification(method, params) {
          if (method === "notifications/progress") {
            const { progress, total, message } = params;
            if (typeof progress !== "number") return;
            context?.progress(
              progress,
              typeof total === "number" ? total : undefined,
              typeof message === "string" ? message : undefined,
            );
          }
          if (method === "notifications/message") {
            const { level, data, logger } = params;
            if (!logLevels.includes(level as LogLevel)) return;
            context?.log(
              level as LogLevel,
              data,
              typeof logger === "string" ? logger : undefined,
            );
          }
        },
      };
      const outcome = work(on, controller.signal);
      const settled = () => {
        over = true;
        for (const { reply } of questions.values()) reply(NOBODY);
        questions.clear();
      };
      outcome.then(settled, settled);

      const conversation: Conversation = {
        on,
        isOver: () => over,
        answer(responses) {
          for (const [key, { reply }] of questions) {
            const response = responses[key];
            if (typeof response !== "object" || response === null) continue;
            questions.delete(key);
            reply({ result: response as Params });
          }
          asked = Promise.withResolvers<void>();
          if (questions.size > 0) asked.resolve();
        },
        async next(current) {
          context = current;
          const { signal } = current;
          const aborted = () => controller.abort(signal.reason);
          if (signal.aborted) aborted();
          signal.addEventListener("abort", aborted);
          const first = await Promise.race([outcome, asked.promise]);
          if (first !== undefined || over) {
            signal.removeEventListener("abort", aborted);
            return first ?? outcome;
          }
          // It goes on listening: whoever has asked may still give up.
          const state = PREFIX + newId();
          const timer = setTimeout(() => forget(state)?.giveUp(), patienceMs);
          const giveUp = () =>
            controller.abort(
              new GatewayError("timeout", "Nobody came back with an answer."),
            );
          waiting.set(state, { owner, conversation, giveUp });
          outcome.then(
            () => clearTimeout(timer),
            () => clearTimeout(timer),
          );
          if (waiting.size > MAX_WAITING) {
            const [oldest] = waiting.keys();
            forget(oldest!)?.giveUp();
          }
          return {
            resultType: "input_required",
            inputRequests: Object.fromEntries(
              [...questions].map(([key, { method, params }]) => [
                key,
                { method, params: withoutToken(params) },
              ]),
            ),
            requestState: state,
          };
        },
      };
      return conversation;
    },
  };
}

/** Nobody reports the progress of an answer through us. */
function withoutToken({ _meta, ...params }: Params): Params {
  const { progressToken: _token, ...meta } = (_meta ?? {}) as Params;
  return Object.keys(meta).length === 0 ? params : { ...params, _meta: meta };
}
