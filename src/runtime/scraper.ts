import { cannotListen } from "../core/errors.ts";
import type { Metrics } from "./metrics.ts";

/** Answers a request for the metrics. */
export type Scraper = (request: Request) => Promise<Response>;

/** `token`: what a scraper has to bring as a bearer token; null for nothing. */
export function createScraper(
  scrape: Metrics["scrape"],
  token: string | null,
): Scraper {
  return async ({ headers }) => {
    if (token !== null && !isToken(headers.get("authorization"), token)) {
      return Response.json(
        {
          error: "Unauthorized: metrics take METRICS_TOKEN as a bearer token.",
        },
        { status: 401, headers: { "www-authenticate": "Bearer" } },
      );
    }
    const { type, text } = await scrape(headers.get("accept"));
    return new Response(text, { headers: { "content-type": type } });
  };
}

function isToken(header: string | null, token: string): boolean {
  const [, given = ""] = /^bearer +(\S+) *$/i.exec(header ?? "") ?? [];
  const { createHash, timingSafeEqual } =
    process.getBuiltinModule("node:crypto");
  // Digests are of one length, whatever was sent.
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

/** Listens for scrapers alone. Throws `conflict` when it cannot. */
export function openMetricsListener(
  at: { host: string; port: number },
  scraper: Scraper,
): Bun.Server<undefined> {
  const local = isLoopback(at.host);
  try {
    return Bun.serve({
      hostname: at.host,
      port: at.port,
      development: false,
      reusePort: false,
      maxRequestBodySize: 1024,
      async fetch(request) {
        const [, host = "", path] =
          /^http:\/\/([^/]*?)(?::\d+)?(\/[^?]*)/.exec(request.url) ?? [];
        // A page in the browser of whoever works on this machine may call by a name of its own.
        if (local && !isLoopback(host.replace(/^\[(.*)\]$/, "$1"))) {
          return Response.json(
            { error: "Forbidden: metrics are for this machine." },
            { status: 403 },
          );
        }
        if (path !== "/metrics") {
          return Response.json(
            { error: "Not Found: metrics are at /metrics." },
            { status: 404 },
          );
        }
        if (request.method !== "GET" && request.method !== "HEAD") {
          return Response.json(
            { error: "Method Not Allowed: /metrics takes GET." },
            { status: 405, headers: { allow: "GET" } },
          );
        }
        return scraper(request);
      },
      error: () => Response.json({ error: "internal" }, { status: 500 }),
    });
  } catch (cause) {
    throw cannotListen(
      `on ${at.host}:${at.port} for metrics`,
      "METRICS_PORT or METRICS_HOST",
      cause,
    );
  }
}

/** Of a host without brackets: only who works on this machine reaches it. */
export function isLoopback(host: string): boolean {
  // Not every name that begins like one: anybody can have 127.example.com lead here.
  return /^(localhost|::1|127(\.\d{1,3}){3})$/.test(host);
}
