import { deeperThan } from "../core/depth.ts";
import { GatewayError } from "../core/errors.ts";
import type { Incoming } from "../gateway/events/incoming.ts";
import type { Ctx, Handlers } from "./routes.ts";

/** POST /webhook/mcp */

export type IncomingRouteOptions = {
  /** Null: nobody is to send us any. */
  incoming: Incoming | null;
};

/** Levels that a body may be nested. */
const MAX_DEPTH = 64;

export function incomingRoutes({
  incoming,
}: IncomingRouteOptions): Handlers<"POST /webhook/mcp"> {
  return {
    "POST /webhook/mcp": async (c) => {
      if (!incoming) {
        return c.json(
          {
            error:
              "Not Found: webhooks are received where WEBHOOK_RECEIVE_SECRET or MEMBRANE_WORKSPACE_SECRET is set.",
          },
          404,
        );
      }
      const body = new Uint8Array(await c.req.raw.arrayBuffer());
      const good = await incoming.receive(c.req.raw.headers, body, readJson);
      if (good) return c.json({ status: "received" });
      return c.json({ error: "Invalid signature" }, 401);
    },
  } satisfies Record<string, (c: Ctx) => Promise<Response>>;
}

function readJson(body: Uint8Array): unknown {
  try {
    if (!deeperThan(body, MAX_DEPTH)) {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    }
  } catch {
    // Said below.
  }
  throw new GatewayError(
    "invalid",
    "The body is not JSON, or nested too deep.",
  );
}
