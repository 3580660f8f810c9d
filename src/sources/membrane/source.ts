import {
  GatewayError,
  asGatewayError,
  describeError,
} from "../../core/errors.ts";
import type { Principal } from "../../core/principal.ts";
import type { TraceContext } from "../../core/trace.ts";
import type { Listing, Source } from "../../core/source.ts";
import type { Telemetry } from "../../core/telemetry.ts";
import { noTelemetry, within } from "../../core/telemetry.ts";
import type { Offer } from "../../core/tool.ts";
import type { MembraneApi } from "./client.ts";
import { appKeyOf, createOffers } from "./offer.ts";
import { callFailure, listFailure, readResult } from "./result.ts";
import type { Action, Connection } from "./wire.ts";
import {
  actionShape,
  connectionShape,
  isUsableAction,
  isUsableConnection,
  pageShape,
} from "./wire.ts";
import type { z } from "zod";
import { MembraneFailure } from "./failure.ts";

export type MembraneSourceOptions = {
  api: MembraneApi;
  /** For one page, in ms. */
  listTimeoutMs?: number;
  /** Connections whose actions are fetched at the same time. */
  concurrency?: number;
  telemetry?: Telemetry;
};

/** OpenTelemetry semantic conventions, HTTP client spans; without the id of the action, which is in the URL. */
const RUN_FIELDS = {
  "http.request.method": "POST",
  "url.template": "/actions/{id}/run",
  "peer.service": "membrane",
};
const RUN = "POST /actions/{id}/run";

/** Of a failed run: the status of the answer, or what kept it from coming. */
function kindOf(thrown: unknown): string {
  const { status, code } = thrown as MembraneFailure;
  return String(status ?? code ?? "_OTHER");
}

/** Pages of 1,000; a list that goes on longer is cut, and one that goes in a circle is too. */
const MAX_PAGES = 50;

/**
 * The actions of a user's connected apps. Connections are those that work at present; each action is run on
 * the connection it was listed under, by its id.
 */
export function createMembraneSource(options: MembraneSourceOptions): Source {
  const { api, listTimeoutMs = 15_000, concurrency = 4 } = options;
  const { telemetry = noTelemetry } = options;
  // Offers whose action takes something else than an object.
  const wrapped = new WeakSet<Offer>();

  async function list(
    principal: Principal,
    signal: AbortSignal,
  ): Promise<Listing | null> {
    const { token } = principal;
    if (token === null) return null;
    const asking = { token, signal, timeoutMs: listTimeoutMs };
    let connections: Connection[];
    try {
      connections = await readAll(connectionShape(), (cursor) =>
        api.connections(asking, cursor),
      );
    } catch (error) {
      throw listFailure(error);
    }
    const usable = connections.filter(isUsableConnection);
    const idle = connections
      .filter((one) => !isUsableConnection(one) && !one.archivedAt)
      .map((one) => ({ appRef: one.id, appKey: appKeyOf(one) }));
    const listing: Listing = { offers: [], failed: [], idle };
    const results = new Map<Connection, Action[]>();
    const queue = [...usable];
    const worker = async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const connection = next;
        try {
          const actions = await readAll(actionShape(), (cursor) =>
            api.actions(asking, connection.id, cursor),
          );
          results.set(connection, distinct(actions.filter(isUsableAction)));
        } catch (error) {
          listing.failed.push({
            appRef: connection.id,
            appKey: appKeyOf(connection),
            message: describeError(error),
          });
        }
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    // In the order of the connections, not of the answers.
    for (const connection of usable) {
      const actions = results.get(connection);
      if (!actions) continue;
      for (const made of createOffers(connection, usable, actions)) {
        listing.offers.push(made.offer);
        if (made.wrapped) wrapped.add(made.offer);
      }
    }
    return listing;
  }

  return {
    id: "membrane",
    list,
    async call(principal, offer, args, { signal, timeoutMs, onRecord }) {
      await onRecord();
      signal.throwIfAborted();
      const { token } = principal;
      if (token === null) throw noToken();
      const input = wrapped.has(offer) ? args["input"] : args;
      const run = (trace: TraceContext | undefined) =>
        api.run(
          { token, signal, timeoutMs, ...(trace ? { trace } : {}) },
          offer.ref,
          offer.app.ref,
          input,
        );
      try {
        return readResult(
          await within(
            telemetry,
            RUN,
            principal.trace,
            () => RUN_FIELDS,
            run,
            kindOf,
          ),
        );
      } catch (error) {
        if (!(error instanceof MembraneFailure)) throw asGatewayError(error);
        return callFailure(error, offer.app.name, async () => {
          try {
            await api.self({ token, timeoutMs: 5000 });
            return true;
          } catch (refusal) {
            return !(
              refusal instanceof MembraneFailure && refusal.status === 401
            );
          }
        });
      }
    },
  };
}

/** All pages of a list. An item that is not what it should be costs only itself. */
async function readAll<T>(
  shape: z.ZodType<T>,
  fetchPage: (cursor: string | null) => Promise<unknown>,
): Promise<T[]> {
  const found: T[] = [];
  const seen = new Set<string>();
  let cursor: string | null = null;
  for (let pages = 0; pages < MAX_PAGES; pages++) {
    const page = pageShape().safeParse(await fetchPage(cursor));
    if (!page.success) {
      throw new MembraneFailure({
        message: "Membrane's list is not what its API promises",
        status: 502,
      });
    }
    for (const item of page.data.items) {
      const read = shape.safeParse(item);
      if (read.success) found.push(read.data);
    }
    if (page.data.cursor === undefined || page.data.cursor === null) break;
    cursor = String(page.data.cursor);
    if (cursor === "" || seen.has(cursor)) break;
    seen.add(cursor);
  }
  return found;
}

/**
 * One action for each id and key. An app can have the same action at several levels; the most specific one
 * counts: the connection's own, then the integration's, then the catalogue's.
 */
function distinct(actions: Action[]): Action[] {
  const level = (action: Action) =>
    action.connectionId ? 0 : action.isUniversal ? 2 : 1;
  const byId = new Map(actions.map((action) => [action.id, action]));
  const byKey = new Map<string, Action>();
  const keyless: Action[] = [];
  for (const action of byId.values()) {
    if (!action.key) {
      keyless.push(action);
      continue;
    }
    const other = byKey.get(action.key);
    if (!other || level(action) < level(other)) byKey.set(action.key, action);
  }
  return [...byKey.values(), ...keyless];
}

function noToken(): GatewayError {
  return new GatewayError(
    "needs_authorization",
    "This needs a token of Membrane, and the caller's API key brings none. Set MEMBRANE_WORKSPACE_SECRET, so that one can be made, or call with a token.",
  );
}
