import type { Identity } from "../core/principal.ts";
import type { Input, InputRequired, Refusal } from "../core/source.ts";
import { isInputRequired } from "../core/source.ts";
import { GatewayError } from "../core/errors.ts";
import type { Clock } from "../core/runtime.ts";
import { INVALID_PARAMS, RpcError, isRecord } from "./jsonrpc.ts";
import type { Result } from "./result.ts";

/**
 * What a source asks of the caller's user, model or host before it can answer. A session's client is asked at once,
 * and the source again with what it says; a stateless caller gets the questions as a result and comes back with the
 * answers (MCP 2026-07-28, basic/patterns/mrtr).
 */

export const MISSING_CAPABILITY = -32021;

/** How long a stateless caller may take to come back. */
const STATE_TTL_MS = 3_600_000;
/** How often a source may ask again within one call of a session. */
const MAX_ROUNDS = 16;

/** Sends a request to the caller's client; withdraws it when `signal` is aborted, and rejects with its reason. */
export type Ask = (
  method: string,
  params: Record<string, unknown> | undefined,
  signal: AbortSignal,
) => Promise<Answered>;
export type Answered = { result: unknown } | { refusal: Refusal };

export type InputContext = {
  who: Identity;
  capabilities: Record<string, unknown>;
  /** How a session's client is asked; null when it cannot be. `stateless`: it gets the questions as a result. */
  ask: Ask | "stateless" | null;
};

export type Inputs = {
  /**
   * Runs what may ask. `params` are those of the request, and the state of one request is good for no other.
   * Throws {@link RpcError} -32021 when the client cannot be asked, -32602 for a state that is not ours.
   */
  run<T extends object>(
    context: InputContext,
    method: string,
    params: Record<string, unknown>,
    work: (input: Input | null) => Promise<T | InputRequired>,
  ): Promise<T | { ask: Result }>;
};

export function createInputs(wiring: {
  /** 32 bytes; asked for once, when a caller is asked for something. */
  secret: () => Uint8Array;
  clock: Clock;
}): Inputs {
  const { clock } = wiring;
  let imported: Promise<CryptoKey> | undefined;
  const key = () =>
    (imported ??= crypto.subtle.importKey(
      "raw",
      new Uint8Array(wiring.secret()),
      "AES-GCM",
      false,
      ["encrypt", "decrypt"],
    ));

  /** Whose state it is, and of what. */
  function binding(
    { workspace, subject }: Identity,
    method: string,
    params: Record<string, unknown>,
  ): Uint8Array<ArrayBuffer> {
    const {
      _meta,
      inputResponses: _responses,
      requestState: _state,
      ...own
    } = params;
    const said = { arguments: {}, ...own };
    return new TextEncoder().encode(
      JSON.stringify([workspace, subject, method, said], sorted),
    );
  }

  async function seal(
    state: string,
    additionalData: Uint8Array<ArrayBuffer>,
  ): Promise<string> {
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const plain = JSON.stringify([clock.now() + STATE_TTL_MS, state]);
    const sealed = await crypto.subtle.encrypt(
      { name: "AES-GCM", iv, additionalData },
      await key(),
      new TextEncoder().encode(plain),
    );
    return Buffer.concat([iv, Buffer.from(sealed)]).toString("base64url");
  }

  async function unseal(
    text: string,
    additionalData: Uint8Array<ArrayBuffer>,
  ): Promise<string> {
    const bytes = new Uint8Array(Buffer.from(text, "base64url"));
    let expires: number;
    let state: string;
    try {
      const plain = await crypto.subtle.decrypt(
        { name: "AES-GCM", iv: bytes.subarray(0, 12), additionalData },
        await key(),
        bytes.subarray(12),
      );
      [expires, state] = JSON.parse(new TextDecoder().decode(plain)) as [
        number,
        string,
      ];
    } catch {
      throw new RpcError(
        INVALID_PARAMS,
        "Invalid requestState: it is not one that was given for this request.",
        { status: 200 },
      );
    }
    if (expires < clock.now()) {
      throw new RpcError(
        INVALID_PARAMS,
        "Invalid requestState: it has expired. Begin again without it.",
        { status: 200 },
      );
    }
    return state;
  }

  async function readInput(
    params: Record<string, unknown>,
    additionalData: Uint8Array<ArrayBuffer>,
  ): Promise<Input | null> {
    const { inputResponses: responses, requestState: state } = params;
    if (responses === undefined && state === undefined) return null;
    if (
      (responses !== undefined && !isRecord(responses)) ||
      (state !== undefined && typeof state !== "string")
    ) {
      throw new GatewayError(
        "invalid",
        '"inputResponses" must be an object, and "requestState" the string that came with the questions.',
      );
    }
    return {
      responses: responses ?? {},
      state: state === undefined ? null : await unseal(state, additionalData),
    };
  }

  async function askSession(
    context: InputContext,
    asked: InputRequired,
  ): Promise<Input> {
    const { ask } = context;
    if (typeof ask !== "function") {
      throw new GatewayError(
        "conflict",
        "This needs an answer of the user or the model, and the caller has no stream to be asked on. Use an MCP client with a session.",
      );
    }
    const { waiting } = asked;
    const over = new AbortController();
    const withdraw = () => over.abort(WITHDRAWN);
    if (waiting?.aborted) withdraw();
    waiting?.addEventListener("abort", withdraw);
    const responses: Record<string, unknown> = {};
    const refusals: Record<string, Refusal> = {};
    const askOne = async (name: string, method: string, params?: Params) => {
      const answered = await ask(method, params, over.signal);
      if ("result" in answered) responses[name] = answered.result;
      else if (waiting) refusals[name] = answered.refusal;
      else throw refused(method, answered.refusal);
    };
    try {
      await Promise.all(
        Object.entries(asked.inputRequests ?? {}).map(
          ([name, { method, params }]) => askOne(name, method, params),
        ),
      );
    } catch (error) {
      // One that is refused ends the call: nobody waits for the others.
      over.abort(error);
      // What came of the call instead is to be had.
      if (error !== WITHDRAWN) throw error;
    } finally {
      waiting?.removeEventListener("abort", withdraw);
    }
    return { responses, refusals, state: asked.requestState ?? null };
  }

  return {
    async run(context, method, params, work) {
      // By far the most frequent case: nothing is asked.
      if (context.ask !== "stateless") {
        const outcome = await work(null);
        if (!isInputRequired(outcome)) return outcome;
        return askUntilDone(context, outcome, work);
      }
      const bound = binding(context.who, method, params);
      const outcome = await work(await readInput(params, bound));
      if (!isInputRequired(outcome)) return outcome;
      requireCapabilities(context, outcome);
      const { inputRequests, requestState } = outcome;
      return {
        ask: inputRequired({
          ...(inputRequests ? { inputRequests } : {}),
          ...(requestState === undefined
            ? {}
            : { requestState: await seal(requestState, bound) }),
        }),
      };
    },
  };

  async function askUntilDone<T extends object>(
    context: InputContext,
    first: InputRequired,
    work: (input: Input | null) => Promise<T | InputRequired>,
  ): Promise<T> {
    let asked = first;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      requireCapabilities(context, asked);
      const outcome = await work(await askSession(context, asked));
      if (!isInputRequired(outcome)) return outcome;
      asked = outcome;
    }
    throw new GatewayError(
      "conflict",
      `It has asked for input ${MAX_ROUNDS} times, and was stopped.`,
    );
  }
}

