import type { Database } from "bun:sqlite";
import { and, asc, count, eq, gt, max, sql, sum } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import { LRUCache } from "lru-cache";
import type { EventLog, StreamRef } from "../../core/event.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Clock } from "../../core/runtime.ts";
import { later } from "./later.ts";
import { calls, events } from "./schema.ts";
import type { Writer } from "./writer.ts";

/** {@link EventLog} over the `events` and `calls` tables. */
export function createEventLog(wiring: {
  client: Database;
  db: BunSQLiteDatabase;
  writer: Writer;
  takeStream: () => number;
  clock: Clock;
}): EventLog {
  const { client, db, writer, clock } = wiring;

  const ofStream = and(
    eq(events.streamId, sql.placeholder("streamId")),
    eq(events.sessionPk, sql.placeholder("sessionPk")),
  );
  // The two statements of every call, by hand: the query builder triples what they cost.
  const insertEvent = client.prepare<
    null,
    [number, number, number, string, number]
  >(
    "INSERT INTO events (stream_id, seq, session_pk, data, at) VALUES (?, ?, ?, ?, ?)",
  );
  const sessionExists = client.prepare<{ pk: number }, [number]>(
    "SELECT pk FROM sessions WHERE pk = ?",
  );
  const insertCall = later(() =>
    db
      .insert(calls)
      .values({
        callId: sql.placeholder("callId"),
        streamId: sql.placeholder("streamId"),
        sessionPk: sql.placeholder("sessionPk"),
        requestId: sql.placeholder("requestId"),
      })
      .prepare(),
  );
  const deleteCall = later(() =>
    db
      .delete(calls)
      .where(eq(calls.callId, sql.placeholder("callId")))
      .prepare(),
  );
  const lastOfStream = later(() =>
    db
      .select({ seq: max(events.seq) })
      .from(events)
      .where(ofStream)
      .prepare(),
  );
  const firstOfStream = later(() =>
    db
      .select({ seq: events.seq })
      .from(events)
      .where(and(ofStream, gt(events.seq, sql.placeholder("after"))))
      .orderBy(asc(events.seq))
      .limit(1)
      .prepare(),
  );
  const readStream = later(() =>
    db
      .select({ seq: events.seq, data: events.data })
      .from(events)
      .where(and(ofStream, gt(events.seq, sql.placeholder("after"))))
      .orderBy(asc(events.seq))
      .limit(sql.placeholder("limit"))
      .prepare(),
  );
  const runningInStream = later(() =>
    db
      .select({ callId: calls.callId })
      .from(calls)
      .where(
        and(
          eq(calls.streamId, sql.placeholder("streamId")),
          eq(calls.sessionPk, sql.placeholder("sessionPk")),
        ),
      )
      .limit(1)
      .prepare(),
  );
  const usage = later(() =>
    db
      .select({ events: count(), bytes: sum(sql`length(${events.data})`) })
      .from(events)
      .where(eq(events.sessionPk, sql.placeholder("sessionPk")))
      .prepare(),
  );

  // Streams that ended without a word, and their sessions: nothing on disk tells them from those that never were.
  const silent = new LRUCache<number, number>({ max: 10_000 });

  const last = (ref: StreamRef) => lastOfStream().get(ref)?.seq ?? 0;

  /** Inside a transaction. */
  function insert(ref: StreamRef, seq: number, data: string): number {
    const { streamId, sessionPk } = ref;
    insertEvent.run(streamId, seq, sessionPk, data, clock.now());
    grown.add(sessionPk);
    return seq;
  }

  /** Inside a transaction: appends, unless the session has ended. */
  function append(ref: StreamRef, data: string): number | null {
    if (!sessionExists.get(ref.sessionPk)) return null;
    return insert(ref, last(ref) + 1, data);
  }

  // Sessions to look at for their caps: those that were written to since the last look.
  const grown = new Set<number>();
  // Where the sweep by age goes on. Streams are numbered in time, so it begins at the oldest.
  let sweptTo = { streamId: 0, seq: 0 };

  function pruneByAge(before: number, limit: number): number {
    const old = db
      .select({
        streamId: events.streamId,
        seq: events.seq,
        sessionPk: events.sessionPk,
        at: events.at,
      })
      .from(events)
      .where(
        sql`(${events.streamId}, ${events.seq}) > (${sweptTo.streamId}, ${sweptTo.seq})`,
      )
      .orderBy(asc(events.streamId), asc(events.seq))
      .limit(limit)
      .all();
    let removed = 0;
    let next = { streamId: 0, seq: 0 };
    for (const event of old) {
      if (event.at < before) {
        if (remove(event)) removed++;
      } else if (event.streamId !== event.sessionPk) {
        // A stream of one call, and too young: all that begin after it are younger still.
        return sweepDone(removed);
      }
      next = event;
    }
    if (old.length < limit) return sweepDone(removed);
    sweptTo = { streamId: next.streamId, seq: next.seq };
    return removed;
  }

  function sweepDone(removed: number): number {
    sweptTo = { streamId: 0, seq: 0 };
    return removed;
  }

  /** Removes an event, but never the newest of a stream that can grow: its number must not come again. */
  function remove(event: StreamRef & { seq: number }): boolean {
    const { streamId, sessionPk, seq } = event;
    const ref = { streamId, sessionPk };
    const canGrow = streamId === sessionPk || runningInStream().get(ref);
    if (canGrow && seq === last(ref)) return false;
    db.delete(events)
      .where(and(eq(events.streamId, streamId), eq(events.seq, seq)))
      .run();
    return true;
  }

  function pruneByCaps(
    caps: { events: number; bytes: number },
    limit: number,
  ): number {
    let removed = 0;
    for (const sessionPk of grown) {
      if (removed >= limit) return removed;
      const used = usage().get({ sessionPk });
      let tooMany = (used?.events ?? 0) - caps.events;
      let tooLarge = Number(used?.bytes ?? 0) - caps.bytes;
      if (tooMany > 0 || tooLarge > 0) {
        const oldest = db
          .select({
            streamId: events.streamId,
            sessionPk: events.sessionPk,
            seq: events.seq,
            size: sql<number>`length(${events.data})`,
          })
          .from(events)
          .where(eq(events.sessionPk, sessionPk))
          .orderBy(asc(events.at), asc(events.streamId), asc(events.seq))
          .limit(limit - removed)
          .all();
        for (const event of oldest) {
          if (tooMany <= 0 && tooLarge <= 0) break;
          if (!remove(event)) continue;
          removed++;
          tooMany--;
          tooLarge -= event.size;
        }
        // Only the limit of this slice leaves a session over its caps for the next one.
        if (removed >= limit) return removed;
      }
      grown.delete(sessionPk);
    }
    return removed;
  }

  return {
    nextStream: wiring.takeStream,

    record: (call, outcome) =>
      writer.write(() => {
        if (!sessionExists.get(call.sessionPk)) {
          throw new GatewayError("not_found", "Session not found");
        }
        const { messages, answered } = outcome();
        if (!answered) insertCall().run(call);
        let seq = call.callId === call.streamId ? 0 : last(call);
        const written = messages.map((data) => ({
          seq: insert(call, ++seq, data),
          data,
        }));
        return { events: written, answered };
      }),

    append: (ref, data) => writer.write(() => append(ref, data)),

    finish: (call, answer) =>
      writer.write(() => {
        deleteCall().run({ callId: call.callId });
        if (answer !== null) return append(call, answer);
        silent.set(call.streamId, call.sessionPk);
        return null;
      }),

    read: (ref, after, limit) => readStream().all({ ...ref, after, limit }),

    state(ref) {
      if (runningInStream().get(ref)) return "running";
      const ended = last(ref) > 0 || silent.get(ref.streamId) === ref.sessionPk;
      return ended ? "done" : "unknown";
    },

    firstAfter: (ref, after) =>
      firstOfStream().get({ ...ref, after })?.seq ?? null,

    last,

    async interrupt(message) {
      if (!db.select().from(calls).limit(1).get()) return 0;
      return writer.write(() => {
        const cut = db.select().from(calls).orderBy(asc(calls.callId)).all();
        for (const call of cut) append(call, message(call.requestId));
        db.delete(calls).run();
        return cut.length;
      });
    },

    prune: (before, caps, limit) =>
      writer.write(() => {
        const old = pruneByAge(before, limit);
        return old + pruneByCaps(caps, Math.max(limit - old, 1));
      }),
  };
}
