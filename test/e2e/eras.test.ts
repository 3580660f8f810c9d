import { expect, test } from "bun:test";
import { SECRET, WORKSPACE_KEY, openServer } from "../support/binary.ts";
import { createCaller } from "../support/caller.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { oddWorld } from "../support/odd-world.ts";
import { connectModern } from "../support/stateless.ts";

// Demanded: eras-share-chats
test("one chat, clients of both eras, and kill -9 between them", async () => {
  await using workspace = openWorkspace(oddWorld({ bigActions: 3 }), {
    workspaceKey: WORKSPACE_KEY,
    secret: SECRET,
  });
  await using server = await openServer(workspace.url);
  const caller = createCaller(server.url, server.tokenFor);
  const token = await server.tokenFor("ada");
  const headers = { "x-chat-id": "a chat" };
  const path = "/mcp?mode=dynamic";
  const names = async (client: {
    listTools(): Promise<{ tools: { name: string }[] }>;
  }) => (await client.listTools()).tools.map(({ name }) => name);
  const crash = async () => {
    await server.kill9();
    await server.start();
  };

  const legacy = await caller.connect("ada", { path, headers });
  await legacy.client.callTool({
    name: "enable-tools",
    arguments: { tools: ["lab_echo"] },
  });
  await crash();

  const modern = await connectModern(server.url + path, token, { headers });
  expect(await names(modern)).toEqual(["enable-tools", "lab_echo"]);
  const result = await modern.callTool({
    name: "lab_echo",
    arguments: { from: "the other era" },
  });
  expect(result.structuredContent).toEqual({ from: "the other era" });
  await modern.callTool({
    name: "enable-tools",
    arguments: { tools: ["lab_whoami"] },
  });
  expect(await names(legacy.client)).toEqual(["enable-tools", "lab_whoami"]);
  await crash();

  // The same clients, and new ones that do not even say the mode.
  expect(await names(legacy.client)).toEqual(["enable-tools", "lab_whoami"]);
  expect(await names(modern)).toEqual(["enable-tools", "lab_whoami"]);
  const plain = await connectModern(`${server.url}/mcp`, token, { headers });
  expect(await names(plain)).toEqual(["enable-tools", "lab_whoami"]);

  // A chat that a stateless client began is continued by a session.
  const begun = { "x-chat-id": "begun without a session" };
  const first = await connectModern(server.url + path, token, {
    headers: begun,
  });
  await first.callTool({
    name: "enable-tools",
    arguments: { tools: ["lab_echo"] },
  });
  await crash();
  const second = await caller.connect("ada", { headers: begun });
  expect(await names(second.client)).toEqual(["enable-tools", "lab_echo"]);
  await caller.close();
});
