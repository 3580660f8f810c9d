import { expect, test } from "bun:test";
import {
  isApiKey,
  makeApiKey,
  readApiKey,
} from "../../../src/gateway/api-key-text.ts";
import { randomIds } from "../../../src/runtime/machine.ts";

const make = () => makeApiKey(randomIds.random);

test("a key is mcpk_, an id of 8, and a secret of 43 with a checksum of 6 characters", () => {
  for (const random of [
    randomIds.random,
    (bytes: number) => new Uint8Array(bytes),
    (bytes: number) => new Uint8Array(bytes).fill(255),
  ]) {
    for (let i = 0; i < 200; i++) {
      const { id, secret, text } = makeApiKey(random);
      expect(text).toMatch(/^mcpk_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}$/);
      expect(readApiKey(text)).toEqual({ id, secret });
    }
  }
});

test("no two are alike, in any part", () => {
  const made = Array.from({ length: 1000 }, make);
  expect(new Set(made.map(({ id }) => id)).size).toBe(1000);
  expect(new Set(made.map(({ secret }) => secret)).size).toBe(1000);
});

test("every wrong character, swap or cut is seen without looking the key up", () => {
  const { text } = make();
  for (let i = 0; i < text.length; i++) {
    const other = text[i] === "a" ? "b" : "a";
    const changed = text.slice(0, i) + other + text.slice(i + 1);
    expect(readApiKey(changed)).toBeNull();
    expect(readApiKey(text.slice(0, i))).toBeNull();
    const [a, b] = [text[i]!, text[i + 1] ?? ""];
    if (a === b || b === "") continue;
    expect(readApiKey(text.slice(0, i) + b + a + text.slice(i + 2))).toBeNull();
  }
  for (const other of [
    "",
    "mcpk_",
    `${text}a`,
    ` ${text}`,
    `${text}\n`,
    text.toUpperCase(),
  ]) {
    expect(readApiKey(other)).toBeNull();
  }
});

test("what begins like a key is meant as one", () => {
  expect(isApiKey("mcpk_x")).toBe(true);
  expect(isApiKey("a.b.c")).toBe(false);
});
