import type { Database } from "bun:sqlite";
import {
  deliveryId,
  webhookFailure,
  webhookReplay,
} from "../../core/entries.ts";
import type { EventType, Journal, JournalEntry } from "../../core/journal.ts";
import { BY_ITSELF } from "../../core/journal.ts";
import type {
  Attempt,
  Claimed,
  Delivery,
  DeliveryState,
  DeliveryStore,
  Webhook,
} from "../../core/webhook.ts";
import { wants } from "../../core/webhook.ts";
import type { WriteEntries } from "./journal.ts";
import type { Leaving } from "./journal-shares.ts";
import { later } from "./later.ts";
import type { WebhookRows } from "./webhooks.ts";
import type { Writer } from "./writer.ts";

type Row = {
  webhook: string;
  seq: number;
  event: string;
  type: string;
  state: string;
  replayed: number;
  attempts: number;
  claim: number;
  dueAt: number | null;
  log: string;
  createdAt: number;
  finishedAt: number | null;
};

const COLUMNS =
  "webhook, seq, event, type, state, replayed, attempts, claim, due_at AS dueAt, log, created_at AS createdAt, finished_at AS finishedAt";

/** Of the journal, looked at in one transaction. */
const SCAN = 5000;
const PAGE = 100;
/** Deliveries of one webhook that are to be made, when their order does not matter. */
const MAX_OPEN = 256;
/** Attempts that are told of. */
const MAX_LOG = 10;

