import type { Journal } from "../../core/journal.ts";

/**
 * Places in the journal as its readers carry them: `Last-Event-ID` of the event stream, cursors of the audit. One block
 * of AES, so that a place tells nobody how much others do. It guards nothing: what a reader is shown is decided anew.
 */
export type Places = {
  /** After the entry with this number; 0 for before the first. */
  encode(workspace: string, seq: number, id: string | null): string;
  /** Null for what was never a place of ours in this workspace. */
  decode(workspace: string, place: string): Place | null;
};

export type Place = {
  seq: number;
  /** False when another entry has that number now, or none yet: the database is another than it was. */
  fits(journal: Journal): boolean;
};

/** Of the entry's id and of the workspace's hash, in bytes; the number has six. */
const MARK = 6;
const OWNER = 4;

/** `secret`: 32 bytes. */
export function createPlaces(secret: () => Uint8Array): Places {
  let key: Uint8Array | null = null;
  // Not imported: few read the journal, and the start would pay for it.
  const crypto = () => process.getBuiltinModule("node:crypto");
  const block = (how: "createCipheriv" | "createDecipheriv", bytes: Buffer) => {
    key ??= secret();
    const cipher = crypto()[how]("aes-256-ecb", key, null);
    cipher.setAutoPadding(false);
    return cipher.update(bytes);
  };
  const owner = (workspace: string) =>
    crypto().createHash("sha256").update(workspace).digest().subarray(0, OWNER);
  const mark = (id: string | null) =>
    Buffer.from((id ?? "").padEnd(32, "0").slice(0, MARK * 2), "hex");

  return {
    encode(workspace, seq, id) {
      const bytes = Buffer.alloc(16);
      bytes.writeUIntBE(seq, 0, 6);
      mark(id).copy(bytes, 6);
      owner(workspace).copy(bytes, 6 + MARK);
      return block("createCipheriv", bytes).toString("base64url");
    },
    decode(workspace, place) {
      if (!/^[\w-]{22}$/.test(place)) return null;
      const bytes = block("createDecipheriv", Buffer.from(place, "base64url"));
      if (!bytes.subarray(6 + MARK).equals(owner(workspace))) return null;
      const seq = bytes.readUIntBE(0, 6);
      const marked = bytes.subarray(6, 6 + MARK);
      return {
        seq,
        fits(journal) {
          if (seq === 0) return true;
          if (seq > journal.last()) return false;
          const entry = journal.get(seq);
          return entry === null || mark(entry.id).equals(marked);
        },
      };
    },
  };
}
