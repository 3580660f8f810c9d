import { formatTable, formatTime, printable } from "../cli/table.ts";
import type { KeyOptions } from "../cli/program.ts";
import type { Config } from "../config.ts";
import type { ApiKey } from "../core/api-key.ts";
import { GatewayError } from "../core/errors.ts";
import { BY_OPERATOR } from "../core/journal.ts";
import { readApiKey } from "../gateway/api-key-text.ts";
import { createApiKeys } from "../gateway/keys.ts";
import { operator } from "./operator.ts";
import { randomIds, systemClock } from "../runtime/machine.ts";
import type { Registry } from "../store/sqlite/operate.ts";

/** What the operator does with API keys, by the same rules as callers of the API. */

const keysOf = (registry: Registry) =>
  createApiKeys({
    store: registry.apiKeys,
    clock: systemClock,
    ids: randomIds,
  });

/** `words`: what a person is told of the new key. */
export async function createKey(
  { name, scopes: scope, expires, workspace, member }: KeyOptions,
  config: Config,
  registry: Registry,
): Promise<{ key: string; apiKey: ApiKey; words: string }> {
  const by = operator(config, registry, {
    ...(workspace === undefined ? {} : { workspace }),
    ...(member === undefined ? {} : { member }),
  });
  const made = await keysOf(registry).mint(by, {
    name,
    scope,
    expiresAt: expires === Infinity ? null : systemClock.now() + expires,
  });
  const { apiKey } = made;
  const until =
    apiKey.expiresAt === null
      ? "until it is revoked"
      : `until ${formatTime(apiKey.expiresAt)}`;
  return {
    ...made,
    words: `The key above is shown this once. It goes into the header X-API-Key, acts as ${printable(apiKey.subject)} in workspace ${printable(apiKey.workspace)} with ${scope}, and is good ${until}.`,
  };
}

/** The newest of each workspace first. */
export function listKeys(
  registry: Registry,
  workspace: string | undefined,
): ApiKey[] {
  const workspaces =
    workspace === undefined ? registry.workspaces() : [workspace];
  return workspaces.flatMap((one) => registry.apiKeys.list(one, null));
}

export function keyTable(keys: readonly ApiKey[]): string {
  const at = (time: number | null) => (time === null ? "" : formatTime(time));
  return formatTable(
    ["KEY", "NAME", "SCOPE", "USER", "WORKSPACE", "STATE", "ENDS", "LAST USED"],
    keys.map((key) => [
      key.id,
      printable(key.name),
      key.scope,
      printable(key.subject),
      printable(key.workspace),
      stateOf(key),
      at(key.revokedAt ?? key.expiresAt),
      at(key.lastUsedAt),
    ]),
  );
}

function stateOf({ revokedAt, expiresAt }: ApiKey): string {
  if (revokedAt !== null) return "revoked";
  const over = expiresAt !== null && expiresAt <= systemClock.now();
  return over ? "expired" : "good";
}

/** By its id, or by the key itself. Throws `not_found`. */
export async function revokeKey(
  registry: Registry,
  idOrKey: string,
): Promise<ApiKey> {
  const id = readApiKey(idOrKey)?.id ?? idOrKey;
  const found = registry.apiKeys.find(id);
  const revoked =
    found &&
    (await registry.apiKeys.revoke(
      found.workspace,
      id,
      systemClock.now(),
      BY_OPERATOR,
    ));
  if (revoked) return revoked;
  throw new GatewayError(
    "not_found",
    "There is no such API key. membrane-mcp keys list shows them.",
  );
}
