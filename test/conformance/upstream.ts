/** The full-featured upstream as a program: prints its URL and serves until it is ended. */
import { openFullServer } from "../support/servers/full.ts";

const { url } = await openFullServer();
console.log(url);
