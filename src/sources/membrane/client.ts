import { AsyncLocalStorage } from "node:async_hooks";
import type { MembraneClient } from "@membranehq/sdk";
import { LRUCache } from "lru-cache";
import type { TraceContext } from "../../core/trace.ts";
import { writeTrace } from "../../core/trace.ts";
import { tokenKey } from "./token-key.ts";
import { MembraneFailure, isPassing } from "./failure.ts";

/** One exchange with Membrane: who asks, and for how long. */
export type Asking = {
  token: string;
  signal?: AbortSignal;
  timeoutMs: number;
  /** What Membrane is told that it is part of. */
  trace?: TraceContext;
};

/**
 * Membrane's API by way of its SDK, which is loaded at the first call (it costs 60 ms and 40 MB). What the
 * SDK lacks is added here: deadlines, cancellation, statuses, retries of what is safe to repeat, and errors
 * without the caller's token. Throws {@link MembraneFailure}.
 */
export type MembraneApi = {
  /** GET /self */
  self(asking: Asking): Promise<unknown>;
  /** GET /connections, one page; those to be renewed too */
  connections(asking: Asking, cursor: string | null): Promise<unknown>;
  /** GET /actions?connectionId=…, one page */
  actions(
    asking: Asking,
    connectionId: string,
    cursor: string | null,
  ): Promise<unknown>;
  /** POST /actions/{id}/run. Sent once, whatever happens. */
  run(
    asking: Asking,
    actionId: string,
    connectionId: string,
    input: unknown,
  ): Promise<unknown>;
};

export type MembraneApiOptions = {
  apiUri: string;
  userAgent: string;
  /** Waits between the tries of a GET, in ms; as many retries as there are entries. */
  backoffMs?: readonly number[];
  sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
};

const PAGE = 1000;
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const MAX_RETRY_AFTER_MS = 10_000;

type Context = {
  signal: AbortSignal;
  timeoutMs: number;
  userAgent: string;
  trace?: TraceContext | undefined;
  /** The body of the request, when the SDK's copy of it must not be sent. */
  body?: unknown;
};
const context = new AsyncLocalStorage<Context>();

type Sdk = typeof import("@membranehq/sdk");
let loading: Promise<Sdk> | null = null;

/** Loads the SDK once, and puts our interceptors on the one HTTP client that all its instances share. */
function loadSdk(): Promise<Sdk> {
  return (loading ??= import("@membranehq/sdk").then((sdk) => {
    const { interceptors } = sdk.MembraneAxiosInstance;
    interceptors.request.use((request) => {
      const ours = context.getStore();
      if (!ours) return request;
      request.timeout = ours.timeoutMs;
      // A redirect would take the input of an action to another host.
      request.maxRedirects = 0;
      request.maxContentLength = MAX_ANSWER_BYTES;
      request.signal = ours.signal;
      // The HTTP library copies the body, without what is called __proto__ or constructor.
      if (ours.body !== undefined) request.data = ours.body;
      request.headers.set("User-Agent", ours.userAgent);
      for (const [name, value] of Object.entries(writeTrace(ours.trace))) {
        request.headers.set(name, value);
      }
      return request;
    });
    interceptors.response.use(
      (response) => response,
      (error: unknown) => {
        throw context.getStore() ? toFailure(error) : error;
      },
    );
    return sdk;
  }));
}

/** The shape of the HTTP library's errors, as far as it is looked at. */
type HttpError = {
  code?: string;
  message?: string;
  response?: {
    status: number;
    data?: unknown;
    headers?: Record<string, unknown>;
  };
};

function toFailure(error: unknown): MembraneFailure {
  if (error instanceof MembraneFailure) return error;
  const { code, response } = error as HttpError;
  return new MembraneFailure({
    message: response
      ? `Membrane answered with status ${response.status}`
      : code === "ECONNABORTED" || code === "ETIMEDOUT"
        ? "Membrane did not answer in time"
        : code === "ERR_CANCELED"
          ? "The request to Membrane was cancelled"
          : "Membrane cannot be reached",
    status: response?.status ?? null,
    code: code ?? null,
    body: response?.data,
    retryAfter: response?.headers?.["retry-after"],
  });
}

