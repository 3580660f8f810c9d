/** Opens the data directory that is named as a version with one more schema would; a process to be killed. */
import { openDatabase } from "../../src/store/sqlite/database.ts";
import { migrations } from "../../src/store/sqlite/migrations.ts";

/** A migration that changes what is there and then takes for ever. */
export const NEXT_STEP = [
  "UPDATE chats SET mode = 'static'",
  "CREATE TABLE added (n INTEGER PRIMARY KEY) STRICT",
  "WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < 2000000000) INSERT INTO added SELECT n FROM count",
  "UPDATE chats SET mode = 'dynamic'",
].join("--> statement-breakpoint\n");

if (import.meta.main) {
  openDatabase(process.argv[2]!, [...migrations, NEXT_STEP]);
}
