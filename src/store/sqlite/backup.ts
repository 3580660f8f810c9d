import { Database } from "bun:sqlite";
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { GatewayError } from "../../core/errors.ts";

/**
 * Writes a consistent copy of an open database to `file`, also while others write: to a file beside it first,
 * which is checked page by page, brought to disk and then renamed. What `file` was before is replaced only by a
 * copy that is whole. Throws `not_found`, `invalid` or `conflict`.
 */
export function backUp(db: Database, file: string): void {
  // Two at once must not write into each other's.
  const partial = `${file}.${crypto.randomUUID()}.partial`;
  try {
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) {
      throw new GatewayError(
        "invalid",
        `${file} is a directory. Name a file in it for the backup.`,
      );
    }
    // What it may not write shows here, and not as a fault of the disk.
    closeSync(openSync(partial, "wx", 0o600));
    db.run("VACUUM INTO ?", [partial]);
    const copy = new Database(partial, { readonly: true });
    try {
      check(copy, partial);
    } finally {
      copy.close();
    }
    toDisk(partial);
    renameSync(partial, file);
    toDisk(dirname(resolve(file)));
  } catch (cause) {
    rmSync(partial, { force: true });
    throw explain(file, db.filename, cause);
  }
}

function explain(file: string, source: string, cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  const { code = "", message } = cause as Error & { code?: string };
  const unchanged = "What was there before is unchanged.";
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) {
    return new GatewayError(
      "conflict",
      `${source} is damaged: ${message}. No backup was made. Restore an older one (membrane-mcp restore FILE).`,
      { data: { reason: "damaged" }, cause },
    );
  }
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new GatewayError(
      "not_found",
      `There is no directory ${dirname(resolve(file))}. Make it, or name another file.`,
      { cause },
    );
  }
  const disk = /ENOSPC|EIO|SQLITE_(FULL|IOERR)/.test(code);
  return new GatewayError(
    "conflict",
    `The backup ${file} could not be written: ${message}. ${unchanged}`,
    { data: { reason: disk ? "disk" : "not_writable" }, cause },
  );
}

/** Reads every page. Throws `conflict` for a damaged database. */
export function check(db: Database, file: string): void {
  const [finding] = db
    .query<{ integrity_check: string }, []>("PRAGMA integrity_check(1)")
    .all();
  if (finding?.integrity_check !== "ok") {
    throw new GatewayError(
      "conflict",
      `${file} is damaged: ${finding?.integrity_check.replace(/\s+/g, " ")}.`,
      { data: { reason: "damaged" } },
    );
  }
}

/** A file, or the names in a directory: until then a power cut may undo what was written. */
export function toDisk(path: string): void {
  if (!existsSync(path)) return;
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
