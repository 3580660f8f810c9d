/**
 * What an API key looks like: `mcpk_<id>_<secret><checksum>`, made so that scanners find it where it does not
 * belong, and a typo is seen without looking it up (as GitHub's tokens are). The id names it in lists and logs; the
 * secret is 256 random bits in base62, the checksum the CRC-32 of all that stands before it.
 */

export type ApiKeyText = { id: string; secret: string };

const ALPHABET =
  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID = 8;
const SECRET = 43;
const CHECKSUM = 6;
const SECRET_BYTES = 32;
const ID_BYTES = 8;

const form = new RegExp(
  `^mcpk_([0-9A-Za-z]{${ID}})_([0-9A-Za-z]{${SECRET}})([0-9A-Za-z]{${CHECKSUM}})$`,
);

/** True for what is meant as a key, well made or not. */
export function isApiKey(text: string): boolean {
  return text.startsWith("mcpk_");
}

export function makeApiKey(random: (bytes: number) => Uint8Array) {
  const id = base62(random(ID_BYTES)).padStart(ID, "0").slice(-ID);
  const secret = base62(random(SECRET_BYTES)).padStart(SECRET, "0");
  const text = `mcpk_${id}_${secret}`;
  return { id, secret, text: text + checksum(text) };
}

/** Null for what is no key of ours, or mistyped. */
export function readApiKey(text: string): ApiKeyText | null {
  const [, id, secret, sum] = form.exec(text) ?? [];
  if (id === undefined || secret === undefined) return null;
  return checksum(text.slice(0, -CHECKSUM)) === sum ? { id, secret } : null;
}

function checksum(text: string): string {
  const bytes = new DataView(new ArrayBuffer(4));
  bytes.setUint32(0, Bun.hash.crc32(text));
  return base62(new Uint8Array(bytes.buffer)).padStart(CHECKSUM, "0");
}

/** A big-endian number. */
function base62(bytes: Uint8Array): string {
  let rest = BigInt(`0x${bytes.toHex()}`);
  let text = "";
  for (; rest > 0n; rest /= 62n) text = ALPHABET[Number(rest % 62n)]! + text;
  return text;
}
