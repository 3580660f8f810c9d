import { describe, expect, test } from "bun:test";
import type { Principal } from "../../../../src/core/principal.ts";
import type { Upstream } from "../../../../src/core/upstream.ts";
import type { Member } from "../../../../src/sources/mcp/member.ts";
import { createMembers } from "../../../../src/sources/mcp/members.ts";

const server = (id: number, more: Partial<Upstream> = {}) =>
  ({ id, url: `https://s${id}`, authType: "none", ...more }) as Upstream;
const by = (subject: string, ...via: string[]) =>
  ({
    subject,
    workspace: "w",
    ...(via.length ? { via } : {}),
  }) as unknown as Principal;

/** Members that are busy until they are said to be idle, and how each was closed. */
function openMembers(max: number, servers: Upstream[]) {
  const closed: string[] = [];
  const idle = new Set<string>();
  const state = new Map(servers.map((one) => [one.id, one]));
  let used = 0;
  const members = createMembers(
    max,
    ({ id }) => state.get(id) ?? null,
    (upstream, principal) => {
      const name = [
        upstream.id,
        principal.subject,
        ...(principal.via ?? []),
      ].join(" ");
      const at = ++used;
      return {
        upstream,
        principal,
        idleFor: () => idle.has(name),
        usedAt: () => at,
        trim() {},
        close: (gently: boolean) =>
          void closed.push(gently ? `${name} gently` : name),
      } as unknown as Member;
    },
  );
  return { members, closed, idle, state };
}

describe("who is connected to registered servers", () => {
  test("each member of each server has one, which stays while the server is reached in the same way", () => {
    const { members, closed } = openMembers(10, [server(1), server(2)]);
    const ada = members.of(server(1), by("ada"));
    expect(members.of(server(1), by("ada"))).toBe(ada);
    expect(members.of(server(1, { name: "renamed" } as never), by("ada"))).toBe(
      ada,
    );
    expect(members.of(server(1), by("ben"))).not.toBe(ada);
    expect(members.of(server(2), by("ada"))).not.toBe(ada);
    expect(closed).toEqual([]);
    expect(members.of(server(1, { url: "https://moved" }), by("ada"))).not.toBe(
      ada,
    );
    expect(closed).toEqual(["1 ada"]);
  });

  test("more than there may be take the place of the one that is idle the longest, and of no busy one", () => {
    const { members, closed, idle } = openMembers(2, [server(1)]);
    members.of(server(1), by("ada"));
    members.of(server(1), by("ben"));
    expect(members.hasRoom()).toBeFalse();
    expect(() => members.of(server(1), by("cas"))).toThrow(/2 connections/);
    idle.add("1 ben");
    members.of(server(1), by("cas"));
    expect(closed).toEqual(["1 ben"]);
  });

  test("one member by many ways has four at most, and takes nobody else's place", () => {
    const { members, closed, idle } = openMembers(100, [server(1)]);
    members.of(server(1), by("ben"));
    idle.add("1 ben");
    for (const way of ["a", "b", "c", "d"])
      members.of(server(1), by("ada", way));
    expect(() => members.of(server(1), by("ada", "e"))).toThrow(
      /4 connections/,
    );
    idle.add("1 ada c");
    members.of(server(1), by("ada", "e"));
    expect(closed).toEqual(["1 ada c"]);
  });

  test("a change that leaves the way as it is lets calls go on; another ends them", () => {
    const { members, closed, state } = openMembers(10, [
      server(1),
      server(2),
      server(3),
    ]);
    for (const id of [1, 2, 3]) members.of(server(id), by("ada"));
    state.set(1, server(1, { description: "new" } as never));
    state.set(2, server(2, { url: "https://moved" }));
    state.delete(3);
    for (const id of [1, 2, 3]) members.drop(id);
    expect(closed).toEqual(["1 ada gently", "2 ada", "3 ada"]);
    expect(members.count()).toBe(0);
  });

  test("what concerns one member leaves the others alone", () => {
    const { members, closed } = openMembers(10, [server(1)]);
    members.of(server(1), by("ada"));
    members.of(server(1), by("ben"));
    members.drop(1, "ada");
    expect(closed).toEqual(["1 ada gently"]);
  });
});
