import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, listTools, messages } from "../support/caller.ts";
import type { Listener } from "../support/caller.ts";
import { fakeClock } from "../support/clock.ts";
import type { FakeClock } from "../support/clock.ts";

/** The user's tools as they change, and as Membrane fails. */

const echo = (key: string) => ({
  key,
  name: key,
  description: `Returns its input (${key}).`,
  inputSchema: { type: "object" },
  run: (input: unknown) => input,
});

const PLAIN = { accept: "application/json" };
const MINUTE = 60_000;

async function names(rig: Rig, user: string, headers: object = PLAIN) {
  const { body } = await rig.post(user, listTools, { ...headers });
  return body.result.tools.map(
    ({ name }: { name: string }) => name,
  ) as string[];
}

const listRequests = (rig: Rig) =>
  rig.workspace.requests.filter(
    ({ path, method }) => method === "GET" && path.startsWith("/connections"),
  ).length;

const isChange = ({ data }: { data?: string }) =>
  Boolean(data?.includes("notifications/tools/list_changed"));

/** Lists again and again until a background load has found it. */
async function until(
  rig: Rig,
  clock: FakeClock,
  user: string,
  found: (names: string[]) => boolean,
) {
  for (;;) {
    const list = await names(rig, user);
    if (found(list)) return list;
    // The load that was under way may have asked before the change.
    clock.advance(MINUTE + 1);
  }
}

describe("a catalogue", () => {
  const clock = fakeClock(Date.now());
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig({ clock });
  });
  afterAll(() => rig[Symbol.asyncDispose]());

  test("is loaded once for fifty who ask at the same time, and kept", async () => {
    const before = listRequests(rig);
    await Promise.all(Array.from({ length: 50 }, () => names(rig, "fifty")));
    expect(listRequests(rig)).toBe(before + 1);
    await names(rig, "fifty");
    expect(listRequests(rig)).toBe(before + 1);
  });

  test("that is too old is served at once, and refreshed behind it", async () => {
    await names(rig, "old");
    rig.workspace.world.putAction(
      "old",
      { connection: "lab" },
      echo("brand-new"),
    );
    expect(await names(rig, "old")).not.toContain("lab_brand-new");
    clock.advance(MINUTE + 1);
    expect(await names(rig, "old")).not.toContain("lab_brand-new");
    const fresh = await until(rig, clock, "old", (list) =>
      list.includes("lab_brand-new"),
    );
    rig.workspace.world.removeAction("old", "brand-new");
    clock.advance(MINUTE + 1);
    const gone = await until(
      rig,
      clock,
      "old",
      (list) => !list.includes("lab_brand-new"),
    );
    expect(fresh.filter((name) => name !== "lab_brand-new")).toEqual(gone);
  });

  test("of one user never shows in another's", async () => {
    const before = await names(rig, "bob");
    rig.workspace.world.putAction(
      "ada",
      { connection: "lab" },
      echo("adas-own"),
    );
    expect(await names(rig, "ada")).toContain("lab_adas-own");
    clock.advance(MINUTE + 1);
    await names(rig, "bob");
    expect(await names(rig, "bob")).toEqual(before);
  });

  // Demanded: tools-list-changed
  test("that changes is announced to those who listen, and to nobody else", async () => {
    const open = async (user: string) => {
      const session = await rig.open(user);
      await rig.post(user, listTools, { "mcp-session-id": session });
      return rig.listen(user, { "mcp-session-id": session });
    };
    const [mine, also, theirs] = [
      await open("dora"),
      await open("dora"),
      await open("emil"),
    ];
    rig.workspace.world.putAction("dora", { connection: "lab" }, echo("more"));
    clock.advance(MINUTE + 1);
    await until(rig, clock, "dora", (list) => list.includes("lab_more"));
    const heard = (stream: Listener) => messages(stream.events).length;
    await Promise.all([mine.until(isChange), also.until(isChange)]);
    expect([heard(mine), heard(also), heard(theirs)]).toEqual([1, 1, 0]);
    // A refresh that changes nothing says nothing.
    const before = listRequests(rig);
    clock.advance(MINUTE + 1);
    await names(rig, "dora");
    while (listRequests(rig) === before) {
      // A load that began before counts from then, and is stale at once.
      clock.advance(MINUTE + 1);
      await names(rig, "dora");
    }
    rig.workspace.world.removeAction("dora", "more");
    clock.advance(MINUTE + 1);
    await until(rig, clock, "dora", (list) => !list.includes("lab_more"));
    while (heard(mine) < 2) await mine.until(() => heard(mine) >= 2);
    expect([heard(mine), heard(theirs)]).toEqual([2, 0]);
  });

  test("that changed while nobody listened, or we were down, is announced when somebody does", async () => {
    const session = await rig.open("fay");
    const headers = { "mcp-session-id": session };
    await rig.post("fay", listTools, headers);
    rig.workspace.world.putAction("fay", { connection: "lab" }, echo("later"));
    await rig.restart();
    const stream = await rig.listen("fay", headers);
    await stream.until(isChange);
    expect(await names(rig, "fay", headers)).toContain("lab_later");
    stream.close();
    await stream.ended;
    // Told once: the next stream has nothing to say, as a change after it shows.
    let again = await rig.listen("fay", headers);
    while (again.status === 409) again = await rig.listen("fay", headers);
    rig.workspace.world.removeAction("fay", "later");
    clock.advance(MINUTE + 1);
    await until(rig, clock, "fay", (list) => !list.includes("lab_later"));
    await again.until(isChange);
    expect(messages(again.events)).toHaveLength(1);
  });

  test("of an app that was disconnected is empty, and full again when it is connected", async () => {
    const full = await names(rig, "gil");
    const change = async (connected: boolean) => {
      rig.workspace.world.changeConnection("gil", "lab", { connected });
      clock.advance(MINUTE + 1);
      return until(
        rig,
        clock,
        "gil",
        (list) => list.some((name) => name.startsWith("lab_")) === connected,
      );
    };
    const without = await change(false);
    expect(without).toEqual(full.filter((name) => !name.startsWith("lab_")));
    expect(await change(true)).toEqual(full);
  });
});

