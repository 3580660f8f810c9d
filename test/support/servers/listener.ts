import { freePort } from "../port.ts";
import { record } from "./recording.ts";
import type { RecordedRequest } from "./recording.ts";

/** Decides by the headers of a request whether it is let in: null, or the answer that refuses it. */
export type Guard = (
  headers: Record<string, string>,
) => { status: number; headers?: Record<string, string> } | null;

/** A server on a port of its own that can be taken down, and brought back on the same port. */
export type Listener = AsyncDisposable & {
  /** `http://127.0.0.1:<port>` */
  origin: string;
  /** What it was sent, in the order of arrival, over all restarts. */
  requests: RecordedRequest[];
  /** Cuts every connection and refuses new ones. */
  stop(): Promise<void>;
  /** Listens again after `stop`. */
  start(): void;
};

export function openListener(
  answer: (request: Request, recorded: RecordedRequest) => Promise<Response>,
  hostname = "127.0.0.1",
): Listener {
  const requests: RecordedRequest[] = [];
  const serve = (port: number) =>
    Bun.serve({
      hostname,
      port,
      // Streams may be silent for long.
      idleTimeout: 0,
      development: false,
      async fetch(request) {
        const recorded = await record(request);
        requests.push(recorded);
        return prelude(await answer(request, recorded));
      },
    });
  const port = freePort(hostname);
  let listener: Bun.Server<undefined> | null = serve(port);
  const stop = async () => {
    await listener?.stop(true);
    listener = null;
  };
  return {
    origin: `http://${hostname}:${port}`,
    requests,
    stop,
    start: () => void (listener ??= serve(port)),
    [Symbol.asyncDispose]: stop,
  };
}

/** Begins a stream with a comment: the headers would wait for the first event otherwise. */
function prelude(response: Response): Response {
  const type = response.headers.get("content-type") ?? "";
  if (!type.startsWith("text/event-stream") || !response.body) return response;
  const reader = response.body.getReader();
  const body = new ReadableStream({
    start: (controller) =>
      controller.enqueue(new TextEncoder().encode(": open\n\n")),
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return new Response(body, response);
}
