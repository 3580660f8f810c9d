import { drizzle } from "drizzle-orm/bun-sqlite";
import type {
  SharedSecret,
  Upstream,
  UpstreamEdit,
  UpstreamStore,
} from "../../src/core/upstream.ts";
import { createSeals } from "../../src/gateway/grant.ts";
import { createVault } from "../../src/runtime/vault.ts";
import { openDatabase } from "../../src/store/sqlite/database.ts";
import { createSealedStore } from "../../src/store/sqlite/sealed.ts";
import { createUpstreamStore } from "../../src/store/sqlite/upstreams.ts";
import { createWriter } from "../../src/store/sqlite/writer.ts";
import type { Rig } from "./app.ts";
import { openRig, WORKSPACE_KEY } from "./app.ts";
import type { Command, McpClient, McpClientOptions } from "./mcp-clients.ts";
import { openMcpClient } from "./mcp-clients.ts";

/** The whole server in this process, with registered MCP servers and no other source. */
export type Gateway = Rig & {
  /** As it is registered now. */
  server(slug: string): Upstream;
  register(registration: Registration): Promise<Upstream>;
  change(slug: string, edit: UpstreamEdit): Promise<void>;
  remove(slug: string): Promise<void>;
  /** Gives a member a token of their own for a `direct_auth` server; null takes it away. */
  connectMember(
    slug: string,
    user: string,
    token: string | null,
  ): Promise<void>;
  /** What is kept of servers, as it is now. */
  upstreams: UpstreamStore;
  /** An official client, connected as this user. `path`: `/mcp` unless said. */
  client(
    user: string,
    options?: McpClientOptions & { path?: string },
  ): Promise<McpClient>;
};

export type Registration = {
  slug: string;
  /** A URL, or the program of a stdio server. */
  at: string | Command;
  sse?: boolean;
  authType?: Upstream["authType"];
  secret?: SharedSecret;
} & Partial<Pick<Upstream, "name" | "pinned" | "enabled" | "about">>;

export type GatewayOptions = Omit<
  NonNullable<Parameters<typeof openRig>[0]>,
  "before" | "sources"
> & {
  servers?: Registration[];
};

/** What such servers say of themselves, so that what they say of changes is listened for. */
const about: Upstream["about"] = {
  era: "sessions",
  protocolVersion: "2025-11-25",
  serverInfo: { name: "test", version: "1" },
  capabilities: {
    tools: { listChanged: true },
    prompts: { listChanged: true },
    resources: { subscribe: true, listChanged: true },
    logging: {},
    completions: {},
  },
  instructions: null,
};

export async function openGateway(
  options: GatewayOptions = {},
): Promise<Gateway> {
  const key = crypto.getRandomValues(new Uint8Array(32));
  let desk: ReturnType<typeof openDesk> | null = null;
  const { servers = [], env = {}, ...rest } = options;
  const rig = await openRig({
    ...rest,
    sources: [],
    env: {
      OUTBOUND_ALLOW: "127.0.0.0/8",
      TOKEN_SCOPES: "apps:admin",
      ENCRYPTION_KEY: Buffer.from(key).toString("base64"),
      ...env,
    },
    async before(directory) {
      desk = openDesk(directory, key);
      for (const server of servers) await desk.register(server);
    },
  });
  const { register, upstreams, close, connectMember } = desk!;
  const server = (slug: string) => upstreams.findByName(WORKSPACE_KEY, slug)!;
  /** Another process has changed something: noticed at the next tick. */
  const noticed = async <T>(change: Promise<T>): Promise<T> => {
    const changed = await change;
    rig.tick();
    return changed;
  };
  return {
    ...rig,
    upstreams,
    server,
    register: (registration) => noticed(register(registration)),
    change: async (slug, edit) =>
      void (await noticed(
        upstreams.edit(server(slug).id, () => edit, Date.now()),
      )),
    remove: async (slug) =>
      void (await noticed(upstreams.remove(server(slug).id))),
    connectMember: (slug, user, token) =>
      noticed(connectMember(server(slug), user, token)),
    client: async (user, { path = "/mcp", ...client } = {}) =>
      openMcpClient(rig.url + path, {
        ...client,
        token: await rig.tokenFor(user),
      }),
    async [Symbol.asyncDispose]() {
      await rig[Symbol.asyncDispose]();
      close();
    },
  };
}

/** The store of a data directory beside the process that runs on it. */
function openDesk(directory: string, key: Uint8Array) {
  const client = openDatabase(directory);
  const db = drizzle(client, { casing: "snake_case" });
  const writer = createWriter(client, () => {});
  const sealed = createSealedStore({ client, writer });
  const seals = createSeals(
    createVault({ keys: [key], directory, sealed: () => sealed }),
  );
  const version = client.prepare<{ data_version: number }, []>(
    "PRAGMA data_version",
  );
  const upstreams = createUpstreamStore({
    db,
    writer,
    othersVersion: () => version.get()!.data_version,
  });

  return {
    upstreams,
    close: () => client.close(),
    register({
      slug,
      at,
      sse = false,
      secret,
      authType = "none",
      ...more
    }: Registration): Promise<Upstream> {
      const uuid = crypto.randomUUID();
      const command =
        typeof at === "string"
          ? null
          : { command: at.command, args: at.args, cwd: null };
      const shared =
        typeof at === "string" || !at.env ? secret : { ...secret, env: at.env };
      return upstreams.create(
        {
          uuid,
          workspace: WORKSPACE_KEY,
          name: slug,
          slug,
          description: null,
          url: typeof at === "string" ? at : `stdio:${at.command}`,
          transport: command ? "stdio" : sse ? "sse" : "streamable_http",
          command,
          authType,
          appUuid: null,
          sealedSecret: shared ? seals.sealShared({ uuid }, shared) : null,
          state: "ready",
          enabled: true,
          setupStep: null,
          oauth: null,
          sealedOauth: null,
          about,
          pinned: false,
          lastCheckedAt: null,
          lastLatencyMs: null,
          lastError: null,
          createdAt: Date.now(),
          createdBy: null,
          ...more,
        },
        100,
      );
    },
    async connectMember(server: Upstream, user: string, token: string | null) {
      if (token === null) {
        await upstreams.removeCredential(server.id, user);
        return;
      }
      await upstreams.editCredential(server.id, user, () => ({
        name: user,
        authType: server.authType,
        status: "active",
        sealed: seals.sealOwnToken(server, user, token),
        refreshingAt: null,
        connectedAt: Date.now(),
        expiresAt: null,
        lastUsedAt: null,
      }));
    },
  };
}
