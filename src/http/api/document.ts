import { z } from "zod";
import type { Scope } from "../../core/principal.ts";
import type { Access, Route } from "../routes.ts";
import { routes } from "../routes.ts";
import { errorAnswer, errorsOf } from "./errors.ts";
import { eventOperations } from "./events.ts";
import { gatewayOperations } from "./gateway.ts";
import { keyOperations } from "./keys.ts";
import { mcpOperations } from "./mcp.ts";
import { oauthOperations } from "./oauth.ts";
import type { Answer, Operation } from "./operation.ts";
import {
  answerHeaders,
  pathParameters,
  requestHeaders,
  tags,
} from "./operation.ts";
import { serverOperations } from "./servers.ts";
import { serviceOperations } from "./service.ts";
import { sent, sentHeaders, webhookOperations } from "./webhooks.ts";

/** Every route of the product, as its users see it. One that is not here does not compile. */
export const operations: Record<Route, Operation> = {
  ...mcpOperations,
  ...gatewayOperations,
  ...serverOperations,
  ...oauthOperations,
  ...keyOperations,
  ...eventOperations,
  ...webhookOperations,
  ...serviceOperations,
};

type Json = Record<string, unknown>;

const DESCRIPTION = `
One credential with each request: a token of Membrane's as \`Authorization: Bearer\`, or an API key as \`X-API-Key\`.
The scopes \`apps:read\`, \`apps:write\` and \`apps:admin\` include each other in this order; without one named, any
credential will do. What belongs to somebody else is 404, as what is not there.

Every answer has an \`X-Request-Id\`. A path that is not here is 404, a method that a path does not take 405 with
\`Allow\`. Errors with \`Retry-After\`, and JSON-RPC errors with the code -32000, may be tried again, with a back-off;
the others would fail again as they are.
`.trim();

/**
 * The OpenAPI 3.1 document of all routes, from the schemas that validate. `publicUrl`: our address as users see it;
 * null when it is not known, and then paths are below where the document was read.
 */
export function buildDocument(options: {
  version: string;
  publicUrl: string | null;
}): Json {
  const schemas = collectSchemas();
  const responses: Json = {};

  function content(
    types: Readonly<Record<string, z.ZodType>>,
    each?: z.ZodType,
  ): Json {
    return Object.fromEntries(
      Object.entries(types).map(([type, schema]) => [
        type,
        {
          schema:
            each && type !== "application/json"
              ? {
                  type: "string",
                  contentMediaType: "application/json",
                  contentSchema: schemas.refer(each),
                }
              : schemas.refer(schema),
        },
      ]),
    );
  }

  const response = ({
    description,
    content: types,
    each,
    headers = [],
  }: Answer) => ({
    description,
    ...(headers.length === 0
      ? {}
      : {
          headers: Object.fromEntries(
            headers.map((name) => [
              name,
              { $ref: `#/components/headers/${name}` },
            ]),
          ),
        }),
    ...(types ? { content: content(types, each) } : {}),
  });

  function responsesOf(access: Access, path: string, operation: Operation) {
    const found: Json = {};
    for (const status of errorsOf(access, path, operation)) {
      const { name, answer } = errorAnswer(access, status, operation);
      responses[name] ??= response(answer);
      found[status] = { $ref: `#/components/responses/${name}` };
    }
    for (const [status, answer] of Object.entries(operation.answers)) {
      found[status] = response(answer);
    }
    return found;
  }

  function parametersOf(path: string, operation: Operation): Json[] {
    const { path: own = {}, query, headers = [] } = operation;
    const shared: Record<string, z.ZodType> = pathParameters;
    const parameter = (place: string, name: string, schema: z.ZodType) => {
      const description = schema.meta()?.description;
      return {
        name,
        in: place,
        required: !schema.safeParse(undefined).success,
        ...(description === undefined ? {} : { description }),
        schema: schemas.refer(schema),
      };
    };
    const inPath = [...path.matchAll(/:(\w+)/g)].map(([, name = ""]) =>
      parameter("path", name, own[name] ?? shared[name] ?? z.string()),
    );
    const inQuery = Object.entries(query?.shape ?? {}).map(([name, schema]) =>
      parameter("query", name, schema as z.ZodType),
    );
    const inHeader = headers.map((name) => ({
      name,
      in: "header",
      description: requestHeaders[name],
      schema: { type: "string" },
    }));
    return [...inPath, ...inQuery, ...inHeader];
  }

  function operationOf(route: Route, path: string): Json {
    const operation = operations[route];
    const { id, tag, summary, description, body } = operation;
    const access: Access = routes[route];
    const scope = scopeOf(access);
    const asks = scope === null ? null : `Takes the scope \`${scope}\`.`;
    const parameters = parametersOf(path, operation);
    const text = [description, asks].filter(Boolean).join(" ");
    return {
      operationId: id,
      tags: [tag],
      summary,
      ...(text === "" ? {} : { description: text }),
      security: securityOf(access),
      ...(parameters.length === 0 ? {} : { parameters }),
      ...(body
        ? {
            requestBody: {
              required: body.optional !== true,
              content: {
                [body.type ?? "application/json"]: {
                  schema: schemas.refer(body.schema),
                  ...(body.examples ? { examples: named(body.examples) } : {}),
                },
              },
            },
          }
        : {}),
      responses: responsesOf(access, path, operation),
    };
  }

  const paths: Record<string, Json> = {};
  for (const route of Object.keys(routes) as Route[]) {
    const [method = "", path = ""] = route.split(" ");
    const at = (paths[path.replaceAll(/:(\w+)/g, "{$1}")] ??= {});
    at[method.toLowerCase()] = operationOf(route, path);
  }
  const servers = [
    ...(options.publicUrl === null
      ? []
      : [{ url: options.publicUrl.replace(/\/$/, "") }]),
    { url: "/", description: "Where this document was read." },
  ];
  const headers = Object.entries(answerHeaders).map(([name, description]) => [
    name,
    { description, schema: { type: "string" } },
  ]);
  return {
    openapi: "3.1.0",
    info: {
      title: "membrane-mcp",
      version: options.version,
      summary: "A user's connected apps, and any MCP server, as tools.",
      description: DESCRIPTION,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers,
    tags: Object.entries(tags).map(([name, description]) => ({
      name,
      description,
    })),
    paths,
    webhooks: {
      event: {
        post: {
          operationId: "receiveEvent",
          tags: ["Webhooks"],
          summary: "What a webhook is sent",
          description:
            "`WebhookEvent` is of the form `simple`; `Event`, of the form `full`, has the same and more. `WebhookTestEvent` is what the test of a webhook sends.",
          parameters: Object.entries(sentHeaders).map(
            ([name, description]) => ({
              name,
              in: "header",
              required: true,
              description,
              schema: { type: "string" },
            }),
          ),
          requestBody: { required: true, content: content(sent) },
          responses: {
            "2XX": { description: "It was taken." },
            410: { description: "The webhook is turned off." },
            default: { description: "It is sent again, later each time." },
          },
        },
      },
    },
    components: {
      schemas: schemas.write(),
      responses,
      headers: Object.fromEntries(headers),
      securitySchemes,
    },
  };
}

const securitySchemes = {
  token: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "A token of Membrane's, of the user whose apps are meant.",
  },
  apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
  metricsToken: { type: "http", scheme: "bearer" },
};

