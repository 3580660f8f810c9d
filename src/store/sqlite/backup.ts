import { Database } from "bun:sqlite";
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { GatewayError } from "../../core/errors.ts";

/**
 * Writes a consistent copy of an open database to `file`, also while others write: to a file beside it first,
 * which is checked page by page, brought to disk and then renamed. What `file` was before is replaced only by a
 * copy that is whole. Throws `conflict`.
 */
export function backUp(db: Database, file: string): void {
  const partial = `${file}.partial`;
  if (resolve(file) === resolve(db.filename)) {
    throw new GatewayError(
      "invalid",
      `${file} is the database itself. Name another file for the backup.`,
    );
  }
  try {
    rmSync(partial, { force: true });
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
    if (cause instanceof GatewayError) throw cause;
    throw new GatewayError(
      "conflict",
      `The backup ${file} could not be written: ${(cause as Error).message}. What was there before is unchanged.`,
      { data: { reason: "disk" }, cause },
    );
  }
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
