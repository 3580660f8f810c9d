import { expect, test } from "bun:test";
import { printable } from "../../../src/cli/table.ts";

test("nothing that others have written moves the cursor, or the letters after it", () => {
  expect(printable("a\u001b[2Jb\nc\u009bd")).toBe("a\ufffd[2Jb\ufffdc\ufffdd");
  expect(printable("chat\u202etxt.exe\u2066x\u2069")).toBe(
    "chat\ufffdtxt.exe\ufffdx\ufffd",
  );
  expect(printable("Straße 東京 👩‍🚀")).toBe("Straße 東京 👩‍🚀");
});
