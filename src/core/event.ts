import type { NewEntry } from "./journal.ts";

/**
 * The event log: every SSE event, on disk before its bytes leave.
 *
 * A stream is a number. The events of a stream are numbered from 1; 0 is the priming event,
 * which has no content and so no row. Streams, sessions and their owners are checked together:
 * an event is found only under the session it was written for.
 */
export type StreamEvent = {
  seq: number;
  /** One JSON-RPC message, serialised. */
  data: string;
};

export type StreamRef = { sessionPk: number; streamId: number };

/**
 * `running`: the answer is still to come; `done`: answered, all of it is on record, or cancelled (known until the
 * next start); `unknown`: no such stream in this session (any more).
 */
export type StreamState = "running" | "done" | "unknown";

export type RunningCall = StreamRef & {
  /** Its own number; equals `streamId` when the call has a stream of its own. */
  callId: number;
  /** The JSON-RPC id, serialised. */
  requestId: string;
  /** What the journal is to say when nobody is left to say how it ended. */
  ifCut?: NewEntry;
};

/** What a call has said up to a commit. */
export type Outcome = {
  messages: readonly string[];
  /** True when the last message is the answer. */
  answered: boolean;
  /** For the journal, of a call that has ended. */
  entries?: readonly NewEntry[];
};

export type Recorded = { events: StreamEvent[]; answered: boolean };

export type EventLog = {
  /** A number that no stream has ever had. */
  nextStream(): number;
  /**
   * Records one tool call. When the commit comes, `outcome()` is asked what has been said so far;
   * that is written, and unless it is all of it the call is put on record as running. Resolves with
   * what was written. Throws `not_found` when the session has ended.
   */
  record(call: RunningCall, outcome: () => Outcome): Promise<Recorded>;
  /**
   * Appends to a stream. Resolves with the event's number, or null when the session has ended, or when `mayBeLost` and
   * there is hardly any room left.
   */
  append(
    ref: StreamRef,
    data: string,
    mayBeLost?: boolean,
  ): Promise<number | null>;
  /**
   * Ends a running call: its answer (null: it was cancelled), the end of its record and what the journal says of it
   * by then, in one transaction.
   */
  finish(
    call: RunningCall,
    answer: string | null,
    entries?: () => readonly NewEntry[],
  ): Promise<number | null>;
  /** The events after `after`, in order, at most `limit` and, but for the first, `maxBytes`. */
  read(
    ref: StreamRef,
    after: number,
    limit: number,
    maxBytes?: number,
  ): StreamEvent[];
  state(ref: StreamRef): StreamState;
  /** The first number still on record after `after`, or null: tells a gap left by retention. */
  firstAfter(ref: StreamRef, after: number): number | null;
  /** The highest number ever given out that is still on record; 0 for none. */
  last(ref: StreamRef): number;
  /**
   * For the start: answers every call that a crash cut off, with `message(requestId)`, and has the journal say so of
   * those of tools. Returns how many.
   */
  interrupt(message: (requestId: string) => string): Promise<number>;
  /** Removes up to `limit` events written before `before`, oldest first. */
  prune(before: number, limit: number): Promise<number>;
  /**
   * Removes, in parts, the oldest events of users that take more than one may have, or more than others when there is
   * hardly any room left. How many bytes went; `more`: it has not come to an end.
   */
  curb(): Promise<{ removed: number; more: boolean }>;
  /** Events that were written since the start. */
  written(): number;
  /** Of those that were to be written since the start: never written, and removed before their time, for want of room. */
  dropped(): { notStored: number; removed: number };
};
