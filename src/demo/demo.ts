import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { GatewayError } from "../core/errors.ts";
import { DEMO_DATABASE, demoUser } from "./identity.ts";
import { mintToken } from "./token.ts";
import type { DemoWorkspace } from "./workspace.ts";
import { openDemoWorkspace } from "./workspace.ts";
import { demoWorld } from "./world.ts";

/** The embedded workspace of the `demo` command, and what a newcomer is told about it. */
export type Demo = AsyncDisposable & {
  /** Settings that point the server at this workspace. */
  settings: {
    MEMBRANE_API_URI: string;
    MEMBRANE_WORKSPACE_KEY: string;
    MEMBRANE_WORKSPACE_SECRET: string;
    MEMBRANE_PUBLIC_KEY: undefined;
    MEMBRANE_JWKS_URL: undefined;
    /** Its one user may try everything. */
    TOKEN_SCOPES: "apps:admin";
  };
  /** Tells the server at this address when somebody's connection changes. */
  tell(url: string): void;
  /** Address, token and ready-to-paste configuration. */
  welcome(url: string): string;
};

const TOKEN_SECONDS = 30 * 24 * 3600;

/** Opens the workspace on loopback. What its apps keep is `demo.db` in the data directory; its secret lives as long as the process. */
export async function openDemo(dataDir: string): Promise<Demo> {
  const secret = randomBytes(32).toString("hex");
  const database = join(dataDir, DEMO_DATABASE);
  let workspace: DemoWorkspace;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    workspace = openDemoWorkspace({
      workspaceKey: demoUser.workspace,
      secret,
      database,
      world: demoWorld(),
    });
  } catch (cause) {
    const { code = "", message } = cause as Error & { code?: string };
    const damaged = /^SQLITE_(CORRUPT|NOTADB)/.test(code);
    throw new GatewayError(
      "conflict",
      damaged
        ? `${database} is damaged: ${message}. It holds what the demo's apps keep; remove it to begin anew.`
        : `${database} cannot be used (${message}). Set DATA_DIR to a directory that can be written.`,
      { data: { reason: damaged ? "damaged" : "not_writable" }, cause },
    );
  }
  const token = await mintToken({
    workspaceKey: demoUser.workspace,
    secret,
    user: demoUser.subject,
    name: "Ada Lovelace",
    ttlSeconds: TOKEN_SECONDS,
  });
  return {
    settings: {
      MEMBRANE_API_URI: workspace.url,
      MEMBRANE_WORKSPACE_KEY: demoUser.workspace,
      MEMBRANE_WORKSPACE_SECRET: secret,
      MEMBRANE_PUBLIC_KEY: undefined,
      MEMBRANE_JWKS_URL: undefined,
      TOKEN_SCOPES: "apps:admin",
    },
    tell: (url) => workspace.sendWebhooks(`${url}/webhook/mcp`),
    welcome: (url) => welcome(url, token),
    [Symbol.asyncDispose]: () => workspace.close(),
  };
}

function welcome(url: string, token: string): string {
  const server = {
    url: `${url}/mcp`,
    headers: { Authorization: `Bearer ${token}` },
  };
  return `
membrane-mcp demo: notes, a calendar and contacts of a made-up user, Ada.

  URL    ${url}/mcp
  Token  ${token}
         (good until this process ends)

Cursor: put into ~/.cursor/mcp.json

${JSON.stringify({ mcpServers: { "membrane-demo": server } }, null, 2)}

Claude Code: run

  claude mcp add --transport http membrane-demo ${url}/mcp --header "Authorization: Bearer ${token}"

Claude Desktop: put into Settings > Developer > Edit Config

${JSON.stringify(
  {
    mcpServers: {
      "membrane-demo": {
        command: "npx",
        args: [
          "mcp-remote",
          `${url}/mcp`,
          "--header",
          `Authorization: Bearer ${token}`,
        ],
      },
    },
  },
  null,
  2,
)}

TypeScript SDK (@modelcontextprotocol/sdk):

  import { Client } from "@modelcontextprotocol/sdk/client/index.js";
  import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

  const client = new Client({ name: "my-app", version: "1.0.0" });
  await client.connect(
    new StreamableHTTPClientTransport(new URL("${url}/mcp"), {
      requestInit: { headers: { Authorization: "Bearer ${token}" } },
    }),
  );
  console.log((await client.listTools()).tools.map((tool) => tool.name));
`;
}
