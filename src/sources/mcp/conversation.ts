import { GatewayError } from "../../core/errors.ts";
import type { CallContext, Input, InputRequired } from "../../core/source.ts";
import { COMPLETED, readLog } from "./heard.ts";
import { askable, safeRequest } from "./questions.ts";
import type { Answer, Incoming, Params } from "./rpc.ts";
import { NOBODY } from "./rpc.ts";

/**
 * A call to a server with sessions, which may ask the caller's client something in the middle of it and waits for the
 * answer. To the caller's side it is one that returns its questions: the call itself goes on here until somebody comes
 * back with the answers.
 */
export type Conversation = {
  /** What comes of it next: the result, or questions. `context`: of whoever waits now. */
  next(context: CallContext): Promise<Params | InputRequired>;
  /** The answers to its questions, by their keys; what is missing is asked again. */
  answer(input: Input): void;
};

/** Whose call it is, and which: nobody else can go on with it. */
export type Owner = { member: string; call: string };

export type Conversations = {
  /** Begins one. `work` is aborted with its signal. */
  begin(
    owner: Owner,
    work: (on: Incoming, signal: AbortSignal) => Promise<Params>,
  ): Conversation;
  /** One that waits for answers. Throws `conflict` when there is none of that state any more. */
  resume(owner: Owner, state: string): Conversation;
  /** True for a state of ours, and not of a server's own. */
  knows(state: string): boolean;
};

const PREFIX = "waiting-call:";
/** Calls that wait for somebody to come back: of one member, and of all. The one that waits longest is given up. */
const MAX_OF_MEMBER = 500;
const MAX_WAITING = 5000;

/** `patienceMs`: how long a call waits for somebody to come back. */
export function createConversations(
  newId: () => string,
  patienceMs: number,
): Conversations {
  type Waiting = Owner & {
    conversation: Conversation;
    timer: Timer;
    giveUp(): void;
  };
  const waiting = new Map<string, Waiting>();

  function take(state: string): Waiting | undefined {
    const found = waiting.get(state);
    clearTimeout(found?.timer);
    waiting.delete(state);
    return found;
  }

  function wait(one: Omit<Waiting, "timer">): string {
    const state = PREFIX + newId();
    const timer = setTimeout(() => take(state)?.giveUp(), patienceMs);
    timer.unref();
    waiting.set(state, { ...one, timer });
    const ofMember = [...waiting].filter(
      ([, { member }]) => member === one.member,
    );
    const [tooMany] =
      ofMember.length > MAX_OF_MEMBER
        ? ofMember
        : waiting.size > MAX_WAITING
          ? waiting
          : [];
    if (tooMany) take(tooMany[0])?.giveUp();
    return state;
  }

  return {
    knows: (state) => state.startsWith(PREFIX),

    resume({ member, call }, state) {
      const found = waiting.get(state);
      if (found?.member !== member || found.call !== call) {
        throw new GatewayError(
          "conflict",
          "The call that has asked for this is not waiting any more: it was answered before, the server was restarted, or it took too long. Whether it took effect is unknown.",
        );
      }
      take(state);
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
      const over = new AbortController();

      const on: Incoming = {
        request(request, reply) {
          const { capabilities } = context ?? { capabilities: {} };
          if (over.signal.aborted || !askable(request, capabilities)) {
            return reply(NOBODY);
          }
          const fault = safeRequest(request);
          if (fault !== null) {
            return reply({ error: { code: -32602, message: fault } });
          }
          questions.set(`q${++count}`, { ...request, reply });
          asked.resolve();
        },
        notification(method, params) {
          const log = readLog(method, params);
          if (log) return context?.log(...log);
          if (method === "notifications/progress") {
            const { progress, total, message } = params;
            if (typeof progress !== "number") return;
            context?.progress(
              progress,
              typeof total === "number" ? total : undefined,
              typeof message === "string" ? message : undefined,
            );
          }
          const { elicitationId } = params;
          if (method === COMPLETED && typeof elicitationId === "string") {
            context?.completed(elicitationId);
          }
        },
      };
      const outcome = work(on, controller.signal);
      const settled = () => {
        over.abort();
        for (const { reply } of questions.values()) reply(NOBODY);
        questions.clear();
      };
      outcome.then(settled, settled);

      const conversation: Conversation = {
        answer({ responses, refusals = {} }) {
          for (const [key, { reply }] of questions) {
            const response = responses[key];
            const error = refusals[key];
            const answered = typeof response === "object" && response !== null;
            if (!answered && !error) continue;
            questions.delete(key);
            reply(error ? { error } : { result: response as Params });
          }
          asked = Promise.withResolvers();
          if (questions.size > 0) asked.resolve();
        },
        async next(current) {
          context = current;
          const { signal } = current;
          const aborted = () => controller.abort(signal.reason);
          if (signal.aborted) aborted();
          // It goes on listening: whoever has asked may still give up.
          signal.addEventListener("abort", aborted);
          const first = await Promise.race([outcome, asked.promise]);
          if (first !== undefined) return first;
          if (over.signal.aborted) return outcome;
          const state = wait({
            ...owner,
            conversation,
            giveUp: () =>
              controller.abort(
                new GatewayError("timeout", "Nobody came back with an answer."),
              ),
          });
          return {
            resultType: "input_required",
            inputRequests: Object.fromEntries(
              [...questions].map(([key, { method, params }]) => [
                key,
                { method, params: withoutToken(params) },
              ]),
            ),
            requestState: state,
            waiting: over.signal,
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
