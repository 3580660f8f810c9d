import { z } from "zod";
import type { Route } from "../routes.ts";
import type { Answer, Operation } from "./operation.ts";
import { json, pageOf } from "./operation.ts";

const onward: Answer = {
  description: "To the authorization server.",
  headers: ["Location", "Set-Cookie"],
};

const tag = "Accounts";

const callback = (id: string) =>
  ({
    id,
    tag,
    summary: "Where authorization servers send the browser back to",
    query: z.object({
      code: z.string().optional(),
      state: z.string().optional(),
      iss: z.string().optional(),
      error: z.string().optional(),
      error_description: z.string().optional(),
    }),
    answers: { 200: pageOf("The account is connected.", ["Set-Cookie"]) },
    errors: [401, 404, 409, 429, 502, 504],
    errorsAs: "page",
  }) satisfies Operation;

export const oauthOperations = {
  "GET /api/v2/w/:workspace/mcp-servers/:id/oauth/authorize": {
    id: "authorizeServer",
    tag,
    summary: "Connect an account to a server that uses OAuth",
    description:
      "With a credential of the scope `apps:write`, on to the authorization server. With the `ticket` of a link that a member was given, a page that asks first.",
    path: { id: z.string() },
    query: z.object({ ticket: z.string().optional() }),
    answers: {
      200: pageOf("Asks whether this account is to be connected.", [
        "Set-Cookie",
      ]),
      302: onward,
    },
    errors: [404, 409],
    errorsAs: "page",
  },
  "POST /api/v2/w/:workspace/mcp-servers/:id/oauth/authorize": {
    id: "confirmAuthorization",
    tag,
    summary: "Confirm it, with the form of that page",
    path: { id: z.string() },
    body: {
      type: "application/x-www-form-urlencoded",
      schema: z.object({ ticket: z.string(), proof: z.string() }),
    },
    answers: { 302: onward },
    errors: [401, 404, 409, 429, 502, 504],
    errorsAs: "page",
  },
  "GET /api/v2/w/:workspace/mcp-servers/oauth/callback": callback(
    "finishWorkspaceAuthorization",
  ),
  "GET /oauth/callback": callback("finishAuthorization"),
  "GET /oauth/client.json": {
    id: "getOAuthClient",
    tag,
    summary: "Our metadata as an OAuth client",
    answers: {
      200: json(
        "By this URL authorization servers know us.",
        z
          .object({
            client_id: z.string(),
            client_name: z.string(),
            redirect_uris: z.array(z.string()),
            grant_types: z.array(z.string()),
            response_types: z.array(z.string()),
            application_type: z.enum(["native", "web"]),
            token_endpoint_auth_method: z.string(),
          })
          .meta({ id: "OAuthClient" }),
      ),
    },
  },
} as const satisfies Partial<Record<Route, Operation>>;
