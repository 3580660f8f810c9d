import { createRemoteJWKSet, errors, jwtVerify } from "jose";
import type { JWK, JWTPayload, KeyObject } from "jose";
import { GatewayError } from "../../core/errors.ts";
import type { Principal, Scope } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";
import { neverExpires, readClaims, refused } from "./claims.ts";

export type VerificationOptions = {
  clock: Clock;
  /** Tokens of other workspaces are refused. */
  workspaceKey: string;
  /** One kind of key, which alone decides the algorithms: a header cannot choose. */
  key:
    | { kind: "secret"; secret: string }
    /** SPKI in PEM, or a JWK as JSON. */
    | { kind: "public"; text: string }
    | { kind: "jwks"; url: string };
  allowNonExpiring: boolean;
  /** What every token may do; nothing that it claims changes it. */
  scope: Scope | null;
  /** How far clocks may differ, in ms. */
  leewayMs: number;
};

const HMAC = ["HS256", "HS384", "HS512"];
const ASYMMETRIC = [
  "ES256",
  "ES384",
  "ES512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "EdDSA",
  "Ed25519",
];

type Check = (token: string) => Promise<JWTPayload>;

/** Throws `unauthenticated` for a token that does not verify; the reason says what to change. */
export function createVerification(
  options: VerificationOptions,
): (token: string) => Promise<Principal> {
  const { clock, workspaceKey, leewayMs } = options;
  const check = createCheck(options);

  return async (token) => {
    let payload: JWTPayload;
    try {
      payload = await check(token);
    } catch (error) {
      throw explain(error);
    }
    const claims = readClaims(payload);
    if (claims.workspace !== workspaceKey) {
      throw refused("it belongs to another workspace");
    }
    return {
      ...claims,
      method: "membrane",
      scope: options.scope,
      token,
      expiresAt: readExpiry(payload, clock, leewayMs, options.allowNonExpiring),
    };
  };
}

function createCheck(options: VerificationOptions): Check {
  const { clock, key, leewayMs } = options;
  const claims = () => ({
    clockTolerance: leewayMs / 1000,
    currentDate: new Date(clock.now()),
  });
  if (key.kind === "secret") {
    const secret = new TextEncoder().encode(key.secret);
    return async (token) =>
      (await jwtVerify(token, secret, { algorithms: HMAC, ...claims() }))
        .payload;
  }
  if (key.kind === "jwks") {
    const keys = createRemoteJWKSet(new URL(key.url), {
      timeoutDuration: 5000,
      cooldownDuration: 30_000,
    });
    return async (token) =>
      (await jwtVerify(token, keys, { algorithms: ASYMMETRIC, ...claims() }))
        .payload;
  }
  const publicKey = readPublicKey(key.text);
  return async (token) =>
    (
      await jwtVerify(token, publicKey, {
        algorithms: ASYMMETRIC,
        ...claims(),
      })
    ).payload;
}

/** Throws `invalid` at once for what is no public key, so that a typo stops the start and not the first user. */
function readPublicKey(text: string): KeyObject {
  // Not imported: who has a secret need not wait for it at the start.
  const { createPublicKey } = process.getBuiltinModule("node:crypto");
  try {
    if (text.trimStart().startsWith("{")) {
      const jwk = JSON.parse(text) as JWK;
      if (jwk.kty === "oct") throw new Error("It is a symmetric key.");
      return createPublicKey({ key: jwk as never, format: "jwk" });
    }
    return createPublicKey(text.replaceAll("\\n", "\n"));
  } catch (cause) {
    throw new GatewayError(
      "invalid",
      "MEMBRANE_PUBLIC_KEY must be a public key in PEM (SPKI) or a JWK.",
      { cause },
    );
  }
}

function readExpiry(
  { exp, iat }: JWTPayload,
  clock: Clock,
  leewayMs: number,
  allowNonExpiring: boolean,
): number | null {
  if (
    iat !== undefined &&
    !(Number.isFinite(iat) && iat * 1000 <= clock.now() + leewayMs)
  ) {
    throw refused("it was issued in the future");
  }
  if (exp === undefined) {
    if (allowNonExpiring) return null;
    throw neverExpires();
  }
  if (!Number.isFinite(exp)) throw refused("its exp is not a time");
  return exp * 1000;
}

/** The reason without the token. Keys that cannot be fetched are our trouble, not the caller's. */
function explain(error: unknown): GatewayError {
  if (error instanceof errors.JWTExpired) return refused("it has expired");
  if (error instanceof errors.JWTClaimValidationFailed) {
    return refused(`its claim ${error.claim} is not valid`);
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return refused("its algorithm is not one that this server verifies");
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refused("its signature does not match");
  }
  if (error instanceof errors.JWKSNoMatchingKey) {
    return refused("it was signed with a key that is not published");
  }
  if (
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JOSENotSupported ||
    error instanceof errors.JWKSMultipleMatchingKeys
  ) {
    return refused("it is not a JSON Web Token that can be verified");
  }
  if (error instanceof TypeError) {
    // jose throws these for a token whose algorithm does not fit the kind of key.
    return refused("its algorithm does not fit the key of this workspace");
  }
  return new GatewayError(
    "upstream_failed",
    "The keys that verify tokens cannot be had at present. Try again.",
    { retryAfterMs: 5000, cause: error },
  );
}
