import type { Action, Connection, Integration, Tenant } from "./tenants.ts";

/** What each noun looks like on Membrane's wire. */

/** A tenant as other objects show it. */
export function tenantShape(tenant: Tenant) {
  return {
    id: tenant.id,
    internalId: tenant.key,
    name: tenant.name,
    fields: tenant.fields,
    isTest: false,
    isActive: true,
    createdAt: tenant.createdAt,
  };
}

/** An integration, without the tenant's connection to it. */
export function integrationShape(integration: Integration) {
  const { world } = integration;
  return {
    id: integration.id,
    key: world.key,
    name: world.name,
    description: world.description,
    logoUri: world.logoUri ?? placeholderLogo(world.name),
    state: world.state ?? "READY",
    errors: [],
    connectorId: `cnt_${world.key}`,
    externalAppId: world.externalAppId,
    authType: "membrane-token",
    isTest: false,
    isDeactivated: world.deactivated ?? false,
    hasMissingParameters: false,
    archivedAt: world.archived === true ? integration.createdAt : undefined,
    createdAt: integration.createdAt,
    updatedAt: integration.createdAt,
  };
}

/** A connection with its integration and its user. */
export function connectionShape(connection: Connection) {
  const { world, tenant, integration } = connection;
  const connected = isConnected(connection);
  return {
    id: connection.id,
    key: world.key,
    name: world.name,
    userId: tenant.id,
    tenantId: tenant.id,
    connected,
    disconnected: !connected,
    isTest: false,
    state: world.state ?? "READY",
    errors: [],
    integrationId: integration?.id,
    integration:
      integration === null ? undefined : integrationShape(integration),
    connectorId: `cnt_${integration?.world.key ?? world.key}`,
    externalAppId: integration?.world.externalAppId,
    canRefreshCredentials: true,
    isDeactivated: world.deactivated ?? false,
    archivedAt: world.archived === true ? connection.updatedAt : undefined,
    createdAt: connection.createdAt,
    updatedAt: connection.updatedAt,
    user: tenantShape(tenant),
    ...world.wire,
  };
}

/** An action with its integration. */
export function actionShape(action: Action) {
  const { world, integration, connection } = action;
  return {
    id: action.id,
    key: world.key,
    name: world.name,
    description: world.description,
    type: world.type,
    config: world.config,
    inputSchema: world.inputSchema,
    outputSchema: world.outputSchema,
    integrationId: integration?.id,
    integrationKey: integration?.world.key,
    integration:
      integration === null ? undefined : integrationShape(integration),
    connectionId: connection?.id,
    tenantId: connection?.tenant.id,
    userId: connection?.tenant.id,
    parentId: parentId(action),
    parentKey: world.parentKey,
    isUniversal: levelOf(action) === "universal" ? true : undefined,
    externalAppId: world.externalAppId,
    state: world.state ?? "READY",
    errors: [],
    isDeactivated: world.deactivated ?? false,
    archivedAt: world.archived === true ? action.updatedAt : undefined,
    revision: String(action.revision),
    createdAt: action.createdAt,
    updatedAt: action.updatedAt,
    ...world.wire,
  };
}

/** Where an action lives. */
export function levelOf(
  action: Action,
): "universal" | "integration" | "connection" {
  if (action.connection !== null) return "connection";
  return action.integration === null ? "universal" : "integration";
}

/** False for a connection that was disconnected, whatever its state says. */
export function isConnected(connection: Connection): boolean {
  return connection.world.connected ?? true;
}

function parentId(action: Action): string | undefined {
  const { parentKey } = action.world;
  return parentKey === undefined || action.connection === null
    ? undefined
    : action.connection.tenant.actions.find(
        (one) =>
          one.connection === null &&
          one.integration === action.integration &&
          one.world.key === parentKey,
      )?.id;
}

function placeholderLogo(name: string): string {
  const letter = encodeURIComponent([...name][0] ?? "?");
  return `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Crect width='24' height='24' rx='6' fill='%23446'/%3E%3Ctext x='12' y='17' font-size='14' text-anchor='middle' fill='white'%3E${letter}%3C/text%3E%3C/svg%3E`;
}
