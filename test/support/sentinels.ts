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
/** Bits of what is known of the first four bytes of all that is looked for. */
const FILTER_BITS = 20;

/** Looks at every byte once, however many secrets there are: the whole suite is searched for all of its own. */
export function createSentinels(): Sentinels {
  /** By their first four bytes as a number. */
  const forms = new Map<number, { bytes: Buffer; place: string }[]>();
  const filter = new Uint8Array(1 << FILTER_BITS);
  const known = new Set<string>();
  const places = new Set<string>();

  function add(form: string, place: string): void {
    if (known.has(form)) return;
    known.add(form);
    const bytes = Buffer.from(form, "latin1");
    const start = bytes.readInt32LE();
    filter[hash(start)] = 1;
    const others = forms.get(start);
    if (others) others.push({ bytes, place });
    else forms.set(start, [{ bytes, place }]);
  }

  return {
    size: () => places.size,
    keep(place, secret) {
      const bytes = Buffer.from(secret as string);
      if (bytes.length < MIN_BYTES) {
        throw new Error(`The secret of ${place} is too short to be found.`);
      }
      places.add(place);
      const first = bytes.toString("latin1");
      if (!known.has(first)) {
        for (const form of [first, ...formsOf(bytes)]) add(form, place);
      }
      return secret;
    },
    foundIn(where) {
      const bytes = Buffer.from(where as string);
      const found = new Set<string>();
      let window = 0;
      for (let i = 0; i < bytes.length; i++) {
        window = (window >>> 8) | (bytes[i]! << 24);
        if (filter[hash(window)] === 0) continue;
        for (const form of forms.get(window) ?? []) {
          const end = i - 3 + form.bytes.length;
          if (form.bytes.equals(bytes.subarray(i - 3, end))) {
            found.add(form.place);
          }
        }
      }
      return [...found];
    },
  };
}

/** Of four bytes. */
function hash(window: number): number {
  return Math.imul(window, 0x9e3779b1) >>> (32 - FILTER_BITS);
}

const toLatin = (text: string) => Buffer.from(text).toString("latin1");

function formsOf(secret: Buffer): string[] {
  const text = secret.toString();
  const hex = secret.toString("hex");
  const isText = Buffer.from(text).equals(secret);
  return [
    ...(isText ? [encodeURIComponent(text)] : []),
    ...(isText ? [toLatin(JSON.stringify(text).slice(1, -1))] : []),
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
