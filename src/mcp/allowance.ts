import type { Clock } from "../core/runtime.ts";

/** True for as many times a second as are allowed. */
export type Allowance = () => boolean;

export function createAllowance(
  clock: Pick<Clock, "monotonic">,
  perSecond: number,
): Allowance {
  let since = -Infinity;
  let taken = 0;
  return () => {
    const now = clock.monotonic();
    if (now - since >= 1000) {
      since = now;
      taken = 0;
    }
    return taken++ < perSecond;
  };
}
