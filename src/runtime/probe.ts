import { GatewayError } from "../core/errors.ts";

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

/**
 * One request to a server of ours that the operator has named; its redirects are not followed. Throws `timeout` when
 * it takes longer than two and a half minutes (connecting a registered server, and reading its lists, may take a
 * minute each), `upstream_failed` when nobody answers.
 */
export async function ask(
  url: string,
  init: RequestInit,
): Promise<{ status: number; text: string }> {
  try {
    const response = await fetch(url, {
      ...init,
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return { status: response.status, text: await response.text() };
  } catch (cause) {
    const { origin } = new URL(url);
    throw (cause as Error).name === "TimeoutError"
      ? new GatewayError(
          "timeout",
          `${origin} has not answered for ${ANSWER_MS / 1000} seconds. What became of the request is not known.`,
          { cause },
        )
      : new GatewayError("upstream_failed", `Nobody answers at ${origin}.`, {
          cause,
        });
  }
}

const ANSWER_MS = 150_000;
