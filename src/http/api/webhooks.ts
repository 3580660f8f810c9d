import { z } from "zod";
import { eventTypes } from "../../core/journal.ts";
import { deliveryStates, webhookForms } from "../../core/webhook.ts";
import type { Route } from "../routes.ts";
import { forms } from "../webhooks.ts";
import { event } from "./events.ts";
import type { Operation } from "./operation.ts";
import { json, refusal, time } from "./operation.ts";

const fields = {
  id: z.string(),
  url: z.string().meta({
    description: "Without the values of its query for who may not change it.",
  }),
  description: z.string().nullable(),
  types: z.array(z.enum(eventTypes)).nullable(),
  enabled: z.boolean(),
  form: z.enum(webhookForms),
  concurrency: z.int(),
  configured: z.boolean().meta({
    description: "Made by `WEBHOOK_URL`; it is changed there.",
  }),
  failingSince: time.nullable(),
  disabledReason: z.enum(["gone", "failing"]).nullable(),
  disabledAt: time.nullable(),
  missed: z.int().meta({
    description: "Events that were forgotten before it was told of them.",
  }),
  previousSecretUntil: time.nullable(),
  createdAt: time,
  updatedAt: time,
  createdByMemberId: z.string().nullable(),
};
const webhook = z.object(fields).meta({ id: "Webhook" });
const withSecret = z
  .object({ ...fields, secret: z.string() })
  .meta({ id: "NewWebhook", description: "With the secret, this once." });

const delivery = z
  .object({
    id: z.string(),
    type: z.enum(eventTypes),
    state: z.enum(deliveryStates),
    replayed: z.boolean(),
    attempts: z.int(),
    nextAttemptAt: time.nullable().meta({
      description: "Null when there is none, as while the webhook is off.",
    }),
    log: z.array(
      z.object({
        at: time,
        latencyMs: z.number(),
        status: z.int().nullable(),
        error: z.string().nullable(),
      }),
    ),
    createdAt: time,
    finishedAt: time.nullable(),
  })
  .meta({ id: "Delivery" });

const simple = z
  .looseObject({ event: z.enum(eventTypes), timestamp: time })
  .meta({ id: "WebhookEvent" });
const test = z
  .object({
    event: z.literal("webhook_test"),
    webhook: z.string(),
    timestamp: time,
    id: z.string().optional(),
    workspace: z.string().optional(),
  })
  .meta({ id: "WebhookTestEvent" });

/** What webhooks are sent. */
export const sent = { "application/json": z.union([event, simple, test]) };
export const sentHeaders = {
  "webhook-id": "The same for every attempt.",
  "webhook-timestamp": "Of the attempt, in seconds since 1970.",
  "webhook-signature":
    "Of Standard Webhooks; while a secret changes there are two.",
  "X-MCP-Signature":
    "`t=<unix>,v1=<hex>`, the HMAC-SHA256 of `<t>.<body>`; while a secret changes there are two.",
} as const;

const webhooks = z.array(webhook).meta({ id: "Webhooks" });
const registration = forms().registration.meta({ id: "CreateWebhook" });
const change = forms().change.meta({ id: "ChangeWebhook" });
const rotation = forms().rotation.meta({ id: "RotateWebhook" });
const removed = z
  .object({ success: z.literal(true), id: z.string() })
  .meta({ id: "WebhookRemoved" });
const tested = z
  .object({
    success: z.boolean(),
    status: z.int().nullable(),
    latencyMs: z.number(),
    error: z.string().nullable(),
  })
  .meta({ id: "WebhookTest" });
const replayed = z
  .object({ success: z.literal(true), replayed: z.int() })
  .meta({ id: "WebhookReplayed" });
const deliveries = z
  .object({
    deliveries: z.array(delivery),
    nextCursor: z.string().nullable(),
  })
  .meta({ id: "Deliveries" });

const tag = "Webhooks";
const nothing = () => ({ schema: forms().nothing, optional: true });
const path = {
  id: fields.id.meta({ description: "Of the webhook." }),
};

