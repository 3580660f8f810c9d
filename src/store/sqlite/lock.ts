import { Database } from "bun:sqlite";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GatewayError } from "../../core/errors.ts";
import type { Clock } from "../../core/runtime.ts";
import { giveToOwner, unusable } from "./database.ts";

/**
 * Holds the data directory for one process. The lock is an exclusive SQLite transaction on a file
 * of its own, which the kernel releases when the process dies, however it dies; the database itself
 * stays open to backups and readers. Throws `conflict`, naming the holder.
 */
export function lockDirectory(directory: string, clock: Clock): Disposable {
  const holder = join(directory, "instance.json");
  let lock: Database | undefined;
  try {
    const file = join(directory, "instance.lock");
    lock = new Database(file, { create: true });
    giveToOwner(directory, file);
    lock.run("PRAGMA busy_timeout = 0");
    lock.run("BEGIN EXCLUSIVE");
    writeFileSync(
      holder,
      JSON.stringify({
        pid: process.pid,
        startedAt: new Date(clock.now()).toISOString(),
      }),
    );
    giveToOwner(directory, holder);
  } catch (cause) {
    lock?.close();
    if ((cause as { code?: string }).code !== "SQLITE_BUSY") {
      throw unusable(directory, cause);
    }
    throw new GatewayError(
      "conflict",
      `${directory} is in use by ${describeHolder(holder)}. Stop that process, or set DATA_DIR to another directory.`,
      { cause, data: { reason: "in_use" } },
    );
  }
  const held = lock;
  return { [Symbol.dispose]: () => held.close() };
}

/** Who holds the directory at present, in words; null when nobody does. */
export function holderOf(directory: string): string | null {
  const file = join(directory, "instance.lock");
  if (!existsSync(file)) return null;
  const lock = new Database(file);
  try {
    lock.run("PRAGMA busy_timeout = 0");
    lock.run("BEGIN EXCLUSIVE");
    return null;
  } catch {
    return describeHolder(join(directory, "instance.json"));
  } finally {
    lock.close();
  }
}

function describeHolder(file: string): string {
  try {
    const { pid, startedAt } = JSON.parse(readFileSync(file, "utf8")) as {
      pid: number;
      startedAt: string;
    };
    return `process ${pid}, started ${startedAt}`;
  } catch {
    return "another process";
  }
}
