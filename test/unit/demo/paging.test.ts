import { expect, test } from "bun:test";
import { flag, mentions, page, ranked } from "../../../src/demo/paging.ts";

const letters = [..."abcdefghijklm"];
const same = (letter: string) => letter;

test("a page holds ten items unless the query says otherwise", () => {
  expect(page(letters, {}, same)).toEqual({
    items: letters.slice(0, 10),
    cursor: "10",
  });
});

test("the last page has no cursor, also when it is full", () => {
  expect(page(letters, { limit: "13" }, same)).toEqual({ items: letters });
  expect(page(letters, { cursor: "10" }, same)).toEqual({
    items: ["k", "l", "m"],
  });
});

test("a cursor past the end finds an empty last page", () => {
  expect(page(letters, { cursor: "99" }, same)).toEqual({ items: [] });
});

test.each([
  ["true", true],
  ["1", true],
  ["yes", true],
  ["false", false],
  ["0", false],
  ["", false],
  [undefined, undefined],
])("the flag %p is %p", (value, expected) => {
  expect(flag(value)).toBe(expected as boolean);
});

test("a search wants every word, in any case and field", () => {
  expect(mentions("ADA mill", ["Ada Lovelace", "12 Mill Lane"])).toBe(true);
  expect(mentions("ada rome", ["Ada Lovelace", "12 Mill Lane"])).toBe(false);
});

test("ranking puts the best first and keeps the order of equals", () => {
  const items = ["send mail", "list files", "list mails", "nothing"];
  expect(ranked(items, "list mails", (item) => [item])).toEqual([
    "list mails",
    "list files",
    "send mail",
    "nothing",
  ]);
});
