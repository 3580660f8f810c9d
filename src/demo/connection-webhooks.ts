import { SignJWT } from "jose";
import type { Connection, ConnectionChange } from "./tenants.ts";

/** The workspace's webhook: tells the product that somebody's connection has changed. */
export type ConnectionWebhooks = {
  /** Where to, from now on; null: nowhere. */
  send(url: string | null): void;
  changed(change: ConnectionChange, connection: Connection): void;
  /** Resolves when what was to be told has been. */
  settled(): Promise<void>;
};

/**
 * Posts as Membrane does: the header `x-integration-app-token` is a JWT signed with the workspace's secret. Nobody
 * tries a second time.
 */
export function createConnectionWebhooks(options: {
  workspaceKey: string;
  secret: string;
  closing: AbortSignal;
  now(): number;
}): ConnectionWebhooks {
  const { workspaceKey, closing, now } = options;
  const secret = new TextEncoder().encode(options.secret);
  const running = new Set<Promise<void>>();
  let to: string | null = null;

  async function post(
    url: string,
    change: ConnectionChange,
    { id, world, integration, tenant }: Connection,
  ): Promise<void> {
    const token = await new SignJWT({ iss: workspaceKey, fields: {} })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setExpirationTime(Math.floor(now() / 1000) + 3600)
      .sign(secret);
    const response = await fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-integration-app-token": token,
      },
      body: JSON.stringify({
        eventType: `connection.${change}`,
        data: {
          connection: {
            id,
            name: world.name,
            integrationId: integration?.id,
            integrationKey: integration?.world.key,
            disconnected: world.connected === false,
            customerId: tenant.key,
          },
        },
      }),
      redirect: "manual",
      signal: closing,
    });
    await response.arrayBuffer();
  }

  return {
    send(url) {
      to = url;
    },
    changed(change, connection) {
      if (to === null) return;
      const work = post(to, change, connection).catch(() => {});
      running.add(work);
      void work.finally(() => running.delete(work));
    },
    async settled() {
      await Promise.all(running);
    },
  };
}
