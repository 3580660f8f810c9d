import { expect, test } from "bun:test";
import { isLimit } from "../../../../src/gateway/limits/admission.ts";
import { createFailureLimit } from "../../../../src/gateway/limits/failure-limit.ts";
import { fakeClock } from "../../../support/clock.ts";

test("an address with too many bad credentials waits, and is told for what; it is counted among credentials", () => {
  const clock = fakeClock();
  const limit = createFailureLimit(clock);
  for (let n = 0; n < 20; n++) {
    expect(limit.refusal("192.0.2.1")).toBeNull();
    limit.failed("192.0.2.1");
  }
  const refusal = limit.refusal("192.0.2.1")!;
  expect(refusal).toMatchObject({
    code: "rate_limited",
    retryAfterMs: 60_000,
    data: { limit: "credentials" },
  });
  expect(isLimit(refusal)).toBe(false);
  clock.advance(60_000);
  expect(limit.refusal("192.0.2.1")).toBeNull();
});
