/** What answers at a URL that the operator has configured. */
export type Probe = {
  status: number;
  /** The answerer's clock, in ms since the epoch, to the second; null when it does not say. */
  date: number | null;
  text: string;
};

/** Where a server that listens on `HOST` and `PORT` is reached from this machine. */
export function localUrl(on: { HOST: string; PORT: number }): string {
  const every: Record<string, string> = {
    "0.0.0.0": "127.0.0.1",
    "::": "[::1]",
  };
  const host = on.HOST.includes(":") ? `[${on.HOST}]` : on.HOST;
  return `http://${every[on.HOST] ?? host}:${on.PORT}`;
}

/** One GET without a credential, for `doctor`. Null when nobody answers within five seconds. */
export async function probe(url: string): Promise<Probe | null> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(5000),
      redirect: "manual",
    });
    const date = Date.parse(response.headers.get("date") ?? "");
    return {
      status: response.status,
      date: Number.isNaN(date) ? null : date,
      text: (await response.text()).slice(0, 10_000),
    };
  } catch {
    return null;
  }
}
