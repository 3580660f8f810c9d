import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import Ajv from "ajv";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, listTools } from "../support/caller.ts";
import { failures } from "../support/odd-lab.ts";
import { oddInputSchemas } from "../support/odd-schemas.ts";
import { oddWorld } from "../support/odd-world.ts";
import { connectModern } from "../support/stateless.ts";

/** Membrane's oddities, as the official clients and models see them. */

let rig: Rig;
let tools: { name: string; inputSchema: any; [field: string]: any }[];
const PLAIN = { accept: "application/json" };
beforeAll(async () => {
  rig = await openRig();
  const { body } = await rig.post("ada", listTools, PLAIN);
  tools = body.result.tools;
});
afterAll(() => rig[Symbol.asyncDispose]());

const tool = (name: string) => tools.find((one) => one.name === name)!;

describe("schemas", () => {
  test("of every tool compile, and are those of an object", () => {
    for (const { name, inputSchema } of tools) {
      expect([name, inputSchema.type]).toEqual([name, "object"]);
      const ajv = new Ajv({ strict: false, validateFormats: false });
      expect(() => ajv.compile(inputSchema)).not.toThrow();
    }
  });

  // Demanded: schemas-whole
  test.each([
    ["the older SDK", () => rig.connect("ada").then(({ client }) => client)],
    ...(["legacy", "auto"] as const).map(
      (mode) =>
        [
          `the newer SDK in mode ${mode}`,
          async () => {
            const token = await rig.tokenFor("ada");
            return connectModern(`${rig.url}/mcp`, token, { mode });
          },
        ] as const,
    ),
  ])("go through the client of %s, with nothing lost", async (_, connect) => {
    const client = await connect();
    const listed = await client.listTools();
    // Some of these clients drop a property of this name themselves.
    const plain = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value), (key, inner) =>
        key === "__proto__" ? undefined : inner,
      );
    expect(plain(listed.tools)).toEqual(plain(tools));
    const { structuredContent } = await client.callTool({
      name: "lab_output-against-schema",
      arguments: {},
    });
    expect(structuredContent).toEqual({ count: "many", extra: true });
    await client.close();
  });

  test.each(Object.keys(oddInputSchemas))(
    "a tool whose schema is odd (%s) is called all the same",
    async (key) => {
      const { inputSchema } = tool(`schemas_${key}`);
      const wrapped =
        Object.keys(inputSchema.properties ?? {}).join() === "input";
      const inner = key === "array-root" ? ["a"] : "text";
      const args = wrapped ? { input: inner } : { name: "n", other: [1] };
      const { body } = await rig.post(
        "ada",
        call(`schemas_${key}`, args),
        PLAIN,
      );
      expect(body.result.isError).toBeUndefined();
      expect(JSON.parse(body.result.content[0].text)).toEqual(
        wrapped ? inner : args,
      );
    },
  );

  const property = (key: string, name: string) =>
    tool(`schemas_${key}`).inputSchema.properties[name];

  test("say to a model what Membrane's own keywords mean", () => {
    expect(property("reference-records", "owner")).toMatchObject({
      enum: expect.any(Array),
      description: expect.stringContaining("Ada"),
    });
    expect(property("enum-suggestions", "color").enum).toBeUndefined();
    expect(JSON.stringify(property("enum-suggestions", "color"))).toContain(
      "red",
    );
    expect(property("enum-formula", "color").enum).toBeUndefined();
    expect(property("type-blank", "name").type).toBe("string");
    expect(property("type-array", "since")).toEqual({
      type: ["string", "null"],
      format: "date-time",
    });
  });
});

describe("tools", () => {
  test("are called after app and action, and show what they are", () => {
    const { title, description, annotations, _meta, icons } =
      tool("crm_create-contact");
    expect(title).toStartWith("CRM: ");
    expect(description).toStartWith(title);
    expect(annotations).toEqual({
      openWorldHint: true,
      readOnlyHint: false,
      destructiveHint: false,
      idempotentHint: false,
    });
    expect(_meta).toMatchObject({ "membrane/integrationKey": "crm" });
    expect(icons).toEqual([{ src: "https://static.example.test/crm.png" }]);
  });

  test("of two accounts of an app say which account", () => {
    const both = tools.filter(({ name }) => /^mail.*_list-mails$/.test(name));
    expect(both.map(({ description }) => description).join()).toContain(
      "ada@work.example",
    );
    expect(both.map(({ description }) => description).join()).toContain(
      "ada@home.example",
    );
  });

  test("run on the account under which they are listed", async () => {
    const both = tools.filter(({ name }) => /^mail.*_list-mails$/.test(name));
    for (const { name, _meta } of both) {
      await rig.post("ada", call(name), PLAIN);
      const sent = rig.workspace.requests.findLast(({ path }) =>
        path.endsWith("/run"),
      )!;
      expect(sent.query["connectionId"]).toBe(_meta["membrane/connectionId"]);
    }
  });

  test("that are not ready, archived or switched off are not there", () => {
    const states = tools.filter(({ name }) => name.startsWith("states_"));
    expect(states.map(({ name }) => name)).toEqual([
      "states_ready",
      "states_stateless",
    ]);
    for (const gone of ["gone_", "retired_", "unused_"]) {
      expect(tools.some(({ name }) => name.startsWith(gone))).toBe(false);
    }
  });

  test("what an action is changes its annotations", () => {
    const hints = (name: string) => tool(`types_${name}`).annotations;
    expect(hints("list-data-records").readOnlyHint).toBe(true);
    expect(hints("delete-data-record").destructiveHint).toBe(true);
    expect(hints("request-get").readOnlyHint).toBe(true);
    expect(hints("request-delete").destructiveHint).toBe(true);
    expect(hints("run-javascript")).toEqual({ openWorldHint: true });
    expect(hints("no-type")).toEqual({ openWorldHint: true });
  });

  test("with names of any length and script can be called", async () => {
    const odd = tools.filter(({ name }) => name.startsWith("support_"));
    expect(odd).toHaveLength(3);
    for (const { name } of odd) {
      const { body } = await rig.post("ada", call(name, { text: "x" }), PLAIN);
      expect(body.result.structuredContent).toEqual({ text: "x" });
    }
  });
});

