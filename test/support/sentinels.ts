/** Secrets that a test has put into every place there is for one, and the search for them. */
export type Sentinels = {
  /** Remembers a secret of this place, and returns it. Of at least twelve bytes: less would be found by chance. */
  keep<Secret extends string | Uint8Array>(
    place: string,
    secret: Secret,
  ): Secret;
  /** Places whose secret is in there: as it is, in percent-encoding, in hex, or somewhere in base64. */
  foundIn(where: string | Uint8Array): string[];
  /** How many there are. */
  size(): number;
};

const MIN_BYTES = 12;

export function createSentinels(): Sentinels {
  const forms = new Map<string, string>();
  const places = new Set<string>();
  return {
    size: () => places.size,
    keep(place, secret) {
      const bytes = Buffer.from(secret as string);
      if (bytes.length < MIN_BYTES) {
        throw new Error(`The secret of ${place} is too short to be found.`);
      }
      places.add(place);
      for (const form of formsOf(bytes)) forms.set(form, place);
      return secret;
    },
    foundIn(where) {
      const bytes = Buffer.from(where as string);
      const found = [...forms].filter(([form]) => bytes.includes(form));
      return [...new Set(found.map(([, place]) => place))];
    },
  };
}

function formsOf(secret: Buffer): string[] {
  const text = secret.toString();
  const hex = secret.toString("hex");
  const isText = Buffer.from(text).equals(secret);
  return [
    ...(isText ? [text, encodeURIComponent(text)] : []),
    ...(isText ? [JSON.stringify(text).slice(1, -1)] : []),
    hex,
    hex.toUpperCase(),
    hex.replace(/../g, "%$&"),
    hex.toUpperCase().replace(/../g, "%$&"),
    ...[0, 1, 2].flatMap((before) => inBase64(secret, before)),
  ];
}

/** What stands in base64 of anything that has this after so many bytes: all that does not depend on its neighbours. */
function inBase64(secret: Buffer, before: number): string[] {
  const whole = Buffer.concat([Buffer.alloc(before), secret]);
  const from = Math.ceil((before * 8) / 6);
  const to = Math.floor((whole.length * 8) / 6);
  const text = whole.toString("base64").slice(from, to);
  return [text, text.replaceAll("+", "-").replaceAll("/", "_")];
}
