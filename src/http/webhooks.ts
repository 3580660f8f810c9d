import { z } from "zod";
import { eventTypes } from "../core/journal.ts";
import { once } from "../core/once.ts";
import type { Principal } from "../core/principal.ts";
import { permits } from "../core/principal.ts";
import { shapes } from "../core/registration.ts";
import type { Delivery, Webhook } from "../core/webhook.ts";
import { deliveryStates, webhookForms, originOf } from "../core/webhook.ts";
import { SECRET_FORM, readSecret } from "../gateway/events/webhook-secrets.ts";
import type { Webhooks } from "../gateway/events/webhooks.ts";
import { readBody, readQuery } from "./body.ts";
import {
  etagOf,
  readPrecondition,
  requirePrecondition,
} from "./precondition.ts";
import type { Ctx, Handlers, Route } from "./routes.ts";

/**
 * GET POST         /webhooks
 * GET PATCH DELETE /webhooks/:id
 * POST             /webhooks/:id/rotate | test | replay
 * GET              /webhooks/:id/deliveries
 * POST             /webhooks/:id/deliveries/:delivery/replay
 *
 * and the same below /api/v2/w/:workspace
 */

export type WebhookRouteOptions = { webhooks: Webhooks };

const BASES = ["/webhooks", "/api/v2/w/:workspace/webhooks"] as const;
type Base = (typeof BASES)[number];
type WebhookRoute = Extract<Route, `${string} ${Base}${"" | `/${string}`}`>;
/** Below either of them. */
type Path = WebhookRoute extends infer R
  ? R extends `${infer Method} ${(typeof BASES)[0]}${infer Rest}`
    ? `${Method} ${Rest}`
    : never
  : never;

const DAY_SECONDS = 24 * 3600;
const MAX_PAGE = 100;

export const forms = once(() => {
  const secret = z
    .string()
    .refine((text) => readSecret(text) !== null, SECRET_FORM);
  const settings = {
    url: shapes().url,
    description: z
      .string()
      .max(500)
      .regex(/^[^\p{Cc}]*$/u, "has control characters")
      .nullable(),
    types: z
      .array(z.enum(eventTypes))
      .min(1)
      .transform((types) => [...new Set(types)])
      .nullable(),
    enabled: z.boolean(),
    form: z.enum(webhookForms),
    concurrency: z.int().min(1).max(16),
  };
  return {
    registration: z.strictObject({
      url: settings.url,
      description: settings.description.default(null),
      types: settings.types.default(null),
      enabled: settings.enabled.default(true),
      form: settings.form.default("full"),
      concurrency: settings.concurrency.default(1),
      secret: secret.optional(),
    }),
    change: z.strictObject(settings).partial(),
    rotation: z.strictObject({
      secret: secret.optional(),
      overlapSeconds: z
        .int()
        .min(0)
        .max(7 * DAY_SECONDS)
        .default(DAY_SECONDS),
    }),
    nothing: z.strictObject({}),
    page: z.strictObject({
      state: z.enum(deliveryStates).optional(),
      cursor: z
        .string()
        .regex(/^evt_[0-9a-f]{32}$/, "is none that was given")
        .optional(),
      limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(50),
    }),
  };
});

