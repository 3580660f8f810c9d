/** For those who wait until nothing is under way any more. */
export function createIdle(isBusy: () => boolean): {
  /** Resolves when nothing is. */
  wait(): Promise<void>;
  /** Something has ended. */
  ended(): void;
} {
  let waiters: (() => void)[] = [];
  return {
    wait: () =>
      isBusy()
        ? new Promise((resolve) => waiters.push(resolve))
        : Promise.resolve(),
    ended() {
      if (isBusy()) return;
      for (const done of waiters) done();
      waiters = [];
    },
  };
}

/** Resolves when that has, or its time is up. Leaves no timer behind. */
export async function atMost(
  ms: number,
  work: Promise<unknown>,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  try {
    await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
