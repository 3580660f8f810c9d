/**
 * Runs the official conformance suite against the server, built as an executable, once per revision, over a source
 * that has what it asks for. Fails on every failure and every warning. Prints a table and ends with
 * `N passed, N failed`, counting scenarios.
 */
import { join } from "node:path";
import { compile } from "../../.ci/compile.ts";
import { mintToken } from "../../src/demo/token.ts";
import { freePort, launch } from "../support/binary.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { addAuthorization } from "./add-authorization.ts";
import { runSuite } from "./suite.ts";

const workspaceKey = "conformance";
const secret = "a secret for the conformance suite that is long enough";

using directory = temporaryDirectory();
const executable = join(directory.path, "server");
await compile({ entry: join(import.meta.dir, "server.ts"), out: executable });
const port = await freePort();
const server = launch(
  [executable],
  {
    PORT: String(port),
    DATA_DIR: join(directory.path, "data"),
    MEMBRANE_WORKSPACE_KEY: workspaceKey,
    MEMBRANE_WORKSPACE_SECRET: secret,
  },
  directory.path,
);
await server.printed(String(port));
const token = await mintToken({ workspaceKey, secret, user: "suite" });
using proxy = addAuthorization(token, new URL(`http://127.0.0.1:${port}/mcp`));

const { passed, failed } = await runSuite(proxy.url, directory.path);
console.log(`${passed} passed, ${failed} failed`);
server.kill("SIGTERM");
await server.exited;
process.exit(failed === 0 && passed > 0 ? 0 : 1);
