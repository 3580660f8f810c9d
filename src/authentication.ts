import type { Config } from "./config.ts";
import type { Authenticator, FailureLimit } from "./core/principal.ts";
import type { Clock } from "./core/runtime.ts";
import { createFailureLimit } from "./gateway/limits/failure-limit.ts";
import type { MembraneApi } from "./sources/membrane/client.ts";
import { createMembraneApi } from "./sources/membrane/client.ts";
import { createIntrospection } from "./sources/membrane/introspection.ts";
import { createTokenMint } from "./sources/membrane/mint.ts";
import type { VerificationOptions } from "./sources/membrane/verification.ts";
import { createVerifier } from "./sources/membrane/verifier.ts";
import { version } from "./version.ts";

/** How far the clocks of those who sign tokens may differ from ours. */
const TOKEN_LEEWAY_MS = 30_000;

/** With a key: verifies tokens here. Without: asks Membrane. */
export function createAuthenticator(
  config: Config,
  clock: Clock,
  api: MembraneApi = membraneApi(config),
  limit: FailureLimit = createFailureLimit(clock),
): Authenticator {
  const workspaceKey = config.MEMBRANE_WORKSPACE_KEY ?? null;
  const key = verificationKey(config);
  return key === null || workspaceKey === null
    ? createIntrospection({
        clock,
        api,
        workspaceKey,
        limit,
        scope: config.TOKEN_SCOPES,
        allowNonExpiring: config.ALLOW_NON_EXPIRING_TOKENS,
      })
    : createVerifier({
        clock,
        workspaceKey,
        key,
        limit,
        scope: config.TOKEN_SCOPES,
        allowNonExpiring: config.ALLOW_NON_EXPIRING_TOKENS,
        leewayMs: TOKEN_LEEWAY_MS,
      });
}

/** Tokens for members who come with an API key; none without the workspace's secret. */
export function tokenMint(config: Config, clock: Clock) {
  const {
    MEMBRANE_WORKSPACE_KEY: workspaceKey,
    MEMBRANE_WORKSPACE_SECRET: secret,
  } = config;
  return workspaceKey === undefined || secret === undefined
    ? async () => null
    : createTokenMint({ clock, workspaceKey, secret });
}

export function membraneApi(config: Config): MembraneApi {
  return createMembraneApi({
    apiUri: config.MEMBRANE_API_URI,
    userAgent: `membrane-mcp/${version}`,
  });
}

export function verificationKey(
  config: Config,
): VerificationOptions["key"] | null {
  const {
    MEMBRANE_WORKSPACE_SECRET: secret,
    MEMBRANE_PUBLIC_KEY: text,
    MEMBRANE_JWKS_URL: url,
  } = config;
  if (secret !== undefined) return { kind: "secret", secret };
  if (text !== undefined) return { kind: "public", text };
  return url === undefined ? null : { kind: "jwks", url };
}
