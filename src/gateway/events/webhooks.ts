import { GatewayError } from "../../core/errors.ts";
import { limited } from "../../core/limit.ts";
import type { EventType } from "../../core/journal.ts";
import { BY_OPERATOR, causeOf } from "../../core/journal.ts";
import type { Principal } from "../../core/principal.ts";
import type {
  Clock,
  Ids,
  Log,
  OutboundCheck,
  Vault,
} from "../../core/runtime.ts";
import { sealContexts } from "../../core/sealed.ts";
import type {
  Delivery,
  DeliveryState,
  DeliveryStore,
  Webhook,
  WebhookEdit,
  WebhookForm,
  WebhookStore,
} from "../../core/webhook.ts";
import { originOf } from "../../core/webhook.ts";
import type { Send, Tried } from "./attempts.ts";
import type { Precondition } from "../servers/upstreams.ts";
import { makeSecret } from "./webhook-secrets.ts";

export type WebhookRequest = {
  url: string;
  description: string | null;
  types: readonly EventType[] | null;
  enabled: boolean;
  form: WebhookForm;
  concurrency: number;
  /** Made here when it is not brought. */
  secret?: string | undefined;
};
export type WebhookChange = {
  [Name in keyof Omit<WebhookRequest, "secret">]?:
    WebhookRequest[Name] | undefined;
};

/**
 * Webhooks for those who manage them; who may do what is decided by the door. Nothing is found of another workspace:
 * all but `list` and `create` throw `not_found`. A precondition that does not hold is `conflict` with `data.code`
 * "version_mismatch"; so is a change of what the environment has made, with "configured".
 */
export type Webhooks = {
  list(principal: Principal): Webhook[];
  get(principal: Principal, id: string): Webhook;
  /** The only time that its secret is seen. Throws `invalid` for a URL that may not be reached. */
  create(
    principal: Principal,
    asked: WebhookRequest,
  ): Promise<{ webhook: Webhook; secret: string }>;
  change(
    principal: Principal,
    id: string,
    change: WebhookChange,
    precondition: Precondition,
  ): Promise<Webhook>;
  remove(
    principal: Principal,
    id: string,
    precondition: Precondition,
  ): Promise<Webhook>;
  /** Another secret, shown this once; the one before signs as well for `overlapMs` more. */
  rotate(
    principal: Principal,
    id: string,
    asked: { secret?: string | undefined; overlapMs: number },
    precondition: Precondition,
  ): Promise<{ webhook: Webhook; secret: string }>;
  /**
   * Sends something of no consequence at once, also to one that is turned off, and says how that went. Throws
   * `rate_limited` while another test of it is under way.
   */
  test(principal: Principal, id: string, signal: AbortSignal): Promise<Tried>;
  /** The newest first, before the event `before`. */
  deliveries(
    principal: Principal,
    id: string,
    of: { state: DeliveryState | null; before: string | null; limit: number },
  ): Delivery[];
  /** Sends one again, whatever became of it. Throws `conflict` when the journal keeps its event no longer. */
  replay(principal: Principal, id: string, event: string): Promise<Delivery>;
  /** Sends all again that were given up. How many. */
  replayAll(principal: Principal, id: string): Promise<number>;
};

/** Of one workspace. */
const MAX_WEBHOOKS = 50;

