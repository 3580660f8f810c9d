/**
 * Keeps whoever is limited waiting for a moment, so that those who ask again as soon as they are answered cost the
 * others less. Null when so many wait already that each of them costs more than an answer.
 */
export type SlowDown = () => Promise<void> | null;

const HELD_MS = 100;
const MAX_HELD = 1000;

export function createSlowDown(): SlowDown {
  let held = 0;
  return () => {
    if (held >= MAX_HELD) return null;
    held++;
    return new Promise((resolve) => {
      setTimeout(() => {
        held--;
        resolve();
      }, HELD_MS);
    });
  };
}
