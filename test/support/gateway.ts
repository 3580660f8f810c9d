import { drizzle } from "drizzle-orm/bun-sqlite";
import { createSeals } from "../../src/gateway/accounts/grant.ts";
import { createVault } from "../../src/runtime/vault.ts";
import { createAddresses } from "../../src/store/sqlite/addresses.ts";
import { openDatabase } from "../../src/store/sqlite/database.ts";
import { createSealedStore } from "../../src/store/sqlite/sealed.ts";
import { createUpstreamStore } from "../../src/store/sqlite/upstreams.ts";
import { createWriter } from "../../src/store/sqlite/writer.ts";
import type { Rig } from "./app.ts";
import { openRig, WORKSPACE_KEY } from "./app.ts";
import { createRest } from "./absent-servers.ts";
import type { Command, McpClient, McpClientOptions } from "./mcp-clients.ts";
import { openMcpClient } from "./mcp-clients.ts";

/** The whole server in this process, with registered MCP servers and no other source unless it is asked for. */
export type Gateway = Rig & {
  /** One request of the management API, of an administrator unless said; throws unless it succeeds. `path`: after `/mcp-servers`. */
  manage(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
    user?: string,
  ): Promise<any>;
  /** Registers a server and turns it on. */
  register(registration: Registration): Promise<void>;
  /** The id of a server. */
  id(slug: string): Promise<number>;
  /** Changes what is registered, whoever else has changed it. */
  change(slug: string, change: object): Promise<void>;
  /** An API key that acts as this member. */
  mintKey(user: string): Promise<string>;
  /** An official client, connected as this user. `path`: `/mcp` unless said. */
  client(user: string, options?: GatewayClientOptions): Promise<McpClient>;
};

export type GatewayClientOptions = McpClientOptions & { path?: string };

export type Registration = {
  /** Its name, and so its slug. */
  slug: string;
  at: string;
  sse?: boolean;
  authentication?: object;
  pinned?: boolean;
};

/** A program. It cannot be registered from outside. */
export type Program = { slug: string; at: Command };

export type GatewayOptions = Omit<
  NonNullable<Parameters<typeof openRig>[0]>,
  "before" | "sources" | "servers"
> & {
  upstreams?: (Registration | Program)[];
  /** Seals secrets; one of its own unless given. */
  key?: Uint8Array;
  /** Has the apps of the demo workspace too. */
  apps?: boolean;
};

export async function openGateway(
  options: GatewayOptions = {},
): Promise<Gateway> {
  const {
    upstreams = [],
    env = {},
    key = crypto.getRandomValues(new Uint8Array(32)),
    apps = false,
    ...rest
  } = options;
  const rig = await openRig({
    ...rest,
    ...(apps ? {} : { sources: [] }),
    env: {
      OUTBOUND_ALLOW: "127.0.0.0/8",
      TOKEN_SCOPES: "apps:admin",
      ENCRYPTION_KEY: Buffer.from(key).toString("base64"),
      ...env,
    },
    before: (directory) =>
      addPrograms(
        directory,
        key,
        upstreams.filter((one): one is Program => typeof one.at !== "string"),
      ),
  });
  const ask = createRest(rig.url);
  const base = `/api/v2/w/${WORKSPACE_KEY}/mcp-servers`;
  const manage: Gateway["manage"] = async (
    method,
    path,
    body,
    headers,
    user = "admin",
  ) => {
    const who = await rig.tokenFor(user);
    const answer = await ask(who, `${method} ${base}${path}`, body, headers);
    if (answer.status < 300) return answer.body;
    throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  };
  const id = async (slug: string): Promise<number> => {
    const servers: { id: number; slug: string }[] = await manage("GET", "");
    return servers.find((server) => server.slug === slug)!.id;
  };
  const register: Gateway["register"] = async ({
    slug,
    at,
    sse = false,
    ...more
  }) => {
    const transport = sse ? "sse" : "http";
    const made = await manage("POST", "", {
      name: slug,
      url: at,
      transport,
      ...more,
    });
    const { state } = await manage("POST", `/${made.id}/enable`);
    if (state !== "ready") throw new Error(`${slug} is not ready: ${state}`);
  };
  for (const server of upstreams) {
    if (typeof server.at === "string") await register(server as Registration);
  }
  return {
    ...rig,
    manage,
    id,
    register,
    async mintKey(user) {
      const path = `/api/v2/w/${WORKSPACE_KEY}/api-keys`;
      const body = { name: user, scope: "apps:read", memberId: user };
      const who = await rig.tokenFor("admin");
      const minted = await ask(who, `POST ${path}`, body);
      return minted.body.key as string;
    },
    async change(slug, change) {
      await manage("PATCH", `/${await id(slug)}`, change, { "if-match": "*" });
    },
    client: async (user, { path = "/mcp", ...client } = {}) =>
      openMcpClient(rig.url + path, {
        ...client,
        token: await rig.tokenFor(user),
      }),
  };
}

/** As the operator does, before the start. */
async function addPrograms(
  directory: string,
  key: Uint8Array,
  programs: Program[],
): Promise<void> {
  const client = openDatabase(directory);
  const writer = createWriter(client, () => {});
  const sealed = createSealedStore({ client, writer });
  const vault = createVault({ keys: [key], directory, sealed: () => sealed });
  const seals = createSeals(vault);
  const upstreams = createUpstreamStore({
    note: () => {},
    db: drizzle(client, { casing: "snake_case" }),
    writer,
    addresses: createAddresses(vault),
    othersVersion: () => 0,
  });
  for (const { slug, at } of programs) {
    const { command, args, env } = at;
    const uuid = crypto.randomUUID();
    await upstreams.create(
      {
        uuid,
        workspace: WORKSPACE_KEY,
        name: slug,
        slug,
        description: null,
        url: `stdio:${command}`,
        transport: "stdio",
        command: { command, args, cwd: null },
        authType: "none",
        appUuid: null,
        sealedSecret: env ? seals.sealShared({ uuid }, { env }) : null,
        state: "ready",
        enabled: true,
        setupStep: null,
        oauth: null,
        sealedOauth: null,
        about: {
          era: "sessions",
          protocolVersion: "2025-11-25",
          serverInfo: { name: slug, version: "1" },
          capabilities: {
            tools: { listChanged: true },
            prompts: { listChanged: true },
            resources: { subscribe: true, listChanged: true },
            logging: {},
            completions: {},
          },
          instructions: null,
        },
        pinned: false,
        lastCheckedAt: null,
        lastLatencyMs: null,
        lastError: null,
        createdAt: Date.now(),
        createdBy: null,
      },
      100,
    );
  }
  client.close();
}
