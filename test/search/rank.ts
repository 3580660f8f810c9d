/**
 * How well mode `search` finds tools: recall@5 and mean reciprocal rank of fixed queries over a fixed catalogue, by
 * kind of query, and how long a query takes over 2,000 tools.
 *
 *     bun run bench:search [--misses]
 */
import { buildToolIndex } from "../../src/store/sqlite/tool-index.ts";
import { catalogue } from "./catalogue.ts";
import { tools, toolName } from "./corpus.ts";
import { queries } from "./queries.ts";

/** Of each query, the rank of the first tool that would do; 0 when it is not among the first ten. */
export function ranks(): { query: string; rank: number; found: string[] }[] {
  const index = buildToolIndex(tools());
  return queries.map(({ query, expected }) => {
    const found = index.search(query, null, 10);
    const good = new Set(expected.map(toolName));
    return {
      query,
      found,
      rank: found.findIndex((name) => good.has(name)) + 1,
    };
  });
}

/** Share of queries with a good tool among the first five, and mean of 1/rank. */
export function quality(of: { rank: number }[]) {
  const share = (value: (rank: number) => number) =>
    of.reduce((sum, { rank }) => sum + value(rank), 0) / of.length;
  return {
    recall: share((rank) => (rank > 0 && rank <= 5 ? 1 : 0)),
    mrr: share((rank) => (rank > 0 ? 1 / rank : 0)),
  };
}

if (import.meta.main) {
  const all = ranks();
  const { recall, mrr } = quality(all);
  const actions = tools().length;
  console.log(
    `${queries.length} queries over ${actions} actions of ${catalogue.length} apps: recall@5 ${recall.toFixed(3)}, MRR ${mrr.toFixed(3)}`,
  );
  if (process.argv.includes("--misses")) {
    for (const { query, rank, found } of all) {
      if (rank === 0 || rank > 5) {
        console.log(`  ${rank} ${query}: ${found.slice(0, 5).join(" ")}`);
      }
    }
  }
  const many = tools(3).slice(0, 2000);
  const started = performance.now();
  const index = buildToolIndex(many);
  const built = performance.now() - started;
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    for (const { query } of queries) {
      const before = performance.now();
      index.search(query, null, 5);
      times.push(performance.now() - before);
    }
  }
  times.sort((a, b) => a - b);
  const at = (share: number) =>
    times[Math.floor(times.length * share)]!.toFixed(2);
  console.log(
    `over ${many.length} tools: index in ${built.toFixed(0)} ms, query p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
  );
}
