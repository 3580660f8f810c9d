import { afterAll, describe, expect, test } from "bun:test";
import {
  ActionApiResponse,
  ActionRunLogRecordApiResponse,
  ActionRunResponse,
  BadRequestError,
  ConnectionApiResponse,
  ConnectionError,
  ConnectionRequest,
  ErrorDataSchema,
  IntegrationApiResponse,
  TenantSelfResponse,
} from "@membranehq/sdk";
import { demoWorld } from "../../src/demo/world.ts";
import {
  clientOf,
  openWorkspace,
  rejection,
  request,
} from "../support/demo-client.ts";
import { oddWorld } from "../support/odd-world.ts";

const demo = openWorkspace(demoWorld());
const odd = openWorkspace(oddWorld());
afterAll(async () => {
  await demo.close();
  await odd.close();
});

describe("a newcomer's workspace, through the SDK", () => {
  test("says who the token belongs to", async () => {
    const membrane = await clientOf(demo, "self-user");
    const self = await membrane.self.get();
    expect(TenantSelfResponse.parse(self)).toMatchObject({
      internalId: "self-user",
      name: "self-user",
      workspaceKey: "wk-test",
    });
  });

  test("has three connected apps for everybody who comes", async () => {
    const membrane = await clientOf(demo, "newcomer");
    const { items } = await membrane.connections.find({ connected: true });
    for (const item of items) ConnectionApiResponse.parse(item);
    expect(items.map((item) => item.integration?.key)).toEqual([
      "notes",
      "calendar",
      "contacts",
    ]);
  });

  test("offers actions whose shapes the SDK's own schemas accept", async () => {
    const membrane = await clientOf(demo, "shapes");
    const actions = await membrane.actions.findAll({});
    expect(actions).toHaveLength(16);
    for (const action of actions) {
      expect(() => ActionApiResponse.parse(action)).not.toThrow();
      expect(action.inputSchema).toMatchObject({ type: "object" });
    }
    for (const integration of await membrane.integrations.findAll({})) {
      expect(() => IntegrationApiResponse.parse(integration)).not.toThrow();
    }
  });

  test("keeps a note that was written, and shows it in the next list", async () => {
    const membrane = await clientOf(demo, "writer");
    const connectionId = demo.world.connectionId("writer", "notes");
    const run = (key: string, input: unknown) =>
      membrane
        .action({ key, integrationKey: "notes" })
        .run(input, { connectionId });
    const created = ActionRunResponse.parse(
      await run("create-note", { title: "Milk", unknown: "ignored" }),
    );
    expect(created.output).toMatchObject({ title: "Milk", tags: [] });
    expect(created.output).not.toHaveProperty("unknown");
    const listed = await run("list-notes", {});
    expect(
      listed.output.notes.map((note: { title: string }) => note.title),
    ).toContain("Milk");
  });

  test("refuses input that lacks a required field, naming the field and the run", async () => {
    const membrane = await clientOf(demo, "careless");
    const error = await rejection(
      membrane.action("act_contacts_create-contact").run({ name: "Nobody" }),
    );
    expect(error).toBeInstanceOf(BadRequestError);
    expect(ErrorDataSchema.parse(error.data)).toMatchObject({
      type: "bad_request",
      message: 'Validation error: "email" is required',
      data: { issues: [{ path: ["email"], message: "Required" }] },
    });
    const log = await membrane.get(
      `/action-run-logs/${error.data.actionRunId}`,
    );
    expect(ActionRunLogRecordApiResponse.parse(log)).toMatchObject({
      status: "error",
      input: { name: "Nobody" },
      error: { message: 'Validation error: "email" is required' },
    });
  });

  test("connects an app again through the link of a connection request", async () => {
    const membrane = await clientOf(demo, "reconnecting");
    demo.world.changeConnection("reconnecting", "notes", { connected: false });
    const made = await membrane.post("/connection-requests", {
      connectionId: demo.world.connectionId("reconnecting", "notes"),
    });
    expect(
      ConnectionRequest.parse({ ...made, createdAt: new Date(made.createdAt) }),
    ).toMatchObject({ status: "pending" });
    const page = await fetch(made.url);
    expect(await page.text()).toContain("Connect");
    await fetch(made.url, {
      method: "POST",
      body: new URLSearchParams({ answer: "connect" }),
    });
    expect(
      await membrane.get(`/connection-requests/${made.requestId}`),
    ).toMatchObject({
      status: "success",
      resultConnectionId: demo.world.connectionId("reconnecting", "notes"),
    });
    const { items } = await membrane.connections.find({ connected: true });
    expect(items.map((item) => item.key)).toContain("notes");
  });
});

