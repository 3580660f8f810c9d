import type { ServerInfo } from "./initialize.ts";

/** What a method answers, before an era has put it on its wire. */
export type Result = {
  /** What it is, for revisions that say so. */
  resultType?: "input_required";
  /** Its members but `_meta`, serialised, without the braces. */
  fields: string;
  meta?: Record<string, unknown> | undefined;
  /** True when it says that what was asked for has failed. */
  failed?: boolean;
  /** Of what a client may keep: for how long, in ms (MCP 2026-07-28, server/utilities/caching). */
  ttlMs?: () => number;
};

/** Puts a result on the wire of an era. */
export type WriteResult = (result: Result) => string;

/** The revisions with sessions: as it is. */
export const writeLegacy: WriteResult = ({ fields, meta }) =>
  meta === undefined
    ? `{${fields}}`
    : join([fields, `"_meta":${JSON.stringify(meta)}`]);

/** 2026-07-28: says what it is, for how long it is good, and who answers (basic/index, "General fields"). */
export function writeStateless(server: ServerInfo): WriteResult {
  const serverInfo = { "io.modelcontextprotocol/serverInfo": server };
  const own = `"_meta":${JSON.stringify(serverInfo)}`;
  return ({ resultType = "complete", fields, meta, ttlMs }) =>
    join([
      `"resultType":"${resultType}"`,
      fields,
      // Every list is one user's own.
      ttlMs === undefined ? "" : `"ttlMs":${ttlMs()},"cacheScope":"private"`,
      meta === undefined
        ? own
        : `"_meta":${JSON.stringify({ ...meta, ...serverInfo })}`,
    ]);
}

function join(parts: string[]): string {
  return `{${parts.filter((part) => part !== "").join(",")}}`;
}