type Params = Record<string, unknown>;

/** The source does not wait for the answers any more. */
const WITHDRAWN = Symbol("withdrawn");

function refused(method: string, { message }: Refusal): GatewayError {
  return new GatewayError(
    "conflict",
    `The client refused ${method}: ${message}`,
  );
}

/** For JSON.stringify: the same text for the same members, in whatever order they came. */
function sorted(_key: string, value: unknown): unknown {
  return isRecord(value)
    ? Object.fromEntries(
        Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)),
      )
    : value;
}

function inputRequired(members: object): Result {
  return {
    resultType: "input_required",
    fields: JSON.stringify(members).slice(1, -1),
  };
}

/** What a client must have declared for a request: a capability, and a part of it. */
function needed(
  method: string,
  params: Record<string, unknown> | undefined,
  declared: Record<string, unknown>,
): { name: string; part: string | null } | null {
  switch (method) {
    case "roots/list":
      return { name: "roots", part: null };
    case "sampling/createMessage":
      return { name: "sampling", part: params?.["tools"] ? "tools" : null };
    case "elicitation/create": {
      if (params?.["mode"] === "url")
        return { name: "elicitation", part: "url" };
      // Without any mode, a client means forms.
      const { elicitation } = declared;
      const modes = isRecord(elicitation) ? Object.keys(elicitation) : [];
      const form = modes.length > 0 ? "form" : null;
      return { name: "elicitation", part: form };
    }
    default:
      return null;
  }
}

/** Whether it may be put before a user to be opened: never a script, a file or the like. */
export function isWebUrl(value: unknown): value is string {
  const url = typeof value === "string" ? URL.parse(value) : null;
  return url !== null && /^https?:$/.test(url.protocol);
}

/** A source has asked for something else to be opened. */
export function notOfTheWeb(): GatewayError {
  return new GatewayError(
    "upstream_failed",
    "It has asked the user to open something that is no address of the web.",
  );
}

function requireCapabilities(
  { capabilities, ask }: InputContext,
  { inputRequests, requestState }: InputRequired,
): void {
  if (inputRequests === undefined && requestState === undefined) {
    throw new GatewayError(
      "upstream_failed",
      "It has asked for input without saying for what.",
    );
  }
  const missing: Record<string, Record<string, object>> = {};
  for (const { method, params } of Object.values(inputRequests ?? {})) {
    const need = needed(method, params, capabilities);
    if (need === null) {
      throw new GatewayError(
        "upstream_failed",
        `It has asked for ${method}, which no client answers.`,
      );
    }
    const { name, part } = need;
    const declared = capabilities[name];
    const has =
      isRecord(declared) && (part === null || isRecord(declared[part]));
    if (!has) missing[name] = { ...missing[name], ...(part && { [part]: {} }) };
  }
  const names = Object.keys(missing);
  if (names.length === 0) {
    for (const { params } of Object.values(inputRequests ?? {})) {
      if (params?.["mode"] === "url" && !isWebUrl(params["url"])) {
        throw notOfTheWeb();
      }
    }
    return;
  }
  const message = `This needs a client that supports: ${names.join(", ")}.`;
  if (ask !== "stateless") throw new GatewayError("conflict", message);
  throw new RpcError(MISSING_CAPABILITY, message, {
    data: { requiredCapabilities: missing },
  });
}
