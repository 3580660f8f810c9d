import { z } from "zod";
import { typedAction } from "../typed-action.ts";
import { badRequest, notFound } from "../wire-error.ts";
import type { Row, WorldIntegration } from "../app.ts";

type Event = {
  title: string;
  /** Milliseconds since the epoch. */
  start: number;
  end: number;
  location: string | null;
  attendees: string[];
  status: "confirmed" | "tentative" | "cancelled";
};

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const instant = z.iso.datetime({ offset: true });
const from = instant
  .describe("Beginning of the time to look at; default: now")
  .meta({ examples: ["2026-03-02T09:00:00Z"] })
  .optional();
const to = instant
  .describe(
    "End of the time to look at; default: seven days after the beginning",
  )
  .optional();

const event = z.object({
  id: z.string(),
  title: z.string(),
  start: z.iso.datetime(),
  end: z.iso.datetime(),
  location: z.string().nullable(),
  attendees: z.array(z.string()),
  status: z.enum(["confirmed", "tentative", "cancelled"]),
});

/** Calendar: events, and the gaps between them. Times are UTC in answers. */
export const calendarApp: WorldIntegration = {
  key: "calendar",
  name: "Calendar",
  description: "Events, and the time between them",
  actions: [
    typedAction({
      key: "list-events",
      name: "List events",
      description:
        "Returns the events that overlap a range of time, in order of their beginning. Without a range: the next seven days.",
      type: "list-data-records",
      input: z.object({
        from,
        to,
        includeCancelled: z
          .boolean()
          .default(false)
          .describe("Whether cancelled events are shown as well"),
      }),
      output: z.object({ events: z.array(event) }),
      run(input, { rows, now }) {
        const range = rangeOf(input, now());
        return {
          events: within(rows<Event>("events").list(), range)
            .filter(
              (one) => input.includeCancelled || one.status !== "cancelled",
            )
            .map(shown),
        };
      },
    }),
    typedAction({
      key: "create-event",
      name: "Create event",
      description:
        "Puts an event into the calendar and returns it with its id. Overlapping events are allowed.",
      type: "create-data-record",
      input: z.object({
        title: z
          .string()
          .min(1)
          .max(200)
          .describe("What the event is")
          .meta({ examples: ["Coffee with Ada"] }),
        start: instant.describe("When it begins, with time zone"),
        durationMinutes: z
          .int()
          .min(5)
          .max(7 * 24 * 60)
          .default(60)
          .describe("How long it takes"),
        location: z.string().max(200).optional().describe("Where it is"),
        attendees: z
          .array(z.email())
          .max(50)
          .optional()
          .describe("E-mail addresses of those who are invited"),
        tentative: z
          .boolean()
          .default(false)
          .describe("Whether it is not yet certain"),
      }),
      output: event,
      run(input, { rows }) {
        const start = Date.parse(input.start);
        return shown(
          rows<Event>("events").insert({
            title: input.title,
            start,
            end: start + input.durationMinutes * 60_000,
            location: input.location ?? null,
            attendees: input.attendees ?? [],
            status: input.tentative ? "tentative" : "confirmed",
          }),
        );
      },
    }),
    typedAction({
      key: "cancel-event",
      name: "Cancel event",
      description:
        "Cancels an event. It stays on record and no longer takes up time.",
      type: "update-data-record",
      input: z.object({
        id: z
          .string()
          .min(1)
          .describe("Id of the event, as list-events shows it"),
      }),
      output: event,
      run(input, { rows }) {
        const cancelled = rows<Event>("events").update(input.id, {
          status: "cancelled",
        });
        if (cancelled === null) throw notFound(`Event "${input.id}"`);
        return shown(cancelled);
      },
    }),
    typedAction({
      key: "find-free-time",
      name: "Find free time",
      description:
        "Returns the gaps between events that are long enough, in order. Tentative events take up time, cancelled ones do not.",
      type: "connector-operation",
      input: z.object({
        from,
        to,
        durationMinutes: z
          .int()
          .min(5)
          .max(24 * 60)
          .default(30)
          .describe("How long a gap has to be"),
        limit: z
          .int()
          .min(1)
          .max(50)
          .default(5)
          .describe("Most gaps to return"),
      }),
      output: z.object({
        free: z.array(
          z.object({ start: z.iso.datetime(), end: z.iso.datetime() }),
        ),
      }),
      run(input, { rows, now }) {
        const range = rangeOf(input, now());
        const busy = within(rows<Event>("events").list(), range).filter(
          (one) => one.status !== "cancelled",
        );
        const least = input.durationMinutes * 60_000;
        return {
          free: gaps(busy, range)
            .filter((gap) => gap.end - gap.start >= least)
            .slice(0, input.limit)
            .map((gap) => ({ start: iso(gap.start), end: iso(gap.end) })),
        };
      },
    }),
  ],
  seed({ rows, now }) {
    const all = rows<Event>("events");
    const tomorrow = Math.ceil(now() / DAY) * DAY;
    all.insert({
      title: "Stand-up",
      start: tomorrow + 9 * HOUR,
      end: tomorrow + 9.25 * HOUR,
      location: null,
      attendees: ["ada@example.com", "grace@example.com"],
      status: "confirmed",
    });
    all.insert({
      title: "Lunch with Grace",
      start: tomorrow + 12 * HOUR,
      end: tomorrow + 13 * HOUR,
      location: "Canteen",
      attendees: ["grace@example.com"],
      status: "tentative",
    });
    all.insert({
      title: "Dentist",
      start: tomorrow + DAY + 8 * HOUR,
      end: tomorrow + DAY + 9 * HOUR,
      location: "12 Mill Lane",
      attendees: [],
      status: "confirmed",
    });
  },
};

type Range = { start: number; end: number };

function rangeOf(
  input: { from?: string | undefined; to?: string | undefined },
  now: number,
): Range {
  const start = input.from === undefined ? now : Date.parse(input.from);
  const end = input.to === undefined ? start + 7 * DAY : Date.parse(input.to);
  if (end <= start) throw badRequest(`"to" has to be later than "from"`);
  return { start, end };
}

function within(all: Row<Event>[], range: Range): Row<Event>[] {
  return all
    .filter((one) => one.start < range.end && one.end > range.start)
    .toSorted((a, b) => a.start - b.start);
}

function gaps(busy: readonly Range[], range: Range): Range[] {
  const found: Range[] = [];
  let at = range.start;
  for (const one of busy) {
    if (one.start > at) found.push({ start: at, end: one.start });
    at = Math.max(at, one.end);
  }
  if (at < range.end) found.push({ start: at, end: range.end });
  return found;
}

function shown(row: Row<Event>) {
  return {
    id: row.id,
    title: row.title,
    start: iso(row.start),
    end: iso(row.end),
    location: row.location,
    attendees: row.attendees,
    status: row.status,
  };
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
