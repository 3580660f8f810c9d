import { asGatewayError, describeError } from "../../core/errors.ts";
import type { Journal, NewEntry } from "../../core/journal.ts";
import { causeOf, entryOf } from "../../core/journal.ts";
import type { Principal } from "../../core/principal.ts";
import type { Log } from "../../core/runtime.ts";
import type { CallToolResult } from "../../core/tool.ts";

/** What the journal says of a call of a tool. */
export type Execution = {
  principal: Principal;
  /** Its name in the caller's catalogue. */
  tool: string;
  /** Key of its app. */
  app: string;
  durationMs: number;
  args: Record<string, unknown>;
  /** What came of it, or what was thrown. */
  outcome: { result: CallToolResult } | { thrown: unknown };
};

/** With arguments and result only when `contents` are wanted; secrets among them, as far as their names tell, are not. */
export function executionEntry(
  { principal, tool, app, durationMs, args, outcome }: Execution,
  contents: boolean,
): NewEntry {
  const failed =
    "thrown" in outcome
      ? { outcome: "failed", code: asGatewayError(outcome.thrown).code }
      : { outcome: outcome.result.isError ? "error" : "ok" };
  const result = "result" in outcome ? outcome.result : null;
  const data = {
    tool,
    ...(contents ? { params: kept(args), result: kept(result) } : {}),
    app,
    ...failed,
    durationMs: Math.round(durationMs),
  };
  return entryOf(principal, "tool_executed", data, causeOf(principal));
}

/** Of a call that a crash has cut off: nobody knows whether it took effect. */
export function cutEntry(
  principal: Principal,
  of: { tool: string; app?: string; session?: string },
): NewEntry {
  const data = { ...of, outcome: "interrupted" };
  return entryOf(principal, "tool_executed", data, causeOf(principal));
}

/** What a call's record takes of the journal. */
export type CallJournal = Pick<Journal, "append" | "begin" | "end">;

/** What the journal says of one call that no transaction of its own has. */
export type CallRecord = {
  /** Resolves when a crash cannot forget the call; rejects when it cannot be put on record. */
  begin(ifCut?: NewEntry): Promise<void>;
  /**
   * Never rejects: the tool has run, and its caller has to learn what came of it, also when the disk takes nothing.
   */
  end(entries: readonly NewEntry[]): Promise<void>;
};

export function openCallRecord(wiring: {
  journal: CallJournal;
  log: Log;
}): CallRecord {
  const { journal, log } = wiring;
  let beginning: Promise<number> | null = null;
  return {
    async begin(ifCut) {
      if (ifCut) await (beginning = journal.begin(ifCut));
    },
    async end(entries) {
      try {
        // It may be cancelled while it is being put on record.
        const begun = await beginning?.catch(() => null);
        if (typeof begun === "number") await journal.end(begun, entries);
        else await journal.append(entries);
      } catch (error) {
        log.error("call not in the journal", { reason: describeError(error) });
      }
    },
  };
}

/** Of arguments, and of a result, as JSON. */
const MAX_CHARS = 64 * 1024;
const SECRET =
  /pass(word|phrase|code)?$|secret|token$|^authorization$|api[-_]?key|credential|cookie|private[-_]?key/i;

function kept(value: unknown): unknown {
  const text = JSON.stringify(value, (key, inner: unknown) =>
    key !== "" && SECRET.test(key) ? "[redacted]" : inner,
  );
  if (text.length <= MAX_CHARS) return JSON.parse(text);
  return { omitted: `${text.length} characters` };
}
