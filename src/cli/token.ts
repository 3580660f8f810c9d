import { existsSync, readFileSync } from "node:fs";
import { GatewayError } from "../core/errors.ts";

export type TokenOptions = { tokenFile?: string };

type Env = Readonly<Record<string, string | undefined>>;

/**
 * The caller's own token: from a file, or from MEMBRANE_ACCESS_TOKEN. Never from the arguments, which every user
 * of the machine can read. Throws `unauthenticated` when there is none.
 */
export function readToken({ tokenFile }: TokenOptions, env: Env): string {
  return readCredential("token", tokenFile, env, {
    variable: "MEMBRANE_ACCESS_TOKEN",
    option: "--token-file",
  });
}

/** The same, for the API key that servers are managed with. */
export function readApiKey(keyFile: string | undefined, env: Env): string {
  return readCredential("API key", keyFile, env, {
    variable: "MEMBRANE_MCP_API_KEY",
    option: "--key-file",
  });
}

/** Throws `invalid`, without repeating it, for a credential in the place of the file's name. */
function readCredential(
  what: string,
  file: string | undefined,
  env: Env,
  from: { variable: string; option: string },
): string {
  const { variable, option } = from;
  if (file && /^(eyJ|mcpk_)/.test(file) && !existsSync(file)) {
    throw new GatewayError(
      "invalid",
      `${option} takes the name of a file that the ${what} is in, not the ${what}: every user of the machine can read arguments.`,
    );
  }
  const text = file ? readText(file).trim() : (env[variable] ?? "").trim();
  if (text === "") {
    throw new GatewayError(
      "unauthenticated",
      file
        ? `${file} is empty. Put the ${what} into it.`
        : `There is no ${what}. Set ${variable}, or name a file with ${option}.`,
    );
  }
  if (/\s/.test(text)) {
    throw new GatewayError(
      "unauthenticated",
      `The ${what} contains blanks or several lines: that is no ${what}.`,
    );
  }
  return text;
}

/** The header that carries a token, or an API key in its place. */
export function credentialHeaders(token: string): Record<string, string> {
  return token.startsWith("mcpk_")
    ? { "X-API-Key": token }
    : { Authorization: `Bearer ${token}` };
}

/** A file, or with `-` standard input. Throws `not_found` when it cannot be read. */
export function readText(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (cause) {
    throw new GatewayError(
      "not_found",
      `${file === "-" ? "Standard input" : file} cannot be read (${(cause as { code?: string }).code ?? "unknown"}).`,
      { cause },
    );
  }
}
