/**
 * Runs the official conformance suite, once per revision: against the server over a source that has what it asks for,
 * built as an executable; and through the product itself against a full-featured server that is registered with it,
 * under that server's own names. Fails on every failure and every warning. Ends with `N passed, N failed`, counting
 * scenarios.
 */
import { join } from "node:path";
import { compile } from "../../.ci/compile.ts";
import { mintToken } from "../../src/demo/token.ts";
import { ensureBuilt, executable, launch } from "../support/binary.ts";
import { freePort } from "../support/port.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { openFullServer } from "../support/servers/full.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { oddWorld } from "../support/odd-world.ts";
import { addAuthorization } from "./add-authorization.ts";
import { runSuite } from "./suite.ts";

const workspaceKey = "conformance";
const secret = "a secret for the conformance suite that is long enough";

const membrane = openWorkspace(oddWorld({ bigActions: 1 }), {
  workspaceKey,
  secret,
});

type Counts = { passed: number; failed: number };

/** `path`: where the suite is to look; called when the server is up. */
async function examine(
  title: string,
  program: string,
  directory: string,
  path: (url: string, token: string) => Promise<string>,
): Promise<Counts> {
  const port = freePort();
  const server = launch(
    [program],
    {
      PORT: String(port),
      DATA_DIR: join(directory, "data"),
      MEMBRANE_WORKSPACE_KEY: workspaceKey,
      MEMBRANE_WORKSPACE_SECRET: secret,
      MEMBRANE_API_URI: membrane.url,
      TOKEN_SCOPES: "apps:admin",
      OUTBOUND_ALLOW: "127.0.0.1/32",
    },
    directory,
  );
  await server.printed(String(port));
  const token = await mintToken({ workspaceKey, secret, user: "suite" });
  const url = `http://127.0.0.1:${port}`;
  const target = new URL(await path(url, token), url);
  using proxy = addAuthorization(token, target);
  console.log(title);
  const counts = await runSuite(proxy.url, join(directory, "results"));
  server.kill("SIGTERM");
  await server.exited;
  return counts;
}

async function overSource(): Promise<Counts> {
  using directory = temporaryDirectory();
  const program = join(directory.path, "server");
  await compile({ entry: join(import.meta.dir, "server.ts"), out: program });
  return await examine(
    "Its own wire",
    program,
    directory.path,
    async () => "/mcp",
  );
}

async function throughGateway(): Promise<Counts> {
  using directory = temporaryDirectory();
  await using upstream = await openFullServer();
  await ensureBuilt();
  return await examine(
    "Through it, to a registered server",
    executable,
    directory.path,
    async (url, token) => {
      const headers = {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
      };
      const servers = `${url}/api/v2/w/${workspaceKey}/mcp-servers`;
      const registered = await fetch(servers, {
        method: "POST",
        headers,
        body: JSON.stringify({
          name: "full",
          url: upstream.url,
          transport: "http",
          authentication: { type: "none" },
        }),
      });
      const { id } = (await registered.json()) as { id: number };
      const enabled = await fetch(`${servers}/${id}/enable`, {
        method: "POST",
        headers,
      });
      const { state } = (await enabled.json()) as { state: string };
      if (state !== "ready") throw new Error(`The server is in state ${state}`);
      return "/mcp/full";
    },
  );
}

const parts = [await overSource(), await throughGateway()];
const passed = parts.reduce((sum, part) => sum + part.passed, 0);
const failed = parts.reduce((sum, part) => sum + part.failed, 0);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && parts.every((part) => part.passed > 0) ? 0 : 1);