describe("the odd workspace, through the SDK", () => {
  test("lists more actions than one page holds, each once", async () => {
    const membrane = await clientOf(odd, "reader");
    const connectionId = odd.world.connectionId("reader", "big");
    const actions = await membrane.actions.findAll({ connectionId });
    expect(new Set(actions.map((action) => action.id)).size).toBe(1100);
    expect(actions).toHaveLength(1100);
  });

  test("gives ten items to a client that asks for no number", async () => {
    const membrane = await clientOf(odd, "reader");
    const { items, cursor } = await membrane.connections.find({});
    expect(items).toHaveLength(10);
    expect(cursor).toBe("10");
  });

  test("offers on a connection its own actions, its app's, and the catalogue's without a key", async () => {
    const membrane = await clientOf(odd, "reader");
    const listed = async (key: string) =>
      (
        await membrane.actions.findAll({
          connectionId: odd.world.connectionId("reader", key),
        })
      ).map((action) => action.key ?? action.name);
    expect(await listed("mail-home")).toEqual([
      "send-mail",
      "list-mails",
      "Search mail (catalogue)",
      "Étiqueter un e-mail",
    ]);
    expect(await listed("mail-work")).toEqual([
      "send-mail",
      "list-mails",
      "Search mail (catalogue)",
      "Étiqueter un e-mail",
      "send-mail",
      "only-at-work",
    ]);
    expect(await listed("direct")).toEqual(["direct-echo"]);
  });

  test("tells an action made from another by its parent", async () => {
    const membrane = await clientOf(odd, "reader");
    const id = odd.world.connectionId("reader", "mail-work");
    const action = await membrane.connection(id).action("send-mail").get();
    expect(action).toMatchObject({
      connectionId: id,
      parentId: "act_mail_send-mail",
    });
  });

  test("shows disconnected connections unless asked not to, and archived ones only when asked to", async () => {
    const membrane = await clientOf(odd, "reader");
    const keys = async (query: object) =>
      (await membrane.connections.find({ limit: 1000, ...query })).items.map(
        (item) => item.key,
      );
    expect(await keys({})).toContain("gone");
    expect(await keys({})).not.toContain("gone-archived");
    expect(await keys({ connected: true })).not.toContain("gone");
    expect(await keys({ includeArchived: true })).toContain("gone-archived");
  });

  test("hides archived actions and shows those that are not ready with their state", async () => {
    const membrane = await clientOf(odd, "reader");
    const actions = await membrane.actions.findAll({
      integrationKey: "states",
    });
    const of = (key: string) => actions.find((action) => action.key === key);
    expect(of("archived")).toBeUndefined();
    expect(of("building")).toMatchObject({ state: "BUILDING" });
    expect(of("deactivated")).toMatchObject({ isDeactivated: true });
    expect(of("stateless")).not.toHaveProperty("state");
  });

  test.each([
    ["output-null", { output: null }],
    ["output-zero", { output: 0 }],
    ["output-false", { output: false }],
    ["output-empty-text", { output: "" }],
    ["output-empty-list", { output: [] }],
  ])("returns what is easily lost: %s", async (key, expected) => {
    const membrane = await clientOf(odd, "runner");
    const result = await membrane.action(`act_lab_${key}`).run({});
    expect(result).toMatchObject(expected);
  });

  test("leaves output out when there is none", async () => {
    const membrane = await clientOf(odd, "runner");
    const result = await membrane.action("act_lab_output-absent").run({});
    expect(Object.keys(result)).toEqual(["actionRunId"]);
  });

  test("runs on the connection that was named, and keeps the two accounts of one app apart", async () => {
    odd.world.putAction(
      "runner",
      { integrationKey: "mail" },
      {
        key: "who",
        name: "Who",
        run: (_, context) => context.connection?.key,
      },
    );
    const membrane = await clientOf(odd, "runner");
    const on = async (key: string) =>
      (
        await membrane.action("act_mail_who").run(undefined, {
          connectionId: odd.world.connectionId("runner", key),
        })
      ).output;
    expect(await on("mail-home")).toBe("mail-home");
    expect(await on("mail-work")).toBe("mail-work");
  });

  test("refuses to run on a disconnected connection", async () => {
    const membrane = await clientOf(odd, "runner");
    const error = await rejection(
      membrane.action("act_gone_ping").run(
        {},
        {
          connectionId: odd.world.connectionId("runner", "gone"),
        },
      ),
    );
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error.data).toMatchObject({
      type: "connection",
      key: "connection_is_defunct",
      actionRunId: expect.any(String),
    });
    expect(odd.runCounts("runner")["act_gone_ping"]).toBeUndefined();
  });

  test("carries a chain of causes to the innermost", async () => {
    const membrane = await clientOf(odd, "runner");
    const error = await rejection(
      membrane.action("act_lab_fail-action-run").run({}),
    );
    expect(error.data.causedByError.causedByError).toMatchObject({
      type: "connection",
      key: "access_token_expired",
    });
  });

  test("answers like a proxy where Membrane's proxies would", async () => {
    const membrane = await clientOf(odd, "runner");
    const html = await rejection(membrane.action("act_lab_fail-html").run({}));
    expect(html.response).toMatchObject({ status: 502 });
    expect(html.response.data).toContain("<html>");
    const empty = await rejection(
      membrane.action("act_lab_fail-empty").run({}),
    );
    expect(empty.response.status).toBe(503);
    expect(empty.response.headers["retry-after"]).toBe("7");
    expect(empty.response.data).toBe("");
  });

  test("lists every action that is not odd in a shape that the SDK's schemas accept", async () => {
    const membrane = await clientOf(odd, "reader");
    const actions = await membrane.actions.findAll({});
    for (const action of actions) {
      if (action.id.startsWith("act_schemas_")) continue;
      expect(() => ActionApiResponse.parse(action)).not.toThrow();
    }
    const { items } = await membrane.connections.find({ limit: 1000 });
    for (const connection of items) {
      expect(() => ConnectionApiResponse.parse(connection)).not.toThrow();
    }
  });

  test("records what the SDK sends", async () => {
    const membrane = await clientOf(odd, "recorded");
    await membrane
      .action("act_lab_echo")
      .run(
        { a: 1 },
        { connectionId: odd.world.connectionId("recorded", "lab") },
      );
    expect(odd.requests.at(-1)).toMatchObject({
      method: "POST",
      path: "/actions/act_lab_echo/run",
      query: { connectionId: odd.world.connectionId("recorded", "lab") },
      headers: { "membrane-api-version": "2025-10-21" },
      body: { input: { a: 1 } },
      aborted: false,
    });
  });
});

test("what the apps keep, who was seen and what was run is there again after a restart", async () => {
  const file = `${process.env["TMPDIR"] ?? "/tmp"}/demo-${crypto.randomUUID()}.db`;
  const who = { user: "ada" };
  const first = openWorkspace(demoWorld(), { database: file });
  const created = await request(first, who, "/act", {
    body: { key: "create-note", input: { title: "Kept" } },
  });
  expect(created.status).toBe(200);
  await first.close();

  await using second = openWorkspace(demoWorld(), { database: file });
  const listed = await request(second, who, "/act", {
    body: { key: "list-notes" },
  });
  const titles = listed.body.output.notes.map(
    (note: { title: string }) => note.title,
  );
  expect(titles.toSorted()).toEqual([
    "Groceries",
    "Ideas for the offsite",
    "Kept",
    "Welcome",
  ]);
  const log = await request(
    second,
    who,
    `/action-run-logs/${created.body.actionRunId}`,
  );
  expect(log.body.output).toMatchObject({ title: "Kept" });
  for (const suffix of ["", "-wal", "-shm"]) {
    await Bun.file(file + suffix)
      .delete()
      .catch(() => {});
  }
});
