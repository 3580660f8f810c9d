import {
  createMcpHandler,
  hostHeaderValidationResponse,
  isLegacyRequest,
  localhostAllowedHostnames,
  localhostAllowedOrigins,
  originValidationResponse,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import type { Memory } from "./extras.ts";
import type { Change, Kit } from "./kit.ts";
import { createKit } from "./kit.ts";
import type { Guard, Listener } from "./listener.ts";
import { openListener } from "./listener.ts";
import type { RecordedRequest } from "./recording.ts";
import { createSessions } from "./sessions.ts";
import { createV2 } from "./with-v2.ts";

/** An MCP server of `@modelcontextprotocol/server` 2.x with everything that there is, without a socket. */
export type Full = Memory & {
  fetch(request: Request, recorded: RecordedRequest): Promise<Response>;
  /** Ids of the sessions that are open. */
  sessions(): string[];
  /** Ends every session; whoever comes back with one is answered 404. */
  forgetSessions(): Promise<void>;
  /** Changes a list or a resource, and tells everybody who listens. */
  change(change: Change): void;
  /** Ends everything that is open. It goes on when it is asked again. */
  close(): Promise<void>;
};

export type FullOptions = {
  /**
   * `legacy`: knows sessions, and nothing of 2026-07-28; `stateless`: only 2026-07-28; `both` (unless said): on one
   * URL; `sessionless`: `both`, but the dated revisions are served without sessions too.
   */
  era?: "both" | "legacy" | "stateless" | "sessionless";
  /** "full" */
  name?: string;
  instructions?: string;
  kit?: Kit;
};

export function createFull(options: FullOptions = {}): Full {
  const { era = "both", name = "full", kit = createKit() } = options;
  const { build } = createV2(kit, {
    name,
    ...(options.instructions === undefined
      ? {}
      : { instructions: options.instructions }),
  });
  const handle = () =>
    createMcpHandler(() => build(false), {
      legacy: era === "sessionless" ? "stateless" : "reject",
    });
  let stateless = handle();
  kit.onChange((change) => {
    if ("uri" in change) stateless.notify.resourceUpdated(change.uri);
    else stateless.notify[`${change.list}Changed`]();
  });
  const sessions = createSessions(async (options) => {
    const transport = new WebStandardStreamableHTTPServerTransport(options);
    await build(true).connect(transport);
    return transport;
  });

  return {
    ...kit.memory,
    async fetch(request, recorded) {
      const rejected =
        hostHeaderValidationResponse(request, localhostAllowedHostnames()) ??
        originValidationResponse(request, localhostAllowedOrigins());
      if (rejected) return rejected;
      const legacy =
        era === "legacy" ||
        (era === "both" && (await isLegacyRequest(request)));
      return legacy
        ? sessions.fetch(request, recorded)
        : stateless.fetch(request);
    },
    sessions: sessions.ids,
    forgetSessions: sessions.forget,
    change: kit.change,
    async close() {
      await sessions.forget();
      const closing = stateless;
      // One that is closed stays closed.
      stateless = handle();
      await closing.close();
    },
  };
}

/** The same on loopback. */
export type FullServer = AsyncDisposable &
  Omit<Full, "fetch" | "close"> &
  Pick<Listener, "requests" | "start"> & {
    /** Its MCP endpoint. */
    url: string;
    /** Dies: no session is left. `start` brings it back on the same port. */
    stop(): Promise<void>;
    restart(): Promise<void>;
  };

export async function openFullServer(
  options: FullOptions & { guard?: Guard } = {},
): Promise<FullServer> {
  const { fetch, close, ...full } = createFull(options);
  const listener = openListener(async (request, recorded) => {
    const refused = options.guard?.(recorded.headers) ?? null;
    if (refused) return new Response(null, refused);
    return new URL(request.url).pathname === "/mcp"
      ? fetch(request, recorded)
      : new Response(null, { status: 404 });
  });
  const stop = async () => {
    await close();
    await listener.stop();
  };
  return {
    ...full,
    url: `${listener.origin}/mcp`,
    requests: listener.requests,
    stop,
    start: listener.start,
    async restart() {
      await stop();
      listener.start();
    },
    [Symbol.asyncDispose]: stop,
  };
}
