import { refused } from "./claims.ts";

/** No token of Membrane's is nearly this long. */
const MAX_TOKEN_BYTES = 8192;

/** A token as a cache key: its SHA-256. Throws `unauthenticated` for one that is too long to be one. */
export function tokenKey(token: string): string {
  if (token.length > MAX_TOKEN_BYTES) {
    throw refused(`it is longer than ${MAX_TOKEN_BYTES} bytes`);
  }
  return new Bun.CryptoHasher("sha256").update(token).digest("base64url");
}
