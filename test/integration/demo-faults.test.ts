import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mintToken } from "../../src/demo/token.ts";
import { demoWorld } from "../../src/demo/world.ts";
import {
  clientOf,
  openWorkspace,
  rejection,
  request,
  WORKSPACE,
} from "../support/demo-client.ts";
import { oddWorld } from "../support/odd-world.ts";

const workspace = openWorkspace(oddWorld({ bigActions: 3 }));
const who = { user: "ada" };
afterEach(() => workspace.faults.clear());
afterAll(() => workspace.close());

function control(path: string, init: { method?: string; body?: unknown } = {}) {
  return request(workspace, null, `/__control${path}`, init);
}

describe("a fault", () => {
  test("replaces the answers to matching requests, as many times as it says", async () => {
    const fault = workspace.faults.add({
      match: "GET /self",
      status: 503,
      raw: "<h1>down</h1>",
      headers: { "retry-after": "3" },
      times: 1,
    });
    const struck = await request(workspace, who, "/self");
    expect([struck.status, struck.text]).toEqual([503, "<h1>down</h1>"]);
    expect(struck.headers.get("retry-after")).toBe("3");
    expect((await request(workspace, who, "/self")).status).toBe(200);
    expect(fault.hits).toBe(1);
  });

  test("matches by method, and by a prefix or a pattern of path and query", async () => {
    workspace.faults.add({ match: "POST /.*/run", status: 500 });
    workspace.faults.add({ match: "GET /actions?limit=7", status: 418 });
    workspace.faults.add({ match: "* /integrations$", status: 419 });
    const status = async (path: string, body?: unknown) =>
      (await request(workspace, who, path, { body })).status;
    expect(await status("/actions/act_lab_echo/run", {})).toBe(500);
    expect(await status("/actions/act_lab_echo")).toBe(200);
    expect(await status("/actions?limit=7")).toBe(418);
    expect(await status("/actions?limit=8")).toBe(200);
    expect(await status("/integrations")).toBe(419);
    expect(await status("/integrations/lab")).toBe(200);
  });

  test("resets the socket, which the SDK sees as ECONNRESET", async () => {
    workspace.faults.add({ match: "GET /self", destroy: true });
    const membrane = await clientOf(workspace, "ada");
    const error = await rejection(membrane.self.get());
    expect(JSON.stringify([error.code, error.cause?.code])).toContain(
      "ECONNRESET",
    );
  });

  test("never answers until the caller gives up, which is recorded", async () => {
    workspace.faults.add({ match: "GET /self", hang: true });
    const membrane = await clientOf(workspace, "hung");
    const caller = new AbortController();
    const asked = membrane.get("/self", { hung: 1 }, { signal: caller.signal });
    const arrived = await workspace.when((one) => one.query["hung"] === "1");
    expect(arrived.aborted).toBe(false);
    caller.abort();
    await rejection(asked);
    await workspace.when((one) => one === arrived && one.aborted);
    expect(arrived.aborted).toBe(true);
  });

  test("that comes afterwards loses the answer of what was run", async () => {
    workspace.faults.add({
      match: "POST /act",
      afterwards: true,
      destroy: true,
      times: 1,
    });
    const run = () =>
      request(workspace, who, "/act", {
        body: { key: "count", input: { key: "lost" } },
      });
    await rejection(run());
    expect((await run()).body.output.count).toBe(2);
  });

  test("is refused when it is not well-formed", async () => {
    expect(() => workspace.faults.add({ match: "nonsense" })).toThrow();
    const answer = await control("/faults", {
      body: { match: "GET /self", unknown: 1 },
    });
    expect(answer.status).toBe(400);
  });
});

describe("a run that takes long", () => {
  test("ends with its caller's socket", async () => {
    const membrane = await clientOf(workspace, "impatient");
    const caller = new AbortController();
    const body = { key: "slow", input: { ms: 3_600_000 } };
    const asked = membrane.post("/act", body, { signal: caller.signal });
    const arrived = await workspace.when(
      (one) => (one.body as typeof body | undefined)?.key === "slow",
    );
    await workspace.entered("act_lab_slow");
    caller.abort();
    await rejection(asked);
    await workspace.when((one) => one === arrived && one.aborted);
    expect(workspace.runCounts("impatient")).toEqual({ act_lab_slow: 1 });
  });

  test("waits for its gate", async () => {
    let answered = false;
    const asked = request(workspace, who, "/act", {
      body: { key: "hold", input: { gate: "g1" } },
    }).finally(() => (answered = true));
    await workspace.entered("act_lab_hold");
    await request(workspace, who, "/self");
    expect(answered).toBe(false);
    workspace.openGate("g1");
    expect((await asked).body.output).toEqual({ released: "g1" });
  });
});

