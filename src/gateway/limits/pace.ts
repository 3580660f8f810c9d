/**
 * Keeps work from being done more often than once in a time, by keys: the first at once, and of what comes before the
 * time is over the last, when it is.
 */
export type Pace = {
  run(key: string, work: () => void): void;
  /** Does what waits now. */
  flush(): void;
};

export function createPace(ms: number): Pace {
  /** What waits for the end of its key's time. */
  const paced = new Map<string, (() => void) | null>();

  function begin(key: string, work: () => void): void {
    paced.set(key, null);
    // Nothing that waits is worth a process that does not end.
    setTimeout(end, ms, key).unref();
    work();
  }

  function end(key: string): void {
    const next = paced.get(key);
    paced.delete(key);
    if (next) begin(key, next);
  }

  return {
    run(key, work) {
      if (paced.has(key)) paced.set(key, work);
      else begin(key, work);
    },
    flush() {
      for (const [key, work] of paced) {
        if (!work) continue;
        paced.set(key, null);
        work();
      }
    },
  };
}
