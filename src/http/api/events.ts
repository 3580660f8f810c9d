import { z } from "zod";
import { eventTypes } from "../../core/journal.ts";
import { auditQuery } from "../events.ts";
import type { Route } from "../routes.ts";
import type { Operation } from "./operation.ts";
import { time } from "./operation.ts";

export const event = z
  .looseObject({
    event: z.enum(eventTypes),
    timestamp: time,
    id: z.string(),
    workspace: z.string(),
    memberId: z.string().nullable(),
    by: z
      .object({
        method: z.string(),
        memberId: z.string(),
        key: z.string().nullable(),
      })
      .nullable(),
    requestId: z.string().nullable(),
  })
  .meta({
    id: "Event",
    description:
      "`memberId`: whom it concerns, null for the workspace as a whole; `by`: who did it, null for the server itself, and where that is not the caller's to know. What else is there depends on the type.",
  });

const missed = z
  .object({
    event: z.literal("events_missed"),
    timestamp: time,
    reason: z.enum(["forgotten", "unknown"]).meta({
      description:
        "`unknown`: the event that was named is none of this workspace's.",
    }),
    message: z.string(),
  })
  .meta({
    id: "EventsMissed",
    description:
      "Events are kept no longer: in a stream, those that would be in its place; in an export, of which it is the last line, some of what was asked for.",
  });

const told = z.union([event, missed]);

const tag = "Events";
const visible =
  "What concerns the caller and what concerns nobody in particular; with an API key, or with `apps:write`, what concerns anybody in the workspace.";

export const eventOperations = {
  "GET /mcp/stream": {
    id: "streamEvents",
    tag,
    summary: "Listen to what happens",
    description: `Server-sent events, each with one \`Event\` as JSON, or \`EventsMissed\` in the place of those that are kept no longer. ${visible}`,
    query: z.object({
      types: z.string().optional().meta({
        description: "Only these types: `tool_executed,tools_enabled`.",
      }),
      lastEventId: z
        .string()
        .optional()
        .meta({ description: "As `Last-Event-ID`." }),
      token: z.string().optional().meta({
        description:
          "For clients that cannot send headers, in the place of one.",
      }),
    }),
    headers: ["Last-Event-ID"],
    answers: {
      200: {
        description: "From now on, or from after the event that was named.",
        content: { "text/event-stream": z.string() },
        each: told,
      },
    },
  },
  "GET /api/v2/w/:workspace/audit": {
    id: "listEvents",
    tag,
    summary: "Read what has happened",
    description: `The newest first. ${visible}`,
    query: auditQuery(),
    answers: {
      200: {
        description: "A page of it, or all of it as lines of JSON.",
        content: {
          "application/json": z
            .object({
              entries: z.array(event),
              cursor: z.string().nullable(),
              pruned: z.boolean().meta({
                description:
                  "Among what was looked through for this page there were entries that are kept no longer.",
              }),
            })
            .meta({ id: "Events" }),
          "application/x-ndjson": z.string(),
        },
        each: told,
      },
    },
  },
} as const satisfies Partial<Record<Route, Operation>>;
