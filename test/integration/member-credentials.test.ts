import { describe, expect, test } from "bun:test";
import { openGateway } from "../support/gateway.ts";
import { openFullServer } from "../support/servers/full.ts";
import {
  openLegacyServer,
  openLegacySseServer,
} from "../support/servers/legacy-v1.ts";
import { answeredSecret } from "../support/suite-secrets.ts";

/** Two members with credentials of their own on one server: never swapped, and one's end is none of the other's. */

const USERS = ["ann", "bob"] as const;
/** The server tells its caller what it was sent. */
const tokenOf = (user: string) => answeredSecret(`the-token-of-${user}`);

const kinds = [
  {
    kind: "a stateless server",
    open: (guard: Guarded) => openFullServer({ era: "stateless", guard }),
  },
  {
    kind: "one with sessions",
    open: (guard: Guarded) => openLegacyServer({ guard }),
  },
  {
    kind: "one of HTTP+SSE",
    open: (guard: Guarded) => openLegacySseServer({ guard }),
    sse: true,
  },
];
type Guarded = (headers: Record<string, string>) => { status: number } | null;

describe.each(kinds)("on $kind", ({ open, sse = false }) => {
  /** `good`: tokens that the server takes. */
  async function openTown() {
    const good = new Set([...USERS, "admin"].map(tokenOf));
    const server = await open(({ authorization = "" }) =>
      good.has(authorization.slice("Bearer ".length)) ? null : { status: 401 },
    );
    const gateway = await openGateway();
    const { id } = await gateway.manage("POST", "", {
      name: "s",
      url: server.url,
      transport: sse ? "sse" : "http",
      authentication: { type: "direct_auth" },
    });
    const connect = (user: string, token = tokenOf(user)) =>
      gateway.manage("POST", `/${id}/credentials`, { token }, {}, user);
    await connect("admin");
    const { state } = await gateway.manage("POST", `/${id}/enable`);
    expect(state).toBe("ready");
    for (const user of USERS) await connect(user);
    const clients = new AsyncDisposableStack();
    return {
      good,
      connect,
      server,
      open: async (user: string, kind: "v1" | "stateless") =>
        clients.use(await gateway.client(user, { kind })),
      async [Symbol.asyncDispose]() {
        await clients.disposeAsync();
        await gateway[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  }

  // Demanded: servers-members-apart
  test("a thousand calls of each carry their own credential", async () => {
    await using town = await openTown();
    const sessions = await Promise.all(
      USERS.flatMap((user) =>
        (["v1", "stateless"] as const).map(async (kind) => ({
          user,
          client: await town.open(user, kind),
        })),
      ),
    );
    let calls = 0;
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all(
        sessions.flatMap(({ user, client }) =>
          Array.from({ length: 50 }, async () => [
            user,
            await client.text("s_whoami"),
          ]),
        ),
      );
      for (const [user, text] of answers) {
        expect(text).toBe(`Bearer ${tokenOf(user!)}`);
      }
      calls += answers.length;
    }
    expect(calls).toBe(2000);
  }, 120_000);

  test("one whose credential is refused is told to connect, and the other goes on", async () => {
    await using town = await openTown();
    const [ann, bob] = [
      await town.open("ann", "v1"),
      await town.open("bob", "v1"),
    ];
    await ann.text("s_echo");
    await bob.text("s_echo");
    town.good.delete(tokenOf("ann"));
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        if (index % 2 === 0) return bob.text("s_whoami");
        const { isError, _meta } = await ann.call("s_whoami");
        expect(isError).toBe(true);
        return (_meta?.["membrane-mcp/error"] as any)?.code as string;
      }),
    );
    for (const [index, outcome] of outcomes.entries()) {
      expect(outcome).toBe(
        index % 2 === 0 ? `Bearer ${tokenOf("bob")}` : "mcp_auth_expired",
      );
    }
    // Nothing is sent in her name until she has connected anew.
    const before = town.server.requests.length;
    expect((await ann.call("s_whoami")).isError).toBe(true);
    expect(town.server.requests).toHaveLength(before);
    town.good.add("another-token");
    await town.connect("ann", "another-token");
    expect(await ann.text("s_whoami")).toBe("Bearer another-token");
    expect(await bob.text("s_whoami")).toBe(`Bearer ${tokenOf("bob")}`);
  });

  test("who has not connected is offered that, and sends nothing", async () => {
    await using town = await openTown();
    const before = town.server.requests.length;
    const eve = await town.open("eve", "v1");
    expect(await eve.toolNames()).toEqual(["s_connect-account"]);
    const { isError, _meta } = await eve.call("s_connect-account");
    expect(isError).toBe(true);
    expect(_meta?.["membrane-mcp/error"]).toMatchObject({
      code: "mcp_auth_required",
      authType: "direct_auth",
    });
    expect(town.server.requests).toHaveLength(before);
    await town.connect("eve", tokenOf("ann"));
    await eve.until(({ method }) => method.endsWith("tools/list_changed"));
    expect(await eve.toolNames()).toContain("s_whoami");
  });
});
