import { readConfig } from "../../src/config.ts";
import type { EventType, NewEntry } from "../../src/core/journal.ts";
import { BY_ITSELF } from "../../src/core/journal.ts";
import type { Principal } from "../../src/core/principal.ts";
import type { LogFields } from "../../src/core/runtime.ts";
import type { Store } from "../../src/core/store.ts";
import { noTelemetry } from "../../src/core/telemetry.ts";
import type { Webhook } from "../../src/core/webhook.ts";
import type { WebhookRequest } from "../../src/gateway/events/webhooks.ts";
import { randomIds } from "../../src/runtime/machine.ts";
import {
  createOutbound,
  createOutboundCheck,
} from "../../src/runtime/outbound.ts";
import { createVault } from "../../src/runtime/vault.ts";
import { openSqlite } from "../../src/store/sqlite/sqlite.ts";
import { createWebhookParts } from "../../src/webhooks.ts";
import { fakeClock } from "./clock.ts";
import { temporaryDirectory } from "./directory.ts";

export const ADMIN: Principal = {
  workspace: "w1",
  subject: "ada",
  name: null,
  method: "membrane",
  scope: "apps:admin",
  token: null,
  expiresAt: null,
};

/** What the journal says of something, as far as a test cares. */
export function entry(
  type: EventType = "tool_executed",
  data: NewEntry["data"] = { tool: "lab_echo" },
  more: Partial<NewEntry> = {},
): NewEntry {
  return { ...BY_ITSELF, type, workspace: "w1", subject: "ada", data, ...more };
}

/** Store, journal and webhooks, with a clock that stands still and sockets that do not. */
export async function openWebhookRig(env: Record<string, string> = {}) {
  const directory = temporaryDirectory();
  const clock = fakeClock();
  const lines: (LogFields & { event: string })[] = [];
  const at = (event: string, fields: LogFields = {}) =>
    void lines.push({ event, ...fields });
  const log = { debug: at, info: at, warn: at, error: at };
  const refreshed: string[] = [];
  const counted: string[] = [];
  const way = { allow: ["127.0.0.0/8"], userAgent: "membrane-mcp/test" };
  const open = async (more: Record<string, string> = {}) => {
    const config = readConfig({ ...env, ...more });
    const vault = createVault({
      keys: null,
      directory: directory.path,
      sealed: () => store.sealed,
    });
    const store: Store = openSqlite({
      vault,
      directory: directory.path,
      clock,
      sessionCache: 10,
      caps: { events: 20, bytes: 100_000 },
    });
    const parts = createWebhookParts({
      config,
      store,
      vault,
      outbound: createOutbound(way),
      check: createOutboundCheck(way),
      refresh: (workspace, subject) =>
        void refreshed.push(`${workspace} ${subject}`),
      clock,
      ids: randomIds,
      log,
      telemetry: {
        ...noTelemetry,
        count: (name, labels) =>
          void counted.push([name, ...Object.values(labels)].join(" ")),
      },
    });
    await parts.start();
    return { store, ...parts };
  };
  let now = await open();
  const rig = {
    clock,
    lines,
    refreshed,
    counted,
    directory: directory.path,
    get store() {
      return now.store;
    },
    get webhooks() {
      return now.webhooks;
    },
    get incoming() {
      return now.incoming;
    },
    /** A webhook that is told of everything. */
    add: async (
      url: string,
      more: Partial<WebhookRequest> = {},
      who: Principal = ADMIN,
    ): Promise<Webhook & { secret: string }> => {
      const { webhook, secret } = await now.webhooks.create(who, {
        url,
        description: null,
        types: null,
        enabled: true,
        form: "full",
        concurrency: 1,
        ...more,
      });
      return { ...webhook, secret };
    },
    happen: (...entries: NewEntry[]) => now.store.journal.append(entries),
    /** Lets time pass, and what is due be done. */
    pass(ms: number) {
      clock.advance(ms);
      now.deliveries.tick();
    },
    find: (id: string) => now.store.webhooks.find("w1", id)!,
    deliveries: (id: string) =>
      now.store.deliveries.list(id, { state: null, before: null, limit: 1000 }),
    /** Waits for what is stored. */
    async until(seen: () => boolean) {
      while (!seen()) await new Promise((resolve) => setTimeout(resolve, 1));
    },
    journalOf: (type: EventType) =>
      now.store.journal.readOn(0, 10_000).filter((one) => one.type === type),
    /** `last`: what a process still does that ends before it can take it back. */
    async restart(
      more: Record<string, string> = {},
      last: (store: Store) => Promise<unknown> = async () => {},
    ) {
      await now.deliveries.stop(0);
      await last(now.store);
      await now.store.close();
      now = await open(more);
    },
    async [Symbol.asyncDispose]() {
      await now.deliveries.stop(0);
      await now.store.close();
      directory[Symbol.dispose]();
    },
  };
  return rig;
}