/** The same below both bases; `of` keeps their ids apart. */
const below = (of: string) =>
  ({
    list: {
      id: `list${of}Webhooks`,
      tag,
      summary: "List webhooks",
      answers: {
        200: json("In the order in which they were made.", webhooks),
      },
    },
    create: {
      id: `create${of}Webhook`,
      tag,
      summary: "Have events sent somewhere",
      body: { schema: registration },
      answers: { 201: json("With its secret.", withSecret, ["ETag"]) },
      errors: [409, 429],
    },
    get: {
      id: `get${of}Webhook`,
      tag,
      summary: "Read a webhook",
      path,
      answers: { 200: json("As it is.", webhook, ["ETag"]) },
      errors: [404],
    },
    change: {
      id: `change${of}Webhook`,
      tag,
      summary: "Change a webhook",
      description: "What is left out stays. Needs `If-Match`.",
      path,
      headers: ["If-Match"],
      body: { schema: change },
      answers: { 200: json("As it is now.", webhook, ["ETag"]) },
      errors: [404, 409, 412, 428],
    },
    remove: {
      id: `remove${of}Webhook`,
      tag,
      summary: "Remove a webhook",
      path,
      headers: ["If-Match"],
      answers: {
        200: json("It is gone.", removed),
      },
      errors: [404, 409, 412],
    },
    rotate: {
      id: `rotate${of}Webhook`,
      tag,
      summary: "Give a webhook a new secret",
      description: "The old one signs as well for as long as is said.",
      path,
      headers: ["If-Match"],
      body: {
        schema: rotation,
        optional: true,
      },
      answers: { 200: json("With its secret.", withSecret, ["ETag"]) },
      errors: [404, 409, 412],
    },
    test: {
      id: `test${of}Webhook`,
      tag,
      summary: "Send something of no consequence",
      path,
      body: nothing(),
      answers: {
        200: json("How it went.", tested),
      },
      errors: [404, 409, 429],
    },
    replayAll: {
      id: `replay${of}Webhook`,
      tag,
      summary: "Send again what was given up",
      path,
      body: nothing(),
      answers: {
        200: json("How many.", replayed),
      },
      errors: [404, 409],
    },
    deliveries: {
      id: `list${of}Deliveries`,
      tag,
      summary: "List what was sent",
      path,
      query: forms().page,
      answers: {
        200: json("The newest first.", deliveries),
      },
      errors: [404],
    },
    replay: {
      id: `replay${of}Delivery`,
      tag,
      summary: "Send one event again",
      path: {
        ...path,
        delivery: z.string().meta({ description: "The id of the event." }),
      },
      body: nothing(),
      answers: { 200: json("It waits to be sent.", delivery) },
      errors: [404, 409],
    },
  }) satisfies Record<string, Operation>;

const short = below("");
const ofWorkspace = below("Workspace");

export const webhookOperations = {
  "GET /webhooks": short.list,
  "POST /webhooks": short.create,
  "GET /webhooks/:id": short.get,
  "PATCH /webhooks/:id": short.change,
  "DELETE /webhooks/:id": short.remove,
  "POST /webhooks/:id/rotate": short.rotate,
  "POST /webhooks/:id/test": short.test,
  "POST /webhooks/:id/replay": short.replayAll,
  "GET /webhooks/:id/deliveries": short.deliveries,
  "POST /webhooks/:id/deliveries/:delivery/replay": short.replay,
  "GET /api/v2/w/:workspace/webhooks": ofWorkspace.list,
  "POST /api/v2/w/:workspace/webhooks": ofWorkspace.create,
  "GET /api/v2/w/:workspace/webhooks/:id": ofWorkspace.get,
  "PATCH /api/v2/w/:workspace/webhooks/:id": ofWorkspace.change,
  "DELETE /api/v2/w/:workspace/webhooks/:id": ofWorkspace.remove,
  "POST /api/v2/w/:workspace/webhooks/:id/rotate": ofWorkspace.rotate,
  "POST /api/v2/w/:workspace/webhooks/:id/test": ofWorkspace.test,
  "POST /api/v2/w/:workspace/webhooks/:id/replay": ofWorkspace.replayAll,
  "GET /api/v2/w/:workspace/webhooks/:id/deliveries": ofWorkspace.deliveries,
  "POST /api/v2/w/:workspace/webhooks/:id/deliveries/:delivery/replay":
    ofWorkspace.replay,
  "POST /webhook/mcp": {
    id: "receiveWebhook",
    tag,
    summary: "Take a webhook of another system",
    description:
      "Signed as Standard Webhooks has it, or with `X-MCP-Signature`; or one of Membrane's, with its token.",
    body: { schema: z.looseObject({}) },
    answers: {
      200: json("It was taken.", z.object({ status: z.literal("received") })),
      401: json("It is not signed, or not by who may send it.", refusal),
      404: json("None are taken here.", refusal),
    },
    errors: [400],
  },
} as const satisfies Partial<Record<Route, Operation>>;
