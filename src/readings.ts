import type { Store } from "./core/store.ts";
import type { Telemetry } from "./core/telemetry.ts";
import type { McpDoor } from "./mcp/door.ts";
import type { McpSource } from "./sources/mcp/source.ts";

/** What is read when metrics are scraped, and where it is read. */
export function wireReadings(
  telemetry: Pick<Telemetry, "read">,
  {
    store,
    mcp,
    servers,
    databaseLimit,
  }: {
    store: Store;
    mcp: McpDoor;
    servers: McpSource;
    databaseLimit: number;
  },
): void {
  telemetry.read("connections", () =>
    Object.entries(mcp.activity().of).map(([kind, value]) => ({
      value,
      labels: { kind },
    })),
  );
  telemetry.read("runningCalls", () => [
    { value: mcp.activity().calls, labels: {} },
  ]);
  telemetry.read("sessions", () => [
    { value: store.sessions.count(), labels: { where: "database" } },
    { value: store.sessions.cached(), labels: { where: "memory" } },
  ]);
  telemetry.read("events", () => [
    { value: store.events.written(), labels: {} },
  ]);
  telemetry.read("eventsDropped", () => {
    const { notStored, removed } = store.events.dropped();
    return [
      { value: notStored, labels: { what: "not_stored" } },
      { value: removed, labels: { what: "removed" } },
    ];
  });
  telemetry.read("databaseUsed", () => [
    { value: store.size().used, labels: {} },
  ]);
  telemetry.read("databaseLimit", () => [{ value: databaseLimit, labels: {} }]);
  telemetry.read("servers", () =>
    store.upstreams.counts().map(({ state, enabled, count }) => ({
      value: count,
      labels: { state, enabled: String(enabled) },
    })),
  );
  telemetry.read("serversDown", () => [{ value: servers.down(), labels: {} }]);
  telemetry.read("databaseBytes", () => {
    const { database, wal } = store.size();
    return [
      { value: database, labels: { file: "database" } },
      { value: wal, labels: { file: "wal" } },
    ];
  });
}
