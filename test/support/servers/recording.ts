/** One HTTP request that a test server was sent. */
export type RecordedRequest = {
  method: string;
  /** Path and query. */
  path: string;
  headers: Record<string, string>;
  /** Parsed when it is JSON or a form, text otherwise; null when there is none. */
  body: any;
};

/** Reads a copy: the request itself can still be read. */
export async function record(request: Request): Promise<RecordedRequest> {
  const text = request.body ? await request.clone().text() : "";
  const { pathname, search } = new URL(request.url);
  return {
    method: request.method,
    path: pathname + search,
    headers: Object.fromEntries(request.headers),
    body: parseBody(text, request.headers.get("content-type") ?? ""),
  };
}

export function parseBody(text: string, type: string): unknown {
  if (text === "") return null;
  if (type.startsWith("application/x-www-form-urlencoded")) {
    return Object.fromEntries(new URLSearchParams(text));
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The JSON-RPC messages that they carried, batches taken apart. */
export function messagesOf(requests: readonly RecordedRequest[]): any[] {
  return requests
    .flatMap(({ body }) => body ?? [])
    .filter((body) => body?.jsonrpc === "2.0");
}
