/** What a `WWW-Authenticate` header says to an OAuth client (RFC 6750, RFC 9728). */
export type Challenge = {
  /** `resource_metadata`, as it was written. */
  resourceMetadata: string | null;
  scopes: string[];
  error: string | null;
};

/** Longer headers are read no further. */
const MAX_LENGTH = 8192;
const MAX_SCOPES = 50;

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
/** A scheme, or a parameter; what stands between them is skipped. */
const PART = new RegExp(
  `(${TOKEN})[ \\t]*=[ \\t]*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))|(${TOKEN})`,
  "g",
);

/** The parameters of its first `Bearer` or `DPoP` challenge; all empty when there is none. */
export function readChallenge(header: string | null): Challenge {
  const found = new Map<string, string>();
  let inside = false;
  for (const part of (header ?? "").slice(0, MAX_LENGTH).matchAll(PART)) {
    const [, name, quoted, bare, scheme] = part;
    if (scheme !== undefined) {
      if (found.size > 0) break;
      inside = /^(bearer|dpop)$/i.test(scheme);
    } else if (inside) {
      const value = quoted?.replace(/\\(.)/g, "$1") ?? bare ?? "";
      const key = name!.toLowerCase();
      if (!found.has(key)) found.set(key, value);
    }
  }
  return {
    resourceMetadata: found.get("resource_metadata") ?? null,
    scopes: readScopes(found.get("scope")),
    error: found.get("error") ?? null,
  };
}

/** Single scopes of a list with spaces between (RFC 6749 §3.3), each once; what is none is left out. */
export function readScopes(text: string | undefined): string[] {
  const scopes = (text ?? "").slice(0, MAX_LENGTH).split(" ");
  return uniteScopes(scopes);
}

/** All of them, each once, at most 50. */
export function uniteScopes(
  ...lists: readonly (readonly string[])[]
): string[] {
  const scopes = lists
    .flat()
    .filter((scope) => /^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/.test(scope));
  return [...new Set(scopes)].slice(0, MAX_SCOPES);
}
