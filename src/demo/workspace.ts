import { Hono } from "hono";
import { createAccess } from "./access.ts";
import { createConnectionRequests } from "./connection-requests.ts";
import { controlRoutes } from "./control.ts";
import { openDemoDatabase } from "./database.ts";
import { createFaults, type Faults } from "./faults.ts";
import { createRecorder, type RecordedRequest } from "./recorder.ts";
import { actionRoutes } from "./routes/actions.ts";
import { connectionRoutes } from "./routes/connections.ts";
import type { Env } from "./routes/env.ts";
import { integrationRoutes } from "./routes/integrations.ts";
import { runLogRoutes } from "./routes/run-logs.ts";
import { selfRoutes } from "./routes/self.ts";
import { createRuns } from "./runs.ts";
import { createConnectionWebhooks } from "./connection-webhooks.ts";
import { createTenants, type WorldControl } from "./tenants.ts";
import { createTokenReader, type TokenReader } from "./token.ts";
import { errorResponse, notFound } from "./wire-error.ts";
import type { World } from "./world.ts";

export type DemoOptions = {
  /** Default 0: any that is free. */
  port?: number;
  workspaceKey: string;
  /** What tokens of the workspace are signed with. */
  secret: string;
  /** SQLite file for tenants, what the apps keep, and the run log. Default: memory. */
  database?: string;
  world: World;
  /** Opaque tokens and whose they are. The SDK sends only those that begin with `pat-`. */
  tokens?: Record<string, { tenantKey: string }>;
  /** Offers `/__control` to whoever reaches the port. For tests only. */
  control?: boolean;
  /** Milliseconds since the epoch; default: the machine's time. */
  now?: () => number;
};

/** A workspace that is being served. */
export type DemoWorkspace = AsyncDisposable & {
  /** `http://127.0.0.1:<port>`: the SDK's `apiUri`. */
  readonly url: string;
  /** The newest 1,000, newest last; those to `/__control` and `/connect` are not among them. */
  readonly requests: readonly RecordedRequest[];
  /** Resolves with the first recorded request of which the predicate is true, past or to come; asked again when one is aborted. */
  when(
    predicate: (request: RecordedRequest) => boolean,
  ): Promise<RecordedRequest>;
  readonly faults: Pick<Faults, "add" | "clear">;
  readonly world: WorldControl;
  /** Tells of changed connections at this URL from now on; null: nowhere. */
  sendWebhooks(url: string | null): void;
  readonly tokens: Pick<TokenReader, "revoke" | "restore" | "grant">;
  /** How often the handler of an action was entered, by action id; of all tenants or of one. */
  runCounts(tenantKey?: string): Record<string, number>;
  /** Resolves once the handler of the action was entered that often (default: once), by whatever tenants. */
  entered(actionId: string, times?: number): Promise<void>;
  /** Lets every run go on that waits, or will wait, at the gate. */
  openGate(name: string): void;
  /** Cuts off whoever is connected, ends every run, and closes the database. */
  close(): Promise<void>;
};

/**
 * Serves a small Membrane on 127.0.0.1: what of its HTTP API the product uses
 *, with strict isolation between tenants.
 */
export function openDemoWorkspace(options: DemoOptions): DemoWorkspace {
  const { workspaceKey, world } = options;
  const now = options.now ?? Date.now;
  const closing = new AbortController();
  const database = openDemoDatabase(options.database ?? ":memory:", now);
  const webhooks = createConnectionWebhooks({
    workspaceKey,
    secret: options.secret,
    closing: closing.signal,
    now,
  });
  const { changed } = webhooks;
  const tenants = createTenants({ world, database, now, changed });
  const access = createAccess(tenants);
  const runs = createRuns({
    tenants,
    database,
    closing: closing.signal,
    now,
  });
  const tokens = createTokenReader({
    workspaceKey,
    secret: options.secret,
    tokens: options.tokens ?? {},
    now,
  });
  const recorder = createRecorder(now);
  const faults = createFaults(closing.signal);
  const connectionRequests = createConnectionRequests({
    access,
    control: tenants.control,
    origin: () => url,
    now,
  });

  const api = new Hono<Env>();
  api.use(recorder.middleware);
  api.use(faults.middleware);
  api.use(async (c, next) => {
    const claims = await tokens.read(c.req.header("authorization"));
    const { tenantKey, name, fields } = claims;
    c.set("viewer", {
      tenant: tenantKey === null ? null : tenants.see(tenantKey, name, fields),
    });
    await next();
  });
  api.route("/self", selfRoutes(workspaceKey));
  api.route("/connections", connectionRoutes({ access, runs }));
  api.route("/integrations", integrationRoutes({ access }));
  api.route("/", actionRoutes({ access, runs }));
  api.route("/action-run-logs", runLogRoutes({ database }));
  api.route("/connection-requests", connectionRequests.api);

  const app = new Hono();
  app.onError((thrown) => errorResponse(thrown));
  app.notFound(() => errorResponse(notFound("Route")));
  app.route("/connect", connectionRequests.pages);
  if (options.control === true) {
    app.route(
      "/__control",
      controlRoutes({
        faults,
        recorder,
        runs,
        tokens,
        world: tenants.control,
      }),
    );
  }
  app.route("/", api);

  const running = new Set<Promise<unknown>>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: options.port ?? 0,
    // Bun would cut off a slow action after ten seconds.
    idleTimeout: 0,
    // Membrane's limit for a request.
    maxRequestBodySize: 10 * 1024 * 1024,
    development: false,
    reusePort: false,
    async fetch(request) {
      const answer = Promise.resolve(app.fetch(request));
      running.add(answer);
      try {
        return await answer;
      } finally {
        running.delete(answer);
      }
    },
  });
  const url = `http://127.0.0.1:${server.port}`;

  let closed: Promise<void> | undefined;
  function close(): Promise<void> {
    closed ??= (async () => {
      closing.abort(new DOMException("The workspace closed", "AbortError"));
      await server.stop(true);
      await Promise.allSettled(running);
      await webhooks.settled();
      database.close();
    })();
    return closed;
  }

  return {
    url,
    requests: recorder.requests,
    when: recorder.when,
    faults,
    world: tenants.control,
    sendWebhooks: webhooks.send,
    tokens,
    runCounts: runs.counts,
    entered: runs.entered,
    openGate: runs.openGate,
    close,
    [Symbol.asyncDispose]: close,
  };
}
