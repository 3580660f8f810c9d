import { readScopes } from "../../core/challenge.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Tokens } from "../../core/oauth.ts";

/** Longer ones do not fit into the headers of a request. */
const MAX_TOKEN = 16_384;
const MIN_LIFETIME_MS = 60_000;
const MAX_LIFETIME_MS = 24 * 3_600_000;

/** What a token endpoint has answered (RFC 6749 §5.1), if it can be used; throws `upstream_failed`. */
export function readTokens(answer: {
  access_token: string;
  token_type: string;
  expires_in?: number | undefined;
  scope?: string | undefined;
  refresh_token?: string | undefined;
}): Tokens {
  const { expires_in: seconds, refresh_token: refreshToken = null } = answer;
  if (answer.token_type.toLowerCase() !== "bearer") {
    throw unusable("a token that is no bearer token");
  }
  if (!isToken(answer.access_token)) {
    throw unusable("an access token that cannot be sent");
  }
  if (refreshToken !== null && !isToken(refreshToken)) {
    throw unusable("a refresh token that cannot be sent");
  }
  if (seconds !== undefined && !(seconds >= 0)) {
    throw unusable("a token that has expired before it was given");
  }
  return {
    accessToken: answer.access_token,
    refreshToken,
    scopes: answer.scope === undefined ? null : readScopes(answer.scope),
    lifetimeMs:
      seconds === undefined
        ? null
        : Math.min(Math.max(seconds * 1000, MIN_LIFETIME_MS), MAX_LIFETIME_MS),
  };
}

/** Visible ASCII: what can stand in a header without changing it. */
function isToken(text: string): boolean {
  return text.length <= MAX_TOKEN && /^[\x21-\x7e]+$/.test(text);
}

function unusable(what: string): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `The authorization server gave ${what}.`,
    { data: { reason: "invalid_tokens" } },
  );
}
