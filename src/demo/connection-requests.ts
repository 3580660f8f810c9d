import { Hono } from "hono";
import { html } from "hono/html";
import { z } from "zod";
import type { Access } from "./access.ts";
import { checked } from "./checked.ts";
import type { Env } from "./routes/env.ts";
import type { Integration, Tenant, WorldControl } from "./tenants.ts";
import { accessDenied, jsonResponse, notFound } from "./wire-error.ts";

type ConnectionRequest = {
  requestId: string;
  tenant: Tenant;
  /** What is connected. Null for a connection without one, which can only be connected again. */
  integration: Integration | null;
  /** Key of the connection that is to be made, or made anew. */
  connectionKey: string;
  name: string;
  status: "pending" | "success" | "cancelled";
  createdAt: string;
};

const requestBody = z
  .object({
    integrationId: z.string().optional(),
    integrationKey: z.string().optional(),
    connectionId: z.string().optional(),
    connectionKey: z.string().optional(),
    name: z.string().optional(),
  })
  .refine((body) => Object.keys(body).some((key) => key !== "name"), {
    message: "An integration or a connection is required",
  });

/**
 * Links by which a tenant connects an app. `api` is `POST /`, `GET /:request`; `pages` is what the
 * link opens, `GET` and `POST /:request`, which needs no token: the link is the secret.
 */
export function createConnectionRequests(options: {
  access: Access;
  control: WorldControl;
  /** Where the workspace is reached, without a slash at the end. */
  origin(): string;
  now(): number;
}): { api: Hono<Env>; pages: Hono } {
  const { access, control, origin, now } = options;
  const requests = new Map<string, ConnectionRequest>();

  function shape(request: ConnectionRequest) {
    const { tenant, integration, connectionKey } = request;
    return {
      requestId: request.requestId,
      tenantId: tenant.id,
      integrationId: integration?.id,
      integrationKey: integration?.world.key,
      connectionKey,
      name: request.name,
      status: request.status,
      resultConnectionId:
        request.status === "success"
          ? control.connectionId(tenant.key, connectionKey)
          : undefined,
      createdAt: request.createdAt,
      url: `${origin()}/connect/${request.requestId}`,
    };
  }

  function find(id: string): ConnectionRequest {
    const found = requests.get(id);
    if (found === undefined) throw notFound("Connection request");
    return found;
  }

  function connect({
    tenant,
    connectionKey,
    integration,
    name,
  }: ConnectionRequest) {
    const known = tenant.connections.find(
      (one) => one.world.key === connectionKey,
    );
    if (known !== undefined) {
      control.changeConnection(tenant.key, known.id, {
        connected: true,
        archived: false,
        state: "READY",
      });
    } else if (integration !== null) {
      control.addConnection(tenant.key, {
        key: connectionKey,
        name,
        integrationKey: integration.world.key,
      });
    }
  }

  const api = new Hono<Env>()
    .post("/", (c) => {
      const viewer = c.get("viewer");
      if (viewer.tenant === null) {
        throw accessDenied("This token has no tenant");
      }
      const body = checked(requestBody, c.get("body"));
      const existing = access.connectionFor(viewer, body);
      const named = body.integrationId ?? body.integrationKey;
      const integration =
        existing?.integration ??
        (named === undefined ? null : access.integration(named));
      const connectionKey = existing?.world.key ?? integration?.world.key;
      if (connectionKey === undefined) throw notFound("Integration");
      const request: ConnectionRequest = {
        requestId: crypto.randomUUID(),
        tenant: viewer.tenant,
        integration,
        connectionKey,
        name: body.name ?? integration?.world.name ?? connectionKey,
        status: "pending",
        createdAt: new Date(now()).toISOString(),
      };
      requests.set(request.requestId, request);
      return jsonResponse(shape(request), 201);
    })
    .get("/:request", (c) => {
      const request = find(c.req.param("request"));
      if (request.tenant !== c.get("viewer").tenant) {
        throw notFound("Connection request");
      }
      return jsonResponse(shape(request));
    });

  const pages = new Hono()
    .get("/:request", (c) => {
      const request = find(c.req.param("request"));
      if (request.status !== "pending") return c.html(done(request));
      return c.html(
        document(html`
          <p>
            Connect <b>${request.name}</b> for <b>${request.tenant.name}</b>?
            This is a demo: no account is needed.
          </p>
          <form method="post">
            <button name="answer" value="connect">Connect</button>
            <button name="answer" value="cancel">Cancel</button>
          </form>
        `),
      );
    })
    .post("/:request", async (c) => {
      const request = find(c.req.param("request"));
      const { answer } = await c.req.parseBody();
      if (request.status === "pending") {
        if (answer === "connect") connect(request);
        request.status = answer === "connect" ? "success" : "cancelled";
      }
      return c.html(done(request));
    });

  return { api, pages };
}

function done(request: ConnectionRequest) {
  return document(html`
    <p>
      ${request.name}
      ${request.status === "success" ? "is connected" : "was not connected"}.
      You can close this page.
    </p>
  `);
}

function document(content: ReturnType<typeof html>) {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>Connect an app</title>
        <style>
          body {
            font: 16px system-ui;
            margin: 15vh auto;
            max-width: 28rem;
          }
        </style>
      </head>
      <body>
        ${content}
      </body>
    </html>`;
}
