/**
 * Writes test/fixtures/schema-N.db and what it holds, with the server as it is. Run once for a schema, before
 * the next one is made; upgrades are tested from every one of them.
 *
 *     bun test/support/write-fixture.ts
 */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { migrations } from "../../src/store/sqlite/migrations.ts";
import { openRig } from "./app.ts";
import { call } from "./caller.ts";
import { fakeClock } from "./clock.ts";

/** What a fixture holds. */
export type Fixture = {
  /** When it was written, in milliseconds of the epoch. */
  at: number;
  /** Each has a chat in dynamic mode with two tools enabled. */
  sessions: {
    user: string;
    chat: string;
    session: string;
    /** Of the first event of a call with the id "kept"; its answer follows. */
    eventId: string;
  }[];
};

if (import.meta.main) {
  const at = Date.now();
  await using rig = await openRig({ clock: fakeClock(at) });
  const sessions: Fixture["sessions"] = [];
  for (const user of ["ada", "ben"]) {
    const chat = `chat of ${user}`;
    const chatHeader = { "x-chat-id": chat };
    const session = await rig.open(user, chatHeader, "/mcp?mode=dynamic");
    const headers = { "mcp-session-id": session };
    const tools = { tools: ["lab_echo", "lab_whoami"] };
    await rig.post(user, call("enable-tools", tools), headers);
    const { events } = await rig.post(
      user,
      call("lab_echo", { of: user }, "kept"),
      headers,
    );
    sessions.push({ user, chat, session, eventId: events[0]!.id! });
  }
  const file = join(import.meta.dir, `../fixtures/schema-${migrations.length}`);
  using db = new Database(join(rig.directory, "membrane-mcp.db"));
  db.run("VACUUM INTO ?", [`${file}.db`]);
  await Bun.write(
    `${file}.json`,
    `${JSON.stringify({ at, sessions } satisfies Fixture, null, 2)}\n`,
  );
}
