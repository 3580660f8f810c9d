/** What an app of a demo workspace is: the words its actions are written in. */

/** How Membrane classifies an action; decides its annotations. */
export type ActionType =
  | "list-data-records"
  | "find-data-record-by-id"
  | "match-data-record"
  | "search-data-record"
  | "create-data-record"
  | "find-or-create-data-record"
  | "update-data-record"
  | "delete-data-record"
  | "connector-operation"
  | "api-request-to-external-app"
  | "api-request-to-your-app"
  | "http-request"
  | "run-javascript"
  | "api-request";

/** Membrane's life cycle of an action, connection or integration. */
export type ElementState =
  | "BUILDING"
  | "CLIENT_ACTION_REQUIRED"
  | "CONFIGURATION_ERROR"
  | "SETUP_FAILED"
  | "READY"
  | "DISCONNECTING";

/** What an app keeps. Ids and times are given by the collection. */
export type Row<T extends object> = T & {
  id: string;
  createdAt: string;
  updatedAt: string;
};

/** Rows of one kind that belong to one connection, in the order they were inserted. */
export type Collection<T extends object> = {
  list(): Row<T>[];
  find(id: string): Row<T> | null;
  /** With an `id` of its own, the row replaces the one that has it. */
  insert(data: T, id?: string): Row<T>;
  /** Lays `patch` over the row; null when there is none. */
  update(id: string, patch: Partial<T>): Row<T> | null;
  remove(id: string): boolean;
};

/** What a seed or an action can reach. */
export type AppContext = {
  tenant: { key: string; name: string };
  /** Milliseconds since the epoch. */
  now(): number;
  /** The rows of that name which the connection (without one: the tenant) keeps. */
  rows<T extends object>(name: string): Collection<T>;
};

/** What an action can reach while it runs. */
export type RunContext = AppContext & {
  action: { id: string; key: string | null };
  connection: { id: string; key: string | null; name: string } | null;
  /** Aborted when the caller's socket closes or the workspace does. */
  signal: AbortSignal;
  /** Resolves when the gate of that name is opened; rejects when `signal` aborts. */
  gate(name: string): Promise<void>;
};

/** An action. Its handler returns the output, or throws a `WireError`. */
export type WorldAction = {
  /** Unique in the workspace; made of the place and the key when absent. */
  id?: string;
  /** Absent for what Membrane's catalogue offers without a key. */
  key?: string;
  name: string;
  description?: string;
  type?: ActionType;
  inputSchema?: unknown;
  outputSchema?: unknown;
  config?: Record<string, unknown>;
  /** Default `READY`. */
  state?: ElementState;
  archived?: boolean;
  deactivated?: boolean;
  /** For an action of the catalogue: the external app it is for. */
  externalAppId?: string;
  /** For an action of a connection: the key of the integration's action it was made from. */
  parentKey?: string;
  /** Laid over the wire shape: for what Membrane has been seen to send against its own schemas. */
  wire?: Record<string, unknown>;
  run(input: unknown, context: RunContext): unknown;
};

/** An app that tenants can connect. Its id is `int_<key>`. */
export type WorldIntegration = {
  key: string;
  name: string;
  description?: string;
  /** Default: a generated image. */
  logoUri?: string;
  externalAppId?: string;
  state?: ElementState;
  archived?: boolean;
  deactivated?: boolean;
  actions: readonly WorldAction[];
  /** Gives a new connection its first rows; called once per connection. */
  seed?(context: AppContext): void;
};