test("an app with more actions than a page holds is listed whole, each action once", async () => {
  await using large = await openRig({ world: oddWorld({ bigActions: 2300 }) });
  const names: string[] = [];
  let cursor: string | undefined;
  do {
    const { body } = await large.post(
      "ada",
      { ...listTools, params: { cursor } },
      PLAIN,
      "/mcp?apps=big",
    );
    names.push(...body.result.tools.map(({ name }: { name: string }) => name));
    cursor = body.result.nextCursor;
  } while (cursor !== undefined);
  expect(names).toHaveLength(2300);
  expect(new Set(names).size).toBe(2300);
  const { body } = await large.post(
    "ada",
    call("big_item-2299", { text: "last" }),
    PLAIN,
  );
  expect(body.result.structuredContent).toEqual({ text: "last" });
});

describe("an action that fails", () => {
  test.each(failures.map(({ key }) => key!))(
    "%s is a result that says why",
    async (key) => {
      const { body } = await rig.post("ada", call(`lab_${key}`), PLAIN);
      const { isError, content } = body.result;
      expect(isError).toBe(true);
      expect(content[0].text.length).toBeGreaterThan(10);
      expect(JSON.stringify(body)).not.toContain("vendor-secret");
      expect(JSON.stringify(body)).not.toContain("eyJ");
    },
  );

  test("because the app's connection is broken asks to connect it again", async () => {
    for (const key of ["fail-connection-defunct", "fail-not-authenticated"]) {
      const { body } = await rig.post("ada", call(`lab_${key}`), PLAIN);
      expect(body.result.content[0].text).toContain("has to reconnect Lab");
    }
  });

  test("because of a limit says for how long", async () => {
    const { body } = await rig.post(
      "ada",
      call("lab_fail-rate-limited"),
      PLAIN,
    );
    expect(body.result.content[0].text).toContain("Try again in 7 s");
  });

  test("with a cause of a cause names them all", async () => {
    const { body } = await rig.post("ada", call("lab_fail-action-run"), PLAIN);
    expect(
      body.result.content[0].text.match(/^Cause: /gm).length,
    ).toBeGreaterThan(1);
    expect(body.result._meta["membrane/actionRunId"]).toMatch(/^run_/);
  });
});

describe("nobody's token is anywhere but in the header", () => {
  test("whatever fails", async () => {
    const token = await rig.tokenFor("ada");
    for (const [i, fault] of [
      { status: 500, body: { message: "boom" } },
      { status: 401 },
      { destroy: true },
      { raw: "<html>", status: 502 },
    ].entries()) {
      rig.workspace.faults.add({ match: "* /", ...fault });
      const list = await rig.post(`new-${i}`, listTools, PLAIN);
      const run = await rig.post(token, call("lab_echo"), PLAIN);
      rig.workspace.faults.clear();
      for (const text of [list.text, run.text, JSON.stringify(rig.lines)]) {
        expect(text).not.toContain(token);
        expect(text).not.toContain("eyJ");
      }
    }
  });

  test("and a token that Membrane refuses is 401 to nobody else", async () => {
    const [revoked, fine] = [
      await rig.tokenFor("rhea"),
      await rig.tokenFor("bob"),
    ];
    rig.workspace.tokens.revoke(revoked);
    const { body } = await rig.post(revoked, listTools, PLAIN);
    expect(body.error.message).toContain("token is not accepted");
    expect((await rig.post(fine, listTools, PLAIN)).body.result).toBeDefined();
    rig.workspace.tokens.restore(revoked);
    expect(
      (await rig.post(revoked, listTools, PLAIN)).body.result,
    ).toBeDefined();
  });
});
