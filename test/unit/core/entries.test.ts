import { expect, test } from "bun:test";
import {
  enabledEntries,
  memberEntries,
  upstreamEntries,
} from "../../../src/core/entries.ts";
import { BY_ITSELF, BY_OPERATOR } from "../../../src/core/journal.ts";
import type { Credential, Upstream } from "../../../src/core/upstream.ts";

const who = { workspace: "w", subject: "ada" };
const server = {
  id: 7,
  slug: "lab",
  workspace: "w",
  name: "Lab",
  transport: "sse",
  authType: "none",
  state: "ready",
  enabled: true,
  lastError: null,
  url: "https://one.example/",
  sealedSecret: null,
} as Upstream;
const failure = { code: "upstream_unreachable", message: "It is away.", at: 1 };

test("several things that one change does are each said, in words for who was not there", () => {
  const after = { ...server, enabled: false, lastError: failure, name: "L" };
  expect(
    upstreamEntries(server, after, BY_ITSELF).map(({ type, data }) => [
      type,
      data,
    ]),
  ).toEqual([
    ["server_disabled", { server: "lab", serverId: 7, state: "ready" }],
    [
      "server_failed",
      {
        server: "lab",
        serverId: 7,
        code: "upstream_unreachable",
        message: "It is away.",
      },
    ],
    ["server_changed", { server: "lab", serverId: 7, changed: ["name"] }],
  ]);
});

test("of what has changed the names are said, and never what it was or is", () => {
  const after = {
    ...server,
    sealedSecret: "sealed",
    url: "https://two.example/",
  };
  const [entry, ...more] = upstreamEntries(server, after, BY_ITSELF);
  expect(more).toEqual([]);
  expect(entry!.data).toEqual({
    server: "lab",
    serverId: 7,
    changed: ["url", "sealedSecret"],
  });
});

test("another secret of the client is a change when somebody has made it", () => {
  const before = { ...server, sealedOauth: "sealed" };
  const after = { ...before, sealedOauth: "sealed anew" };
  expect(
    upstreamEntries(before, after, BY_OPERATOR).map(({ type, data }) => [
      type,
      data["changed"],
    ]),
  ).toEqual([["server_changed", ["oauth"]]]);
  // Learned from the authorization server.
  expect(upstreamEntries(before, after, BY_ITSELF)).toEqual([]);
  expect(upstreamEntries(before, before, BY_OPERATOR)).toEqual([]);
});

test("nothing that was and is not is nothing to say", () => {
  expect(upstreamEntries(null, null, BY_ITSELF)).toEqual([]);
  expect(memberEntries(server, "ada", null, null, BY_ITSELF)).toEqual([]);
});

test("the order in which tools are enabled counts, as it does for who is shown them", () => {
  const of = { session: null, chat: "c" };
  const said = (before: string[], after: string[]) =>
    enabledEntries(who, of, before, after, BY_ITSELF).length;
  expect(said(["a", "b"], ["a", "b"])).toBe(0);
  expect(said(["a", "b"], ["b", "a"])).toBe(1);
  expect(said(["a"], [])).toBe(1);
});

test("a member's connection that has ended ends once, whatever becomes of its row", () => {
  const at = (status: Credential["status"], connectedAt = 1) =>
    ({ status, connectedAt, authType: "oauth" }) as Credential;
  const said = (before: Credential | null, after: Credential | null) =>
    memberEntries(server, "ada", before, after, BY_ITSELF)[0]?.type;
  expect(said(null, at("active"))).toBe("member_connected");
  expect(said(at("active"), at("active"))).toBeUndefined();
  expect(said(at("active"), at("active", 2))).toBe("member_connected");
  expect(said(at("active"), at("expired"))).toBe("member_expired");
  expect(said(at("expired"), null)).toBe("member_disconnected");
  expect(said(at("active"), at("revoked"))).toBe("member_disconnected");
  expect(said(at("revoked"), null)).toBeUndefined();
  expect(said(at("expired"), at("active"))).toBe("member_connected");
});
