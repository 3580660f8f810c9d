/**
 * Runs the official conformance suite against the full-featured upstream itself: what fails here is no fault of a
 * gateway before it.
 */
import { temporaryDirectory } from "../support/directory.ts";
import { openFullServer } from "../support/servers/full.ts";
import { runSuite } from "./suite.ts";

using directory = temporaryDirectory();
await using upstream = await openFullServer();
const { passed, failed } = await runSuite(upstream.url, directory.path);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
