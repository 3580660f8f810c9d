import type { MiddlewareHandler } from "hono";
import { z } from "zod";
import { pause, unlessAborted } from "./runs.ts";
import { badRequest, jsonResponse } from "./wire-error.ts";

/** What goes wrong, and for which requests. */
export const faultShape = z.strictObject({
  /**
   * `METHOD /path`: the method or `*`, then the beginning of path and query as they were sent,
   * or a regular expression that matches from their beginning.
   */
  match: z.string().regex(/^(\*|[A-Z]+) \//),
  /** Answers with this status instead; without `body` or `raw` the answer is empty. */
  status: z.int().min(200).max(599).optional(),
  /** JSON. */
  body: z.unknown().optional(),
  /** Sent as it is. */
  raw: z.string().optional(),
  headers: z.record(z.string(), z.string()).optional(),
  /** Waits before anything else. */
  delayMs: z.int().min(0).optional(),
  /** Never answers. */
  hang: z.boolean().optional(),
  /** Resets the socket. */
  destroy: z.boolean().optional(),
  /** Serves the request first, and then lets its answer go wrong: what was run has been run. */
  afterwards: z.boolean().optional(),
  /** Goes wrong that many times; default: until it is removed. */
  times: z.int().min(1).optional(),
});
export type Fault = z.infer<typeof faultShape>;

/** The faults that are in force. Of several that match, the oldest strikes. */
export type Faults = {
  /** Throws 400 for a fault that is not well-formed. */
  add(fault: Fault): ActiveFault;
  clear(): void;
  middleware: MiddlewareHandler;
};

export type ActiveFault = {
  /** How many requests it has struck. */
  readonly hits: number;
  remove(): void;
};

/** `closing` ends every wait. */
export function createFaults(closing: AbortSignal): Faults {
  let active: { fault: Fault; hits: number }[] = [];

  return {
    add(fault) {
      const parsed = faultShape.safeParse(fault);
      if (!parsed.success) throw badRequest(z.prettifyError(parsed.error));
      const added = { fault: parsed.data, hits: 0 };
      active.push(added);
      return {
        get hits() {
          return added.hits;
        },
        remove() {
          active = active.filter((one) => one !== added);
        },
      };
    },
    clear() {
      active = [];
    },
    async middleware(c, next) {
      const url = new URL(c.req.url);
      const target = url.pathname + url.search;
      const struck = active.find(({ fault }) =>
        matches(fault.match, c.req.method, target),
      );
      if (struck === undefined) return next();
      struck.hits++;
      const { fault } = struck;
      if (struck.hits === fault.times) {
        active = active.filter((one) => one !== struck);
      }
      const signal = AbortSignal.any([c.req.raw.signal, closing]);
      if (fault.delayMs !== undefined) await pause(fault.delayMs, signal);
      if (fault.afterwards === true) await next();
      if (fault.hang === true) {
        await unlessAborted(new Promise<never>(() => {}), signal);
      }
      const answer = faultAnswer(fault);
      if (answer === null) {
        if (fault.afterwards !== true) await next();
        return;
      }
      // Hono merges the headers of a response that is being replaced, unless it is dropped first.
      c.res = undefined;
      c.res = answer;
    },
  };
}

function matches(match: string, method: string, target: string): boolean {
  const [wanted = "", path = ""] = match.split(/ (.*)/s, 2);
  if (wanted !== "*" && wanted !== method) return false;
  if (target.startsWith(path)) return true;
  try {
    return new RegExp(`^(?:${path})`).test(target);
  } catch {
    return false;
  }
}

function faultAnswer(fault: Fault): Response | null {
  if (fault.destroy === true) return brokenResponse();
  if (
    fault.status === undefined &&
    fault.body === undefined &&
    fault.raw === undefined
  ) {
    return null;
  }
  const status = fault.status ?? 200;
  if (fault.raw !== undefined) {
    return new Response(fault.raw, { status, headers: fault.headers ?? {} });
  }
  return fault.body === undefined
    ? new Response(null, { status, headers: fault.headers ?? {} })
    : jsonResponse(fault.body, status, fault.headers);
}

/** Bun resets the socket under a body that fails; a reason would be printed. */
function brokenResponse(): Response {
  return new Response(
    new ReadableStream({ start: (controller) => controller.error() }),
  );
}