export function createWebhooks(wiring: {
  webhooks: WebhookStore;
  deliveries: DeliveryStore;
  vault: Pick<Vault, "seal" | "open">;
  check: OutboundCheck;
  send: Send;
  /** Deliveries wait to be looked at. */
  wake: (id: string) => void;
  clock: Clock;
  ids: Ids;
  log: Log;
}): Webhooks {
  const { webhooks, deliveries, vault, check, send, clock, ids, log } = wiring;
  /** A receiver may take its time, and whoever tests has as many requests as they like. */
  const testing = new Set<string>();

  function get({ workspace }: Principal, id: string): Webhook {
    const found = webhooks.find(workspace, id);
    if (found) return found;
    throw notFound();
  }

  async function edit(
    principal: Principal,
    id: string,
    action: string,
    rule: (current: Webhook) => WebhookEdit | null,
  ): Promise<Webhook> {
    const edited = await webhooks.edit(
      principal.workspace,
      id,
      rule,
      clock.now(),
      causeOf(principal),
    );
    if (!edited) throw notFound();
    record(principal, action, edited);
    return edited;
  }

  function record(
    { workspace, subject, method }: Principal,
    action: string,
    { id, url }: Webhook,
  ): void {
    log.info("webhook managed", {
      action,
      workspace,
      user: subject,
      by: method,
      webhook: id,
      url: originOf(url),
    });
  }

  const sealSecret = (id: string, secret: string) =>
    vault.seal(secret, sealContexts.webhookSecret(id));

  return {
    list: ({ workspace }) => webhooks.list(workspace),
    get,
    async create(principal, { secret = makeSecret(ids.random), ...asked }) {
      await requireReachable(check, asked.url);
      const { workspace, subject, method } = principal;
      const id = newWebhookId(ids);
      const webhook = await webhooks.create(
        {
          ...asked,
          id,
          workspace,
          configured: false,
          sealedSecret: sealSecret(id, secret),
          sealedPrevious: null,
          previousUntil: null,
          createdAt: clock.now(),
          createdBy: method === "operator" ? null : subject,
        },
        MAX_WEBHOOKS,
        causeOf(principal),
      );
      record(principal, "created", webhook);
      return { webhook, secret };
    },
    async change(principal, id, change, precondition) {
      const before = get(principal, id);
      const { url } = change;
      if (url !== undefined && url !== before.url) {
        await requireReachable(check, url);
      }
      const wanted = Object.fromEntries(
        Object.entries(change).filter(([, value]) => value !== undefined),
      ) as WebhookEdit;
      return edit(principal, id, "changed", (current) => {
        requireVersion(current, precondition);
        // Turning it on again is not to take a restart.
        if (Object.keys(wanted).some((name) => name !== "enabled")) {
          requireOurs(current);
        }
        // Its version is of what it is, not of how often it was said.
        return Bun.deepEquals({ ...current, ...wanted }, current)
          ? null
          : wanted;
      });
    },
    async remove(principal, id, precondition) {
      const removed = await webhooks.remove(
        principal.workspace,
        id,
        (current) => {
          requireVersion(current, precondition);
          requireOurs(current);
        },
        causeOf(principal),
      );
      if (!removed) throw notFound();
      record(principal, "removed", removed);
      return removed;
    },
    async rotate(principal, id, asked, precondition) {
      const { secret = makeSecret(ids.random), overlapMs } = asked;
      const webhook = await edit(principal, id, "rotated", (current) => {
        requireVersion(current, precondition);
        requireOurs(current);
        const before = vault.open(
          current.sealedSecret!,
          sealContexts.webhookSecret(id),
        );
        return {
          sealedSecret: sealSecret(id, secret),
          ...(overlapMs > 0
            ? {
                sealedPrevious: vault.seal(
                  before,
                  sealContexts.webhookPrevious(id),
                ),
                previousUntil: clock.now() + overlapMs,
              }
            : { sealedPrevious: null, previousUntil: null }),
        };
      });
      return { webhook, secret };
    },
    async test(principal, id, signal) {
      const webhook = get(principal, id);
      if (testing.has(id)) {
        throw new GatewayError(
          "rate_limited",
          "This webhook is being tested already. Wait for the answer.",
          { retryAfterMs: 5000, data: limited("webhook_tests") },
        );
      }
      const at = new Date(clock.now()).toISOString();
      const event = `evt_${ids.session()}`;
      const facts = { event: "webhook_test", webhook: id, timestamp: at };
      const body = JSON.stringify(
        webhook.form === "simple"
          ? facts
          : { ...facts, id: event, workspace: webhook.workspace },
      );
      const { traceparent } = causeOf(principal);
      const message = { id: event, body, traceparent, attempts: 0 };
      record(principal, "tested", webhook);
      testing.add(id);
      try {
        return await send(webhook, message, signal);
      } finally {
        testing.delete(id);
      }
    },
    deliveries: (principal, id, of) =>
      deliveries.list(get(principal, id).id, of),
    async replay(principal, id, event) {
      const webhook = get(principal, id);
      const found = deliveries.find(id, event);
      if (!found) {
        throw new GatewayError("not_found", "There is no such delivery.");
      }
      const replayed = await deliveries.replay(
        id,
        event,
        clock.now(),
        causeOf(principal),
      );
      if (replayed === 0 && found.dueAt === null) {
        throw new GatewayError(
          "conflict",
          "What it told is kept no longer, and cannot be sent again.",
        );
      }
      record(principal, "replayed", webhook);
      wiring.wake(id);
      return deliveries.find(id, event)!;
    },
    async replayAll(principal, id) {
      const webhook = get(principal, id);
      const replayed = await deliveries.replay(
        id,
        null,
        clock.now(),
        causeOf(principal),
      );
      record(principal, "replayed", webhook);
      wiring.wake(id);
      return replayed;
    },
  };
}

