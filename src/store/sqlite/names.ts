import { and, asc, eq, max, sql } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import type { NameStore } from "../../core/name.ts";
import { names } from "./schema.ts";
import type { Writer } from "./writer.ts";

/** {@link NameStore} over the `names` table. */
export function createNameStore(wiring: {
  db: BunSQLiteDatabase;
  writer: Writer;
}): NameStore {
  const { db, writer } = wiring;
  const owner = (who: { workspace: string; subject: string }) =>
    and(eq(names.workspace, who.workspace), eq(names.subject, who.subject));
  return {
    list: (who) =>
      db
        .select({ ref: names.ref, name: names.name })
        .from(names)
        .where(owner(who))
        .orderBy(asc(names.position))
        .all(),
    give: (who, given) =>
      writer.write(() => {
        let position =
          db
            .select({ last: max(names.position) })
            .from(names)
            .where(owner(who))
            .get()?.last ?? 0;
        for (const { ref, name } of given) {
          db.insert(names)
            .values({
              workspace: who.workspace,
              subject: who.subject,
              ref,
              name,
              position: ++position,
            })
            .onConflictDoUpdate({
              target: [names.workspace, names.subject, names.ref],
              set: { name: sql`excluded.name` },
            })
            .run();
        }
      }),
  };
}
