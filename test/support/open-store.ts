import { systemClock } from "../../src/runtime/machine.ts";
import type { SqliteOptions } from "../../src/store/sqlite/sqlite.ts";
import { openSqlite } from "../../src/store/sqlite/sqlite.ts";
import { fakeVault } from "./absent-servers.ts";

/** The store of a data directory, with room for all that a test writes unless it says otherwise. */
export const openStore = (
  directory: string,
  options: Partial<SqliteOptions> = {},
) =>
  openSqlite({
    vault: fakeVault,
    directory,
    clock: systemClock,
    sessionCache: 10,
    caps: { events: 1000, bytes: 5_000_000 },
    ...options,
  });
