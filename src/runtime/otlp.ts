/** Where traces go, as OpenTelemetry's environment variables say it. */
export type OtlpOptions = {
  /** Without `/v1/traces`. */
  endpoint: string;
  headers: string;
  serviceName: string;
  resourceAttributes: string;
  sampler: Sampler;
  samplerArg: number;
};

export const samplers = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;
export type Sampler = (typeof samplers)[number];

/** `name=value,name=value` with values in percent-encoding; null for what is not that. */
export function readPairs(text: string): Record<string, string> | null {
  const pairs: Record<string, string> = {};
  for (const part of text.split(",")) {
    if (part.trim() === "") continue;
    const at = part.indexOf("=");
    const name = part.slice(0, at).trim();
    if (at < 1 || !/^[\w.!#$%&'*+^`|~-]+$/.test(name)) return null;
    try {
      pairs[name] = decodeURIComponent(part.slice(at + 1).trim());
    } catch {
      return null;
    }
  }
  return pairs;
}
