import type { DemoDatabase } from "./database.ts";
import type { AppContext, WorldAction, WorldIntegration } from "./app.ts";
import type { World, WorldConnection } from "./world.ts";
import { notFound } from "./wire-error.ts";

/** An integration with the ids it has on the wire. */
export type Integration = {
  id: string;
  world: WorldIntegration;
  createdAt: string;
};

/** A tenant's connection as it is at present. */
export type Connection = {
  id: string;
  tenant: Tenant;
  integration: Integration | null;
  world: WorldConnection;
  createdAt: string;
  updatedAt: string;
};

export type ConnectionChange =
  "created" | "disconnected" | "reconnected" | "deleted";

/** An action and where it lives: at an integration, at a connection, or (neither) in the catalogue. */
export type Action = {
  id: string;
  world: WorldAction;
  integration: Integration | null;
  connection: Connection | null;
  revision: number;
  createdAt: string;
  updatedAt: string;
};

/** A tenant and everything it can see; nobody else's changes reach it. */
export type Tenant = {
  key: string;
  id: string;
  name: string;
  fields: Record<string, unknown>;
  createdAt: string;
  connections: Connection[];
  /** Of the workspace's integrations, of the catalogue, and of its own connections. */
  actions: Action[];
};

/** Changes one tenant's world while the workspace runs. Unknown things throw 404. */
export type WorldControl = {
  /** Returns the connection's id. One of the same key or id is replaced. */
  addConnection(tenantKey: string, connection: WorldConnection): string;
  removeConnection(tenantKey: string, idOrKey: string): void;
  /** Lays `patch` over the connection, for example `{ connected: false }`. */
  changeConnection(
    tenantKey: string,
    idOrKey: string,
    patch: Partial<WorldConnection>,
  ): void;
  /** Adds an action, or replaces the one of the same key there under its old id. Returns the id. */
  putAction(tenantKey: string, at: ActionPlace, action: WorldAction): string;
  /** By id, or by key (the first that has it). */
  removeAction(tenantKey: string, idOrKey: string): void;
  /** The id of a tenant's connection, by its key. */
  connectionId(tenantKey: string, key: string): string;
};

/** Where an action is put: at an integration, or at one connection. */
export type ActionPlace = { integrationKey: string } | { connection: string };

/** Everybody in the workspace. Tenants come into being at first sight and stay, also across restarts. */
export type Tenants = {
  readonly integrations: readonly Integration[];
  see(
    key: string,
    name: string | null,
    fields: Record<string, unknown> | null,
  ): Tenant;
  all(): Tenant[];
  /** What the connection (or, without one, the tenant) keeps. */
  appContext(tenant: Tenant, connection: Connection | null): AppContext;
  control: WorldControl;
};

