import { decodeJwt, decodeProtectedHeader } from "jose";
import { createAuthenticator } from "../authentication.ts";
import type { Config } from "../config.ts";
import { asGatewayError } from "../core/errors.ts";
import { systemClock } from "../runtime/machine.ts";

/** What a token says, and whether this configuration accepts it, as lines for a person. The token itself is in none. */
export async function inspectToken(
  token: string,
  config: Config,
): Promise<{ lines: string[]; accepted: boolean }> {
  const lines: string[] = [];
  try {
    const { alg } = decodeProtectedHeader(token);
    const { exp, iat, nbf, ...claims } = decodeJwt(token);
    lines.push(`algorithm: ${alg}`);
    for (const [name, value] of Object.entries(claims)) {
      lines.push(`${name}: ${JSON.stringify(value)}`);
    }
    const times = { issued: iat, "not before": nbf, expires: exp };
    for (const [name, at] of Object.entries(times)) {
      if (typeof at === "number") lines.push(`${name}: ${time(at * 1000)}`);
    }
    if (exp === undefined) lines.push("expires: never");
  } catch {
    lines.push("It is no JWT; only Membrane can say whose it is.");
  }
  try {
    const { subject, workspace } = await createAuthenticator(
      config,
      systemClock,
    ).verify(token, null);
    lines.push(`accepted: yes, as ${subject} of workspace ${workspace}`);
    return { lines, accepted: true };
  } catch (error) {
    lines.push(`accepted: no. ${asGatewayError(error).message}`);
    return { lines, accepted: false };
  }
}

function time(at: number): string {
  const minutes = Math.round((at - systemClock.now()) / 60_000);
  const distance = minutes >= 0 ? `in ${minutes} min` : `${-minutes} min ago`;
  return `${new Date(at).toISOString()} (${distance})`;
}