describe("a tenant's world can change while it is served", () => {
  test("by connections that come, break and go", async () => {
    const keys = async () =>
      (
        await request(
          workspace,
          { user: "mover" },
          "/connections?connected=true&limit=1000",
        )
      ).body.items.map((item: { key: string }) => item.key);
    expect(await keys()).not.toContain("late");
    workspace.world.addConnection("mover", {
      key: "late",
      name: "Late",
      integrationKey: "unused",
    });
    expect(await keys()).toContain("late");
    workspace.world.changeConnection("mover", "late", { connected: false });
    expect(await keys()).not.toContain("late");
    workspace.world.changeConnection("mover", "late", { connected: true });
    expect(await keys()).toContain("late");
    workspace.world.removeConnection("mover", "late");
    expect(await keys()).not.toContain("late");
  });

  test("by actions, and only for that tenant", async () => {
    const find = (user: string) =>
      request(workspace, { user }, "/integrations/unused/actions/ping");
    const old = (await find("changed")).body;
    const id = workspace.world.putAction(
      "changed",
      { integrationKey: "unused" },
      { key: "ping", name: "Ping, better", run: () => "better" },
    );
    expect((await find("changed")).body).toMatchObject({
      id: old.id,
      name: "Ping, better",
      revision: "2",
    });
    expect((await find("unchanged")).body.name).toBe("ping");
    workspace.world.removeAction("changed", id);
    expect((await find("changed")).status).toBe(404);
    expect((await find("unchanged")).status).toBe(200);
  });

  test("by tokens that are taken away and given back", async () => {
    const token = await mintToken({ ...WORKSPACE, user: "revoked" });
    const status = async () =>
      (await request(workspace, { token }, "/self")).status;
    expect(await status()).toBe(200);
    workspace.tokens.revoke(token);
    expect(await status()).toBe(401);
    workspace.tokens.restore(token);
    expect(await status()).toBe(200);
  });

  test("from another process, over HTTP", async () => {
    const at = "/tenants/remote";
    const added = await control(`${at}/connections`, {
      body: { key: "late", name: "Late", integrationKey: "unused" },
    });
    const action = await control(`${at}/actions`, {
      method: "PUT",
      body: {
        at: { connection: "late" },
        key: "answer",
        name: "Answer",
        output: 42,
      },
    });
    const run = () =>
      request(workspace, { user: "remote" }, "/act", {
        body: { id: action.body.id, connectionId: added.body.id },
      });
    expect((await run()).body.output).toBe(42);
    expect((await control("/runs?tenant=remote")).body).toEqual({
      [action.body.id]: 1,
    });
    await control(`${at}/connections/late`, {
      method: "PATCH",
      body: { connected: false },
    });
    expect((await run()).body.key).toBe("connection_is_defunct");
    await control(`${at}/actions/answer`, { method: "DELETE" });
    expect((await run()).status).toBe(404);
    await control("/faults", { body: { match: "POST /act", status: 599 } });
    expect((await run()).status).toBe(599);
    await control("/faults", { method: "DELETE" });
    expect((await run()).status).toBe(404);
    const { items } = (await control("/requests")).body;
    expect(items.at(-1)).toMatchObject({ method: "POST", path: "/act" });
  });
});

test("without control there is nothing to control", async () => {
  await using plain = openWorkspace(demoWorld(), { control: false });
  const answer = await request(plain, who, "/__control/faults", {
    body: { match: "GET /", status: 500 },
  });
  expect(answer.status).toBe(404);
});

test("closing cuts off those who wait, and can be asked twice", async () => {
  const closing = openWorkspace(oddWorld({ bigActions: 1 }));
  const waiting = request(closing, who, "/act", {
    body: { key: "hold", input: { gate: "never" } },
  });
  const cutOff = rejection(waiting);
  await closing.entered("act_lab_hold");
  await Promise.all([closing.close(), closing.close()]);
  expect(await cutOff).toBeInstanceOf(Error);
  await rejection(fetch(closing.url));
});
