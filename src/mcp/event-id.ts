import { isRecord } from "./jsonrpc.ts";

/**
 * Event ids on the wire: `<stream>-<seq>`. Stream numbers count up across all users, so they are
 * shown through a keyed permutation: an id tells nobody how busy the server is. It hides a counter
 * and guards nothing; whose events they are is checked against the log at every read.
 */
export type EventIds = {
  encode(streamId: number, seq: number): string;
  /** Null for what was never an id of ours. */
  decode(id: string): { streamId: number; seq: number } | null;
};

/** 24 bits; streams are numbered up to 2^48. */
const HALF = 0x1000000;
const MASK = HALF - 1;

export function createEventIds(secret: Uint8Array): EventIds {
  const view = new DataView(secret.buffer, secret.byteOffset);
  const keys = [0, 4, 8, 12].map((at) => view.getUint32(at));

  /** A Feistel network over two halves: its own inverse with the keys reversed. */
  function permute(
    first: number,
    second: number,
    rounds: readonly number[],
  ): [number, number] {
    let left = first;
    let right = second;
    for (const key of rounds) {
      const mixed = mix(right ^ key) & MASK;
      [left, right] = [right, left ^ mixed];
    }
    return [right, left];
  }
  const reversed = keys.toReversed();

  // Events come in runs of one stream.
  let lastStream = -1;
  let lastShown = "";

  return {
    encode(streamId, seq) {
      if (streamId !== lastStream) {
        lastStream = streamId;
        const high = (streamId / HALF) | 0;
        const [a, b] = permute(high, streamId & MASK, keys);
        lastShown = a.toString(36).padStart(5, "0") + b.toString(36);
      }
      return `${lastShown}-${seq.toString(36)}`;
    },
    decode(id) {
      const match = /^([0-9a-z]{5})([0-9a-z]{1,5})-([0-9a-z]{1,10})$/.exec(id);
      if (!match) return null;
      const [a, b, seq] = match.slice(1).map((part) => parseInt(part, 36)) as [
        number,
        number,
        number,
      ];
      if (a > MASK || b > MASK || !Number.isSafeInteger(seq)) return null;
      const [high, low] = permute(a, b, reversed);
      return { streamId: high * HALF + low, seq };
    },
  };
}

/** Spreads 32 bits over 32 bits (the finaliser of MurmurHash3). */
function mix(value: number): number {
  let x = value >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Where a message over a WebSocket says which event it is, in its `_meta`, and `initialize` which session. */
export const EVENT_ID = "membrane-mcp/eventId";
export const SESSION_ID = "membrane-mcp/sessionId";

/** A JSON-RPC message, serialised, with the id of its event: in `_meta`, or in the data of an error. */
export function withEventId(text: string, id: string): string {
  const message = JSON.parse(text) as Record<string, unknown>;
  const { error } = message;
  const mark = (value: unknown) => ({ ...(value as object), [EVENT_ID]: id });
  if (isRecord(error)) {
    const { data } = error;
    if (data !== undefined && !isRecord(data)) return text;
    return JSON.stringify({
      ...message,
      error: { ...error, data: mark(data) },
    });
  }
  const key = "result" in message ? "result" : "params";
  const body = isRecord(message[key]) ? message[key] : {};
  const marked = { ...body, _meta: mark(body["_meta"]) };
  return JSON.stringify({ ...message, [key]: marked });
}
