import { unlimited } from "./admission.ts";
import { Database } from "bun:sqlite";
import { drizzle } from "drizzle-orm/bun-sqlite";
import { GatewayError } from "../../src/core/errors.ts";
import type { Principal, Scope } from "../../src/core/principal.ts";
import type { Clock, LogFields, Vault } from "../../src/core/runtime.ts";
import type { Store } from "../../src/core/store.ts";
import type {
  Upstream,
  UpstreamAccess,
  UpstreamStore,
} from "../../src/core/upstream.ts";
import type { Accounts } from "../../src/gateway/accounts/accounts.ts";
import { createAccounts } from "../../src/gateway/accounts/accounts.ts";
import { createHttp } from "../../src/http/server.ts";
import { randomIds, systemClock } from "../../src/runtime/machine.ts";
import { createOutbound } from "../../src/runtime/outbound.ts";
import { createVault } from "../../src/runtime/vault.ts";
import { createOAuthClient } from "../../src/sources/mcp/oauth.ts";
import { createAddresses } from "../../src/store/sqlite/addresses.ts";
import { databaseFile, openDatabase } from "../../src/store/sqlite/database.ts";
import { openSqlite } from "../../src/store/sqlite/sqlite.ts";
import type { Browser, Page } from "./member-browser.ts";
import { createUpstreamStore } from "../../src/store/sqlite/upstreams.ts";
import { createWriter } from "../../src/store/sqlite/writer.ts";
import type { Management } from "../../src/gateway/servers/management.ts";
import { temporaryDirectory } from "./directory.ts";
import { holdToDocument } from "./documented.ts";
import { registrationOf } from "./upstreams.ts";

/** Registered servers, their members' accounts and the routes that connect them, on real sockets; no more of the product. */
export type Gate = AsyncDisposable & {
  /** Of the listener. */
  url: string;
  directory: string;
  accounts: Accounts;
  store: Store;
  lines: (LogFields & { event: string; level: string })[];
  /** Its configuration may change. */
  settings: GateSettings;
  register(changes?: Partial<Upstream>): Promise<Upstream>;
  /** As it is now. */
  current(upstream: Upstream): Upstream;
  /** Asks a server in a member's name, as a connection does: once more when the first answer asks for that. */
  call(upstream: Upstream, user: string, access?: UpstreamAccess): Promise<any>;
  /** What a member has to do before they can call. */
  needs(upstream: Upstream, user: string): Promise<Record<string, string>>;
  /** Goes with a member's browser through the link and back. */
  connect(upstream: Upstream, user: string, browser: Browser): Promise<Page>;
  /** Closes the store and all that is over it, and opens them anew: another process, over the same files. */
  reopen(): Promise<void>;
  /** The same servers and members in another process, over a connection of its own to the same file. */
  beside(): AsyncDisposable & { accounts: Accounts };
  /** Changes rows behind the store's back. */
  tamper(statement: string, ...values: string[]): void;
};

export type GateSettings = {
  /** Our address as users see it; null: that of the listener. */
  publicUrl: string | null;
  clientIdUrl: string | null;
};

export const WORKSPACE = "wk";

export const principal = (
  subject: string,
  scope: Scope | null = "apps:write",
): Principal => ({
  workspace: WORKSPACE,
  subject,
  name: subject.toUpperCase(),
  method: "membrane",
  scope,
  token: `the-own-token-of-${subject}`,
  expiresAt: null,
});

