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

const HALF = 0x1000000; // 24 bits: streams up to 2^48.

export function createEventIds(secret: Uint8Array): EventIds {
  const view = new DataView(secret.buffer, secret.byteOffset);
  const keys = [0, 4, 8, 12].map((at) => view.getUint32(at));

  /** A Feistel network: its own inverse with the keys reversed. */
  function permute(value: number, rounds: readonly number[]): number {
    let left = Math.floor(value / HALF);
    let right = value % HALF;
    for (const key of rounds) {
      const mixed = mix(right ^ key) % HALF;
      [left, right] = [right, left ^ mixed];
    }
    return right * HALF + left;
  }
  const reversed = keys.toReversed();

  // Events come in runs of one stream.
  let lastStream = -1;
  let lastShown = "";

  return {
    encode(streamId, seq) {
      if (streamId !== lastStream) {
        lastStream = streamId;
        lastShown = permute(streamId, keys).toString(36);
      }
      return `${lastShown}-${seq.toString(36)}`;
    },
    decode(id) {
      const match = /^([0-9a-z]{1,10})-([0-9a-z]{1,10})$/.exec(id);
      if (!match) return null;
      const shown = parseInt(match[1]!, 36);
      const seq = parseInt(match[2]!, 36);
      if (shown >= HALF * HALF || !Number.isSafeInteger(seq)) return null;
      return { streamId: permute(shown, reversed), seq };
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
