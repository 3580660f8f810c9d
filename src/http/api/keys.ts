import { z } from "zod";
import { scopes } from "../../core/principal.ts";
import { keyShape } from "../keys.ts";
import type { Route } from "../routes.ts";
import type { Operation } from "./operation.ts";
import { json, time } from "./operation.ts";

const fields = {
  id: z.string(),
  name: z.string(),
  scope: z.enum(scopes),
  memberId: z.string(),
  createdByMemberId: z.string().nullable(),
  createdWithKeyId: z
    .string()
    .nullable()
    .meta({ description: "The key that it was made with, and ends with." }),
  createdAt: time,
  expiresAt: time.nullable(),
  lastUsedAt: time.nullable(),
  revokedAt: time.nullable(),
};
const keys = z
  .array(z.object(fields).meta({ id: "ApiKey" }))
  .meta({ id: "ApiKeys" });
const minted = z
  .object({ ...fields, key: z.string() })
  .meta({ id: "NewApiKey", description: "With the key, this once." });

const tag = "API keys";

export const keyOperations = {
  "GET /api/v2/w/:workspace/api-keys": {
    id: "listApiKeys",
    tag,
    summary: "List API keys",
    description: "The caller's own; with `apps:admin` those of all members.",
    answers: { 200: json("The newest first.", keys) },
  },
  "POST /api/v2/w/:workspace/api-keys": {
    id: "createApiKey",
    tag,
    summary: "Make an API key",
    description:
      "Its scope is at most the caller's. For another member it takes `apps:admin`.",
    body: {
      schema: keyShape().meta({ id: "CreateApiKey" }),
      examples: {
        "For a month": { name: "CI", scope: "apps:read", expiresInDays: 30 },
      },
    },
    answers: { 201: json("The key is in it, this once.", minted) },
    errors: [409],
  },
  "DELETE /api/v2/w/:workspace/api-keys/:id": {
    id: "revokeApiKey",
    tag,
    summary: "Revoke an API key",
    path: {
      id: z.string().meta({ description: "The public part of a key." }),
    },
    answers: {
      200: json(
        "It is good no more.",
        z
          .object({ success: z.literal(true), id: z.string() })
          .meta({ id: "ApiKeyRevoked" }),
      ),
    },
  },
} as const satisfies Partial<Record<Route, Operation>>;
