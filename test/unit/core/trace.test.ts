import { describe, expect, test } from "bun:test";
import { readTrace, writeTrace } from "../../../src/core/trace.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";
const parent = `00-${TRACE}-${SPAN}-01`;

describe("a traceparent", () => {
  test("is read, and written as it was", () => {
    const read = readTrace(parent, null);
    expect(read).toEqual({
      traceId: TRACE,
      spanId: SPAN,
      sampled: true,
      state: "",
    });
    expect(writeTrace(read)).toEqual({ traceparent: parent });
    const unsampled = `00-${TRACE}-${SPAN}-00`;
    expect(writeTrace(readTrace(unsampled, null)).traceparent).toBe(unsampled);
  });

  test("of a later version is read as far as the first goes, and passed on as the first", () => {
    const later = `cc-${TRACE}-${SPAN}-03-what-the-future-will-be-like`;
    expect(writeTrace(readTrace(later, null)).traceparent).toBe(parent);
  });

  test.each([
    ["", "nothing"],
    ["abc", "a word"],
    [`ff-${TRACE}-${SPAN}-01`, "the version that is none"],
    [`00-${TRACE}-${SPAN}-01-more`, "more than the first version has"],
    [`00-${TRACE}-${SPAN}-01-`, "an end that is not one"],
    [`cc-${TRACE}-${SPAN}-01.later`, "a later version without a dash"],
    [`00-${TRACE.toUpperCase()}-${SPAN}-01`, "capital letters"],
    [`00-${"0".repeat(32)}-${SPAN}-01`, "no trace"],
    [`00-${TRACE}-${"0".repeat(16)}-01`, "no span"],
    [`00-${TRACE}-${SPAN}`, "no flags"],
    [`00-${TRACE.slice(1)}-${SPAN}-01`, "too short a trace"],
    [`${parent}, ${parent}`, "two at once"],
    [` ${parent}`, "a space"],
    [`${parent}\n`, "a line break"],
    [`cc-${TRACE}-${SPAN}-01-${"x".repeat(10_000)}`, "any length"],
  ])("that is not well-formed is ignored: %#", (text) => {
    expect(readTrace(text, "a=b")).toBeNull();
  });

  test.each([null, undefined, 5, {}])(
    "is a text and nothing else (%p)",
    (value) => {
      expect(readTrace(value, null)).toBeNull();
    },
  );
});

describe("a tracestate", () => {
  const state = (text: unknown) => readTrace(parent, text)!.state;

  test("is passed on, with the spaces around its members taken away", () => {
    expect(state("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")).toBe(
      "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
    );
    expect(state("a=1 ,\tb@vendor=2,, 0key=x y")).toBe(
      "a=1,b@vendor=2,0key=x y",
    );
    expect(writeTrace(readTrace(parent, "a=1"))).toEqual({
      traceparent: parent,
      tracestate: "a=1",
    });
  });

  test.each([
    ["a", "no value"],
    ["A=1", "a capital letter"],
    ["a=", "an empty value"],
    ["a=1,a=2", "a key twice"],
    ["a=1=2", "an equals sign in a value"],
    ["a=ä", "what is not ASCII"],
    ["a=1\r\nx: y", "a line break"],
    [Array.from({ length: 33 }, (_, i) => `k${i}=1`).join(","), "33 members"],
    [5, "no text"],
  ])("that is not well-formed costs itself alone: %#", (text) => {
    expect(state(text)).toBe("");
  });

  test("of more than 512 characters loses its long members first, then the last", () => {
    const long = `long=${"x".repeat(200)}`;
    const short = Array.from(
      { length: 8 },
      (_, i) => `k${i}=${"y".repeat(60)}`,
    );
    expect(state([short[0], long, ...short.slice(1)].join(","))).toBe(
      short.join(","),
    );
    const many = Array.from(
      { length: 30 },
      (_, i) => `k${i}=${"y".repeat(60)}`,
    );
    const kept = state(many.join(","));
    expect(kept.length).toBeLessThanOrEqual(512);
    expect(many.join(",")).toStartWith(`${kept},`);
  });
});

test("without a trace there is nothing to pass on", () => {
  expect(writeTrace(null)).toEqual({});
  expect(writeTrace(undefined)).toEqual({});
});
