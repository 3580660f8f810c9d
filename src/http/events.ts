import { z } from "zod";
import { once } from "../core/once.ts";
import { GatewayError } from "../core/errors.ts";
import { identityPart } from "../core/principal.ts";
import type { Clock } from "../core/runtime.ts";
import type { Missed, Told } from "../core/told.ts";
import { missedInAudit, readTypes, tell, viewFor } from "../core/told.ts";
import type { Audit, AuditQuery } from "../gateway/events/audit.ts";
import { readQuery } from "./body.ts";
import type { EventStreams } from "./event-streams.ts";
import type { Caller, Ctx, Handlers } from "./routes.ts";

/**
 * GET /mcp/stream
 * GET /api/v2/w/:workspace/audit
 */

export type EventRouteOptions = {
  eventStreams: Pick<EventStreams, "open">;
  audit: Audit;
  clock: Pick<Clock, "now">;
};

type EventRoute = "GET /mcp/stream" | "GET /api/v2/w/:workspace/audit";

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 500;

const moment = () =>
  z
    .union([z.iso.datetime({ offset: true }), z.iso.date()], {
      error: "must be a time such as 2026-01-31 or 2026-01-31T09:30:00Z",
    })
    .transform((text) => Date.parse(text))
    .optional();

export const auditQuery = once(() =>
  z.strictObject({
    types: z.string().optional(),
    user: identityPart.optional(),
    since: moment(),
    until: moment(),
    requestId: z.string().min(1).max(200).optional(),
    cursor: z.string().min(1).max(200).optional(),
    limit: z
      .string()
      .regex(/^\d{1,9}$/, `must be a whole number from 1 to ${MAX_LIMIT}`)
      .transform(Number)
      .refine(
        (n) => n >= 1 && n <= MAX_LIMIT,
        `must be a whole number from 1 to ${MAX_LIMIT}`,
      )
      .optional(),
    format: z.enum(["json", "ndjson"]).optional(),
  }),
);

export function eventRoutes({
  eventStreams,
  audit,
  clock,
}: EventRouteOptions): Handlers<EventRoute> {
  return {
    "GET /mcp/stream": (c, principal, { stillValid }) => {
      const readable = eventStreams.open({
        principal,
        stillValid,
        // An EventSource shows its page no refusal: what is given twice counts twice.
        types: readTypes(c.req.queries("types")?.join(",")),
        // What the browser's own reconnecting sends is newer than the URL that it was opened with.
        after:
          c.req.header("last-event-id") || c.req.query("lastEventId") || null,
      });
      c.env.holdOpen();
      return new Response(readable, {
        headers: {
          "content-type": "text/event-stream",
          "cache-control": "no-cache",
          // Or nginx keeps events back until it has a buffer full of them.
          "x-accel-buffering": "no",
        },
      });
    },

    "GET /api/v2/w/:workspace/audit": async (c, principal, caller) => {
      const asked = readQuery(c, auditQuery());
      const { types, user, since, until, requestId } = asked;
      const view = viewFor(principal);
      const query: AuditQuery = {
        who: principal,
        view,
        types: readTypes(types),
        ...(user === undefined ? {} : { of: user }),
        ...(since === undefined ? {} : { since }),
        ...(until === undefined ? {} : { until }),
        ...(requestId === undefined ? {} : { requestId }),
        cursor: asked.cursor ?? null,
        limit: asked.limit ?? DEFAULT_LIMIT,
      };
      if (asked.format === "ndjson" || (!asked.format && wantsLines(c))) {
        const first = { ...query, limit: MAX_LIMIT };
        return exported(await rest(first, caller, asked.limit ?? Infinity));
      }
      const { entries, ...page } = await audit.page(query);
      return c.json({
        entries: entries.map((entry) => tell(entry, view)),
        ...page,
      });
    },
  };

  /**
   * All that is found, up to `most`, in pages, and whether something is missing. The first is asked for at once, so that
   * what is wrong is answered.
   */
  async function rest(
    query: AuditQuery,
    { stillValid }: Caller,
    most: number,
  ): Promise<AsyncGenerator<(Told | Missed)[]>> {
    let { view } = query;
    const take = (left: number, cursor: string | null) =>
      audit.page({
        ...query,
        view,
        cursor,
        limit: Math.min(left, query.limit),
      });
    const first = await take(most, query.cursor);
    return (async function* () {
      let page = first;
      let pruned = false;
      for (let left = most; ;) {
        const { length } = page.entries;
        if (length > 0) yield page.entries.map((entry) => tell(entry, view));
        left -= length;
        pruned ||= page.pruned;
        if (page.cursor === null || left <= 0) break;
        const now = await stillValid();
        if (!now) throw new GatewayError("unauthenticated", "Good no more.");
        view = viewFor(now);
        page = await take(left, page.cursor);
      }
      if (pruned) yield [missedInAudit(clock.now())];
    })();
  }
}

function wantsLines(c: Ctx): boolean {
  return /\bapplication\/x-ndjson\b/i.test(c.req.header("accept") ?? "");
}

/** One line for each; a page is read when the one before it is on its way. */
function exported(pages: AsyncGenerator<(Told | Missed)[]>): Response {
  const body = new ReadableStream<string>({
    async pull(controller) {
      // Others have their turn, however fast this is read.
      await new Promise((resolve) => setImmediate(resolve));
      const page = await pages.next();
      if (page.done) return controller.close();
      controller.enqueue(
        page.value.map((told) => `${JSON.stringify(told)}\n`).join(""),
      );
    },
    cancel: async () => void (await pages.return(undefined)),
  });
  return new Response(body, {
    headers: { "content-type": "application/x-ndjson" },
  });
}
