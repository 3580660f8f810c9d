import { describe, expect, test } from "bun:test";
import { readTemplate } from "../../../../src/gateway/catalog/template.ts";

describe("a URI is one of a template", () => {
  test.each([
    ["test://fixed", "test://fixed"],
    ["test://{id}", "test://1"],
    ["test://{id}/data", "test://1/data"],
    ["test://{id}/data", "test://a/data/data"],
    ["test://{a}/{b}", "test://1/2/3"],
    ["test://{a}{b}", "test://12"],
    ["{+all}", "x"],
    ["test://{id}{?lang,size}", "test://1"],
    ["test://{id}{?lang,size}", "test://1?lang=de"],
    ["file://{/path*}", "file://"],
    ["file://{/path*}", "file:///a/b"],
    ["x{#part}", "x"],
    ["aab{x}aab{y}ab", "aabaaabaab1ab"],
    ["{x}aaab", "aaaaab"],
    ["a{unclosed", "a{unclosed"],
    ["a{b{c}d", "a1d"],
  ])("%s: %s", (template, uri) => {
    expect(readTemplate(template)(uri)).toBe(true);
  });

  test.each([
    ["test://fixed", "test://fixed2"],
    ["test://{id}", "test://"],
    ["test://{id}/data", "test:///data"],
    ["test://{id}/data", "test://data"],
    ["test://{id}/data", "other://1/data"],
    ["test://{a}{b}", "test://1"],
    ["ab{x}b", "ab"],
    ["ab{x}bc", "abc"],
    ["{x}aaab", "aaab"],
    ["a{x}b{y}c", "a1c"],
    ["a{unclosed", "a1"],
    ["", "x"],
  ])("and of %s not: %s", (template, uri) => {
    expect(readTemplate(template)(uri)).toBe(false);
  });

  test("exactly when a matcher that tries everything says so", () => {
    /** Tries every length for every expression. */
    const fits = (parts: (string | null)[], uri: string): boolean => {
      const [part, ...rest] = parts;
      if (part === undefined) return uri === "";
      if (part !== null) {
        return uri.startsWith(part) && fits(rest, uri.slice(part.length));
      }
      for (let n = 1; n <= uri.length; n++) {
        if (fits(rest, uri.slice(n))) return true;
      }
      return false;
    };
    // Every template of up to five parts over two letters, against every URI of up to seven.
    const uris = [""];
    for (let from = 0, n = 1; n <= 7; n++) {
      const until = uris.length;
      for (; from < until; from++)
        uris.push(`${uris[from]}a`, `${uris[from]}b`);
    }
    const choices = [null, "a", "ab", "aab"];
    let fitting = 0;
    for (let n = 0; n < choices.length ** 5; n++) {
      const parts = [0, 1, 2, 3, 4].map(
        (place) => choices[Math.floor(n / choices.length ** place) % 4]!,
      );
      const matches = readTemplate(parts.map((part) => part ?? "{v}").join(""));
      for (const uri of uris) {
        const expected = fits(parts, uri);
        if (expected) fitting++;
        if (matches(uri) !== expected) {
          throw new Error(`${JSON.stringify(parts)} and ${uri}`);
        }
      }
    }
    expect(fitting).toBeGreaterThan(1000);
  });
});

// With steps in proportion to the product of two lengths, any of these takes longer than a test may.
describe("and it is known in as many steps as it has characters", () => {
  const N = 1_000_000;
  test.each([
    ["commas", "x{/id*}", `x/${",".repeat(N)}`, true],
    [
      "a hundred thousand expressions",
      "x{/id*}".repeat(N / 10),
      `${"x/".repeat(N / 10)}`,
      true,
    ],
    ["expressions side by side", "{a}".repeat(N), "x".repeat(N), true],
    ["one too many of them", "{a}".repeat(N), "x".repeat(N - 1), false],
    [
      "a long text that nearly is there everywhere",
      `{a}${"a".repeat(N / 2)}b{c}`,
      "a".repeat(N),
      false,
    ],
    [
      "the same, many times",
      `{a}${"a".repeat(1000)}b`.repeat(N / 1000),
      "a".repeat(N),
      false,
    ],
    ["braces that do not close", "{".repeat(N), "{".repeat(N), true],
    ["braces that do not open", "}".repeat(N), "}".repeat(N), true],
    ["pairs of them", "{}".repeat(N), "x".repeat(N), true],
  ])("%s", (_name, template, uri, expected) => {
    expect(readTemplate(template)(uri)).toBe(expected);
  });
});
