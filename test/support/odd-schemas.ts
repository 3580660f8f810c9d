/** Schemas that Membrane has been seen to send, or may send by its own rules, by the key of the action that has them. */
export const oddInputSchemas: Record<string, unknown> = {
  "no-schema": undefined,
  "null-root": null,
  "true-root": true,
  "empty-root": {},
  "array-root": { type: "array", items: { type: "string" } },
  "string-root": { type: "string", description: "The whole input" },
  "nullable-root": {
    type: ["object", "null"],
    properties: { name: { type: "string" } },
  },
  "typeless-root": { properties: { name: { type: "string" } } },
  "any-of-root": {
    anyOf: [
      { type: "object", properties: { email: { type: "string" } } },
      { type: "object", properties: { phone: { type: "string" } } },
    ],
  },
  "null-property": {
    type: "object",
    properties: { name: { type: "string" }, nothing: null },
  },
  "true-property": {
    type: "object",
    properties: { name: { type: "string" }, anything: true },
  },
  "type-array": {
    type: "object",
    properties: {
      since: { type: ["string", "null"], format: "date-time" },
      amount: { type: ["number", "string"] },
    },
  },
  "type-unknown": {
    type: "object",
    properties: {
      anything: { type: "any", description: "Whatever" },
      day: { type: "date" },
      upload: { type: "file" },
    },
  },
  "type-blank": {
    type: "object",
    properties: { name: { type: "string ", description: "Trailing blank" } },
  },
  "type-null-value": { type: "object", properties: { name: { type: null } } },
  "array-without-items": {
    type: "object",
    properties: { tags: { type: "array", description: "Tags" } },
  },
  "items-null": {
    type: "object",
    properties: { tags: { type: "array", items: null } },
  },
  "items-list": {
    type: "object",
    properties: {
      pair: { type: "array", items: [{ type: "string" }, { type: "number" }] },
    },
  },
  "enum-empty": {
    type: "object",
    properties: { color: { type: "string", enum: [] } },
  },
  "enum-formula": {
    type: "object",
    properties: { color: { type: "string", enum: { $var: "colors" } } },
  },
  "enum-suggestions": {
    type: "object",
    properties: {
      color: { type: "string", enum: ["red", "green"], allowCustom: true },
    },
  },
  "reference-records": {
    type: "object",
    properties: {
      owner: {
        type: "string",
        referenceRecords: [
          { id: "u1", name: "Ada" },
          { id: "u2", name: "Grace" },
        ],
      },
      label: {
        type: "string",
        referenceRecords: [{ id: "l1", name: "Urgent" }],
        allowCustom: true,
      },
    },
  },
  "reference-collection": {
    type: "object",
    properties: {
      assignee: {
        type: "string",
        referenceCollection: { key: "users", parameters: { active: true } },
      },
      parent: {
        type: "string",
        referenceCollection: { key: { $var: "parent.type" } },
      },
      board: { type: "string", referenceCollectionPath: "/data/boards" },
      list: { type: "string", referenceUdm: "lists" },
    },
  },
  formulas: {
    type: "object",
    properties: {
      name: { type: "string", default: { $var: "user.name" } },
      title: {
        $case: { cases: [{ filter: {}, value: { type: "string" } }] },
      },
      total: {
        type: "number",
        description: { $concat: ["Total of ", { $var: "currency" }] },
      },
    },
    required: { $eval: "fields" },
  },
  "ref-unresolved": {
    type: "object",
    properties: {
      customer: { $ref: "#/definitions/Customer" },
      remote: { $ref: "https://schemas.example.test/customer.json" },
    },
  },
  "ref-local": {
    type: "object",
    properties: { customer: { $ref: "#/definitions/Customer" } },
    definitions: {
      Customer: { type: "object", properties: { name: { type: "string" } } },
    },
  },
  "ref-recursive": {
    type: "object",
    properties: { tree: { $ref: "#/definitions/Node" } },
    definitions: {
      Node: {
        type: "object",
        properties: {
          name: { type: "string" },
          children: { type: "array", items: { $ref: "#/definitions/Node" } },
        },
      },
    },
  },
  "required-true": {
    type: "object",
    properties: { name: { type: "string", required: true } },
    required: true,
  },
  "required-unknown": {
    type: "object",
    properties: { name: { type: "string" } },
    required: ["name", "missing", 7],
  },
  "pattern-bad": {
    type: "object",
    properties: { code: { type: "string", pattern: "([a-z" } },
  },
  "pattern-pcre": {
    type: "object",
    properties: { code: { type: "string", pattern: "(?i)^[a-z]++\\z" } },
  },
  "length-text": {
    type: "object",
    properties: { code: { type: "string", minLength: "3", maxLength: "x" } },
  },
  "draft-4": {
    type: "object",
    properties: {
      age: {
        type: "integer",
        minimum: 0,
        exclusiveMinimum: true,
        maximum: 150,
        exclusiveMaximum: false,
      },
    },
  },
  "format-unknown": {
    type: "object",
    properties: {
      at: { type: "string", format: "datetime" },
      price: { type: "string", format: "money" },
    },
  },
  "description-null": {
    type: "object",
    description: null,
    properties: { name: { type: "string", description: null, title: null } },
  },
  "default-wrong": {
    type: "object",
    properties: { count: { type: "integer", default: "many" } },
  },
  "hints-only": {
    type: "object",
    properties: {
      password: { type: "string", isSensitive: true },
      note: { type: "string", isRichText: true, section: "More", uiOrder: 3 },
    },
  },
  "properties-null": { type: "object", properties: null },
  "property-names": {
    type: "object",
    properties: {
      "with space": { type: "string" },
      ünïcode: { type: "string" },
      constructor: { type: "string" },
      ["__proto__"]: { type: "string" },
    },
  },
  deep: nested(60),
};

/** The same for outputs; what an action returns is in `odd-world.ts`. */
export const oddOutputSchemas: Record<string, unknown> = {
  "out-array": { type: "array", items: { type: "string" } },
  "out-null": null,
  "out-nullable": { type: ["object", "null"] },
  "out-empty": {},
  "out-type-any": { type: "object", properties: { a: { type: "any" } } },
  "out-enum-empty": {
    type: "object",
    properties: { a: { type: "string", enum: [] } },
  },
  "out-ref-unresolved": {
    type: "object",
    properties: { a: { $ref: "#/definitions/Nowhere" } },
  },
  "out-required-true": { type: "object", required: true },
  "out-pattern-bad": {
    type: "object",
    properties: { a: { type: "string", pattern: "([a-z" } },
  },
  "out-draft-4": {
    type: "object",
    properties: { a: { type: "number", minimum: 0, exclusiveMinimum: true } },
  },
  "out-null-property": { type: "object", properties: { a: null } },
  "out-description-null": { type: "object", description: null },
};

function nested(depth: number): unknown {
  let schema: unknown = { type: "string" };
  for (let level = 0; level < depth; level++) {
    schema = { type: "object", properties: { inner: schema } };
  }
  return schema;
}
