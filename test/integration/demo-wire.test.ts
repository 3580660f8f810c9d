import { afterAll, describe, expect, test } from "bun:test";
import { SignJWT, UnsecuredJWT } from "jose";
import { mintToken } from "../../src/demo/token.ts";
import { openWorkspace, request, WORKSPACE } from "../support/demo-client.ts";
import { oddWorld } from "../support/odd-world.ts";

const workspace = openWorkspace(oddWorld({ bigActions: 3 }), {
  tokens: { "pat-demo": { tenantKey: "pat-user" } },
});
afterAll(() => workspace.close());

const key = new TextEncoder().encode(WORKSPACE.secret);
const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

function signed(
  claims: Record<string, unknown>,
  alg = "HS256",
  secret: Uint8Array = key,
): Promise<string> {
  return new SignJWT({ exp: inAnHour(), ...claims })
    .setProtectedHeader({ alg })
    .sign(secret);
}

async function self(token: string) {
  return request(workspace, { token }, "/self");
}

describe("a token", () => {
  test.each(["id", "tenantKey"] as const)(
    "of the generation %s is accepted",
    async (generation) => {
      const token = await mintToken({ ...WORKSPACE, user: "gen", generation });
      expect((await self(token)).body).toMatchObject({
        internalId: "gen",
        workspaceKey: "wk-test",
      });
    },
  );

  test.each(["HS256", "HS384", "HS512"])("may use %s", async (alg) => {
    const token = await signed({ iss: "wk-test", id: "algs" }, alg);
    expect((await self(token)).status).toBe(200);
  });

  test("that is opaque belongs to whom the workspace says", async () => {
    expect((await self("pat-demo")).body.internalId).toBe("pat-user");
  });

  test("brings a tenant's name and fields at first sight", async () => {
    const token = await signed({
      iss: "wk-test",
      id: "named",
      name: "Ada",
      fields: { plan: "pro" },
    });
    expect((await self(token)).body).toMatchObject({
      name: "Ada",
      fields: { plan: "pro" },
    });
  });

  test.each([
    ["nothing", async () => ""],
    ["no JWT", async () => "garbage"],
    [
      "an expired one",
      () => mintToken({ ...WORKSPACE, user: "late", ttlSeconds: -1 }),
    ],
    [
      "another workspace's",
      () => mintToken({ ...WORKSPACE, workspaceKey: "wk-other", user: "a" }),
    ],
    [
      "one under another secret",
      () => mintToken({ ...WORKSPACE, secret: "another-secret", user: "a" }),
    ],
    [
      "one without an algorithm",
      async () =>
        new UnsecuredJWT({ iss: "wk-test", id: "a", exp: inAnHour() }).encode(),
    ],
    [
      "tenants that disagree",
      () => signed({ iss: "wk-test", id: "a", tenantKey: "b" }),
    ],
    [
      "workspaces that disagree",
      () => signed({ iss: "wk-test", workspaceKey: "wk-other", id: "a" }),
    ],
    ["no tenant and no administrator", () => signed({ iss: "wk-test" })],
    ["no workspace", () => signed({ id: "a" })],
  ])("is refused with 401 when it is %s", async (_, make) => {
    const { status, body } = await self(await make());
    expect(status).toBe(401);
    expect(body).toEqual({
      type: "bad_request",
      key: "not_authenticated",
      message: "Not authenticated",
    });
  });

  test("is required", async () => {
    expect((await request(workspace, null, "/connections")).status).toBe(401);
  });

  test("of an administrator sees every tenant and is nobody itself", async () => {
    const token = await signed({ iss: "wk-test", isAdmin: true });
    await request(workspace, { user: "one" }, "/self");
    await request(workspace, { user: "two" }, "/self");
    const path = "/connections?limit=1000&integrationKey=lab";
    const all = await request(workspace, { token }, path);
    const tenants = all.body.items.map((item: any) => item.user.internalId);
    expect(tenants).toContain("one");
    expect(tenants).toContain("two");
    const one = await request(workspace, { token }, `${path}&tenantId=one`);
    expect(one.body.items).toHaveLength(1);
    expect((await self(token)).status).toBe(403);
  });
});

