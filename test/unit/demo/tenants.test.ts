import { expect, test } from "bun:test";
import { openDemoDatabase } from "../../../src/demo/database.ts";
import { createTenants } from "../../../src/demo/tenants.ts";

const now = () => Date.parse("2026-03-02T12:00:00Z");

function tenants() {
  return createTenants({
    world: {
      integrations: [
        {
          key: "app",
          name: "App",
          actions: [{ key: "old", name: "Old", run: () => null }],
        },
      ],
      connections: () => [],
    },
    database: openDemoDatabase(":memory:", now),
    now,
    changed: () => {},
  });
}

test("an action that one tenant gets is not given to those who come later", () => {
  const all = tenants();
  all.control.putAction(
    "ada",
    { integrationKey: "app" },
    { key: "new", name: "New", run: () => null },
  );
  const keys = (tenant: string) =>
    all.see(tenant, null, null).actions.map((action) => action.world.key);
  expect(keys("ada")).toEqual(["old", "new"]);
  expect(keys("grace")).toEqual(["old"]);
});

test("a connection has the same id in every life of the workspace, and another for every tenant", () => {
  const add = (tenant: string) =>
    tenants().control.addConnection(tenant, { key: "mail", name: "Mail" });
  expect(add("ada")).toBe(add("ada"));
  expect(add("ada")).not.toBe(add("grace"));
});

test("what does not exist cannot be changed", () => {
  const { control } = tenants();
  expect(() => control.removeConnection("ada", "none")).toThrow("not found");
  expect(() => control.removeAction("ada", "none")).toThrow("not found");
  expect(() =>
    control.addConnection("ada", {
      key: "x",
      name: "X",
      integrationKey: "none",
    }),
  ).toThrow("not found");
});
