import { describe, expect, test } from "bun:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import { httpStatus } from "../../../src/http/front.ts";
import { buildDocument } from "../../../src/http/api/document.ts";
import { routes } from "../../../src/http/routes.ts";
import type { Access } from "../../../src/http/routes.ts";
import { disagreement } from "../../support/documented.ts";

const document = buildDocument({ version: "1.2.3", publicUrl: null }) as any;

/** Every operation, with the route that it is of. */
const operations: { route: string; access: Access; operation: any }[] =
  Object.entries<any>(document.paths).flatMap(([path, methods]) =>
    Object.entries<any>(methods).map(([method, operation]) => {
      const route = `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`;
      const access: Access = routes[route as keyof typeof routes];
      return { route, access, operation };
    }),
  );

function refsIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === "$ref" && typeof inner === "string" ? [inner] : refsIn(inner),
  );
}

describe("the document", () => {
  test("is OpenAPI 3.1", async () => {
    const { valid, errors } = await new Validator().validate(
      structuredClone(document),
    );
    expect(errors ?? []).toEqual([]);
    expect([valid, document.openapi]).toEqual([true, "3.1.0"]);
  });

  // Demanded: openapi-whole
  test("has every route, and nothing else", () => {
    expect(operations.map(({ route }) => route).toSorted()).toEqual(
      Object.keys(routes).toSorted(),
    );
  });

  test("refers to nothing that it does not have, and has no part that nothing refers to", () => {
    const { components } = document;
    const has = ["schemas", "responses", "headers"].flatMap((kind) =>
      Object.keys(components[kind]).map(
        (name) => `#/components/${kind}/${name}`,
      ),
    );
    expect([...new Set(refsIn(document))].toSorted()).toEqual(has.toSorted());
  });

  test("gives each operation a name of its own, and a group that is explained", () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const used = new Set(operations.flatMap(({ operation }) => operation.tags));
    expect([...used].toSorted()).toEqual(
      document.tags.map(({ name }: { name: string }) => name).toSorted(),
    );
  });

  test("says of each route who may call it", () => {
    for (const { route, access, operation } of operations) {
      if (access === "metrics token") continue;
      const open = access === "public" || access === "link";
      const scope = /^apps:\w+/.exec(access)?.[0];
      const roles = scope ? [scope] : [];
      expect([route, operation.security]).toEqual([
        route,
        open
          ? []
          : [
              { token: roles },
              { apiKey: roles },
              ...(access.includes(" or ") ? [{}] : []),
            ],
      ]);
    }
  });

  test("has, for each route that takes a credential, the status of every error that any of them can meet", () => {
    const { not_found: _n, conflict: _c, ...any } = httpStatus;
    const needed = [...new Set([...Object.values(any), 503, 508])].map(String);
    for (const { route, access, operation } of operations) {
      if (["public", "link", "metrics token"].includes(access)) continue;
      const statuses = Object.keys(operation.responses);
      const missing = needed.filter((status) => !statuses.includes(status));
      expect([route, missing]).toEqual([route, []]);
    }
  });

  test("has examples that its own schemas accept", () => {
    const ajv = new Ajv2020({
      strict: false,
      formats: { uri: true, "date-time": true },
    });
    ajv.addSchema(document, "api");
    let examples = 0;
    for (const { route, operation } of operations) {
      for (const { schema, examples: given = {} } of Object.values<any>(
        operation.requestBody?.content ?? {},
      )) {
        const { $ref, ...inline } = JSON.parse(
          JSON.stringify(schema).replaceAll('"#/', '"api#/'),
        );
        const validate = ajv.compile($ref ? { $ref } : inline);
        for (const { summary, value } of Object.values<any>(given)) {
          examples++;
          expect([route, summary, validate(value)]).toEqual([
            route,
            summary,
            true,
          ]);
        }
      }
    }
    expect(examples).toBeGreaterThan(10);
  });

  test("says where the server is when that is known", () => {
    const { servers } = buildDocument({
      version: "1",
      publicUrl: "https://mcp.example.com/gateway/",
    }) as any;
    expect(servers[0]).toEqual({ url: "https://mcp.example.com/gateway" });
    expect(document.servers[0].url).toBe("/");
  });

  test("has JSON-RPC's envelopes under the names that the integration guide gives them", () => {
    const { post } = document.paths["/mcp"];
    const sent = JSON.stringify(post.requestBody.content["application/json"]);
    expect(sent).toContain('"#/components/schemas/MCPRequest"');
    expect(JSON.stringify(post.responses[200])).toContain(
      '"#/components/schemas/MCPResponse"',
    );
  });
});

describe("holding answers to the document", () => {
  const fine = {
    method: "DELETE",
    path: "/servers/weather",
    sent: null,
    status: 200,
    type: "application/json",
    text: '{"success":true,"id":1}',
  };
  test.each([
    ["an answer as it should be", {}, null],
    [
      "a member that is not described",
      { text: '{"success":true,"id":1,"x":1}' },
      "additional",
    ],
    ["a member that is missing", { text: '{"success":true}' }, "required"],
    [
      "a member of another type",
      { text: '{"success":true,"id":"1"}' },
      "integer",
    ],
    ["a status that is not described", { status: 201 }, "not documented"],
    ["another media type", { type: "text/html" }, "of the type text/html"],
    [
      "a problem without its code",
      {
        status: 409,
        type: "application/problem+json",
        text: '{"title":"conflict","status":409,"detail":"No."}',
      },
      "'code'",
    ],
    [
      "a body where there is none",
      { method: "DELETE", path: "/mcp", text: "ok" },
      "has a body",
    ],
    [
      "a body that was taken and is not described",
      {
        method: "POST",
        path: "/tools/x/call",
        sent: '{"arguments":{}}',
        text: '{"result":{"content":[]}}',
      },
      "additional",
    ],
    ["a path that no route has", { path: "/nothing" }, null],
  ])("%s", (_, change, said) => {
    const found = disagreement({ ...fine, ...change });
    if (said === null) expect(found).toBeNull();
    else expect(found).toContain(said);
  });
});