/** {@link DeliveryStore} over the table of that name, by hand: it is written twice for each delivery. */
export function createDeliveryStore(wiring: {
  client: Database;
  writer: Writer;
  note: WriteEntries;
  journal: Journal;
  webhooks: WebhookRows;
}): { store: DeliveryStore; passOver: (leaving: readonly Leaving[]) => void } {
  const { client, writer, note, journal, webhooks } = wiring;

  const about = later(() =>
    client.prepare<
      { flying: number; waiting: number },
      [{ $id: string; $now: number }]
    >(
      "SELECT count(*) FILTER (WHERE state = 'delivering' AND due_at > $now) AS flying, count(*) FILTER (WHERE replayed = 0) AS waiting FROM deliveries WHERE webhook = $id AND due_at IS NOT NULL",
    ),
  );
  const nextDue = later(() =>
    client.prepare<{ at: number | null }, [string, number]>(
      "SELECT min(due_at) AS at FROM deliveries WHERE webhook = ? AND due_at > ?",
    ),
  );
  // In order, only the oldest that is to be made can be next.
  const due = later(() =>
    client.prepare<
      Row,
      [{ $id: string; $now: number; $ordered: number; $limit: number }]
    >(
      `SELECT ${COLUMNS} FROM deliveries WHERE webhook = $id AND due_at <= $now AND (replayed = 1 OR $ordered = 0 OR seq = (SELECT min(seq) FROM deliveries WHERE webhook = $id AND due_at IS NOT NULL AND replayed = 0)) ORDER BY due_at, seq LIMIT $limit`,
    ),
  );
  const insert = later(() =>
    client.prepare<null, [string, number, string, string, number, number]>(
      "INSERT INTO deliveries (webhook, seq, event, type, state, replayed, attempts, claim, due_at, log, created_at) VALUES (?, ?, ?, ?, 'delivering', 0, 0, 1, ?, '[]', ?) ON CONFLICT DO NOTHING",
    ),
  );
  const take = later(() =>
    client.prepare<null, [number, string, number]>(
      "UPDATE deliveries SET state = 'delivering', claim = claim + 1, due_at = ? WHERE webhook = ? AND seq = ?",
    ),
  );
  const bySeq = later(() =>
    client.prepare<Row, [string, number]>(
      `SELECT ${COLUMNS} FROM deliveries WHERE webhook = ? AND seq = ?`,
    ),
  );
  const byEvent = later(() =>
    client.prepare<Row, [string, string]>(
      `SELECT ${COLUMNS} FROM deliveries WHERE webhook = ? AND event = ?`,
    ),
  );
  const put = later(() =>
    client.prepare<
      null,
      [
        string,
        number,
        number | null,
        string,
        number | null,
        number,
        string,
        number,
      ]
    >(
      "UPDATE deliveries SET state = ?, attempts = ?, due_at = ?, log = ?, finished_at = ?, replayed = ? WHERE webhook = ? AND seq = ?",
    ),
  );

  /** Inside a transaction, as the next four. */
  function finish(
    webhook: Webhook,
    row: Row,
    attempt: Attempt,
    state: "delivered" | "dead",
  ): void {
    keep(webhook, row, attempt, state, null);
    // One that fails at what tells of a failure would have another told of that, and so on.
    if (state !== "dead" || row.type === "webhook_failed") return;
    note([
      webhookFailure(webhook, "undelivered", {
        delivery: deliveryId(row.event),
        type: row.type,
        attempts: row.attempts + 1,
        status: attempt.status,
        error: attempt.error,
      }),
    ]);
  }

  function keep(
    { id }: Webhook,
    row: Row,
    attempt: Attempt,
    state: DeliveryState,
    dueAt: number | null,
  ): void {
    const log = [...(JSON.parse(row.log) as Attempt[]), attempt];
    put().run(
      state,
      row.attempts + 1,
      dueAt,
      JSON.stringify(log.slice(-MAX_LOG)),
      dueAt === null ? attempt.at + attempt.ms : null,
      row.replayed,
      id,
      row.seq,
    );
  }

  /** What is due, again or after a failure. */
  function takeDue(
    webhook: Webhook,
    { now, until }: { now: number; until: number },
    most: number,
  ): { claimed: Claimed[]; more: boolean } {
    const rows = due().all({
      $id: webhook.id,
      $now: now,
      $ordered: Number(webhook.concurrency === 1),
      $limit: most,
    });
    const claimed = rows.flatMap((row) => {
      const { seq, attempts } = row;
      const entry = journal.get(seq);
      if (entry) {
        take().run(until, webhook.id, seq);
        return [{ seq, claim: row.claim + 1, attempts, entry }];
      }
      const gone = { at: now, ms: 0, status: null, error: "expired" };
      finish(webhook, row, gone, "dead");
      return [];
    });
    return { claimed, more: claimed.length < rows.length };
  }

  /** What has come since. */
  function takeNew(
    webhook: Webhook,
    { now, until }: { now: number; until: number },
    most: number,
  ): { claimed: Claimed[]; more: boolean } {
    const last = journal.last();
    const begin = journal.next(webhook.cursor) - 1;
    const upTo = Math.min(last, begin + SCAN);
    const claimed: Claimed[] = [];
    // One more tells whether there is more.
    const limit = Math.min(PAGE, most + 1);
    let { cursor } = webhook;
    let page: JournalEntry[];
    do {
      page = journal.query({
        workspace: webhook.workspace,
        subject: null,
        shared: true,
        types: webhook.types,
        beyond: cursor,
        upTo,
        order: "oldest first",
        limit,
      });
      for (const entry of page) {
        const { seq, id, type } = entry;
        if (wants(webhook, entry)) {
          if (claimed.length === most) return done(true);
          insert().run(webhook.id, seq, id, type, until, now);
          claimed.push({ seq, claim: 1, attempts: 0, entry });
        }
        cursor = seq;
      }
    } while (page.length === limit);
    cursor = Math.max(cursor, upTo);
    return done(upTo < last);

    function done(more: boolean) {
      if (cursor > webhook.cursor) webhooks.move(webhook.id, cursor);
      return { claimed, more };
    }
  }

  const store: DeliveryStore = {
    claim: (id, at, most) =>
      writer.write(() => {
        const webhook = webhooks.get(id);
        const none = { webhook, claimed: [], more: false, dueAt: null };
        if (!webhook?.enabled) return none;
        const { now } = at;
        const { flying, waiting } = about().get({ $id: id, $now: now })!;
        const free = Math.min(most, webhook.concurrency - flying);
        const again = free > 0 ? takeDue(webhook, at, free) : null;
        const claimed = again?.claimed ?? [];
        const ahead = webhook.concurrency === 1 ? 1 : MAX_OPEN;
        const room = Math.min(free - claimed.length, ahead - waiting);
        const fresh = room > 0 ? takeNew(webhook, at, room) : null;
        return {
          webhook,
          claimed: [...claimed, ...(fresh?.claimed ?? [])],
          more: (again?.more || fresh?.more) ?? false,
          dueAt: nextDue().get(id, now)!.at,
        };
      }),
    settle: (id, { seq, claim }, attempt, rule) =>
      writer.write(() => {
        const webhook = webhooks.get(id);
        const row = bySeq().get(id, seq);
        if (!webhook || row?.state !== "delivering" || row.claim !== claim) {
          return null;
        }
        const settlement = rule(webhook, row.attempts + 1);
        const { state, failingSince, disable } = settlement;
        const now = attempt.at + attempt.ms;
        if (state === "pending") {
          keep(webhook, row, attempt, state, settlement.dueAt ?? now);
        } else finish(webhook, row, attempt, state);
        if (webhook.enabled && disable !== null) {
          const { status, error } = attempt;
          note([
            webhookFailure(webhook, disable, { failingSince, status, error }),
          ]);
        }
        if (state === "delivered" && webhook.missed > 0) noteMissed(webhook);
        webhooks.settle(webhook, { failingSince, disable }, now);
        return settlement;
      }),
    release: (id, { seq, claim }, now) =>
      writer.write(() => {
        client.run(
          "UPDATE deliveries SET state = 'pending', due_at = ? WHERE webhook = ? AND seq = ? AND claim = ? AND state = 'delivering'",
          [now, id, seq, claim],
        );
      }),
    releaseAll: (now) =>
      writer.write(() => {
        client.run(
          "UPDATE deliveries SET state = 'pending', due_at = ? WHERE state = 'delivering'",
          [now],
        );
      }),
    setBack: (ms, now) =>
      writer.write(() => {
        client.run(
          "UPDATE deliveries SET due_at = max(due_at - ?1, ?2) WHERE due_at > ?2",
          [ms, now],
        );
      }),
    list(id, { state, before, limit }) {
      const from = before === null ? null : byEvent().get(id, before);
      return client
        .query<Row, [string, string | null, number | null, number]>(
          `SELECT ${COLUMNS} FROM deliveries WHERE webhook = ?1 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR seq < ?3) ORDER BY seq DESC LIMIT ?4`,
        )
        .all(id, state, from?.seq ?? (before === null ? null : 0), limit)
        .map(toDelivery);
    },
    find(id, event) {
      const row = byEvent().get(id, event);
      return row ? toDelivery(row) : null;
    },
    replay: (id, event, now, cause = BY_ITSELF) =>
      writer.write(() => {
        const changes = again(id, event, now);
        const webhook = webhooks.get(id);
        if (changes > 0 && webhook) {
          note([webhookReplay(webhook, event, changes, cause)]);
        }
        return changes;
      }),
    prune: (before, most, limit) =>
      writer.write(() => {
        const old = client.run(
          "DELETE FROM deliveries WHERE (webhook, seq) IN (SELECT webhook, seq FROM deliveries WHERE due_at IS NULL AND finished_at < ? LIMIT ?)",
          [before, limit],
        ).changes;
        let many = 0;
        for (const { id } of webhooks.all()) {
          many += client.run(
            "DELETE FROM deliveries WHERE webhook = ?1 AND seq IN (SELECT seq FROM deliveries WHERE webhook = ?1 AND due_at IS NULL AND seq <= (SELECT seq FROM deliveries WHERE webhook = ?1 AND due_at IS NULL ORDER BY seq DESC LIMIT 1 OFFSET ?2) LIMIT ?3)",
            [id, most, limit],
          ).changes;
        }
        return old + many;
      }),
  };

  function again(id: string, event: string | null, now: number): number {
    const { changes } = client.run(
      `UPDATE deliveries SET state = 'pending', replayed = 1, attempts = 0, due_at = ?1, finished_at = NULL
       WHERE webhook = ?2 AND due_at IS NULL AND seq IN (SELECT seq FROM journal)
       AND (event = ?3 OR (?3 IS NULL AND state = 'dead'))`,
      [now, id, event],
    );
    if (changes > 0 || event === null) return changes;
    return client.run(
      "UPDATE deliveries SET due_at = ? WHERE webhook = ? AND event = ? AND state = 'pending'",
      [now, id, event],
    ).changes;
  }

  function noteMissed(webhook: Webhook): void {
    const { missed } = webhook;
    note([webhookFailure(webhook, "events_missed", { missed })]);
  }

  /** Inside the transaction that makes the journal forget these entries. */
  function passOver(leaving: readonly Leaving[]): void {
    for (const webhook of webhooks.all()) {
      const lost = leaving.filter(
        (entry) => entry.seq > webhook.cursor && wants(webhook, entry),
      ).length;
      if (lost === 0) continue;
      webhooks.miss(webhook.id, lost);
      // At first, and then how many it came to: once it is told of something again.
      if (webhook.missed === 0) noteMissed({ ...webhook, missed: lost });
    }
  }

  return { store, passOver };
}

function toDelivery(row: Row): Delivery {
  const { webhook: _webhook, claim: _claim, log, ...rest } = row;
  return {
    ...rest,
    type: row.type as EventType,
    state: row.state as DeliveryState,
    replayed: row.replayed === 1,
    log: JSON.parse(log) as Attempt[],
  };
}
