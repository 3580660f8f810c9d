import type { Client } from "@modelcontextprotocol/client";

type Call = (name: string, args?: Record<string, unknown>) => Promise<unknown>;

/** Does what a scenario of the suite wants to see done. */
export async function play(
  scenario: string,
  client: Client,
  call: Call,
): Promise<void> {
  const { tools } = await client.listTools();
  const context = JSON.parse(
    process.env["MCP_CONFORMANCE_CONTEXT"] ?? "{}",
  ) as { toolCalls?: { name: string; arguments: Record<string, unknown> }[] };
  switch (scenario) {
    case "tools_call":
      return void (await call("add_numbers", { a: 5, b: 3 }));
    case "http-custom-headers":
      for (const { name, arguments: args } of context.toolCalls ?? []) {
        await call(name, args);
      }
      return;
    case "http-invalid-tool-headers":
      for (const { name } of tools) await call(name, { region: "us-west1" });
      return;
    case "http-standard-headers": {
      await call(tools[0]!.name);
      const { resources } = await client.listResources();
      await client.readResource({ uri: resources[0]!.uri });
      const { prompts } = await client.listPrompts();
      await client.getPrompt({ name: prompts[0]!.name, arguments: {} });
      return;
    }
    case "sep-2322-client-request-state":
      await call("test_mrtr_echo_state");
      await call("test_mrtr_no_state");
      await call("test_mrtr_unrelated");
      // Not an answer of this revision, and refused as such.
      await call("test_mrtr_no_result_type").catch(() => {});
      return;
    case "json-schema-2020-12-preservation": {
      const { inputSchema } = tools.find(
        ({ name }) => name === "json_schema_2020_12_tool",
      )!;
      return void (await call("json_schema_echo", { schema: inputSchema }));
    }
    case "elicitation-sep1034-client-defaults":
      return void (await call("test_client_elicitation_defaults"));
    case "sse-retry":
      return void (await call("test_reconnection"));
    default:
      if (scenario.startsWith("auth/")) await call("test-tool");
  }
}
