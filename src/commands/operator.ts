import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { GatewayError } from "../core/errors.ts";
import type { Principal } from "../core/principal.ts";
import { DEMO_DATABASE, demoUser } from "../demo/identity.ts";

/**
 * Who runs commands on this machine, as a caller who may do everything in one workspace: the one that is named, that
 * of the configuration, or the only one that the data directory knows of (that of the demo, after a demo). Acts as a
 * member of their own, or in the demo as its user. Throws `invalid` when it is not clear which workspace is meant.
 */
export function operator(
  config: Config,
  registry: { workspaces(): string[] },
  asked: { workspace?: string; member?: string } = {},
): Principal {
  const demo = existsSync(join(config.DATA_DIR, DEMO_DATABASE));
  const workspace =
    asked.workspace ??
    config.MEMBRANE_WORKSPACE_KEY ??
    only([...registry.workspaces(), ...(demo ? [demoUser.workspace] : [])]);
  const ofDemo = demo && workspace === demoUser.workspace;
  return {
    workspace,
    subject: asked.member ?? (ofDemo ? demoUser.subject : "operator"),
    name: null,
    method: "operator",
    scope: "apps:admin",
    token: null,
    expiresAt: null,
  };
}

function only(found: string[]): string {
  const [one, ...others] = new Set(found);
  if (one !== undefined && others.length === 0) return one;
  throw new GatewayError(
    "invalid",
    one === undefined
      ? "It is not known which workspace is meant. Name it with --workspace, or set MEMBRANE_WORKSPACE_KEY as for the server."
      : `There are several workspaces here: ${[one, ...others].join(", ")}. Name one with --workspace.`,
  );
}