describe("tenants", () => {
  test("do not find each other's connections, actions and runs", async () => {
    const owner = { user: "owner" };
    const other = { user: "other" };
    const run = await request(workspace, owner, "/act", {
      body: { key: "echo", input: 1 },
    });
    const connection = workspace.world.connectionId("owner", "direct");
    const paths = [
      `/connections/${connection}`,
      `/connections/${connection}/actions`,
      `/actions?connectionId=${connection}`,
      `/actions/act_${connection}_direct-echo`,
      `/action-run-logs/${run.body.actionRunId}`,
    ];
    for (const path of paths) {
      expect((await request(workspace, owner, path)).status).toBe(200);
      const foreign = await request(workspace, other, path);
      expect(foreign.status).toBe(404);
      expect(foreign.body.key).toBe("not_found");
    }
    const foreignRun = await request(
      workspace,
      other,
      `/actions/act_lab_echo/run?connectionId=${workspace.world.connectionId("owner", "lab")}`,
      { body: { input: 1 } },
    );
    expect(foreignRun.status).toBe(404);
  });

  test("do not share what their apps keep", async () => {
    const count = (user: string) =>
      request(workspace, { user }, "/act", {
        body: { key: "count", input: { key: "shared" } },
      });
    expect((await count("left")).body.output.count).toBe(1);
    expect((await count("left")).body.output.count).toBe(2);
    expect((await count("right")).body.output.count).toBe(1);
  });
});

describe("paging", () => {
  const who = { user: "pager" };

  test.each([
    "limit=0",
    "limit=1001",
    "limit=-1",
    "limit=1.5",
    "limit=many",
    "cursor=garbage",
    "cursor=-1",
  ])("refuses %s", async (query) => {
    const path = `/connections?${query}`;
    const { status, body } = await request(workspace, who, path);
    expect(status).toBe(400);
    expect(body.type).toBe("bad_request");
  });

  test("reaches every item once by following the cursor from 0", async () => {
    const seen: string[] = [];
    let cursor: string | undefined = "0";
    while (cursor !== undefined) {
      const path: string = `/connections?limit=4&cursor=${cursor}`;
      const { body } = await request(workspace, who, path);
      seen.push(...body.items.map((item: { id: string }) => item.id));
      cursor = body.cursor;
    }
    const all = await request(workspace, who, "/connections?limit=1000");
    expect(seen).toEqual(all.body.items.map((item: any) => item.id));
    expect(all.body).not.toHaveProperty("cursor");
  });
});

