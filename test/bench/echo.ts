import type { Listing, Source } from "../../src/core/source.ts";
import type { Offer } from "../../src/core/tool.ts";

const echo: Offer = {
  app: { ref: "bench", key: "bench", name: "Bench" },
  ref: "echo",
  key: "echo",
  name: "Echo",
  tool: {
    title: "Bench: Echo",
    description: "Echo a message back",
    inputSchema: {
      type: "object",
      properties: {
        message: { type: "string", description: "Text to echo" },
        delay_ms: { type: "number", description: "Milliseconds to wait first" },
      },
      required: ["message"],
    },
  },
};

function filler(n: number): Offer {
  return {
    ...echo,
    ref: `tool-${n}`,
    key: `tool_${n}_create_record`,
    name: `Create record ${n}`,
    tool: {
      title: `Bench: Create record ${n}`,
      description: `Creates record number ${n} in the connected application and returns its identifier and public address.`,
      inputSchema: {
        type: "object",
        properties: {
          title: { type: "string", description: "Title of the record" },
          body: { type: "string", description: "Body text" },
          amount: { type: "number" },
          tags: { type: "array", items: { type: "string" } },
          state: { type: "string", enum: ["open", "closed", "draft"] },
        },
        required: ["title"],
      },
    },
  };
}

/** A source in process that costs nothing: `bench_echo` and `count - 1` more. What is measured is the engine. */
export function createEchoSource(count: number): Source {
  const offers = [echo];
  for (let n = 1; n < count; n++) offers.push(filler(n));
  const listing: Listing = { offers, failed: [] };
  return {
    id: "bench",
    list: async () => listing,
    call: async (_principal, _offer, args, { signal }) => {
      const delay = Number(args["delay_ms"] ?? 0);
      if (delay > 0) {
        await new Promise<void>((resolve, reject) => {
          const timer = setTimeout(resolve, Math.min(delay, 30_000));
          signal.addEventListener("abort", () => {
            clearTimeout(timer);
            reject(signal.reason as Error);
          });
        });
      }
      return {
        content: [{ type: "text", text: `echo: ${String(args["message"])}` }],
      };
    },
  };
}
