import { expect, test } from "bun:test";
import { asGatewayError } from "../../../src/core/errors.ts";
import { exitCodeOf } from "../../../src/cli/exit.ts";
import { createServersApi } from "../../../src/cli/servers-api.ts";

test("a command that a full disk has refused ends as every other that meets one", async () => {
  const api = createServersApi(
    async () => ({
      status: 503,
      // As problem+json says it.
      body: {
        title: "internal",
        status: 503,
        code: "internal",
        reason: "storage_unavailable",
        detail: "The server cannot store anything at present.",
      },
    }),
    { workspace: "w", guess: null },
  );
  const refusal = await api.list().catch(asGatewayError);
  expect(exitCodeOf(asGatewayError(refusal))).toBe(74);
});
