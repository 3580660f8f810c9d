import {
  chownSync,
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { GatewayError } from "../core/errors.ts";

/** The key that everything is sealed with: 32 random bytes. */

const KEY_BYTES = 32;

/** Where a data directory keeps its key. */
export function keyFile(directory: string): string {
  return join(directory, "encryption.key");
}

/**
 * Keys in base64, base64url or hex, separated by commas or lines, the newest first. Null when one of them is not
 * 32 bytes, or bytes that nobody's dice have thrown.
 */
export function parseKeys(text: string): Uint8Array[] | null {
  const keys = text
    .split(/[,\s]+/)
    .filter((part) => part !== "")
    .map(parseKey);
  return keys.length > 0 && keys.every((key) => key !== null) ? keys : null;
}

/** What a good key is, and how to get one. */
export const KEY_FORM =
  "32 random bytes as base64 or hex, as openssl rand -base64 32 prints them";

function parseKey(text: string): Uint8Array | null {
  const bytes = /^[0-9a-f]{64}$/i.test(text)
    ? Buffer.from(text, "hex")
    : /^([A-Za-z0-9+/]{43}=?|[A-Za-z0-9_-]{43}=?)$/.test(text)
      ? Buffer.from(text, "base64")
      : null;
  return bytes?.length === KEY_BYTES && isRandom(bytes) ? bytes : null;
}

/** False for what people type, repeat or count. Random bytes pass but for one time in 10^13. */
function isRandom(bytes: Uint8Array): boolean {
  const steps = bytes.map((byte, i) => byte - (bytes[i - 1] ?? 0));
  const printable = bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
  return !printable && new Set(bytes).size >= 16 && new Set(steps).size >= 16;
}

/** The keys in a data directory's file, or null when there is no file. Throws `conflict` for a file that cannot be used. */
export function readKeyFile(directory: string): Uint8Array[] | null {
  const file = keyFile(directory);
  let text: string;
  try {
    const { mode } = statSync(file);
    // Windows has no such modes.
    if ((mode & 0o077) !== 0 && process.platform !== "win32") {
      throw unusableKey(
        `${file} is open to other users of this machine (mode ${(mode & 0o777).toString(8)}). Run: chmod 600 ${file}`,
      );
    }
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause;
    const { code, message } = cause as Error & { code?: string };
    if (code === "ENOENT") return null;
    throw unusableKey(`${file} cannot be read: ${message}.`, cause);
  }
  const keys = parseKeys(text);
  if (keys) return keys;
  throw unusableKey(
    `${file} does not hold a key: ${KEY_FORM}. Put back the copy that you have of it.`,
  );
}

/**
 * Makes a data directory's key. When another process makes one at the same time, theirs counts for both. The file is
 * whole and on disk before it has its name, so that a crash leaves none or a good one.
 */
export function makeKeyFile(directory: string): Uint8Array[] {
  const file = keyFile(directory);
  const partial = `${file}.${crypto.randomUUID()}.partial`;
  try {
    const key = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
    const fd = openSync(partial, "wx", 0o600);
    try {
      writeSync(fd, `${Buffer.from(key).toString("base64")}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    giveToOwner(directory, partial);
    linkSync(partial, file);
    toDisk(dirname(file));
  } catch (cause) {
    const { code, message } = cause as Error & { code?: string };
    if (code !== "EEXIST") {
      throw unusableKey(
        `${file} cannot be made: ${message}. Give the user of this process write access to ${directory}, or set ENCRYPTION_KEY to ${KEY_FORM}.`,
        cause,
      );
    }
  } finally {
    rmSync(partial, { force: true });
  }
  return readKeyFile(directory)!;
}

/** What root makes in somebody's directory is theirs: the server may run as them. */
function giveToOwner(directory: string, file: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(directory);
  if (uid !== 0) chownSync(file, uid, gid);
}

function toDisk(directory: string): void {
  // Windows does not open directories.
  if (process.platform === "win32") return;
  const fd = openSync(directory, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A key that is not there, or not the one; nothing has been changed, and a new start alone helps nobody. */
export function unusableKey(message: string, cause?: unknown): GatewayError {
  return new GatewayError("conflict", message, {
    data: { reason: "encryption_key" },
    cause,
  });
}
