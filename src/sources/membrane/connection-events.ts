import { jwtVerify } from "jose";
import { z } from "zod";
import { once } from "../../core/once.ts";
import { identityPart } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";
import type { ConnectionEvents } from "../../core/webhook.ts";
import { refused } from "./claims.ts";

/**
 * Webhooks of a Membrane workspace: the header `x-integration-app-token` is a JWT signed with the workspace's secret
 * (docs.getmembrane.com, Webhook Notifications). It does not cover the body, which tells only whose apps to look at
 * again.
 */

const events: ReadonlySet<string> = new Set([
  "connection.created",
  "connection.disconnected",
  "connection.reconnected",
  "connection.deleted",
]);

/** In both generations. */
const shape = once(() =>
  z.object({
    eventType: z.string(),
    data: z.object({
      connection: z.object({
        customerId: identityPart.optional(),
        user: z.object({ internalId: identityPart }).optional(),
      }),
    }),
  }),
);

/** How far clocks may differ, in seconds. */
const LEEWAY = 300;

export function createConnectionEvents(options: {
  clock: Clock;
  workspaceKey: string;
  secret: string;
}): ConnectionEvents {
  const { clock, workspaceKey: workspace } = options;
  const secret = new TextEncoder().encode(options.secret);
  return async (token, body) => {
    const { payload } = await jwtVerify(token, secret, {
      algorithms: ["HS256", "HS384", "HS512"],
      clockTolerance: LEEWAY,
      currentDate: new Date(clock.now()),
    }).catch((error: unknown) => {
      throw refused("it does not verify", error);
    });
    const { iss, workspaceKey = iss, id, tenantKey = id } = payload;
    if (workspaceKey !== workspace) {
      throw refused("it belongs to another workspace");
    }
    const read = shape().safeParse(body());
    if (!read.success || !events.has(read.data.eventType)) return null;
    const { customerId, user } = read.data.data.connection;
    const subject = user?.internalId ?? customerId;
    if (subject === undefined) return null;
    // Members have tokens of the same secret, and nobody speaks for another.
    if (tenantKey !== undefined && tenantKey !== subject) {
      throw refused("it is of another member");
    }
    return { workspace, subject, type: read.data.eventType };
  };
}
