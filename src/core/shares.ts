/**
 * How much each may have when there is less than all of them take: the least get all of theirs, and nobody who takes
 * more than this gets more than another. `Infinity` when there is enough.
 */
export function fairShare(taken: readonly number[], all: number): number {
  const sorted = taken.toSorted((a, b) => a - b);
  let left = all;
  for (const [i, amount] of sorted.entries()) {
    const share = left / (sorted.length - i);
    if (amount > share) return Math.max(0, Math.floor(share));
    left -= amount;
  }
  return Infinity;
}
