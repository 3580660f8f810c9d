import type { DemoDatabase } from "./database.ts";
import { isConnected, levelOf } from "./shapes.ts";
import type { Action, Connection, Tenant, Tenants } from "./tenants.ts";
import {
  badRequest,
  connectionIsDefunct,
  WireError,
  type WireErrorBody,
} from "./wire-error.ts";

/** One request to run an action. */
export type RunRequest = {
  tenant: Tenant | null;
  action: Action;
  /** As the request named it; null: the integration's first. */
  connection: Connection | null;
  input: unknown;
  meta: Record<string, unknown> | undefined;
  /** Aborted when the caller's socket closes. */
  signal: AbortSignal;
};

/** Runs actions, counts them, and keeps their log. */
export type Runs = {
  /** Every failure is a WireError whose body carries `actionRunId`, unless the body is no JSON. */
  run(request: RunRequest): Promise<{ output?: unknown; actionRunId: string }>;
  /** How often the handler of an action was entered, by action id; of all tenants or of one. */
  counts(tenantKey?: string): Record<string, number>;
  /** Resolves once the handler of the action was entered that often, by whatever tenants. */
  entered(actionId: string, times?: number): Promise<void>;
  /** Lets every run go on that waits, or will wait, at the gate. */
  openGate(name: string): void;
};

/** `closing` aborts every run. */
export function createRuns(options: {
  tenants: Tenants;
  database: DemoDatabase;
  closing: AbortSignal;
  now(): number;
}): Runs {
  const { tenants, database, closing, now } = options;
  const entered = new Map<string, Map<string, number>>();
  const waiting = new Set<() => void>();
  const gates = new Map<string, PromiseWithResolvers<void>>();

  function gateOf(name: string): PromiseWithResolvers<void> {
    const known = gates.get(name);
    if (known !== undefined) return known;
    const gate = Promise.withResolvers<void>();
    gates.set(name, gate);
    return gate;
  }

  function count(tenant: Tenant, action: Action): void {
    const actions = entered.get(tenant.key) ?? new Map<string, number>();
    entered.set(tenant.key, actions);
    actions.set(action.id, (actions.get(action.id) ?? 0) + 1);
    for (const look of waiting) look();
  }

  function counts(tenantKey?: string): Record<string, number> {
    const sum: Record<string, number> = {};
    for (const [tenant, actions] of entered) {
      if (tenantKey !== undefined && tenant !== tenantKey) continue;
      for (const [action, times] of actions) {
        sum[action] = (sum[action] ?? 0) + times;
      }
    }
    return sum;
  }

  return {
    async run(request) {
      const { action, input, meta } = request;
      const actionRunId = `run_${crypto.randomUUID().replaceAll("-", "")}`;
      const startedAt = now();
      const connection = request.connection ?? defaultConnection(request);
      const tenant = request.tenant ?? connection?.tenant ?? null;

      function log(result: { output?: unknown; error?: WireErrorBody }): void {
        if (tenant === null) return;
        database.addRun({
          id: actionRunId,
          tenantKey: tenant.key,
          name: action.world.name,
          status: result.error === undefined ? "success" : "error",
          input,
          ...result,
          meta,
          userId: tenant.id,
          tenantId: tenant.id,
          actionId: action.id,
          integrationId: action.integration?.id ?? "",
          connectionId: connection?.id ?? "",
          integrationActionId:
            levelOf(action) === "integration" ? action.id : "",
          connectionActionId:
            levelOf(action) === "connection" ? action.id : undefined,
          universalActionId:
            levelOf(action) === "universal" ? action.id : undefined,
          duration: now() - startedAt,
          createdAt: new Date(startedAt).toISOString(),
          completedAt: new Date(now()).toISOString(),
        });
      }

      try {
        if (tenant === null || connection === null) {
          throw badRequest(
            "A connection is required to run this action: pass connectionId",
          );
        }
        refuseUnusable(action, connection);
        count(tenant, action);
        const signal = AbortSignal.any([request.signal, closing]);
        const output = await action.world.run(input, {
          ...tenants.appContext(tenant, connection),
          action: { id: action.id, key: action.world.key ?? null },
          connection: {
            id: connection.id,
            key: connection.world.key,
            name: connection.world.name,
          },
          signal,
          gate: (name) => unlessAborted(gateOf(name).promise, signal),
        });
        log({ output });
        return output === undefined ? { actionRunId } : { output, actionRunId };
      } catch (thrown) {
        const failure = asWireError(thrown, request.signal);
        const error =
          typeof failure.body === "string"
            ? { message: failure.message }
            : failure.body;
        log({ error });
        throw typeof failure.body === "string"
          ? failure
          : new WireError(
              failure.status,
              { ...failure.body, actionRunId },
              failure.headers,
            );
      }
    },
    counts,
    entered(actionId, times = 1) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const look = () => {
        if ((counts()[actionId] ?? 0) < times) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
      return promise;
    },
    openGate: (name) => gateOf(name).resolve(),
  };
}

/** Resolves when `ms` have passed; rejects with the signal's reason when it aborts first. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  const passed = Promise.withResolvers<void>();
  const timer = setTimeout(passed.resolve, ms);
  return unlessAborted(passed.promise, signal).finally(() =>
    clearTimeout(timer),
  );
}

/** The promise, or a rejection with the signal's reason as soon as that aborts. */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function defaultConnection(request: RunRequest): Connection | null {
  const { action, tenant } = request;
  if (action.connection !== null) return action.connection;
  return (
    tenant?.connections.find(
      (one) =>
        action.integration !== null &&
        one.integration === action.integration &&
        one.world.archived !== true,
    ) ?? null
  );
}

function refuseUnusable(action: Action, connection: Connection): void {
  if (
    (action.integration !== null &&
      action.integration !== connection.integration) ||
    (action.connection !== null && action.connection !== connection)
  ) {
    throw badRequest(
      `Action "${action.world.name}" cannot run on connection "${connection.world.name}"`,
    );
  }
  if (!isConnected(connection)) {
    throw connectionIsDefunct(connection.world.name);
  }
  if (
    action.world.archived === true ||
    action.world.deactivated === true ||
    (action.world.state ?? "READY") !== "READY"
  ) {
    throw new WireError(400, {
      type: "configuration",
      message: `Action "${action.world.name}" is not ready to run`,
    });
  }
}

function asWireError(thrown: unknown, signal: AbortSignal): WireError {
  if (thrown instanceof WireError) return thrown;
  return new WireError(500, {
    type: "internal",
    message: signal.aborted ? "The caller went away" : "Internal error",
  });
}
