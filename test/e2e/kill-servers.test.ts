import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { join } from "node:path";
import type { DemoWorkspace } from "../../src/demo/workspace.ts";
import { createRest } from "../support/absent-servers.ts";
import type { Server } from "../support/binary.ts";
import {
  SECRET,
  WORKSPACE_KEY,
  executable,
  launch,
  openServer,
} from "../support/binary.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { oddWorld } from "../support/odd-world.ts";
import type { OAuthServer } from "../support/servers/oauth-server.ts";
import { openOAuthServer } from "../support/servers/oauth-server.ts";
import { runs, stdioServer } from "../support/servers/stdio.ts";

/** The executable, killed with SIGKILL while it is busy with registered servers. */

let workspace: DemoWorkspace;
beforeAll(() => {
  workspace = openWorkspace(oddWorld({ bigActions: 1 }), {
    workspaceKey: WORKSPACE_KEY,
    secret: SECRET,
  });
});
afterAll(() => workspace.close());

const BASE = `/api/v2/w/${WORKSPACE_KEY}/mcp-servers`;
/** Longer than a refresh that was cut off is waited for. */
const PATIENCE = 60_000;

/** A server that Ada is connected to through OAuth, and the gateway in front of it. */
async function openTown(rotate: boolean) {
  const oauth = await openOAuthServer({ rotate });
  const server: Server = await openServer(workspace.url, {
    OUTBOUND_ALLOW: "127.0.0.1",
    TOKEN_SCOPES: "apps:admin",
  });
  const rest = createRest(server.url);
  const ask = async (route: string, body?: object) =>
    rest(await server.tokenFor("ada"), route, body);
  const { body } = await ask("POST /servers", {
    name: "guarded",
    url: oauth.url,
  });
  const begun = await fetch(`${server.url}${BASE}/${body.id}/oauth/authorize`, {
    headers: { authorization: `Bearer ${await server.tokenFor("ada")}` },
    redirect: "manual",
  });
  const back = await oauth.consent(begun.headers.get("location")!, "alice");
  const cookie = begun.headers.getSetCookie()[0]!.split(";")[0]!;
  const done = await fetch(back, { headers: { cookie } });
  if (!done.ok) throw new Error(await done.text());
  const call = () =>
    ask("POST /servers/guarded/tools/echo/call", { params: { n: 1 } });
  // A slow machine may list too late for the first.
  while ((await call()).status === 504);
  /** Why it was to come back later. */
  const told: string[] = [];
  return {
    oauth,
    server,
    call,
    /** Comes back when it is told to. */
    async patiently() {
      for (;;) {
        const answer = await call();
        const after = answer.headers.get("retry-after");
        if (answer.status !== 503 || after === null) return answer;
        told.push(answer.body.detail.message);
        await Bun.sleep(Number(after) * 1000);
      }
    },
    told,
    /** As it is in the database: status, and since when a refresh is under way. */
    credential() {
      using db = new Database(join(server.dataDir, "membrane-mcp.db"), {
        readonly: true,
      });
      return db
        .query<{ status: string; refreshing_at: number | null }, []>(
          "SELECT status, refreshing_at FROM credentials",
        )
        .get()!;
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await oauth[Symbol.asyncDispose]();
    },
  };
}
type Town = Awaited<ReturnType<typeof openTown>>;

/** The refresh tokens that were sent, in order. */
const sent = ({ requests }: OAuthServer) =>
  requests
    .filter(({ path, body }) => path === "/token" && body?.refresh_token)
    .map(({ body }) => body.refresh_token as string);

/** Kills it when the authorization server has given new tokens, and nobody has them yet. */
async function killInRefresh({ oauth, server, call, credential }: Town) {
  expect((await call()).status).toBe(200);
  oauth.expireAll();
  const held = oauth.holdTokens();
  const cut = Promise.all(Array.from({ length: 5 }, call)).catch(() => {});
  await held.answered(1);
  expect(credential()).toMatchObject({
    status: "active",
    refreshing_at: expect.any(Number),
  });
  await server.kill9();
  await cut;
  held.release();
  await server.start();
}

describe("kill -9 in the middle of a refresh", () => {
  // Demanded: oauth-refresh-crash
  test(
    "where a refresh token is good for once, the credential has expired and says so, and is asked about once more only",
    async () => {
      await using town = await openTown(true);
      const { oauth, call, credential, patiently, told } = town;
      await killInRefresh(town);
      const answers = await Promise.all(Array.from({ length: 5 }, patiently));
      for (const { status, body } of answers) {
        expect([status, body.detail]).toMatchObject([
          403,
          {
            code: "mcp_auth_expired",
            authorizeUrl: expect.stringContaining("/oauth/authorize?ticket="),
          },
        ]);
      }
      expect(credential()).toEqual({ status: "expired", refreshing_at: null });
      for (const words of told) expect(words).toContain("is being renewed");
      // The one that was cut off, and one more: that it was used is not known before.
      const [first, again, ...more] = sent(oauth);
      expect([again, more]).toEqual([first, []]);
      await call();
      expect(sent(oauth)).toHaveLength(2);
      expect(oauth.refreshes).toEqual({ granted: 1, refused: 1 });
    },
    PATIENCE,
  );

  // Demanded: oauth-refresh-crash
  test(
    "where it stays good, the credential works again, with one more refresh for all callers",
    async () => {
      await using town = await openTown(false);
      const { oauth, credential, patiently } = town;
      await killInRefresh(town);
      const answers = await Promise.all(Array.from({ length: 5 }, patiently));
      expect(answers.map(({ status }) => status)).toEqual(Array(5).fill(200));
      expect(credential()).toEqual({ status: "active", refreshing_at: null });
      expect(oauth.refreshes).toEqual({ granted: 2, refused: 0 });
    },
    PATIENCE,
  );
});

// Demanded: servers-stdio
test("kill -9 leaves nothing behind of a program: neither itself nor what it has started", async () => {
  await using server = await openServer(workspace.url, {
    OUTBOUND_ALLOW: "127.0.0.1",
  });
  const { command, args } = stdioServer();
  const env = {
    MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY,
    DATA_DIR: server.dataDir,
    PATH: process.env["PATH"] ?? "",
  };
  const add = ["servers", "add", "prog", "--", command, ...args];
  const added = launch([executable, ...add], env, server.dataDir);
  expect(await added.exited).toBe(0);
  const rest = createRest(server.url);
  const call = async (tool: string) => {
    const { body } = await rest(
      await server.tokenFor("ada"),
      `POST /servers/prog/tools/${tool}/call`,
      { params: {} },
    );
    return body.result.content[0].text as string;
  };
  await call("ignore_end");
  const pids = [Number(await call("pid")), Number(await call("spawn_child"))];
  expect(pids.map(runs)).toEqual([true, true]);
  await server.kill9();
  // As soon as the guard beside it has noticed.
  while (pids.some(runs)) await Bun.sleep(10);
  expect(pids.map(runs)).toEqual([false, false]);
});