export function webhookRoutes({
  webhooks,
}: WebhookRouteOptions): Handlers<WebhookRoute> {
  type Handler = Handlers<WebhookRoute>[WebhookRoute];
  const show = (
    c: Ctx,
    principal: Principal,
    webhook: Webhook,
    more: { secret?: string } = {},
    status: 200 | 201 = 200,
  ) =>
    c.json({ ...shown(principal, webhook), ...more }, status, {
      etag: etagOf(webhook),
    });
  const idOf = (c: Ctx) => c.req.param("id") ?? "";

  const handlers: Record<Path, Handler> = {
    "GET ": (c, principal) =>
      c.json(webhooks.list(principal).map((one) => shown(principal, one))),
    "POST ": async (c, principal) => {
      const asked = await readBody(c, forms().registration);
      const { webhook, secret } = await webhooks.create(principal, asked);
      return show(c, principal, webhook, { secret }, 201);
    },
    "GET /:id": (c, principal) =>
      show(c, principal, webhooks.get(principal, idOf(c))),
    "PATCH /:id": async (c, principal) => {
      webhooks.get(principal, idOf(c));
      const change = await readBody(c, forms().change);
      const precondition = requirePrecondition(c, "the webhook");
      return show(
        c,
        principal,
        await webhooks.change(principal, idOf(c), change, precondition),
      );
    },
    "DELETE /:id": async (c, principal) => {
      const { id } = await webhooks.remove(
        principal,
        idOf(c),
        readPrecondition(c),
      );
      return c.json({ success: true, id });
    },
    "POST /:id/rotate": async (c, principal) => {
      webhooks.get(principal, idOf(c));
      const { secret, overlapSeconds } = await readBody(c, forms().rotation);
      const rotated = await webhooks.rotate(
        principal,
        idOf(c),
        { secret, overlapMs: overlapSeconds * 1000 },
        readPrecondition(c),
      );
      return show(c, principal, rotated.webhook, { secret: rotated.secret });
    },
    "POST /:id/test": async (c, principal) => {
      webhooks.get(principal, idOf(c));
      await readBody(c, forms().nothing);
      c.env.holdOpen();
      const { status, ms, error } = await webhooks.test(
        principal,
        idOf(c),
        c.req.raw.signal,
      );
      return c.json({ success: error === null, status, latencyMs: ms, error });
    },
    "POST /:id/replay": async (c, principal) => {
      webhooks.get(principal, idOf(c));
      await readBody(c, forms().nothing);
      const replayed = await webhooks.replayAll(principal, idOf(c));
      return c.json({ success: true, replayed });
    },
    "GET /:id/deliveries": (c, principal) => {
      const { state = null, cursor, limit } = readQuery(c, forms().page);
      const { enabled } = webhooks.get(principal, idOf(c));
      const before = cursor === undefined ? null : eventOf(cursor);
      const found = webhooks.deliveries(principal, idOf(c), {
        state,
        before,
        limit: limit + 1,
      });
      const page = found
        .slice(0, limit)
        .map((delivery) => shownDelivery(delivery, enabled));
      return c.json({
        deliveries: page,
        nextCursor: found.length > limit ? (page.at(-1)?.id ?? null) : null,
      });
    },
    "POST /:id/deliveries/:delivery/replay": async (c, principal) => {
      webhooks.get(principal, idOf(c));
      await readBody(c, forms().nothing);
      const event = eventOf(c.req.param("delivery") ?? "");
      const replayed = await webhooks.replay(principal, idOf(c), event);
      const { enabled } = webhooks.get(principal, idOf(c));
      return c.json(shownDelivery(replayed, enabled));
    },
  };

  const both: Record<string, Handler> = Object.fromEntries(
    BASES.flatMap((base) =>
      Object.entries(handlers).map(([route, handler]) => [
        route.replace(" ", ` ${base}`),
        handler,
      ]),
    ),
  );
  return both as Handlers<WebhookRoute>;
}

const eventOf = (id: string) => id.replace(/^evt_/, "");

/** The query of a URL may be a credential: it is shown to who could set it. That of the environment's only that can. */
function shown({ scope }: Principal, webhook: Webhook) {
  const { id, url, description, types, enabled, form } = webhook;
  return {
    id,
    url:
      permits(scope, "apps:write") && !webhook.configured ? url : originOf(url),
    description,
    types,
    enabled,
    form,
    concurrency: webhook.concurrency,
    configured: webhook.configured,
    failingSince: time(webhook.failingSince),
    disabledReason: webhook.disabledReason,
    disabledAt: time(webhook.disabledAt),
    missed: webhook.missed,
    previousSecretUntil: time(webhook.previousUntil),
    createdAt: time(webhook.createdAt),
    updatedAt: time(webhook.updatedAt),
    createdByMemberId: webhook.createdBy,
  };
}

/** `enabled`: its webhook is. */
function shownDelivery(delivery: Delivery, enabled: boolean) {
  const { event, type, state, replayed, attempts, log } = delivery;
  return {
    id: `evt_${event}`,
    type,
    state,
    replayed,
    attempts,
    nextAttemptAt: state === "pending" && enabled ? time(delivery.dueAt) : null,
    log: log.map(({ at, ms, status, error }) => ({
      at: time(at),
      latencyMs: ms,
      status,
      error,
    })),
    createdAt: time(delivery.createdAt),
    finishedAt: time(delivery.finishedAt),
  };
}

const time = (at: number | null) =>
  at === null ? null : new Date(at).toISOString();
