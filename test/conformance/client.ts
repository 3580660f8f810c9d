/**
 * One client scenario of the official suite, with our accounts as the OAuth client: the suite runs this with the URL
 * of its mock as the last argument. The mock becomes a registered server; where it wants to be authorized for, the
 * link that a member gets is followed as a browser would, and the call made again.
 */
import {
  Client,
  StreamableHTTPClientTransport,
} from "@modelcontextprotocol/client";
import type { FetchLike } from "@modelcontextprotocol/client";
import { GatewayError } from "../../src/core/errors.ts";
import type { UpstreamAccess } from "../../src/core/upstream.ts";
import { openBrowser } from "../support/member-browser.ts";
import { openGate, principal } from "../support/gate.ts";

/** The suite's own, which nothing answers at. */
const CLIENT_ID_URL = "https://conformance-test.local/client-metadata.json";
/** More than the suite ever needs; a member who is asked for more gives up. */
const MAX_CONSENTS = 6;

const scenario = process.env["MCP_CONFORMANCE_SCENARIO"] ?? "";
const revision = process.env["MCP_CONFORMANCE_PROTOCOL_VERSION"] ?? "";
const context = JSON.parse(process.env["MCP_CONFORMANCE_CONTEXT"] ?? "{}") as {
  client_id?: string;
  client_secret?: string;
  toolCalls?: { name: string; arguments: Record<string, unknown> }[];
};
const url = process.argv.at(-1)!;

/** Scenarios whose mock answers neither `server/discover` nor `initialize`: its era is known beforehand. */
const withoutHandshake = new Set([
  "http-standard-headers",
  "http-custom-headers",
  "http-invalid-tool-headers",
  "sep-2322-client-request-state",
]);

await using gate = await openGate({ settings: { clientIdUrl: CLIENT_ID_URL } });
const upstream = await gate.register({
  url,
  authType: scenario.startsWith("auth/") ? "oauth" : "none",
});
if (context.client_id !== undefined) {
  await gate.accounts.configure(upstream, {
    clientId: context.client_id,
    clientSecret: context.client_secret ?? null,
  });
}

const member = principal("suite");
const browser = openBrowser();
/** What the requests of a connection lacked. */
const lacking: GatewayError[] = [];
for (let consents = 0; ; consents++) {
  lacking.length = 0;
  try {
    await play(await connect(gate.accounts.access(upstream, member)));
    break;
  } catch (error) {
    const link = lacking.at(-1)?.data?.["authorizeUrl"];
    if (typeof link !== "string" || consents === MAX_CONSENTS) throw error;
    const page = await browser.submit(await browser.open(link));
    if (page.status !== 200) {
      throw new Error(`The browser ended at ${page.status}: ${page.text}`, {
        cause: error,
      });
    }
  }
}
process.exit(0);

/** Lets every request in, and asks once more when that changes something. */
function lettingIn(access: UpstreamAccess): FetchLike {
  const send: FetchLike = async (target, init) => {
    for (let again = false; ; again = true) {
      const given = await access.headers();
      const headers = new Headers(init?.headers);
      for (const [name, value] of Object.entries(given)) {
        headers.set(name, value);
      }
      const response = await fetch(target, { ...init, headers });
      const { status } = response;
      if (status !== 401 && status !== 403) return response;
      const challenge = response.headers.get("www-authenticate");
      await access.refused({ status, challenge, headers: given });
      if (again) return response;
    }
  };
  return async (target, init) => {
    try {
      return await send(target, init);
    } catch (error) {
      if (
        error instanceof GatewayError &&
        error.code === "needs_authorization"
      ) {
        lacking.push(error);
      }
      throw error;
    }
  };
}

async function connect(access: UpstreamAccess): Promise<Client> {
  const client = new Client(
    { name: "membrane-mcp", version: "0" },
    {
      capabilities: { elicitation: { form: { applyDefaults: true } } },
      ...(revision === "2026-07-28"
        ? { versionNegotiation: { mode: "auto" } }
        : {}),
    },
  );
  client.setRequestHandler("elicitation/create", () => ({
    action: "accept" as const,
    content:
      scenario === "sep-2322-client-request-state" ? { confirmed: true } : {},
  }));
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    fetch: lettingIn(access),
  });
  const discover = {
    resultType: "complete" as const,
    supportedVersions: ["2026-07-28"],
    capabilities: { tools: {}, resources: {}, prompts: {} },
    ttlMs: 0,
    cacheScope: "private" as const,
  };
  await client.connect(
    transport,
    withoutHandshake.has(scenario)
      ? { prior: { kind: "modern", discover } }
      : {},
  );
  return client;
}

/** What the scenario wants to see done. */
async function play(client: Client): Promise<void> {
  const { tools } = await client.listTools();
  const call = (name: string, args: Record<string, unknown> = {}) =>
    client.callTool({ name, arguments: args });
  if (scenario.startsWith("auth/")) await call("test-tool");
  else if (scenario === "tools_call") await call("add_numbers", { a: 5, b: 3 });
  else if (scenario === "http-custom-headers") {
    for (const { name, arguments: args } of context.toolCalls ?? []) {
      await call(name, args);
    }
  } else if (scenario === "http-invalid-tool-headers") {
    for (const { name } of tools) await call(name, { region: "us-west1" });
  } else if (scenario === "http-standard-headers") {
    await call(tools[0]!.name);
    const { resources } = await client.listResources();
    await client.readResource({ uri: resources[0]!.uri });
    const { prompts } = await client.listPrompts();
    await client.getPrompt({ name: prompts[0]!.name, arguments: {} });
  } else if (scenario === "sep-2322-client-request-state") {
    await call("test_mrtr_echo_state");
    await call("test_mrtr_no_state");
    await call("test_mrtr_unrelated");
    // Not an answer of this revision, and refused as such.
    await call("test_mrtr_no_result_type").catch(() => {});
  } else if (scenario === "json-schema-2020-12-preservation") {
    const { inputSchema } = tools.find(
      ({ name }) => name === "json_schema_2020_12_tool",
    )!;
    await call("json_schema_echo", { schema: inputSchema });
  } else if (scenario === "elicitation-sep1034-client-defaults") {
    await call("test_client_elicitation_defaults");
  } else if (scenario === "sse-retry") await call("test_reconnection");
  await client.close();
}
