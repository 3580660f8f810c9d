import type { ErrorCode } from "../core/errors.ts";
import { asGatewayError } from "../core/errors.ts";
import type { Server, ServersApi } from "./servers-api.ts";
import { printable } from "./table.ts";

/** `code`: null when it can be used. `words`: to be printed, without a stop at their end. */
export type Outcome = { code: ErrorCode | null; words: string };

/**
 * Says what a server has come to, and what is to be done next, to who has just turned it on or looks at it. `there`:
 * what a command has to say to find it.
 */
export function createOutcomes(
  api: Pick<ServersApi, "tools">,
  there: string,
): (server: Server) => Promise<Outcome> {
  const command = (name: string, { slug }: Server) =>
    `membrane-mcp servers ${name} ${printable(slug)}${there}`;

  async function ofReady(server: Server): Promise<Outcome> {
    if (!server.enabled) {
      const words = `it is off. Turn it on: ${command("enable", server)}`;
      return { code: "conflict", words };
    }
    try {
      const { length } = await api.tools(server);
      const words = `ready with ${counted(length, "tool")}`;
      return { code: null, words };
    } catch (thrown) {
      const { code, message } = asGatewayError(thrown);
      const words =
        code === "needs_authorization"
          ? `ready; everybody who uses it connects first: ${command("login", server)}`
          : `ready, but its tools could not be listed. ${message}`;
      return { code: null, words };
    }
  }

  return async (server) => {
    const { state, setupStep, lastError } = server;
    if (state === "ready") return ofReady(server);
    if (state === "authorize") {
      return {
        code: "needs_authorization",
        words: `everybody who uses it has to log in there: ${command("login", server)}`,
      };
    }
    switch (setupStep) {
      case "add_credentials":
        return {
          code: "needs_authorization",
          words:
            "it wants a credential, or another one. Remove it, and add it again with --token-file, --headers-file, or the --client-id of an OAuth client that you have registered there",
        };
      case "register_client":
        return {
          code: "upstream_failed",
          words: `its authorization server has not taken our registration. Try again: ${command("enable", server)}`,
        };
    }
    const why = printable(lastError?.message ?? "Nobody has tried.");
    return { code: "upstream_failed", words: `not connected. ${why}` };
  };
}

export function counted(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
