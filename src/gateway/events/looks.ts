/**
 * Shares the time that is spent on looking through the journal for few among many: one look in each turn of the event
 * loop, and whoever asks for many waits behind themselves.
 */
export type Looks = {
  /** Resolves when somebody may look; null when that is now. */
  turn(who: string): Promise<void> | null;
};

export function createLooks(): Looks {
  const waiting = new Map<string, (() => void)[]>();
  let taken = false;

  function next(): void {
    const [first] = waiting;
    taken = first !== undefined;
    if (!first) return;
    const [who, [go, ...others]] = first;
    // The others come first next time.
    waiting.delete(who);
    if (others.length > 0) waiting.set(who, others);
    setImmediate(next);
    go!();
  }

  return {
    turn(who) {
      if (!taken) {
        taken = true;
        setImmediate(next);
        return null;
      }
      return new Promise((resolve) => {
        waiting.set(who, [...(waiting.get(who) ?? []), resolve]);
      });
    },
  };
}
