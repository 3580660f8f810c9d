import { existsSync } from "node:fs";
import { GatewayError } from "../core/errors.ts";
import type { Vault } from "../core/runtime.ts";
import type { SealContext, SealedStore } from "../core/sealed.ts";
import {
  keyFile,
  makeKeyFile,
  readKeyFile,
  unusableKey,
} from "./encryption-key.ts";

/** A vault, and what the start and `doctor` need to know of its keys. */
export type KeyedVault = Vault & {
  /**
   * Throws `conflict` unless the key that made this check is one of ours. Reads the key's file, and makes none.
   */
  verify(check: string): void;
  /** A check of the newest key. */
  makeCheck(): string;
};

export type VaultOptions = {
  /** `ENCRYPTION_KEY`, the newest first; null: the key is in a file, made at first need. */
  keys: readonly Uint8Array[] | null;
  /** Where the key file is. */
  directory: string;
  /** Knows whether anything has been sealed before, and with which key. */
  sealed: () => Pick<SealedStore, "keyCheck" | "keepKeyCheck">;
  /** Told of a key file that was made. */
  onKeyMade?: (file: string) => void;
};

/** First part of what is sealed: how it is. */
const VERSION = "1";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const ALGORITHM = "aes-256-gcm";

const CHECK_TEXT = "membrane-mcp";
const CHECK_CONTEXT = ["meta", "key_check"];

/** One key, and those made of it for each purpose (RFC 5869). */
type Key = { id: string; sealing: Uint8Array; of(purpose: string): Uint8Array };

/**
 * {@link Vault} with keys of the operator, or one in the data directory. Sealed is
 * `version.key.nonce+ciphertext+tag`: the key by an id that says nothing of it, the rest in base64url.
 */
export function createVault(options: VaultOptions): KeyedVault {
  const { directory, sealed: store } = options;
  const source = options.keys ? "ENCRYPTION_KEY" : keyFile(directory);
  let loaded: readonly Key[] | null = null;
  let confirmed: string | null = null;

  /** None when there is no file yet. */
  function keys(): readonly Key[] {
    if (loaded) return loaded;
    const found = options.keys ?? readKeyFile(directory);
    if (!found) return [];
    return (loaded = found.map(deriveKey));
  }

  /** The key that seals. A file is made only where nothing is sealed that would have needed the one that is gone. */
  function newest(): Key {
    const [key] = keys();
    if (key) return key;
    if (store().keyCheck() !== null) throw wrongKey();
    loaded = makeKeyFile(directory).map(deriveKey);
    options.onKeyMade?.(keyFile(directory));
    return loaded[0]!;
  }

  function findKey(sealed: string): Key | undefined {
    const id = keyIdOf(sealed);
    return keys().find((key) => key.id === id);
  }

  function wrongKey(): GatewayError {
    return unusableKey(
      keys().length === 0
        ? `The database holds secrets, and ${source}, the key that they were sealed with, is missing. Put back the copy that you have of it, or set ENCRYPTION_KEY to what it was. Nothing was changed.`
        : `The database holds secrets that were sealed with another key than that in ${source}. Put that key back, or, to change keys, list both: new,old.${elsewhere()} Nothing was changed.`,
    );
  }

  function elsewhere(): string {
    const file = keyFile(directory);
    return options.keys && existsSync(file) ? ` There is one in ${file}.` : "";
  }

  function verify(check: string): void {
    const key = findKey(check);
    if (!key) throw wrongKey();
    confirmed = check;
  }

  /** Before anything is sealed there is a check, of one of our keys. Another process may have made it, too. */
  function confirm(): void {
    const kept = store().keyCheck();
    if (kept === null) {
      store().keepKeyCheck(makeCheck());
      verify(store().keyCheck()!);
    } else if (kept !== confirmed) verify(kept);
  }

  const makeCheck = () => sealWith(newest(), CHECK_TEXT, CHECK_CONTEXT);

  return {
    seal(plain, context) {
      const key = newest();
      confirm();
      return sealWith(key, plain, context);
    },
    open(sealed, context) {
      const key = findKey(sealed);
      if (!key) throw unreadable("it was sealed with a key that is not known");
      try {
        return openWith(key, sealed, context);
      } catch (cause) {
        throw unreadable("it was changed, or sealed for something else", cause);
      }
    },
    outdated: (sealed) => keyIdOf(sealed) !== newest().id,
    mac: (purpose, text) =>
      hmac(newest().of(JSON.stringify(["mac", purpose])), text).toString(
        "base64url",
      ),
    verify,
    makeCheck,
  };
}

function sealWith(key: Key, plain: string, context: SealContext): string {
  const { createCipheriv } = nodeCrypto();
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const cipher = createCipheriv(ALGORITHM, key.sealing, nonce);
  cipher.setAAD(bind(context));
  const bytes = Buffer.concat([
    nonce,
    cipher.update(plain, "utf8"),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
  return `${VERSION}.${key.id}.${bytes.toString("base64url")}`;
}

function openWith(key: Key, sealed: string, context: SealContext): string {
  const { createDecipheriv } = nodeCrypto();
  const [version, , text = ""] = sealed.split(".");
  const bytes = Buffer.from(text, "base64url");
  // What is decoded leniently could be written in two ways.
  if (version !== VERSION || bytes.toString("base64url") !== text) {
    throw new Error("It is not of the form that it has to have.");
  }
  const decipher = createDecipheriv(
    ALGORITHM,
    key.sealing,
    bytes.subarray(0, NONCE_BYTES),
    { authTagLength: TAG_BYTES },
  );
  decipher.setAAD(bind(context));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  return Buffer.concat([
    decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)),
    decipher.final(),
  ]).toString("utf8");
}

/** No two contexts are the same bytes. */
function bind(context: SealContext): Uint8Array {
  return Buffer.from(JSON.stringify(context));
}

function keyIdOf(sealed: string): string | undefined {
  return sealed.split(".", 2)[1];
}

function deriveKey(secret: Uint8Array): Key {
  // HKDF: extracted without a salt, expanded by one block.
  const extracted = hmac(new Uint8Array(32), secret);
  const of = (purpose: string) =>
    hmac(extracted, Buffer.from(`${purpose}\u0001`));
  return {
    id: of("key id").subarray(0, 9).toString("base64url"),
    sealing: of("seal"),
    of,
  };
}

function hmac(key: Uint8Array, text: string | Uint8Array): Buffer {
  return new Bun.CryptoHasher("sha256", key).update(text).digest();
}

/** Not imported: it takes six milliseconds, which most starts have no need to wait for. */
function nodeCrypto() {
  return process.getBuiltinModule("node:crypto");
}

function unreadable(why: string, cause?: unknown): GatewayError {
  return new GatewayError(
    "internal",
    `A stored secret cannot be read: ${why}.`,
    { cause },
  );
}
