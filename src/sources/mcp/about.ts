import type { UpstreamAbout } from "../../core/upstream.ts";

/** In characters. What is kept of a server is shown with it in every list, and held for as long as it is registered. */
const MAX_NAME = 256;
const MAX_INSTRUCTIONS = 65_536;
const MAX_CAPABILITY = 8192;
const MAX_CAPABILITIES = 50;
const MAX_ICONS = 1_048_576;

/** What a server says of itself, without what is longer than anybody needs. */
export function bounded(about: UpstreamAbout): UpstreamAbout {
  const { serverInfo, capabilities, instructions, icons, ...rest } = about;
  const fits = (value: unknown, max: number) =>
    (JSON.stringify(value) ?? "").length <= max;
  return {
    ...rest,
    serverInfo: Object.fromEntries(
      Object.entries(serverInfo).map(([key, text]) => [
        key,
        text.slice(0, MAX_NAME),
      ]),
    ) as UpstreamAbout["serverInfo"],
    capabilities: Object.fromEntries(
      Object.entries(capabilities)
        .filter(([name]) => name.length <= MAX_NAME)
        .map(([name, value]) => [
          name,
          fits(value, MAX_CAPABILITY) ? value : {},
        ])
        .slice(0, MAX_CAPABILITIES),
    ),
    instructions: instructions?.slice(0, MAX_INSTRUCTIONS) ?? null,
    ...(icons !== undefined && fits(icons, MAX_ICONS) ? { icons } : {}),
  };
}
