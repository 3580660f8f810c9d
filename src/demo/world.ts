import type { ElementState, WorldAction, WorldIntegration } from "./app.ts";
import { calendarApp } from "./apps/calendar.ts";
import { contactsApp } from "./apps/contacts.ts";
import { notesApp } from "./apps/notes.ts";

/** A tenant's connection to an app. */
export type WorldConnection = {
  /** Unique in the workspace; made of the key and the tenant when absent, the same after every restart. */
  id?: string;
  key: string;
  name: string;
  /** Absent for a connection that was made straight from a connector. */
  integrationKey?: string;
  /** Default true. */
  connected?: boolean;
  state?: ElementState;
  archived?: boolean;
  deactivated?: boolean;
  /** The connection's own actions, beside those of its integration. */
  actions?: readonly WorldAction[];
  wire?: Record<string, unknown>;
};

/** What exists. Each tenant gets its connections at first sight. */
export type World = {
  integrations: readonly WorldIntegration[];
  /** Actions of the catalogue, offered on every connection to the same external app. */
  catalogue?: readonly WorldAction[];
  connections(tenant: { key: string; name: string }): WorldConnection[];
};

/** The newcomer's world: three apps that work, connected for everybody. */
export function demoWorld(): World {
  const integrations = [notesApp, calendarApp, contactsApp];
  return {
    integrations,
    connections: () =>
      integrations.map(({ key, name }) => ({
        key,
        name,
        integrationKey: key,
      })),
  };
}