describe("running", () => {
  const who = { user: "runner" };
  const lab = () => workspace.world.connectionId("runner", "lab");
  const sent = { text: "hi" };

  test.each([
    ["/actions/act_lab_echo/run", { input: sent }],
    ["/actions/echo/run?integrationKey=lab", { input: sent, meta: { a: 1 } }],
    ["/action/run?key=echo&integrationKey=lab", { input: sent }],
    ["/action/run?key=echo&connectionKey=lab", { input: sent }],
    ["/connections/lab/actions/echo/run", sent],
    [
      "/action-instance/run?autoCreate=true&parentKey=echo&integrationKey=lab",
      sent,
    ],
    ["/act", { id: "act_lab_echo", input: sent }],
    ["/act", { key: "echo", integrationKey: "lab", input: sent }],
    ["/act", { key: "echo", connectionKey: "lab", input: sent }],
  ])("works by POST %s", async (path, body) => {
    const answer = await request(workspace, who, path, { body });
    expect(answer.body).toEqual({
      output: sent,
      actionRunId: expect.any(String),
    });
    expect(answer.headers.get("content-type")).toBe(
      "application/json; charset=utf-8",
    );
  });

  test.each([
    [{}],
    [{ id: "act_lab_echo", key: "echo" }],
    [{ id: "act_lab_echo", unknown: true }],
    [{ code: "export default () => 1" }],
    [[1]],
  ])("by /act refuses %j", async (body) => {
    const answer = await request(workspace, who, "/act", { body });
    expect(answer.status).toBe(400);
    expect(answer.body.message).toStartWith("Validation error: ");
  });

  test("keeps null apart from no input at all", async () => {
    const path = "/actions/act_lab_echo/run";
    const nothing = await request(workspace, who, path, { body: {} });
    expect(nothing.body).not.toHaveProperty("output");
    const none = await request(workspace, who, path, { body: { input: null } });
    expect(none.body.output).toBeNull();
  });

  test.each(["building", "archived", "deactivated", "setup-failed"])(
    "refuses an action that is %s",
    async (state) => {
      const path = `/actions/act_states_${state}/run`;
      const answer = await request(workspace, who, path, { body: {} });
      expect(answer.status).toBe(400);
      expect(answer.body).toMatchObject({
        type: "configuration",
        actionRunId: expect.any(String),
      });
    },
  );

  test("refuses an action on another app's connection", async () => {
    const path = `/actions/act_crm_pro_list/run?connectionId=${lab()}`;
    const answer = await request(workspace, who, path, { body: {} });
    expect(answer.status).toBe(400);
  });

  test.each([
    ["fail-not-authenticated", 401, "not_authenticated"],
    ["fail-access-denied", 403, "access_denied"],
    ["fail-not-found", 404, "not_found"],
    ["fail-already-exists", 409, "already_exists"],
    ["fail-rate-limited", 429, "rate_limit_exceeded"],
    ["fail-concurrency", 400, "lock_timeout"],
    ["fail-throw", 500, undefined],
    ["fail-internal", 500, undefined],
  ])("fails as %s with %d and the run's id", async (action, status, error) => {
    const answer = await request(workspace, who, "/act", {
      body: { key: action },
    });
    expect(answer.status).toBe(status);
    expect(answer.body.key).toBe(error);
    expect(answer.body.actionRunId).toBeString();
  });

  test("does not tell what a handler threw", async () => {
    const answer = await request(workspace, who, "/act", {
      body: { key: "fail-throw" },
    });
    expect(answer.text).not.toContain("undefined is not a function");
  });

  test("returns megabytes", async () => {
    const answer = await request(workspace, who, "/act", {
      body: { key: "large", input: { megabytes: 2 } },
    });
    expect(answer.body.output.text).toHaveLength(2 * 1024 * 1024);
  });
});

test("finds actions whose keys need encoding in a path", async () => {
  const named = encodeURIComponent("key with spaces/and slashes");
  const path = `/integrations/support/actions/${named}`;
  const answer = await request(workspace, { user: "encoder" }, path);
  expect(answer.body.key).toBe("key with spaces/and slashes");
});

test("ranks the actions of a connection by intent, and ignores it without one", async () => {
  const who = { user: "intent" };
  const on = workspace.world.connectionId("intent", "crm");
  const query = "intent=create%20a%20contact%20with%20an%20e-mail";
  const ranked = await request(
    workspace,
    who,
    `/actions?connectionId=${on}&${query}`,
  );
  expect(ranked.body.items[0].key).toBe("create-contact");
  const plain = await request(workspace, who, "/actions");
  const ignored = await request(workspace, who, `/actions?${query}`);
  expect(ignored.body).toEqual(plain.body);
});

test("a tenant may not make actions", async () => {
  const answer = await request(workspace, { user: "maker" }, "/actions", {
    body: { name: "Mine" },
  });
  expect(answer.status).toBe(403);
  expect(answer.body.key).toBe("access_denied");
});

test("an unknown route is 404 in Membrane's shape", async () => {
  const answer = await request(workspace, { user: "lost" }, "/nowhere");
  expect(answer.status).toBe(404);
  expect(answer.body.key).toBe("not_found");
});
