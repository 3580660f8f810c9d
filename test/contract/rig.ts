import type { Store } from "../../src/core/store.ts";
import type { FakeClock } from "../support/clock.ts";

/** A store of its own for each test. */
export type OpenStore = () => AsyncDisposable & {
  store: Store;
  clock: FakeClock;
  /** Closes the store and opens it again. */
  reopen(): Promise<Store>;
  /** Runs a statement from another connection. */
  elsewhere(statement: string): void;
};
