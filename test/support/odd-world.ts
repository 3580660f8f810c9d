import { z } from "zod";
import { checked } from "../../src/demo/checked.ts";
import type {
  ActionType,
  WorldAction,
  WorldIntegration,
} from "../../src/demo/app.ts";
import type { World } from "../../src/demo/world.ts";
import { failures, outputs, probes } from "./odd-lab.ts";
import { oddInputSchemas, oddOutputSchemas } from "./odd-schemas.ts";

/** Everything that a real workspace may contain and a careless client trips over. */
export function oddWorld(options: { bigActions?: number } = {}): World {
  return {
    integrations: [
      lab,
      mail,
      crm,
      crmPro,
      support,
      types,
      states,
      schemas,
      big(options.bigActions ?? 1100),
      integration("gone", "Gone", [echo("ping")]),
      integration("retired", "Retired", [echo("ping")], { archived: true }),
      integration("unused", "Unused", [echo("ping")]),
    ],
    catalogue: [
      keyless("act_catalogue_search-mail", "Search mail (catalogue)"),
      keyless("act_catalogue_label-mail", "Étiqueter un e-mail"),
    ],
    connections: () => [
      { key: "lab", name: "Lab", integrationKey: "lab" },
      {
        key: "mail-work",
        name: "ada@work.example",
        integrationKey: "mail",
        actions: [
          {
            ...echo("send-mail"),
            parentKey: "send-mail",
            description: "Sends a mail from the address at work.",
          },
          echo("only-at-work"),
        ],
      },
      { key: "mail-home", name: "ada@home.example", integrationKey: "mail" },
      { key: "crm", name: "CRM", integrationKey: "crm" },
      { key: "crm_pro", name: "CRM Pro", integrationKey: "crm_pro" },
      { key: "support", name: "Support", integrationKey: "support" },
      { key: "types", name: "Types", integrationKey: "types" },
      { key: "states", name: "States", integrationKey: "states" },
      { key: "schemas", name: "Schemas", integrationKey: "schemas" },
      { key: "big", name: "Big", integrationKey: "big" },
      {
        key: "direct",
        name: "Straight from a connector",
        actions: [echo("direct-echo")],
      },
      {
        key: "gone",
        name: "Disconnected",
        integrationKey: "gone",
        connected: false,
      },
      {
        key: "gone-building",
        name: "Being built",
        integrationKey: "gone",
        state: "BUILDING",
      },
      {
        key: "gone-asking",
        name: "Wants something",
        integrationKey: "gone",
        state: "CLIENT_ACTION_REQUIRED",
        connected: false,
        wire: {
          clientAction: {
            type: "connect",
            description: "Sign in again",
            uiUrl: "https://ui.example.test/connect",
          },
        },
      },
      {
        key: "gone-archived",
        name: "Archived",
        integrationKey: "gone",
        archived: true,
      },
      {
        key: "gone-deactivated",
        name: "Deactivated",
        integrationKey: "gone",
        deactivated: true,
      },
    ],
  };
}

/** What a test can run: `echo count whoami slow hold large`, `output-…` and `fail-…`. */
const lab = integration("lab", "Lab", [...probes, ...outputs, ...failures]);

/** Has two connections, and actions in the catalogue. */
const mail = integration(
  "mail",
  "Mail",
  [echo("send-mail", "create-data-record"), echo("list-mails")],
  { externalAppId: "app_mail" },
);

/** `crm` + `pro_list` and `crm_pro` + `list` make the same name; `list-contacts` is a key of `support` too. */
const crm = integration("crm", "CRM", [
  echo("list-contacts", "list-data-records"),
  echo("pro_list"),
  {
    key: "create-contact",
    name: "Create contact",
    description: "Creates a contact; refuses one without an e-mail address.",
    type: "create-data-record",
    inputSchema: {
      type: "object",
      properties: {
        email: {
          type: "string",
          format: "email",
          description: "E-mail address",
        },
        name: { type: "string", description: "Full name" },
      },
      required: ["email"],
    },
    outputSchema: { type: "object", properties: { id: { type: "string" } } },
    run(input, { rows }) {
      const contact = checked(
        z.object({
          email: z.email(),
          name: z.string().optional(),
        }),
        input ?? {},
      );
      return { id: rows("contacts").insert(contact).id };
    },
  },
]);

const crmPro = integration("crm_pro", "CRM Pro", [
  echo("list"),
  echo("list_all_contacts"),
  echo("list-all-contacts"),
]);

const support = integration("support", "Support: tickets & 📞", [
  echo("list-contacts", "list-data-records"),
  {
    ...echo(`a-key-that-is-${"very-".repeat(20)}long`),
    description: "An action whose key is longer than a tool's name may be.",
  },
  echo("key with spaces/and slashes"),
]);

const actionTypes: ActionType[] = [
  "list-data-records",
  "find-data-record-by-id",
  "match-data-record",
  "search-data-record",
  "create-data-record",
  "find-or-create-data-record",
  "update-data-record",
  "delete-data-record",
  "connector-operation",
  "api-request-to-external-app",
  "api-request-to-your-app",
  "http-request",
  "run-javascript",
  "api-request",
];

/** One action of every type, one per method of a request, and one without a type. */
const types = integration("types", "Types", [
  ...actionTypes.map((type) => echo(type, type)),
  ...["GET", "POST", "PUT", "PATCH", "DELETE"].map((method) => ({
    ...echo(`request-${method.toLowerCase()}`, "api-request-to-external-app"),
    config: { request: { method, path: "/v1/things" } },
  })),
  echo("no-type"),
]);

const states = integration("states", "States", [
  echo("ready"),
  { ...echo("building"), state: "BUILDING" },
  { ...echo("setup-failed"), state: "SETUP_FAILED" },
  { ...echo("misconfigured"), state: "CONFIGURATION_ERROR" },
  { ...echo("archived"), archived: true },
  { ...echo("deactivated"), deactivated: true },
  { ...echo("stateless"), wire: { state: undefined } },
]);

/** Its listing fails the SDK's own schemas. */
const schemas = integration("schemas", "Schemas", [
  ...Object.entries(oddInputSchemas).map(([key, inputSchema]) => ({
    ...echo(key),
    inputSchema,
  })),
  ...Object.entries(oddOutputSchemas).map(([key, outputSchema]) => ({
    ...echo(key),
    outputSchema,
  })),
  { ...echo("no-description"), wire: { description: null } },
  { ...echo("no-integration"), wire: { integration: undefined } },
]);

function big(actions: number): WorldIntegration {
  return integration(
    "big",
    "Big",
    Array.from({ length: actions }, (_, index) =>
      echo(`item-${String(index).padStart(4, "0")}`),
    ),
  );
}

function integration(
  key: string,
  name: string,
  actions: WorldAction[],
  more: Partial<WorldIntegration> = {},
): WorldIntegration {
  return {
    key,
    name,
    logoUri: `https://static.example.test/${encodeURIComponent(key)}.png`,
    ...more,
    actions,
  };
}

/** As the catalogue offers actions, here for the app that `mail` is. */
function keyless(id: string, name: string): WorldAction {
  const { key: _, ...action } = echo("keyless");
  return { ...action, id, name, externalAppId: "app_mail" };
}

function echo(key: string, type?: ActionType): WorldAction & { key: string } {
  return {
    key,
    name: key,
    description: `Returns its input (${key}).`,
    ...(type === undefined ? {} : { type }),
    inputSchema: {
      type: "object",
      properties: { text: { type: "string", description: "Any text" } },
    },
    run: (input) => input,
  };
}