/** Sets up the workspace's world, with the tenants that its database remembers. */
export function createTenants(options: {
  world: World;
  database: DemoDatabase;
  now(): number;
  /** Told after somebody has changed a connection. */
  changed(change: ConnectionChange, connection: Connection): void;
}): Tenants {
  const { world, database, now, changed } = options;
  const iso = (at: number) => new Date(at).toISOString();
  const openedAt = iso(now());

  const integrations = world.integrations.map((integration): Integration => ({
    id: `int_${integration.key}`,
    world: integration,
    createdAt: openedAt,
  }));
  const shared = [
    ...integrations.flatMap((integration) =>
      integration.world.actions.map((action) => entry(action, integration)),
    ),
    ...(world.catalogue ?? []).map((action) => entry(action, null)),
  ];
  const byKey = new Map<string, Tenant>();
  for (const row of database.tenants()) admit(row);

  function entry(
    action: WorldAction,
    integration: Integration | null,
    connection: Connection | null = null,
  ): Action {
    const place = connection?.id ?? integration?.world.key ?? "catalogue";
    const own = action.key ?? action.name.toLowerCase().replace(/\W+/g, "-");
    return {
      id: action.id ?? `act_${place}_${own}`,
      world: action,
      integration,
      connection,
      revision: 1,
      createdAt: openedAt,
      updatedAt: openedAt,
    };
  }

  function admit(row: {
    key: string;
    name: string;
    fields: Record<string, unknown>;
    createdAt: number;
  }): Tenant {
    const tenant: Tenant = {
      key: row.key,
      id: `ten_${digest(row.key)}`,
      name: row.name,
      fields: row.fields,
      createdAt: iso(row.createdAt),
      connections: [],
      actions: [...shared],
    };
    byKey.set(row.key, tenant);
    for (const connection of world.connections(row))
      connect(tenant, connection);
    return tenant;
  }

  function connect(tenant: Tenant, spec: WorldConnection): Connection {
    const integration =
      spec.integrationKey === undefined
        ? null
        : integrationOf(spec.integrationKey);
    const connection: Connection = {
      id: spec.id ?? `con_${spec.key}_${digest(tenant.key)}`,
      tenant,
      integration,
      world: spec,
      createdAt: iso(now()),
      updatedAt: iso(now()),
    };
    disconnect(tenant, connection.id);
    tenant.connections.push(connection);
    for (const action of spec.actions ?? []) {
      tenant.actions.push(entry(action, integration, connection));
    }
    const seed = integration?.world.seed;
    if (seed !== undefined && database.claimSeed(connection.id)) {
      seed(appContext(tenant, connection));
    }
    return connection;
  }

  function disconnect(tenant: Tenant, id: string): void {
    tenant.connections = tenant.connections.filter((one) => one.id !== id);
    tenant.actions = tenant.actions.filter((one) => one.connection?.id !== id);
  }

  function integrationOf(key: string): Integration {
    const found = integrations.find((one) => one.world.key === key);
    if (found === undefined) throw notFound(`Integration "${key}"`);
    return found;
  }

  function tenantOf(key: string): Tenant {
    return see(key, null, null);
  }

  function connectionOf(tenant: Tenant, idOrKey: string): Connection {
    const found = byIdOrKey(tenant.connections, idOrKey);
    if (found === null) throw notFound(`Connection "${idOrKey}"`);
    return found;
  }

  function see(
    key: string,
    name: string | null,
    fields: Record<string, unknown> | null,
  ): Tenant {
    const known = byKey.get(key);
    if (known !== undefined) return known;
    const row = {
      key,
      name: name ?? key,
      fields: fields ?? {},
      createdAt: now(),
    };
    database.addTenant(row);
    return admit(row);
  }

  function appContext(
    tenant: Tenant,
    connection: Connection | null,
  ): AppContext {
    const owner = connection?.id ?? tenant.id;
    return {
      tenant: { key: tenant.key, name: tenant.name },
      now,
      rows: (name) => database.rows(owner, name),
    };
  }

  const control: WorldControl = {
    addConnection(tenantKey, spec) {
      const connection = connect(tenantOf(tenantKey), spec);
      changed("created", connection);
      return connection.id;
    },
    removeConnection(tenantKey, idOrKey) {
      const tenant = tenantOf(tenantKey);
      const connection = connectionOf(tenant, idOrKey);
      disconnect(tenant, connection.id);
      changed("deleted", connection);
    },
    changeConnection(tenantKey, idOrKey, patch) {
      const connection = connectionOf(tenantOf(tenantKey), idOrKey);
      connection.world = { ...connection.world, ...patch };
      connection.updatedAt = iso(now());
      if (patch.connected === undefined) return;
      changed(patch.connected ? "reconnected" : "disconnected", connection);
    },
    putAction(tenantKey, at, action) {
      const tenant = tenantOf(tenantKey);
      const added =
        "connection" in at
          ? entryAt(connectionOf(tenant, at.connection), action)
          : entry(action, integrationOf(at.integrationKey));
      const index = tenant.actions.findIndex(
        (old) =>
          old.id === added.id ||
          (action.key !== undefined &&
            old.world.key === action.key &&
            old.integration === added.integration &&
            old.connection === added.connection),
      );
      const old = tenant.actions[index];
      if (old === undefined) {
        tenant.actions.push(added);
        return added.id;
      }
      tenant.actions[index] = {
        ...added,
        id: old.id,
        revision: old.revision + 1,
        createdAt: old.createdAt,
        updatedAt: iso(now()),
      };
      return old.id;
    },
    removeAction(tenantKey, idOrKey) {
      const tenant = tenantOf(tenantKey);
      const found = byIdOrKey(tenant.actions, idOrKey);
      if (found === null) throw notFound(`Action "${idOrKey}"`);
      tenant.actions = tenant.actions.filter((one) => one !== found);
    },
    connectionId: (tenantKey, key) => connectionOf(tenantOf(tenantKey), key).id,
  };

  function entryAt(connection: Connection, action: WorldAction): Action {
    return entry(action, connection.integration, connection);
  }

  return {
    integrations,
    see,
    all: () => [...byKey.values()],
    appContext,
    control,
  };
}

/** The one with that id; failing that, the first with that key. */
export function byIdOrKey<T extends { id: string; world: { key?: string } }>(
  all: readonly T[],
  idOrKey: string,
): T | null {
  return (
    all.find((one) => one.id === idOrKey) ??
    all.find((one) => one.world.key === idOrKey) ??
    null
  );
}

function digest(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 10);
}
