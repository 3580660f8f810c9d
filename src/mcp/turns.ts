/** Shares the turns of the event loop among those who never have to wait, so that nobody else does for them. */
export type Turns = {
  /** Resolves when it is one's turn; null when that is now. */
  take(): Promise<void> | null;
};

/** As many in one turn of the event loop, first come, first served. */
export function createTurns(perTurn: number): Turns {
  const waiting: (() => void)[] = [];
  let left = perTurn;
  let scheduled = false;

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      const next = waiting.splice(0, perTurn);
      left = perTurn - next.length;
      for (const resolve of next) resolve();
      if (next.length > 0) schedule();
    });
  }

  return {
    take() {
      schedule();
      if (left > 0) {
        left--;
        return null;
      }
      return new Promise((resolve) => waiting.push(resolve));
    },
  };
}
