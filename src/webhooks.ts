import type { Config } from "./config.ts";
import { GatewayError, asGatewayError } from "./core/errors.ts";
import type {
  Clock,
  Ids,
  Log,
  OutboundCheck,
  OutboundFetch,
  Vault,
} from "./core/runtime.ts";
import type { Store } from "./core/store.ts";
import type { Telemetry } from "./core/telemetry.ts";
import { createSend } from "./gateway/events/attempts.ts";
import type { Deliveries } from "./gateway/events/deliveries.ts";
import { createDeliveries } from "./gateway/events/deliveries.ts";
import type { Incoming } from "./gateway/events/incoming.ts";
import { createIncoming } from "./gateway/events/incoming.ts";
import { createSecrets } from "./gateway/events/webhook-secrets.ts";
import type { Webhooks } from "./gateway/events/webhooks.ts";
import {
  configureWebhook,
  createWebhooks,
  requireReachable,
} from "./gateway/events/webhooks.ts";
import { createConnectionEvents } from "./sources/membrane/connection-events.ts";

/** Webhooks, wired: those that go out, and those that come in. */
export type WebhookParts = {
  webhooks: Webhooks;
  incoming: Incoming | null;
  deliveries: Deliveries;
  /** Makes the webhook of the environment, and begins to deliver. */
  start(): Promise<void>;
};

/** What a start without it says, and `doctor` before that. */
export const NO_WEBHOOK_WORKSPACE =
  "WEBHOOK_URL is told of what happens in one workspace. Set MEMBRANE_WORKSPACE_KEY to say which.";

/** Throws `invalid` when the environment asks for a webhook and does not say of which workspace. */
export function createWebhookParts(wiring: {
  config: Config;
  store: Store;
  vault: Vault;
  outbound: OutboundFetch;
  check: OutboundCheck;
  /** Has catalogues loaded anew, of one member or (null) of all. */
  refresh: (workspace: string, subject: string | null) => void;
  clock: Clock;
  ids: Ids;
  log: Log;
  telemetry: Telemetry;
}): WebhookParts {
  const { config, store, vault, check, clock, ids, log, telemetry } = wiring;
  const {
    WEBHOOK_URL: url,
    WEBHOOK_SECRET: sending = [],
    WEBHOOK_RECEIVE_SECRET: receiving = sending,
    MEMBRANE_WORKSPACE_KEY: workspace = null,
    MEMBRANE_WORKSPACE_SECRET: membraneSecret,
  } = config;
  if (url !== undefined && workspace === null) {
    throw new GatewayError("invalid", NO_WEBHOOK_WORKSPACE);
  }
  const send = createSend({
    outbound: wiring.outbound,
    secretsOf: createSecrets({ vault, clock, configured: sending }),
    clock,
    telemetry,
  });
  const { webhooks, journal } = store;
  const parts = {
    webhooks,
    deliveries: store.deliveries,
    send,
    clock,
    ids,
    log,
  };
  const deliveries = createDeliveries({ ...parts, journal, telemetry });
  const connectionEvents =
    workspace !== null && membraneSecret !== undefined
      ? createConnectionEvents({
          clock,
          workspaceKey: workspace,
          secret: membraneSecret,
        })
      : null;
  return {
    webhooks: createWebhooks({ ...parts, vault, check, wake: deliveries.wake }),
    deliveries,
    incoming:
      receiving.length === 0 && connectionEvents === null
        ? null
        : createIncoming({
            secrets: receiving,
            connectionEvents,
            received: store.received,
            refresh: wiring.refresh,
            workspace,
            clock,
            log,
          }),
    async start() {
      const wanted =
        url !== undefined && workspace !== null ? { workspace, url } : null;
      await configureWebhook({ webhooks, clock, ids }, wanted);
      await deliveries.start();
      if (wanted === null) return;
      // Nobody waits for a resolver here.
      requireReachable(check, wanted.url).catch((error: unknown) => {
        const reason = asGatewayError(error).message;
        log.warn("nothing is sent to WEBHOOK_URL", { reason });
      });
    },
  };
}
