import { Database } from "bun:sqlite";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import { openSqlite } from "../../src/store/sqlite/sqlite.ts";
import { fakeVault } from "../support/absent-servers.ts";
import { fakeClock } from "../support/clock.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { apiKeyStoreContract } from "./api-key-store.ts";
import { eventLogContract } from "./event-log.ts";
import { journalContract } from "./journal.ts";
import { journalQuotaContract } from "./journal-quotas.ts";
import { journalEntriesContract } from "./journal-entries.ts";
import { sessionStoreContract } from "./session-store.ts";
import { upstreamStoreContract } from "./upstream-store.ts";
import { webhookStoreContract } from "./webhook-store.ts";

function openRig() {
  const directory = temporaryDirectory();
  const clock = fakeClock();
  const open = () =>
    openSqlite({
      vault: fakeVault,
      directory: directory.path,
      clock,
      sessionCache: 10,
      caps: { events: 20, bytes: 100_000 },
    });
  const rig = {
    store: open(),
    clock,
    async reopen() {
      await rig.store.close();
      return (rig.store = open());
    },
    elsewhere(statement: string) {
      using db = new Database(databaseFile(directory.path));
      db.run(statement);
    },
    async [Symbol.asyncDispose]() {
      await rig.store.close();
      directory[Symbol.dispose]();
    },
  };
  return rig;
}

sessionStoreContract("SQLite", openRig);
eventLogContract("SQLite", openRig);
upstreamStoreContract("SQLite", openRig);
apiKeyStoreContract("SQLite", openRig);
journalContract("SQLite", openRig);
// Demanded: journal-not-washed-out, journal-bytes-bounded
journalQuotaContract("SQLite", openRig);
journalEntriesContract("SQLite", openRig);
webhookStoreContract("SQLite", openRig);