export function createMembraneApi(options: MembraneApiOptions): MembraneApi {
  const { apiUri, userAgent, backoffMs = [200, 1000], sleep = wait } = options;
  const clients = new LRUCache<string, MembraneClient>({ max: 500 });

  async function client(token: string): Promise<MembraneClient> {
    const key = tokenKey(token);
    const known = clients.get(key);
    if (known) return known;
    const sdk = await loadSdk();
    const made = new sdk.MembraneClient({ token, apiUri });
    // It keeps a copy of every request and answer for ever.
    (made as unknown as { log: () => void }).log = () => {};
    clients.set(key, made);
    return made;
  }

  /** One try. Whatever is thrown has no trace of the token. */
  async function once<T>(
    { token, signal, timeoutMs, trace }: Asking,
    send: (membrane: MembraneClient) => Promise<T>,
    body?: unknown,
  ): Promise<unknown> {
    // The HTTP library counts silence only: an answer that drips would go on for ever.
    const deadline = AbortSignal.timeout(timeoutMs);
    try {
      const membrane = await client(token);
      const answer: unknown = await context.run(
        {
          signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
          timeoutMs,
          userAgent,
          trace,
          body,
        },
        () => send(membrane),
      );
      // What is not JSON comes back as text, without an error.
      if (typeof answer !== "object" || answer === null) {
        throw new MembraneFailure({
          message: "Membrane's answer is not what its API promises",
          status: 502,
        });
      }
      return answer;
    } catch (error) {
      if (error instanceof MembraneFailure) {
        const late = deadline.aborted && !signal?.aborted;
        throw error.code === "ERR_CANCELED" && late
          ? new MembraneFailure({
              message: "Membrane did not answer in time",
              code: "ETIMEDOUT",
            })
          : error;
      }
      const text = error instanceof Error ? error.message : "";
      throw new MembraneFailure({
        message: /token/i.test(text)
          ? "The token is not one that Membrane's SDK can send"
          : "The request could not be made",
        status: /token/i.test(text) ? 401 : null,
        code: "ERR_SDK",
      });
    }
  }

  async function repeatable<T>(
    asking: Asking,
    send: (membrane: MembraneClient) => Promise<T>,
  ): Promise<unknown> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await once(asking, send);
      } catch (error) {
        const failure = error as MembraneFailure;
        const pause = backoffMs[attempt];
        if (pause === undefined || !isPassing(failure)) throw failure;
        if (asking.signal?.aborted || failure.code === "ERR_SDK") throw failure;
        const asked = failure.retryAfterMs ?? 0;
        if (asked > MAX_RETRY_AFTER_MS) throw failure;
        // Spread, so that many callers who failed together do not come back together.
        const jitter =
          0.75 + crypto.getRandomValues(new Uint8Array(1))[0]! / 512;
        await sleep(Math.max(asked, pause * jitter), asking.signal);
      }
    }
  }

  const paged = (cursor: string | null) => ({
    limit: PAGE,
    ...(cursor === null ? {} : { cursor }),
  });

  return {
    self: (asking) => repeatable(asking, (membrane) => membrane.self.get()),
    connections: (asking, cursor) =>
      repeatable(asking, (membrane) =>
        membrane.connections.find(paged(cursor)),
      ),
    actions: (asking, connectionId, cursor) =>
      repeatable(asking, (membrane) =>
        membrane.actions.find({ connectionId, ...paged(cursor) }),
      ),
    run: (asking, actionId, connectionId, input) =>
      once(
        asking,
        (membrane) =>
          // The SDK puts an id into the path as it is.
          membrane
            .action(encodeURIComponent(actionId))
            .run(input, { connectionId }),
        { input },
      ),
  };
}

function wait(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
