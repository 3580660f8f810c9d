import { describeError } from "../../core/errors.ts";
import type { Clock, Log } from "../../core/runtime.ts";
import type { Upstream, UpstreamStore } from "../../core/upstream.ts";

/** Puts on record that a server counts as down, and that it is there again. */
export type Health = {
  /** Nothing for a server that is known to have failed. */
  down(upstream: Upstream): void;
  up(upstream: Upstream): void;
};

/** Of a server that has failed while it was used, not when it was connected or tested. */
const DOWN = "upstream_down";
/** What is over when it answers. */
const passing: ReadonlySet<string | undefined> = new Set([
  DOWN,
  "upstream_unreachable",
]);

export function createHealth(wiring: {
  store: Pick<UpstreamStore, "edit">;
  clock: Clock;
  log: Log;
}): Health {
  const { store, clock, log } = wiring;
  function edit(
    { id, slug, workspace }: Upstream,
    rule: Parameters<UpstreamStore["edit"]>[1],
  ): void {
    store.edit(id, rule, clock.now()).catch((error: unknown) =>
      log.error("state of a server could not be stored", {
        server: slug,
        workspace,
        reason: describeError(error),
      }),
    );
  }
  return {
    down: (upstream) =>
      edit(upstream, ({ lastError }) =>
        lastError
          ? null
          : {
              lastError: {
                code: DOWN,
                message:
                  "The server does not answer at present. It is asked now and then, until it does.",
                at: clock.now(),
              },
            },
      ),
    up: (upstream) =>
      edit(upstream, ({ lastError }) =>
        passing.has(lastError?.code) ? { lastError: null } : null,
      ),
  };
}

/** True for one that counted as down, maybe for a process before this one. */
export function wasDown({ lastError }: Upstream): boolean {
  return lastError?.code === DOWN;
}
