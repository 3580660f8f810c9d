/**
 * Signatures of webhooks: those of Standard Webhooks (github.com/standard-webhooks), and `X-MCP-Signature`, which has
 * the time in it and needs no other header. Both are HMAC-SHA256 with the same secret, over the bytes that are sent.
 */

/** `secrets`: at least one; a receiver may know any of them. `at`: seconds since the epoch. */
export function sign(
  message: { id: string; at: number; body: string },
  secrets: readonly Uint8Array[],
): Record<string, string> {
  const { id, at, body } = message;
  const own = secrets.map(
    (secret) => `v1=${hmac(secret, `${at}.`, body).toString("hex")}`,
  );
  return {
    "webhook-id": id,
    "webhook-timestamp": String(at),
    "webhook-signature": secrets
      .map(
        (secret) =>
          `v1,${hmac(secret, `${id}.${at}.`, body).toString("base64")}`,
      )
      .join(" "),
    "x-mcp-signature": [`t=${at}`, ...own].join(","),
  };
}

/**
 * Checks a message that has come in, within `toleranceSeconds` of `now` either way. Whichever of the two kinds of
 * signature it has, or both, what it has must be good. Returns all that the message is known by, so that one which was
 * seen is seen to be it; null when it does not verify.
 */
export function verify(
  headers: Pick<Headers, "get">,
  body: Uint8Array,
  secrets: readonly Uint8Array[],
  { now, toleranceSeconds }: { now: number; toleranceSeconds: number },
): string[] | null {
  const isNow = (text: string) =>
    /^\d{1,12}$/.test(text) && Math.abs(now - Number(text)) <= toleranceSeconds;
  const matches = (prefix: string, given: readonly Uint8Array[]) =>
    secrets.some((secret) => {
      const expected = hmac(secret, prefix, body);
      return given.some((signature) => same(signature, expected));
    });

  const [id, time, standard, own] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-mcp-signature",
  ].map((name) => headers.get(name));
  const known: string[] = [];
  if (own) {
    const read = readOwn(own);
    if (!read || !isNow(read.time)) return null;
    if (!matches(`${read.time}.`, read.signatures)) return null;
    // It has no id: what is signed and when is what it is known by.
    const digest = new Bun.CryptoHasher("sha256").update(body).digest("hex");
    known.push(`x-mcp-signature ${read.time} ${digest}`);
  }
  if (standard) {
    if (!id || id.length > 256 || !time || !isNow(time)) return null;
    const given = standard
      .split(" ")
      .slice(0, MAX_SIGNATURES)
      .filter((part) => part.startsWith("v1,"))
      .map((part) => Buffer.from(part.slice(3), "base64"));
    if (!matches(`${id}.${time}.`, given)) return null;
    known.push(`webhook-id ${id}`);
  }
  return known.length > 0 ? known : null;
}

/** More than a change of secrets would need. */
const MAX_SIGNATURES = 8;

function readOwn(
  header: string,
): { time: string; signatures: Uint8Array[] } | null {
  const parts = header
    .split(",")
    .slice(0, MAX_SIGNATURES)
    .map((part) => part.trim());
  const times = parts.filter((part) => part.startsWith("t="));
  const signatures = parts
    .filter((part) => /^v1=[0-9a-f]{64}$/i.test(part))
    .map((part) => Buffer.from(part.slice(3), "hex"));
  return times.length === 1 ? { time: times[0]!.slice(2), signatures } : null;
}

function hmac(
  secret: Uint8Array,
  prefix: string,
  body: string | Uint8Array,
): Buffer {
  return new Bun.CryptoHasher("sha256", secret)
    .update(prefix)
    .update(body)
    .digest();
}

/** In the same time, however much of them is. */
function same(a: Uint8Array, b: Uint8Array): boolean {
  const { timingSafeEqual } = process.getBuiltinModule("node:crypto");
  return a.length === b.length && timingSafeEqual(a, b);
}
