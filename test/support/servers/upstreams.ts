import type { Program, Registration } from "../gateway.ts";
import { openFullServer } from "./full.ts";
import { openLegacyServer, openLegacySseServer } from "./legacy-v1.ts";
import { stdioServer } from "./stdio.ts";

/** A server of each kind, all with the same tools. */
export type Upstreams = AsyncDisposable & {
  registrations: (Registration | Program)[];
};

export async function openUpstreams(): Promise<Upstreams> {
  const servers = {
    stateless: await openFullServer({ era: "stateless" }),
    keeping: await openFullServer({ era: "legacy" }),
    older: await openLegacyServer(),
    aside: await openLegacyServer({ aside: true }),
    sse: await openLegacySseServer(),
  };
  return {
    registrations: [
      ...Object.entries(servers).map(([slug, { url }]) => ({
        slug,
        at: url,
        sse: slug === "sse",
      })),
      { slug: "stdio", at: stdioServer() },
    ],
    async [Symbol.asyncDispose]() {
      for (const server of Object.values(servers)) {
        await server[Symbol.asyncDispose]();
      }
    },
  };
}
