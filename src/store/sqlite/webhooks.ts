import type { Database } from "bun:sqlite";
import { and, asc, count, eq, sql } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import { webhookEntries } from "../../core/entries.ts";
import { GatewayError } from "../../core/errors.ts";
import type { EventType } from "../../core/journal.ts";
import { BY_ITSELF } from "../../core/journal.ts";
import { sealContexts } from "../../core/sealed.ts";
import type {
  Settlement,
  Webhook,
  WebhookEdit,
  WebhookStore,
} from "../../core/webhook.ts";
import type { Addresses } from "./addresses.ts";
import { UNREADABLE_URL } from "./addresses.ts";
import type { WriteEntries } from "./journal.ts";
import { later } from "./later.ts";
import { deliveries, webhooks } from "./schema.ts";
import type { Writer } from "./writer.ts";

/** What deliveries need of their webhooks; all but `all` within a transaction. */
export type WebhookRows = {
  all(): Webhook[];
  get(id: string): Webhook | null;
  move(id: string, cursor: number): void;
  miss(id: string, more: number): void;
  settle(
    webhook: Webhook,
    settlement: Pick<Settlement, "failingSince" | "disable">,
    at: number,
  ): void;
};

type Row = typeof webhooks.$inferSelect;

function openRow(row: Row, addresses: Addresses): Webhook {
  return {
    ...row,
    url:
      addresses.open(row.url, sealContexts.webhookUrl(row.id)) ??
      UNREADABLE_URL,
    types: row.types === null ? null : (JSON.parse(row.types) as EventType[]),
    form: row.form as Webhook["form"],
    disabledReason: row.disabledReason as Webhook["disabledReason"],
  };
}

function toRow<Edit extends WebhookEdit>(
  { types, url, ...plain }: Edit,
  id: string,
  addresses: Addresses,
) {
  return {
    ...plain,
    ...(types === undefined ? {} : { types: types && JSON.stringify(types) }),
    ...(url === undefined
      ? {}
      : { url: addresses.seal(url, sealContexts.webhookUrl(id)) }),
  };
}

/** {@link WebhookStore} over the table of that name. */
export function createWebhookStore(wiring: {
  client: Database;
  db: BunSQLiteDatabase;
  writer: Writer;
  note: WriteEntries;
  addresses: Addresses;
  /** The number of the newest entry of the journal. */
  last: () => number;
}): { store: WebhookStore; rows: WebhookRows } {
  const { client, db, writer, note, addresses } = wiring;
  const toWebhook = (row: Row) => openRow(row, addresses);
  const listeners: (() => void)[] = [];
  let changed = false;
  writer.onCommit(() => {
    if (!changed) return;
    changed = false;
    for (const listener of listeners) listener();
  });

  // By hand: asked at every start, when a query builder is at its slowest, and mostly there are none.
  const some = later(() =>
    client.prepare<{ yes: number }, []>(
      "SELECT EXISTS (SELECT 1 FROM webhooks) AS yes",
    ),
  );
  const any = () => some().get()!.yes === 1;
  const byId = later(() =>
    db
      .select()
      .from(webhooks)
      .where(eq(webhooks.id, sql.placeholder("id")))
      .prepare(),
  );
  const select = (condition: ReturnType<typeof eq>) =>
    db
      .select()
      .from(webhooks)
      .where(condition)
      .orderBy(asc(webhooks.createdAt), asc(webhooks.id))
      .all()
      .map(toWebhook);
  const get = (id: string): Webhook | null => {
    const row = byId().get({ id });
    return row ? toWebhook(row) : null;
  };
  const find = (workspace: string, id: string): Webhook | null => {
    const found = get(id);
    return found?.workspace === workspace ? found : null;
  };
  const update = (id: string, values: Partial<Row>) =>
    db.update(webhooks).set(values).where(eq(webhooks.id, id)).run();

  const store: WebhookStore = {
    list: (workspace) => select(eq(webhooks.workspace, workspace)),
    find,
    enabled: () => (any() ? select(eq(webhooks.enabled, true)) : []),
    configured: () => (any() ? select(eq(webhooks.configured, true)) : []),
    create: (webhook, most, cause = BY_ITSELF) =>
      writer.write(() => {
        const { n } = db
          .select({ n: count() })
          .from(webhooks)
          .where(eq(webhooks.workspace, webhook.workspace))
          .get()!;
        if (n >= most) {
          throw new GatewayError(
            "conflict",
            `There are ${n} webhooks already, and no more are kept for one workspace. Remove one first.`,
          );
        }
        const made: Webhook = {
          ...webhook,
          cursor: 0,
          missed: 0,
          failingSince: null,
          disabledReason: null,
          disabledAt: null,
          version: 1,
          updatedAt: webhook.createdAt,
        };
        note(webhookEntries(null, made, cause));
        // After that: nobody needs to be told that they are told.
        made.cursor = wiring.last();
        db.insert(webhooks)
          .values(
            toRow(made, made.id, addresses) as typeof webhooks.$inferInsert,
          )
          .run();
        changed = true;
        return made;
      }),
    edit: (workspace, id, rule, at, cause = BY_ITSELF) =>
      writer.write(() => {
        const before = find(workspace, id);
        const edit = before && rule(before);
        if (!before || !edit) return before;
        const on = edit.enabled === true && !before.enabled;
        const moved = edit.url !== undefined && edit.url !== before.url;
        update(id, {
          ...toRow(edit, id, addresses),
          ...(on || moved ? { failingSince: null } : {}),
          ...(edit.enabled === undefined || edit.enabled === before.enabled
            ? {}
            : { disabledReason: null, disabledAt: on ? null : at }),
          version: before.version + 1,
          updatedAt: at,
        });
        if (on || moved) {
          db.update(deliveries)
            .set({ dueAt: at, attempts: 0 })
            .where(
              and(eq(deliveries.webhook, id), eq(deliveries.state, "pending")),
            )
            .run();
        }
        const after = get(id)!;
        note(webhookEntries(before, after, cause));
        changed = true;
        return after;
      }),
    remove: (workspace, id, rule, cause = BY_ITSELF) =>
      writer.write(() => {
        const before = find(workspace, id);
        if (!before) return null;
        rule(before);
        db.delete(webhooks).where(eq(webhooks.id, id)).run();
        note(webhookEntries(before, null, cause));
        changed = true;
        return before;
      }),
    onChange: (listener) => void listeners.push(listener),
  };

  const rows: WebhookRows = {
    all: () => (any() ? db.select().from(webhooks).all().map(toWebhook) : []),
    get,
    move: (id, cursor) => void update(id, { cursor }),
    miss(id, more) {
      update(id, { missed: sql`${webhooks.missed} + ${more}` as never });
    },
    settle({ id, enabled, ...before }, { failingSince, disable }, at) {
      const off = enabled && disable !== null;
      const missed = failingSince === null ? 0 : before.missed;
      if (
        !off &&
        before.failingSince === failingSince &&
        before.missed === missed
      ) {
        return;
      }
      update(id, {
        failingSince,
        missed,
        ...(off
          ? { enabled: false, disabledReason: disable, disabledAt: at }
          : {}),
      });
      changed ||= off;
    },
  };
  return { store, rows };
}
