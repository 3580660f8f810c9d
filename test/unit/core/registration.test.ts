import { expect, test } from "bun:test";
import { withoutValues } from "../../../src/core/registration.ts";

test.each([
  ["https://a.example/mcp", "https://a.example/mcp"],
  ["https://a.example/mcp?", "https://a.example/mcp?"],
  ["https://a.example/?key=s", "https://a.example/?key=***"],
  ["https://a.example/?a=s&b=s=t&c=", "https://a.example/?a=***&b=***&c="],
  // What has no name is the value.
  ["https://a.example/?s", "https://a.example/?***"],
  ["https://a.example/?a=s?t&&s", "https://a.example/?a=***&&***"],
  ["stdio:/opt/what?is=this", "stdio:/opt/what?is=this"],
])("%s is shown as %s to who may not change it", (url, shown) => {
  expect(withoutValues(url)).toBe(shown);
});
