/**
 * One client scenario of the official suite, with our gateway as the client: the suite runs this with the URL of its
 * mock as the last argument. The mock is registered and turned on over the management API, and called through
 * `/mcp/mock` by the official client; where a member has to connect, the link is followed as a browser would.
 */
import {
  Client,
  StreamableHTTPClientTransport,
} from "@modelcontextprotocol/client";
import { createApp } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { mintToken } from "../../src/demo/token.ts";
import { silentLog } from "../support/clock.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { openBrowser } from "../support/member-browser.ts";
import { withoutGateway } from "./client-alone.ts";
import { play } from "./client-play.ts";

/** The suite's own, which nothing answers at. */
const CLIENT_ID_URL = "https://conformance-test.local/client-metadata.json";
/** More than the suite ever needs; a member who is asked for more gives up. */
const MAX_CONSENTS = 6;

const scenario = process.env["MCP_CONFORMANCE_SCENARIO"] ?? "";
const context = JSON.parse(process.env["MCP_CONFORMANCE_CONTEXT"] ?? "{}") as {
  client_id?: string;
  client_secret?: string;
};
const url = process.argv.at(-1)!;

if (withoutGateway.has(scenario)) {
  await withoutGateway.get(scenario)!(url);
  process.exit(0);
}

const workspaceKey = "conformance";
const secret = "a secret for the conformance suite that is long enough";
using directory = temporaryDirectory();
const app = createApp({
  config: readConfig({
    PORT: "0",
    DATA_DIR: directory.path,
    MEMBRANE_WORKSPACE_KEY: workspaceKey,
    MEMBRANE_WORKSPACE_SECRET: secret,
    TOKEN_SCOPES: "apps:admin",
    OUTBOUND_ALLOW: "127.0.0.1/32,localhost",
    OAUTH_CLIENT_ID_URL: CLIENT_ID_URL,
  }),
  log: silentLog,
  sources: [],
});
const gateway = await app.start();
const token = await mintToken({ workspaceKey, secret, user: "suite" });
const authorization = `Bearer ${token}`;
const servers = `${gateway}/api/v2/w/${workspaceKey}/mcp-servers`;
const browser = openBrowser();

type Answer = {
  id?: number;
  state?: string;
  lastError?: { message: string } | null;
  detail?: { authorizeUrl?: string };
};

async function post(path: string, body?: object): Promise<Answer> {
  const response = await fetch(`${servers}${path}`, {
    method: "POST",
    headers: {
      authorization,
      ...(body ? { "content-type": "application/json" } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return (await response.json()) as Answer;
}

let consents = 0;
async function consent(link: unknown): Promise<void> {
  if (typeof link !== "string" || consents++ === MAX_CONSENTS) {
    throw new Error(`There is no way on after ${consents} consents: ${link}`);
  }
  const page = await browser.submit(await browser.open(link));
  if (page.status !== 200) {
    throw new Error(`The browser ended at ${page.status}: ${page.text}`);
  }
}

const { client_id: clientId, client_secret: clientSecret } = context;
const { id } = await post("", {
  name: "mock",
  url,
  authentication: scenario.startsWith("auth/")
    ? {
        type: "oauth",
        ...(clientId === undefined ? {} : { clientId }),
        ...(clientSecret === undefined ? {} : { clientSecret }),
      }
    : { type: "none" },
});
let server = await post(`/${id}/enable`);
if (server.state === "authorize") {
  await consent((await post(`/${id}/enable`)).detail?.authorizeUrl);
  server = (await (
    await fetch(`${servers}/${id}`, { headers: { authorization } })
  ).json()) as Answer;
}
if (server.state !== "ready") {
  throw new Error(
    `The mock is in state ${server.state}: ${server.lastError?.message}`,
  );
}

const client = new Client(
  { name: "suite", version: "0" },
  { capabilities: { elicitation: { form: { applyDefaults: true } } } },
);
client.setRequestHandler("elicitation/create", () => ({
  action: "accept" as const,
  content: {},
}));
await client.connect(
  new StreamableHTTPClientTransport(new URL(`${gateway}/mcp/mock`), {
    requestInit: { headers: { authorization } },
  }),
);
/** Calls a tool, and again after each consent that this takes. */
async function call(name: string, args: Record<string, unknown> = {}) {
  for (;;) {
    const result = await client.callTool({ name, arguments: args });
    const error = result._meta?.["membrane-mcp/error"] as
      { authorizeUrl?: string; code?: string } | undefined;
    if (!error?.authorizeUrl) {
      if (result.isError && error)
        throw new Error(JSON.stringify(result.content));
      return;
    }
    await consent(error.authorizeUrl);
  }
}
// What a member who is not connected is shown in the place of the tools.
const connect = "connect-account";
const { tools } = await client.listTools();
if (tools.some(({ name }) => name === connect)) await call(connect);
await play(scenario, client, call);
await client.close();
await app.close();
process.exit(0);