describe("while Membrane fails", () => {
  test("one app's tools stay as they were last known, and no other's are missed", async () => {
    const clock = fakeClock(Date.now());
    await using rig = await openRig({ clock });
    const full = await names(rig, "ada");
    const lab = rig.workspace.world.connectionId("ada", "lab");
    const fault = {
      match: `GET /actions\\?.*connectionId=${lab}`,
      status: 500,
    };
    rig.workspace.faults.add(fault);
    clock.advance(MINUTE + 1);
    await names(rig, "ada");
    const warned = () =>
      rig.lines.some((line) => JSON.stringify(line).includes("lab"));
    while (!warned()) await names(rig, "ada");
    expect(await names(rig, "ada")).toEqual(full);
    rig.workspace.faults.clear();
    rig.workspace.world.removeAction("ada", "echo");
    clock.advance(MINUTE + 1);
    await until(rig, clock, "ada", (list) => !list.includes("lab_echo"));
  });

  test("an app that has never answered costs only its own tools", async () => {
    const clock = fakeClock(Date.now());
    await using rig = await openRig({ clock });
    const lab = rig.workspace.world.connectionId("ada", "lab");
    rig.workspace.faults.add({
      match: `GET /actions\\?.*connectionId=${lab}`,
      status: 503,
    });
    const part = await names(rig, "ada");
    expect(part.length).toBeGreaterThan(0);
    rig.workspace.faults.clear();
    clock.advance(MINUTE + 1);
    const full = await until(
      rig,
      clock,
      "ada",
      (list) => list.length > part.length,
    );
    expect(part).toEqual(full.filter((name) => !name.startsWith("lab_")));
  });

  test("sessions open all the same, lists say what is wrong, and all is well as soon as Membrane is", async () => {
    await using rig = await openRig();
    rig.workspace.faults.add({ match: "* /", status: 503 });
    const session = await rig.open("ada");
    const headers = { "mcp-session-id": session };
    const { status, body } = await rig.post("ada", listTools, headers);
    expect(status).toBe(200);
    expect(body.error.code).toBe(-32000);
    expect(body.error.message).toContain("Membrane");
    const health = await (await fetch(`${rig.url}/health`)).json();
    expect(health).toMatchObject({ checks: { membrane: "failing" } });
    rig.workspace.faults.clear();
    expect((await names(rig, "ada", headers)).length).toBeGreaterThan(30);
  });

  test("a list that was known is served for as long as it takes", async () => {
    const clock = fakeClock(Date.now());
    await using rig = await openRig({ clock });
    const full = await names(rig, "ada");
    rig.workspace.faults.add({ match: "* /", destroy: true });
    for (let hours = 0; hours < 3; hours++) {
      clock.advance(20 * MINUTE);
      expect(await names(rig, "ada")).toEqual(full);
    }
  });
});

test("a connection that cannot be listed, or has to be renewed, keeps its names from a newcomer", async () => {
  const clock = fakeClock(Date.now());
  await using rig = await openRig({ clock });
  const { world, faults } = rig.workspace;
  const lab = world.connectionId("ada", "lab");
  const before = await names(rig, "ada");
  const runsOn = async (name: string) => {
    const { body } = await rig.post("ada", call(name), PLAIN);
    return body.result?.structuredContent?.connectionId;
  };
  expect(await runsOn("lab_whoami")).toBe(lab);
  for (const breakIt of [
    () =>
      void faults.add({
        match: `GET /actions\\?.*connectionId=${lab}`,
        status: 500,
      }),
    () => world.changeConnection("ada", "lab", { connected: false }),
  ]) {
    breakIt();
    world.addConnection("ada", {
      key: "lab-2",
      name: "A second Lab",
      integrationKey: "lab",
    });
    // A process that has never seen the tools of the first.
    await rig.restart();
    const during = await names(rig, "ada");
    expect(during.some((name) => /^lab-\w{6}_echo$/.test(name))).toBe(true);
    expect(during).not.toContain("lab_echo");
    faults.clear();
    world.changeConnection("ada", "lab", { connected: true });
    world.removeConnection("ada", "lab-2");
    await rig.restart();
    expect(await names(rig, "ada")).toEqual(before);
    expect(await runsOn("lab_whoami")).toBe(lab);
  }
});

test("a tool keeps its name while everything around it changes", async () => {
  const clock = fakeClock(Date.now());
  await using rig = await openRig({ clock });
  const before = await names(rig, "ada");
  const { world } = rig.workspace;
  world.putAction("ada", { connection: "lab" }, echo("aaa-first"));
  world.putAction("ada", { connection: "lab" }, echo("echo_"));
  world.addConnection("ada", {
    key: "lab-2",
    name: "A second Lab",
    integrationKey: "lab",
  });
  clock.advance(MINUTE + 1);
  const after = await until(
    rig,
    clock,
    "ada",
    (list) => list.length > before.length + 2,
  );
  for (const name of before) expect(after).toContain(name);
  world.removeAction("ada", "aaa-first");
  world.removeConnection("ada", "lab-2");
  world.removeAction("ada", "echo_");
  await rig.restart();
  expect(await names(rig, "ada")).toEqual(before);
  // The second connection comes back under the marked prefix it had.
  const marked = after.filter((name) => name.startsWith("lab-"));
  expect(marked.length).toBeGreaterThan(0);
});
