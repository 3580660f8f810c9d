import type { Database } from "bun:sqlite";
import type { ReceivedStore } from "../../core/webhook.ts";
import { later } from "./later.ts";
import type { Writer } from "./writer.ts";

/** {@link ReceivedStore} over the table of that name. What is kept of an id is its SHA-256. */
export function createReceivedStore(wiring: {
  client: Database;
  writer: Writer;
}): ReceivedStore {
  const { client, writer } = wiring;
  const forget = later(() =>
    client.prepare<null, [number]>("DELETE FROM received WHERE until <= ?"),
  );
  const put = later(() =>
    client.prepare<null, [string, number]>(
      "INSERT INTO received VALUES (?, ?) ON CONFLICT DO NOTHING",
    ),
  );
  return {
    admit: (ids, until, now) =>
      writer.write(() => {
        forget().run(now);
        const seen = ids.filter((id) => {
          const hash = new Bun.CryptoHasher("sha256").update(id).digest("hex");
          return put().run(hash, until).changes === 0;
        });
        return seen.length === 0;
      }),
  };
}
