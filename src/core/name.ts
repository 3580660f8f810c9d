import type { Identity } from "./principal.ts";

/**
 * Names once given. Only what a later look at the catalogue could not derive again is kept:
 * which connection came first, and every name that had to differ from the plain one.
 */
export type GivenName = {
  /** Source id and what within it was named. */
  ref: string;
  name: string;
};

export type NameStore = {
  /** In the order they were given. */
  list(who: Identity): GivenName[];
  /** Gives or changes names, all or none. */
  give(who: Identity, names: GivenName[]): Promise<void>;
};
