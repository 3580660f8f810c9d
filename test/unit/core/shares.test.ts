import { expect, test } from "bun:test";
import { fairShare } from "../../../src/core/shares.ts";

test.each([
  [[1, 2, 3], 6, Infinity],
  [[1, 2, 3], 7, Infinity],
  [[10, 1, 2], 9, 6],
  [[10, 10, 1], 9, 4],
  [[5, 5, 5], 15, Infinity],
  [[5, 5, 5], 14, 4],
  [[1, 1, 1], 2, 0],
  [[7], 0, 0],
  [[7], -3, 0],
  [[], 0, Infinity],
])(
  "of %p, where there are %p, nobody gets more than %p",
  (taken, all, share) => {
    expect(fairShare(taken, all)).toBe(share);
  },
);
