import { z } from "zod";
import { checked } from "../../src/demo/checked.ts";
import { pause } from "../../src/demo/runs.ts";
import {
  badRequest,
  WireError,
  type WireErrorBody,
} from "../../src/demo/wire-error.ts";
import type { RunContext, WorldAction } from "../../src/demo/app.ts";

const anything = { type: "object", properties: {} };

function action(
  key: string,
  description: string,
  run: (input: unknown, context: RunContext) => unknown,
  more: Partial<WorldAction> = {},
): WorldAction {
  return { key, name: key, description, inputSchema: anything, ...more, run };
}

/** Actions that show what reached them. */
export const probes: WorldAction[] = [
  action("echo", "Returns its input.", (input) => input),
  action("whoami", "Returns who runs it, and on what.", (_, context) => ({
    tenant: context.tenant.key,
    name: context.tenant.name,
    connectionId: context.connection?.id,
    connectionKey: context.connection?.key,
  })),
  action(
    "count",
    "Counts how often it was run for `key`, and returns the number.",
    (input, { rows }) => {
      const { key } = checked(z.object({ key: z.string() }), input ?? {});
      const counters = rows<{ count: number }>("counters");
      const count = (counters.find(key)?.count ?? 0) + 1;
      counters.insert({ count }, key);
      return { key, count };
    },
    {
      inputSchema: {
        type: "object",
        properties: { key: { type: "string" } },
        required: ["key"],
      },
    },
  ),
  action(
    "slow",
    "Returns after `ms` milliseconds.",
    async (input, { signal }) => {
      const { ms } = checked(z.object({ ms: z.number() }), input ?? {});
      await pause(ms, signal);
      return { waited: ms };
    },
    {
      inputSchema: {
        type: "object",
        properties: { ms: { type: "integer", minimum: 0 } },
        required: ["ms"],
      },
    },
  ),
  action(
    "hold",
    "Returns when the test opens the gate of that name.",
    async (input, { gate }) => {
      const held = checked(z.object({ gate: z.string() }), input ?? {});
      await gate(held.gate);
      return { released: held.gate };
    },
    {
      inputSchema: {
        type: "object",
        properties: { gate: { type: "string" } },
        required: ["gate"],
      },
    },
  ),
  action(
    "large",
    "Returns that many megabytes of text.",
    (input) => {
      const { megabytes } = checked(
        z.object({ megabytes: z.number().max(30).default(3) }),
        input,
      );
      return { text: "0123456789abcdef".repeat(megabytes * 65_536) };
    },
    {
      inputSchema: {
        type: "object",
        properties: { megabytes: { type: "number", default: 3 } },
      },
    },
  ),
];

/** Outputs that are easily lost. */
export const outputs: WorldAction[] = [
  returning("output-null", null),
  returning("output-zero", 0),
  returning("output-false", false),
  returning("output-empty-text", ""),
  returning("output-empty-list", []),
  returning("output-empty-object", {}),
  returning("output-absent", undefined),
  returning("output-text", "plain text"),
  returning("output-list", [{ id: 1 }, { id: 2 }]),
  returning("output-like-an-error", {
    type: "bad_request",
    message: "This is a result",
  }),
  {
    ...returning("output-against-schema", { count: "many", extra: true }),
    outputSchema: {
      type: "object",
      properties: { count: { type: "integer" }, id: { type: "string" } },
      required: ["id", "count"],
      additionalProperties: false,
    },
  },
];

const vendorExchange = {
  request: {
    method: "POST",
    uri: "https://vendor.example.test/v1/contacts",
    headers: { Authorization: "Bearer vendor-secret" },
  },
  response: { status: 401, data: { error: "invalid_token" } },
};

/** One failure of every kind. Those that carry `Retry-After` ask for 7 seconds. */
export const failures: WorldAction[] = [
  failing("bad-request", 400, {
    type: "bad_request",
    message: "The vendor does not like this",
  }),
  failing("not-authenticated", 401, {
    type: "bad_request",
    key: "not_authenticated",
    message: "Not authenticated",
  }),
  failing("access-denied", 403, {
    type: "bad_request",
    key: "access_denied",
    message: "Access denied",
  }),
  failing("not-found", 404, {
    type: "bad_request",
    key: "not_found",
    message: "Contact not found",
  }),
  failing("already-exists", 409, {
    type: "bad_request",
    key: "already_exists",
    message: "Contact already exists",
  }),
  failing(
    "rate-limited",
    429,
    {
      type: "bad_request",
      key: "rate_limit_exceeded",
      message: "Rate limit exceeded",
    },
    { "retry-after": "7" },
  ),
  failing("connection-defunct", 400, {
    type: "connection",
    key: "connection_is_defunct",
    message: "Connection is defunct",
  }),
  failing("connection-expired", 400, {
    type: "connection",
    key: "access_token_expired",
    message: "Access token expired",
  }),
  failing("connection-rate-limited", 400, {
    type: "connection",
    key: "rate_limit_exceeded",
    message: "The vendor's rate limit is exceeded",
  }),
  failing("concurrency", 400, {
    type: "concurrency",
    key: "lock_timeout",
    message: "Lock timeout",
  }),
  failing("action-run", 400, {
    type: "action_run",
    message: "Failed to run action",
    data: vendorExchange,
    logs: [{ level: "error", message: "POST /v1/contacts failed with 401" }],
    causedByError: {
      type: "unit_run",
      message: "Request to the external app failed",
      causedByError: {
        type: "connection",
        key: "access_token_expired",
        message: "The vendor refused the access token",
        data: vendorExchange,
      },
    },
  }),
  failing("dependency-error", 400, {
    type: "dependency_error",
    message: "A data source is missing",
    data: { missing: "contacts" },
  }),
  ...(
    [
      "configuration",
      "flow_run",
      "flow_instance_setup",
      "action_instance_setup",
      "unit_run",
      "custom_code",
      "insufficient_credit",
      "openrouter_not_configured",
    ] as const
  ).map((type) =>
    failing(type.replaceAll("_", "-"), 400, {
      type,
      message: `This is what ${type} looks like`,
    }),
  ),
  failing("internal", 500, { type: "internal", message: "Internal error" }),
  failing("unknown-type", 400, { type: "brand_new", message: "Unheard of" }),
  failing("no-type", 422, { message: "No type at all" }),
  failing(
    "html",
    502,
    "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>",
    { "content-type": "text/html" },
  ),
  failing("empty", 503, "", { "retry-after": "7" }),
  action("fail-throw", "Throws what is not an error of Membrane's.", () => {
    throw new TypeError("undefined is not a function");
  }),
  action("fail-validation", "Refuses every input.", (input) =>
    checked(z.never(), input ?? {}),
  ),
  action("fail-if-asked", "Fails when `fail` is true.", (input) => {
    const { fail } = checked(z.object({ fail: z.boolean() }), input ?? {});
    if (fail) throw badRequest("You asked for it");
    return { failed: false };
  }),
];

function returning(key: string, output: unknown): WorldAction {
  return action(key, `Returns ${JSON.stringify(output)}.`, () => output);
}

function failing(
  kind: string,
  status: number,
  body: WireErrorBody | string,
  headers: Record<string, string> = {},
): WorldAction {
  return action(`fail-${kind}`, `Fails with ${status} ${kind}.`, () => {
    throw new WireError(status, body, headers);
  });
}
