import type { Database } from "bun:sqlite";
import { and, asc, count, eq, gt, max, sql, sum } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import { LRUCache } from "lru-cache";
import type { EventLog, StreamEvent, StreamRef } from "../../core/event.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Clock } from "../../core/runtime.ts";
import { identityKey } from "../../core/principal.ts";
import type { EventQuotas } from "./event-quota.ts";
import { createEventQuota } from "./event-quota.ts";
import type { WriteEntries } from "./journal.ts";
import { later } from "./later.ts";
import { calls, events } from "./schema.ts";
import type { Writer } from "./writer.ts";

/** What one session's events may take; its oldest go when they take more. */
export type EventCaps = { events: number; bytes: number };

type Usage = EventCaps & { trimAt: EventCaps };

/** Events younger than this may not have reached their reader, and stay while the session is below the hard caps. */
const UNREAD_MS = 30_000;
/** The hard caps, as a multiple of the caps: beyond them age protects nothing … */
const HARD = 4;
/** … and beyond these, neither does a reader that is there. */
const HARDEST: EventCaps = { events: 20_000, bytes: 256 * 1024 * 1024 };

/** {@link EventLog} over the `events` and `calls` tables. */
export function createEventLog(wiring: {
  client: Database;
  db: BunSQLiteDatabase;
  writer: Writer;
  takeStream: () => number;
  note: WriteEntries;
  clock: Clock;
  caps: EventCaps;
  quotas: EventQuotas;
  /** The streams of a session that somebody reads at the moment. */
  streamsRead: (sessionPk: number) => readonly number[];
  /** Does what has to be, where there may be no room. */
  withRoom: <T>(work: () => T) => T;
}): EventLog {
  const { client, db, writer, clock, caps } = wiring;

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
  const ownerOf = later(() =>
    client.prepare<{ workspace: string; subject: string }, [number]>(
      "SELECT workspace, subject FROM sessions WHERE pk = ?",
    ),
  );
  const insertCall = later(() =>
    db
      .insert(calls)
      .values({
        callId: sql.placeholder("callId"),
        streamId: sql.placeholder("streamId"),
        sessionPk: sql.placeholder("sessionPk"),
        requestId: sql.placeholder("requestId"),
        ifCut: sql.placeholder("ifCut"),
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
  const readStream = client.prepare<
    { seq: number; data: string },
    [number, number, number]
  >(
    "SELECT seq, data FROM events WHERE stream_id = ? AND session_pk = ? AND seq > ? ORDER BY seq",
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
  const usageOf = later(() =>
    db
      .select({
        events: count(),
        bytes: sum(sql`octet_length(${events.data})`),
      })
      .from(events)
      .where(eq(events.sessionPk, sql.placeholder("sessionPk")))
      .prepare(),
  );
  // In the order of the index: the session's own stream first, whose notifications are the least loss.
  const oldestOf = later(() =>
    client.prepare<
      { streamId: number; seq: number; at: number; size: number },
      [number]
    >(
      "SELECT stream_id AS streamId, seq, at, octet_length(data) AS size FROM events WHERE session_pk = ? ORDER BY stream_id, seq",
    ),
  );
  // But never the newest of a stream that can grow: its number must not come again.
  const deleteOldest = later(() =>
    client.prepare<
      { size: number },
      [number, number, number, number, number, number, string]
    >(
      `DELETE FROM events WHERE session_pk = ?1 AND (stream_id, seq) <= (?2, ?3) AND at <= ?4 AND NOT (
         (stream_id = session_pk OR stream_id IN (SELECT stream_id FROM calls WHERE session_pk = ?1))
         AND seq = (SELECT max(seq) FROM events AS same WHERE same.stream_id = events.stream_id)
       ) AND NOT (stream_id = ?5 AND seq = ?6)
         AND stream_id NOT IN (SELECT value FROM json_each(?7))
       RETURNING octet_length(data) AS size`,
    ),
  );

  // Streams that ended without a word, and their sessions: nothing on disk tells them from those that never were.
  const silent = later(() => new LRUCache<number, number>({ max: 10_000 }));

  let written = 0;
  const dropped = { notStored: 0, removed: 0 };

  const quota = createEventQuota({
    client,
    writer,
    clock,
    quotas: wiring.quotas,
    ownerOf(sessionPk) {
      const owner = ownerOf().get(sessionPk);
      return owner && identityKey(owner);
    },
    bytesOf: (sessionPk) =>
      (usage().peek(sessionPk) ?? countUsage(sessionPk)).bytes,
    shrink(sessionPk, bytes, hard) {
      touched.add(sessionPk);
      const used = usage().get(sessionPk) ?? readUsage(sessionPk);
      const { bytes: had, events: many } = used;
      const none = { sessionPk, streamId: 0, seq: 0 };
      const limit = { events: Infinity, bytes };
      const spared = wiring.streamsRead(sessionPk);
      trim(none, used, limit, hard ? 0 : UNREAD_MS, spared);
      dropped.removed += many - used.events;
      return had - used.bytes;
    },
  });

  const last = (ref: StreamRef) => lastOfStream().get(ref)?.seq ?? 0;

  /** Inside a transaction. */
  function insert(ref: StreamRef, seq: number, data: string): number {
    const { streamId, sessionPk } = ref;
    insertEvent.run(streamId, seq, sessionPk, data, clock.now());
    written++;
    account(ref, seq, data);
    quota.wrote(data.length);
    return seq;
  }

  /** Inside a transaction: appends, unless the session has ended. */
  function append(ref: StreamRef, data: string): number | null {
    if (!sessionExists.get(ref.sessionPk)) return null;
    return insert(ref, last(ref) + 1, data);
  }

  // What the events of sessions take, for those that were written to lately. Forgotten when it may be wrong.
  const usage = later(() => new LRUCache<number, Usage>({ max: 10_000 }));
  const touched = new Set<number>();
  writer.onCommit(() => touched.clear());
  writer.onRollback(() => {
    for (const pk of touched) usage().delete(pk);
    touched.clear();
  });
  function readUsage(sessionPk: number): Usage {
    const used = { ...countUsage(sessionPk), trimAt: caps };
    usage().set(sessionPk, used);
    return used;
  }
  function countUsage(sessionPk: number): EventCaps {
    const stored = usageOf().get({ sessionPk });
    return { events: stored?.events ?? 0, bytes: Number(stored?.bytes ?? 0) };
  }

  /** Inside a transaction, after an event was written: keeps its session near the caps. */
  function account(ref: StreamRef, seq: number, data: string): void {
    const { sessionPk } = ref;
    touched.add(sessionPk);
    let used = usage().get(sessionPk);
    if (used) {
      used.events++;
      used.bytes += Buffer.byteLength(data);
    } else used = readUsage(sessionPk);
    const hard = { events: caps.events * HARD, bytes: caps.bytes * HARD };
    const hardest = {
      events: Math.max(hard.events, HARDEST.events),
      bytes: Math.max(hard.bytes, HARDEST.bytes),
    };
    const over = (limit: EventCaps) =>
      used.events > limit.events || used.bytes > limit.bytes;
    if (!over(used.trimAt)) return;
    const newest = { ...ref, seq };
    const read = () => wiring.streamsRead(sessionPk);
    if (over(hardest)) trim(newest, used, hardest, 0, []);
    else if (over(hard)) trim(newest, used, hard, 0, read());
    else trim(newest, used, caps, UNREAD_MS, []);
    // Not again before it has grown by a tenth: what is too young to go is looked at each time.
    used.trimAt = {
      events: Math.max(caps.events, used.events + caps.events / 10),
      bytes: Math.max(caps.bytes, used.bytes + caps.bytes / 10),
    };
  }

  /** Removes a session's oldest events of at least that age, down to nine tenths of the limit; those of some streams stay. */
  function trim(
    newest: StreamRef & { seq: number },
    used: Usage,
    limit: EventCaps,
    ageMs: number,
    spared: readonly number[],
  ): void {
    const { sessionPk } = newest;
    let tooMany = used.events - limit.events * 0.9;
    let tooLarge = used.bytes - limit.bytes * 0.9;
    const before = clock.now() - ageMs;
    const stays = new Set(spared);
    let end: { streamId: number; seq: number } | null = null;
    for (const event of oldestOf().iterate(sessionPk)) {
      if (tooMany <= 0 && tooLarge <= 0) break;
      if (stays.has(event.streamId)) continue;
      if (event.at > before) {
        // Streams of calls follow each other in time: what comes after is younger still.
        if (event.streamId === sessionPk) continue;
        break;
      }
      end = event;
      tooMany--;
      tooLarge -= event.size;
    }
    if (end === null) return;
    const removed = deleteOldest().all(
      sessionPk,
      end.streamId,
      end.seq,
      before,
      newest.streamId,
      newest.seq,
      JSON.stringify(spared),
    );
    used.events -= removed.length;
    for (const { size } of removed) used.bytes -= size;
  }

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

  return {
    nextStream: wiring.takeStream,
    written: () => written,
    dropped: () => dropped,
    curb: quota.curb,

    record: (call, outcome) =>
      writer.write(() => {
        if (!sessionExists.get(call.sessionPk)) {
          throw new GatewayError("not_found", "Session not found");
        }
        const { messages, answered, entries = [] } = outcome();
        if (answered) wiring.note(entries);
        else {
          const { ifCut, ...rest } = call;
          insertCall().run({ ...rest, ifCut: ifCut && JSON.stringify(ifCut) });
        }
        let seq = call.callId === call.streamId ? 0 : last(call);
        const written = messages.map((data) => ({
          seq: insert(call, ++seq, data),
          data,
        }));
        return { events: written, answered };
      }),

    append: (ref, data, mayBeLost = false) =>
      writer.write(() => {
        if (!mayBeLost || !quota.full()) return append(ref, data);
        dropped.notStored++;
        return null;
      }),

    finish: (call, answer, entries) =>
      writer.write(() => {
        deleteCall().run({ callId: call.callId });
        wiring.note(entries?.() ?? []);
        if (answer !== null) return append(call, answer);
        silent().set(call.streamId, call.sessionPk);
        return null;
      }),

    read({ streamId, sessionPk }, after, limit, maxBytes = Infinity) {
      const page: StreamEvent[] = [];
      let bytes = 0;
      for (const row of readStream.iterate(streamId, sessionPk, after)) {
        bytes += row.data.length;
        if (page.length > 0 && bytes > maxBytes) break;
        page.push(row);
        if (page.length === limit) break;
      }
      return page;
    },

    state(ref) {
      if (runningInStream().get(ref)) return "running";
      const ended =
        last(ref) > 0 || silent().get(ref.streamId) === ref.sessionPk;
      return ended ? "done" : "unknown";
    },

    firstAfter: (ref, after) =>
      firstOfStream().get({ ...ref, after })?.seq ?? null,

    last,

    async interrupt(message) {
      // By hand, as every start waits for it.
      if (!client.prepare("SELECT 1 FROM calls LIMIT 1").get()) return 0;
      const end = () => {
        const cut = db.select().from(calls).orderBy(asc(calls.callId)).all();
        for (const call of cut) {
          append(call, message(call.requestId));
          if (call.ifCut !== null) wiring.note([JSON.parse(call.ifCut)]);
        }
        db.delete(calls).run();
        return cut.length;
      };
      // A server that cannot start cannot make room either.
      return writer.write(() => wiring.withRoom(end));
    },

    prune: (before, limit) =>
      writer.write(() => {
        const removed = pruneByAge(before, limit);
        if (removed > 0) usage().clear();
        // Gives pages back to the file system, a few at a time.
        client.run("PRAGMA incremental_vacuum(200)");
        return removed;
      }),
  };
}
