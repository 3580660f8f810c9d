import { expect, test } from "bun:test";
import { call } from "../support/caller.ts";
import { openGateway } from "../support/gateway.ts";
import { openTattler } from "../support/servers/tattler.ts";

const PLAIN = { accept: "application/json" };

test("a tool of a server that has just been registered can be called at once", async () => {
  await using server = await openTattler({ result: "done" });
  await using gateway = await openGateway({ apps: true, upstreams: [] });
  const post = (name: string) => gateway.post("ada", call(name), PLAIN);
  expect((await post("fresh_quiet")).body.error.message).toContain("Unknown");
  const { id } = await gateway.manage("POST", "", {
    name: "fresh",
    url: server.url,
    transport: "http",
    authentication: { type: "none" },
  });
  await gateway.manage("POST", `/${id}/enable`);
  const answers = await Promise.all([
    post("fresh_quiet"),
    gateway.post("ada", call("quiet"), PLAIN, "/mcp/fresh"),
  ]);
  expect(
    answers.map(({ body }) => body.error ?? body.result.content[0].text),
  ).toEqual(["done", "done"]);
});
