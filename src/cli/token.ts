import { readFileSync } from "node:fs";
import { GatewayError } from "../core/errors.ts";
import type { TokenOptions } from "./program.ts";

/**
 * The caller's own token: from a file, or from MEMBRANE_ACCESS_TOKEN. Never from the arguments, which every user
 * of the machine can read. Throws `unauthenticated` when there is none.
 */
export function readToken(
  options: TokenOptions,
  env: Readonly<Record<string, string | undefined>>,
): string {
  const token = options.tokenFile
    ? readFile(options.tokenFile)
    : (env["MEMBRANE_ACCESS_TOKEN"] ?? "").trim();
  if (token === "") {
    throw new GatewayError(
      "unauthenticated",
      options.tokenFile
        ? `${options.tokenFile} is empty. Put the token of the user into it.`
        : "There is no token. Set MEMBRANE_ACCESS_TOKEN, or name a file with --token-file.",
    );
  }
  if (/\s/.test(token)) {
    throw new GatewayError(
      "unauthenticated",
      "The token contains blanks or several lines: that is not a token.",
    );
  }
  return token;
}

/** The header that carries a token, or an API key in its place. */
export function credentialHeaders(token: string): Record<string, string> {
  return token.startsWith("mcpk_")
    ? { "X-API-Key": token }
    : { Authorization: `Bearer ${token}` };
}

function readFile(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw new GatewayError(
      "not_found",
      `${file} cannot be read (${(cause as { code?: string }).code ?? "unknown"}).`,
      { cause },
    );
  }
}
