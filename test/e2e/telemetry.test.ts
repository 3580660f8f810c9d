import { expect, test } from "bun:test";
import { mintToken } from "../../src/demo/token.ts";
import { SECRET, WORKSPACE_KEY, openServer } from "../support/binary.ts";
import { createCaller } from "../support/caller.ts";
import { openCollector } from "../support/collector.ts";
import { parseMetrics } from "../support/prometheus.ts";

/** What the executable tells who operates it. */

test("the executable answers a scraper, and sends its spans before it ends", async () => {
  await using collector = openCollector();
  await using server = await openServer("http://127.0.0.1:9", {
    METRICS_PORT: "0",
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  });
  const caller = createCaller(server.url, (user) =>
    mintToken({ workspaceKey: WORKSPACE_KEY, secret: SECRET, user }),
  );
  const session = { "mcp-session-id": await caller.open("ada") };
  await caller.post(
    "ada",
    { jsonrpc: "2.0", id: 1, method: "ping" },
    { ...session, traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` },
  );
  const run = server.run();
  await run.printed('"event":"metrics"');
  const [, at] = /"event":"metrics","address":"([^"]+)"/.exec(run.stderr())!;
  const answer = await fetch(at!);
  const { value } = parseMetrics(await answer.text());
  expect(value("mcp_requests_total", { method: "ping", status: "ok" })).toBe(1);
  expect(value("process_resident_memory_bytes")).toBeGreaterThan(1e7);

  run.kill("SIGTERM");
  expect(await run.exited).toBe(0);
  const ping = collector.spans.find(({ name }) => name === "ping");
  expect(ping).toMatchObject({ kind: "server", traceId: "a".repeat(32) });
});