export async function openGate(
  options: {
    clock?: Clock;
    settings?: Partial<GateSettings>;
    /** May be reached beside the public. */
    allow?: string[];
    key?: Uint8Array;
  } = {},
): Promise<Gate> {
  const { clock = systemClock, allow = ["127.0.0.1/32", "localhost"] } =
    options;
  const directory = temporaryDirectory();
  const lines: Gate["lines"] = [];
  const at =
    (level: string) =>
    (event: string, fields: LogFields = {}) =>
      void lines.push({ level, event, ...fields });
  const log = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  };
  const settings: GateSettings = {
    publicUrl: null,
    clientIdUrl: null,
    ...options.settings,
  };
  const base = (): string => settings.publicUrl ?? url;
  const key = options.key ?? crypto.getRandomValues(new Uint8Array(32));

  const accountsOver = (upstreams: UpstreamStore, vault: Vault) =>
    createAccounts({
      upstreams,
      vault,
      oauth: createOAuthClient(createOutbound({ allow, userAgent: "gate" })),
      clock,
      ids: randomIds,
      log,
      baseUrl: base,
      clientIdUrl: () => settings.clientIdUrl,
    });

  function compose() {
    const vault = createVault({
      keys: [key],
      directory: directory.path,
      sealed: () => store.sealed,
    });
    const store: Store = openSqlite({
      vault,
      directory: directory.path,
      clock,
      sessionCache: 10,
      caps: { events: 20, bytes: 100_000 },
    });
    const accounts = accountsOver(store.upstreams, vault);
    const verify = async (text: string) => {
      const [user = "", scope = "apps:write"] = text.split("=");
      return principal(user, scope as Scope);
    };
    const http = createHttp({
      version: "0",
      admission: unlimited,
      store,
      clock,
      ids: randomIds,
      log,
      hosts: ["localhost", "127.0.0.1", "gate.example"],
      origins: [],
      publicUrl: settings.publicUrl,
      trustedProxies: [],
      maxBodyBytes: 100_000,
      draining: () => false,
      gatewayId: "gate",
      mcp: {} as never,
      keys: {} as never,
      eventStreams: {} as never,
      audit: {} as never,
      tokens: { verify },
      apiKeys: { verify },
      tickets: {} as never,
      tokenInQuery: false,
      sessions: store.sessions,
      sourceHealth: () => ({}),
      authorizationServers: [],
      connecting: {
        ...accounts,
        clientId: () => settings.clientIdUrl ?? `${base()}/oauth/client.json`,
      },
      registered: store.upstreams,
      management: {} as Management,
      webhooks: {} as never,
      incoming: null,
      mac: vault.mac,
      secret: randomIds.secret,
    });
    return { store, accounts, http };
  }

  let whole = compose();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: (request) =>
      whole.http(request, { address: null, setIdleTimeout: () => {} }),
  });
  const url = `http://127.0.0.1:${server.port}`;
  const asDocumented = holdToDocument(url);

  let registered = 0;
  const gate: Gate = {
    url,
    directory: directory.path,
    lines,
    settings,
    get accounts() {
      return whole.accounts;
    },
    get store() {
      return whole.store;
    },
    register(changes = {}) {
      const n = ++registered;
      return whole.store.upstreams.create(
        registrationOf({
          uuid: crypto.randomUUID(),
          workspace: WORKSPACE,
          name: `Server ${n}`,
          slug: `server-${n}`,
          authType: "oauth",
          state: "authorize",
          setupStep: "authorize",
          createdAt: clock.now(),
          createdBy: "ada",
          ...changes,
        }),
        1000,
      );
    },
    current: ({ workspace, id }) => whole.store.upstreams.find(workspace, id)!,
    async call(
      upstream,
      user,
      access = whole.accounts.access(upstream, principal(user)),
    ) {
      const ask = async () => {
        const headers = await access.headers();
        const response = await fetch(upstream.url, { method: "POST", headers });
        return { headers, response, body: await response.text() };
      };
      let { headers, response, body } = await ask();
      const { status } = response;
      if (status === 401 || status === 403) {
        const challenge = response.headers.get("www-authenticate");
        await access.refused({ status, challenge, headers });
        ({ headers, response, body } = await ask());
        if (response.status === 401 || response.status === 403) {
          await access.refused({
            status: response.status,
            challenge: response.headers.get("www-authenticate"),
            headers,
          });
        }
      }
      if (!response.ok) throw new Error(`${response.status} ${body}`);
      return JSON.parse(body);
    },
    async needs(upstream, user) {
      try {
        await gate.call(upstream, user);
      } catch (error) {
        if (
          error instanceof GatewayError &&
          error.code === "needs_authorization"
        ) {
          return error.data as Record<string, string>;
        }
        throw error;
      }
      throw new Error(`${user} needs nothing`);
    },
    async connect(upstream, user, browser) {
      const { authorizeUrl } = await gate.needs(upstream, user);
      return browser.submit(await browser.open(authorizeUrl!));
    },
    async reopen() {
      await whole.store.close();
      whole = compose();
    },
    beside() {
      const client = openDatabase(directory.path);
      const db = drizzle(client, { casing: "snake_case" });
      const version = client.prepare<{ data_version: number }, []>(
        "PRAGMA data_version",
      );
      const vault = createVault({
        keys: [key],
        directory: directory.path,
        sealed: () => whole.store.sealed,
      });
      const upstreams = createUpstreamStore({
        db,
        note: () => {},
        addresses: createAddresses(vault),
        writer: createWriter(client, () => {}),
        othersVersion: () => version.get()!.data_version,
      });
      return {
        accounts: accountsOver(upstreams, vault),
        [Symbol.asyncDispose]: async () => client.close(),
      };
    },
    tamper(statement, ...values) {
      using db = new Database(databaseFile(directory.path));
      db.run(statement, values);
    },
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      await whole.store.close();
      directory[Symbol.dispose]();
      await asDocumented();
    },
  };
  return gate;
}
