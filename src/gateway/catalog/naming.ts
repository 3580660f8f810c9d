import type { GivenName } from "../../core/name.ts";
import type { PromptOffer } from "../../core/source.ts";
import type { Offer } from "../../core/tool.ts";
import { fitName, nameSafe } from "../../core/tool.ts";

/** An offer and the source that made it. */
export type SourcedOffer = { source: string; offer: Offer | PromptOffer };

/** An offer under its name. */
export type Named = SourcedOffer & { name: string };

/** An app that is there, whose offers are not known this time. */
export type SilentApp = { source: string; appRef: string; appKey: string };

/**
 * Names every offer `{app}_{action}`, so that a name once given stays: adding, removing and
 * re-ordering connections or actions moves nobody else's name. Returns them in the order of
 * their names, and the names that must be kept because they could not be derived again. A tool and a prompt may
 * have the same name.
 *
 * The first connection of an app has the app's key as its prefix, later ones a marked one. A new
 * connection takes over the plain prefix only when its holder is no longer there (the user
 * connected the app anew); one that is `silent` this time is.
 */
export function nameTools(
  offers: readonly SourcedOffer[],
  given: readonly GivenName[],
  silent: readonly SilentApp[] = [],
): { named: Named[]; give: GivenName[] } {
  const known = new Map(given.map(({ ref, name }) => [ref, name]));
  const give = new Map<string, string>();

  const prefixes = namePrefixes(offers, silent, known, give);
  const order = new Map([...known.keys()].map((ref, i) => [ref, i]));
  const position = (sourced: SourcedOffer) => order.get(appRef(sourced)) ?? 0;

  const taken = new Set<string>();
  const slot = (name: string, { offer }: SourcedOffer) =>
    `${kindOf(offer)} ${name}`;
  const named: Named[] = [];
  const add = (name: string, sourced: SourcedOffer) => {
    taken.add(slot(name, sourced));
    named.push({ name, ...sourced });
  };

  const unnamed: SourcedOffer[] = [];
  for (const sourced of offers) {
    const name = known.get(offerRef(sourced));
    if (name !== undefined && !taken.has(slot(name, sourced))) {
      add(name, sourced);
    } else unnamed.push(sourced);
  }
  // Connections in the order they were first seen, plain keys before altered ones: who keeps the
  // plain name of two does not depend on the order in which a source lists them.
  const rank = (sourced: SourcedOffer) => (isPlain(sourced.offer) ? 0 : 1);
  unnamed.sort(
    (a, b) =>
      position(a) - position(b) ||
      rank(a) - rank(b) ||
      compareNames(a.offer.ref, b.offer.ref),
  );
  for (const sourced of unnamed) {
    const { offer } = sourced;
    const ref = offerRef(sourced);
    const action = nameSafe(offer.key ?? offer.name);
    const full = `${prefixes.get(appRef(sourced))!}_${action}`;
    const plain = fitName(full, mark(full));
    let name = plain;
    for (let n = 0; taken.has(slot(name, sourced)); n++) {
      name = fitName(
        `${full}-${mark(`${ref}${n || ""}`)}`,
        mark(`${ref}${n || ""}`),
      );
    }
    if (name !== plain || !isPlain(offer)) give.set(ref, name);
    add(name, sourced);
  }
  named.sort((a, b) => compareNames(a.name, b.name));
  return { named, give: [...give].map(([ref, name]) => ({ ref, name })) };
}

/** The prefix of each connection among the offers. Adds what is new to `known` and `give`. */
function namePrefixes(
  offers: readonly SourcedOffer[],
  silent: readonly SilentApp[],
  known: Map<string, string>,
  give: Map<string, string>,
): Map<string, string> {
  const present = new Map<string, string>();
  for (const sourced of offers) {
    present.set(appRef(sourced), nameSafe(sourced.offer.app.key));
  }
  for (const { source, appRef, appKey } of silent) {
    present.set(`app:${source}:${appRef}`, nameSafe(appKey));
  }
  const holders = new Map<string, string>();
  for (const ref of known.keys()) {
    if (isAppRef(ref)) holders.set(known.get(ref)!, ref);
  }
  const set = (ref: string, prefix: string) => {
    known.set(ref, prefix);
    give.set(ref, prefix);
    holders.set(prefix, ref);
  };
  for (const [ref, plain] of present) {
    if (known.has(ref)) continue;
    const holder = holders.get(plain);
    if (holder !== undefined && present.has(holder)) {
      set(ref, `${plain}-${mark(ref)}`);
      continue;
    }
    if (holder !== undefined) set(holder, `${plain}-${mark(holder)}`);
    set(ref, plain);
  }
  return new Map([...present.keys()].map((ref) => [ref, known.get(ref)!]));
}

function appRef({ source, offer }: SourcedOffer): string {
  return `app:${source}:${offer.app.ref}`;
}

function isAppRef(ref: string): boolean {
  return ref.startsWith("app:");
}

function offerRef({ source, offer }: SourcedOffer): string {
  return `${kindOf(offer)}:${source}:${offer.app.ref}:${offer.ref}`;
}

function kindOf(offer: Offer | PromptOffer): "offer" | "prompt" {
  return "prompt" in offer ? "prompt" : "offer";
}

/** True when the name follows from the keys alone, today and for ever. */
function isPlain(offer: Offer | PromptOffer): boolean {
  return offer.key !== null && nameSafe(offer.key) === offer.key;
}

/** Six characters that stand for `text`. */
function mark(text: string): string {
  const digest = new Bun.CryptoHasher("sha256").update(text).digest();
  return digest.readUIntBE(0, 6).toString(36).padStart(10, "0").slice(-6);
}

/** By their characters, so that the order is the same everywhere. */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