function scopeOf(access: Access): Scope | null {
  return (/^apps:\w+/.exec(access)?.[0] as Scope | undefined) ?? null;
}

/** Any one of these is enough; what the path or the query may carry instead is among the parameters. */
function securityOf(access: Access): Json[] {
  if (access === "public" || access === "link") return [];
  if (access === "metrics token") return [{ metricsToken: [] }];
  const scope = scopeOf(access);
  // Roles, as 3.1 allows them for every scheme.
  const roles = scope === null ? [] : [scope];
  const without = access.includes(" or ");
  return [{ token: roles }, { apiKey: roles }, ...(without ? [{}] : [])];
}

function named(examples: Readonly<Record<string, unknown>>): Json {
  return Object.fromEntries(
    Object.entries(examples).map(([summary, value], i) => [
      `example${i + 1}`,
      { summary, value },
    ]),
  );
}

/** Turns schemas into JSON Schema all at once, so that one with an id (`meta`) is written once. */
function collectSchemas() {
  const places = new Map<z.ZodType, Json>();
  return {
    /** What will be the schema, or the reference to it, when all are written. */
    refer(schema: z.ZodType): Json {
      let place = places.get(schema);
      if (!place) places.set(schema, (place = {}));
      return place;
    },
    /** Those with an id. */
    write(): Json {
      const all = [...places.entries()];
      const shape = Object.fromEntries(
        all.map(([schema], i) => [`s${i}`, schema]),
      );
      // What is sent, not what reading makes of it; and answers may get more members with time.
      const { properties, $defs } = withoutIds(
        z.toJSONSchema(z.object(shape), { io: "input", reused: "inline" }),
      ) as { properties: Record<string, Json>; $defs: Json };
      for (const [i, [, place]] of all.entries()) {
        Object.assign(place, properties[`s${i}`]);
      }
      return $defs;
    },
  };
}

/** With references that lead to where an OpenAPI document keeps its schemas. */
function withoutIds(schema: unknown): unknown {
  const text = JSON.stringify(schema, (key, value: unknown) =>
    key === "$ref" && typeof value === "string"
      ? value.replace("#/$defs/", "#/components/schemas/")
      : value,
  );
  const { $defs = {}, ...rest } = JSON.parse(text) as {
    $defs?: Record<string, Json>;
  };
  for (const one of Object.values($defs)) delete one["id"];
  return { ...rest, $defs };
}
