import { GatewayError } from "../../src/core/errors.ts";
import { createOutbound } from "../../src/runtime/outbound.ts";

/**
 * A program of its own: asks for each URL of its command line in turn, and prints what came of it, a line each.
 * `300*URL` asks so many times at once, and holds the answers open.
 */
const [allow = "", ...urls] = process.argv.slice(2);
const ask = createOutbound({ allow: allow.split(","), userAgent: "asker" });

async function outcome(text: string): Promise<string> {
  const [times, url] = text.includes("*") ? text.split("*") : ["", text];
  try {
    if (times === "") {
      const response = await ask(url!);
      return `${response.status} ${await response.text()}`;
    }
    const held = await Promise.all(
      Array.from({ length: Number(times) }, () =>
        ask(url!, { maxBytes: null }),
      ),
    );
    streams.push(...held);
    return `${held.length} held`;
  } catch (error) {
    if (!(error instanceof GatewayError)) return String(error);
    return `${error.code} ${String(error.data?.["reason"])}`;
  }
}
/** What nobody holds is collected, and its connection with it. */
const streams: Response[] = [];
for (const url of urls) console.log(await outcome(url));
process.exit(streams.some((response) => response.bodyUsed) ? 1 : 0);
