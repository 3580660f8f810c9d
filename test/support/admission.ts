import { createAdmission } from "../../src/gateway/limits/admission.ts";
import type { AdmissionLimits } from "../../src/gateway/limits/admission.ts";
import { fakeClock, silentLog } from "./clock.ts";

export const noLimits: AdmissionLimits = {
  perSecond: 0,
  burst: 1,
  serverPerSecond: 0,
  globalPerSecond: 0,
  calls: 0,
  queuedCalls: 0,
  streams: 0,
};

/** Lets everybody do as much as they like. */
export const unlimited = createAdmission({
  clock: fakeClock(),
  log: silentLog,
  limits: noLimits,
});
