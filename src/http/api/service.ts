import { z } from "zod";
import type { Route } from "../routes.ts";
import type { Answer, Operation } from "./operation.ts";
import { json, pageOf, refusal } from "./operation.ts";

const tag = "Service";

const health = z
  .object({
    status: z.enum(["ok", "degraded", "unavailable"]),
    timestamp: z.string().meta({ format: "date-time" }),
    version: z.string(),
    checks: z
      .record(z.string(), z.string())
      .meta({ description: "`database`, and each source of tools." }),
  })
  .meta({ id: "Health" });

const metadata = json(
  "RFC 9728.",
  z
    .object({
      resource: z.string(),
      resource_name: z.string(),
      bearer_methods_supported: z.array(z.string()),
      authorization_servers: z.array(z.string()).optional(),
      scopes_supported: z.array(z.string()).optional(),
    })
    .meta({ id: "ProtectedResource" }),
);

const summary = "Who gives credentials for this resource";

const file = (type: string, description: string): Record<number, Answer> => ({
  200: { description, content: { [type]: z.string() }, headers: ["ETag"] },
  304: { description: "It is the one that the caller has.", headers: ["ETag"] },
});

export const serviceOperations = {
  "GET /": {
    id: "greet",
    tag,
    summary: "Where to connect",
    answers: {
      200: {
        description: "One line.",
        content: { "text/plain": z.string() },
      },
    },
  },
  "GET /health": {
    id: "getHealth",
    tag,
    summary: "Whether the server works",
    answers: {
      200: json("It does; `degraded` when a source of tools fails.", health),
      503: json(
        "The database does not work, or the server is restarting.",
        z.union([health, refusal]),
        ["Retry-After"],
      ),
    },
  },
  "GET /openapi.json": {
    id: "getApi",
    tag,
    summary: "This document",
    headers: ["If-None-Match"],
    answers: {
      200: json("OpenAPI 3.1.", z.record(z.string(), z.unknown()), ["ETag"]),
      304: {
        description: "It is the one that the caller has.",
        headers: ["ETag"],
      },
    },
  },
  "GET /metrics": {
    id: "getMetrics",
    tag,
    summary: "What Prometheus scrapes",
    description:
      "For who brings `METRICS_TOKEN`; where none is set there are no metrics here.",
    answers: {
      200: {
        description: "Prometheus text, or OpenMetrics for who accepts it.",
        content: {
          "text/plain": z.string(),
          "application/openmetrics-text": z.string(),
        },
      },
      401: json("No token, or another.", refusal, ["WWW-Authenticate"]),
      404: json("There are none here.", refusal),
    },
  },
  "GET /docs": {
    id: "showApi",
    tag,
    summary: "This document as a page, to read and to try",
    answers: { 200: pageOf("The page.") },
  },
  "GET /docs/swagger-ui.js": {
    id: "getApiPageScript",
    tag,
    summary: "The script of that page",
    headers: ["If-None-Match"],
    answers: file("text/javascript", "Swagger UI."),
  },
  "GET /docs/swagger-ui.css": {
    id: "getApiPageStyle",
    tag,
    summary: "The style of that page",
    headers: ["If-None-Match"],
    answers: file("text/css", "Swagger UI."),
  },
  "GET /docs/start.js": {
    id: "getApiPageStart",
    tag,
    summary: "What starts that page",
    headers: ["If-None-Match"],
    answers: file("text/javascript", "The few lines that open this document."),
  },
  "GET /docs/licenses.txt": {
    id: "getApiPageLicenses",
    tag,
    summary: "The licenses of that page",
    headers: ["If-None-Match"],
    answers: file("text/plain", "Of Swagger UI and of what it is made of."),
  },
  "GET /.well-known/oauth-protected-resource": {
    id: "getProtectedResource",
    tag,
    summary,
    answers: { 200: metadata },
  },
  "GET /.well-known/oauth-protected-resource/mcp": {
    id: "getProtectedMcp",
    tag,
    summary,
    answers: { 200: metadata },
  },
  "GET /.well-known/oauth-protected-resource/mcp/:server": {
    id: "getProtectedMcpServer",
    tag,
    summary,
    answers: {
      200: metadata,
      404: json("This cannot be the name of a server.", refusal),
    },
  },
} as const satisfies Partial<Record<Route, Operation>>;
