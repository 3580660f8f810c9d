import type { MiddlewareHandler } from "hono";

/** A request as it arrived, before anything was checked. */
export type RecordedRequest = {
  method: string;
  /** Not decoded. */
  path: string;
  query: Record<string, string>;
  /** Names in lower case. */
  headers: Record<string, string>;
  /** Parsed JSON, else the text; undefined when there was none. */
  body: unknown;
  /** The caller closed the socket before it had the answer. */
  aborted: boolean;
  /** Milliseconds since the epoch. */
  at: number;
};

/** Keeps the newest 1,000 requests. */
export type Recorder = {
  readonly requests: readonly RecordedRequest[];
  /** Resolves with the first request, past or to come, of which the predicate is true. Asked again when one is aborted. */
  when(
    predicate: (request: RecordedRequest) => boolean,
  ): Promise<RecordedRequest>;
  clear(): void;
  middleware: MiddlewareHandler<Recorded>;
};

/** The body of the request as the handlers find it. */
export type Recorded = { Variables: { body: unknown } };

const KEPT = 1_000;

/** Records what passes its middleware. */
export function createRecorder(now: () => number): Recorder {
  const requests: RecordedRequest[] = [];
  const waiting = new Set<(request: RecordedRequest) => void>();

  function changed(request: RecordedRequest): void {
    for (const tell of waiting) tell(request);
  }

  return {
    requests,
    when(predicate) {
      const past = requests.find(predicate);
      if (past !== undefined) return Promise.resolve(past);
      const { promise, resolve } = Promise.withResolvers<RecordedRequest>();
      const tell = (request: RecordedRequest) => {
        if (!predicate(request)) return;
        waiting.delete(tell);
        resolve(request);
      };
      waiting.add(tell);
      return promise;
    },
    clear() {
      requests.length = 0;
    },
    async middleware(c, next) {
      const body = parsed(await c.req.text());
      const request: RecordedRequest = {
        method: c.req.method,
        path: c.req.path,
        query: c.req.query(),
        headers: c.req.header(),
        body,
        aborted: false,
        at: now(),
      };
      let answered = false;
      c.req.raw.signal.addEventListener("abort", () => {
        if (answered) return;
        request.aborted = true;
        changed(request);
      });
      requests.push(request);
      if (requests.length > KEPT) requests.shift();
      changed(request);
      c.set("body", body);
      await next();
      answered = true;
    },
  };
}

function parsed(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
