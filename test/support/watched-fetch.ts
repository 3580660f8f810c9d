/** One request that was answered. */
export type Exchange = {
  method: string;
  url: URL;
  headers: Headers;
  /** What was sent, if it was text. */
  sent: string | null;
  response: Response;
};

const real = globalThis.fetch;
const watchers = new Set<(exchange: Exchange) => void>();

/** From now on, told of everything that `fetch` gets in this process, before whoever asked is. */
export function watchFetch(watcher: (exchange: Exchange) => void): void {
  watchers.add(watcher);
  if (globalThis.fetch !== real) return;
  globalThis.fetch = Object.assign(watched, { preconnect: real.preconnect });
}

async function watched(
  input: string | URL | Request,
  init: RequestInit = {},
): Promise<Response> {
  const response = await real(input, init);
  const request = input instanceof Request ? input : null;
  const exchange = {
    method: init.method ?? request?.method ?? "GET",
    url: new URL(request?.url ?? String(input)),
    headers: new Headers(init.headers ?? request?.headers),
    sent: typeof init.body === "string" ? init.body : null,
    response,
  };
  for (const watcher of watchers) watcher(exchange);
  return response;
}