/**
 * Makes the webhook that the environment asks for, changes it or (null) removes it. What was turned off because it
 * failed is on again: whoever starts the server has looked at it.
 */
export async function configureWebhook(
  wiring: { webhooks: WebhookStore; clock: Clock; ids: Ids },
  wanted: { workspace: string; url: string } | null,
): Promise<void> {
  const { webhooks, clock, ids } = wiring;
  let known = false;
  for (const { workspace, id } of webhooks.configured()) {
    if (wanted?.workspace === workspace && !known) {
      known = true;
      const { url } = wanted;
      await webhooks.edit(
        workspace,
        id,
        (current) =>
          current.url === url && current.enabled
            ? null
            : { url, enabled: true },
        clock.now(),
        BY_OPERATOR,
      );
    } else await webhooks.remove(workspace, id, () => {}, BY_OPERATOR);
  }
  if (known || !wanted) return;
  await webhooks.create(
    {
      ...wanted,
      id: newWebhookId(ids),
      description: null,
      types: null,
      enabled: true,
      form: "simple",
      concurrency: 1,
      configured: true,
      sealedSecret: null,
      sealedPrevious: null,
      previousUntil: null,
      createdAt: clock.now(),
      createdBy: null,
    },
    Infinity,
    BY_OPERATOR,
  );
}

/** Throws `invalid` for a URL that no webhook can have, in words for who chose it. */
export async function requireReachable(
  check: OutboundCheck,
  url: string,
): Promise<void> {
  try {
    await check(url, { secure: true });
  } catch (cause) {
    if (!(cause instanceof GatewayError) || cause.code !== "invalid") {
      throw cause;
    }
    throw new GatewayError(
      "invalid",
      "url: cannot be used. It has to be https, without user and fragment, on port 443, 80 or one above 1023 that is no other service's, and its host has to exist and to be public. The operator can allow other hosts, and http, with OUTBOUND_ALLOW.",
      { data: { reason: "blocked_destination" }, cause },
    );
  }
}

const newWebhookId = (ids: Pick<Ids, "session">) => `wh_${ids.session()}`;

function notFound(): GatewayError {
  return new GatewayError("not_found", "There is no such webhook.");
}

function requireVersion(
  { version }: Webhook,
  precondition: Precondition,
): void {
  if (precondition === null || precondition(version)) return;
  throw new GatewayError(
    "conflict",
    "The webhook was changed meanwhile. Read it again, and send its new ETag in If-Match.",
    { data: { code: "version_mismatch" } },
  );
}

function requireOurs({ configured }: Webhook): void {
  if (!configured) return;
  throw new GatewayError(
    "conflict",
    "This webhook is made by WEBHOOK_URL and WEBHOOK_SECRET. Change them, and start the server anew.",
    { data: { code: "configured" } },
  );
}
