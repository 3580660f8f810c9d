import type { Clock, OutboundFetch } from "../../core/runtime.ts";
import type { Icon } from "../../core/upstream.ts";
import { readImage } from "./image.ts";

const MAX_BYTES = 262_144;
const MAX_SIDE = 1024;
const MAX_FRAMES = 100;
/** Of those that a server names; its `/favicon.ico` comes on top. */
const MAX_CANDIDATES = 4;
/** For all of them together. */
const DEADLINE_MS = 15_000;
const REDIRECTS = 3;
const ACCEPT = "image/png, image/webp, image/jpeg, image/gif, image/x-icon";

/**
 * The icon of a registered server: the first that can be shown among those that it names itself (`icons` of its
 * `serverInfo`, as it sent them), or its `/favicon.ico`. PNG, JPEG, WebP, GIF and ICO, by their bytes and not by what
 * is said of them; of at most 256 KiB and 1024 pixels a side; `data:` URLs, `https:` ones, and `http:` ones of the
 * server's own origin. Nothing that belongs to a user is sent. Null when there is none; what a server does wrong is no
 * reason to throw.
 */
export async function findIcon(
  { outbound, clock }: { outbound: OutboundFetch; clock: Clock },
  { url, icons }: { url: string; icons?: unknown },
): Promise<Icon | null> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  for (const candidate of candidates(url, icons)) {
    const bytes =
      candidate.protocol === "data:"
        ? bytesOf(candidate)
        : await fetchBytes(outbound, candidate, signal);
    const type = bytes && typeOf(bytes);
    if (!type) continue;
    return { type, etag: etagOf(bytes), bytes, fetchedAt: clock.now() };
  }
  return null;
}

/** What is shown for a server without an icon: a grey plug. */
export const defaultIcon: Icon = iconOf(
  "iVBORw0KGgoAAAANSUhEUgAAAEAAAABABAMAAABYR2ztAAAAMFBMVEWKj5iKj5iKj5iKj5iK" +
    "j5iKj5iKj5iKj5iKj5iKj5iKj5iKj5iKj5iKj5iKj5iKj5jRMJQbAAAAEHRSTlMAESIzRFVm" +
    "d4iZqrvM3e7/dpUBFQAAAL1JREFUeNpjYBgFaIB5/2YIw/q3AVYF3P9/Qxj7/2/AqoD//38I" +
    "4///D6MKBlBB3n808AxNwXt0Bf/QFPzHAKQqIGgFQUeiW4IlGIaHgvf4ggmS4ZDAbywK+pEV" +
    "/MCiwB9ZwRcsCniRFVzAooANWUECtjR5HiH/B2uitUMoeIxVAStCQQD2QioOJv8UVykGdcUf" +
    "A1zlHNt9kPzfBNwlIUvv//83HPCVlRz//zcwjCpgYPn/3wF/rdL3YlhWlgCOg7JtcUOmGAAA" +
    "AABJRU5ErkJggg==",
);

function iconOf(base64: string): Icon {
  const bytes = Uint8Array.fromBase64(base64);
  return { type: "image/png", etag: etagOf(bytes), bytes, fetchedAt: 0 };
}

/** In the order in which they are tried. */
function candidates(server: string, icons: unknown): URL[] {
  const base = URL.parse(server);
  const origin = base && /^https?:$/.test(base.protocol) ? base.origin : null;
  const found: URL[] = [];
  for (const icon of Array.isArray(icons) ? (icons as unknown[]) : []) {
    const { src, mimeType } = (icon ?? {}) as Record<string, unknown>;
    if (typeof src !== "string" || src.length > 2 * MAX_BYTES) continue;
    if (mimeType === "image/svg+xml") continue;
    const url = URL.parse(src, origin ?? undefined);
    if (!url) continue;
    url.hash = "";
    if (
      /^(https|data):$/.test(url.protocol) ||
      (url.protocol === "http:" && url.origin === origin)
    ) {
      found.push(url);
    }
    if (found.length === MAX_CANDIDATES) break;
  }
  if (origin !== null) found.push(new URL("/favicon.ico", origin));
  return found;
}

/** Of a `data:` URL in base64, as the specification has it. */
function bytesOf({ href }: URL): Uint8Array | null {
  const match = /^data:[^,]*;base64,(.*)$/is.exec(href);
  try {
    return match && Uint8Array.fromBase64(decodeURIComponent(match[1]!));
  } catch {
    return null;
  }
}

async function fetchBytes(
  outbound: OutboundFetch,
  { href }: URL,
  signal: AbortSignal,
): Promise<Uint8Array | null> {
  try {
    const response = await outbound(href, {
      headers: { accept: ACCEPT },
      signal,
      maxBytes: MAX_BYTES,
      redirects: REDIRECTS,
    });
    if (response.ok && isImage(response)) return await response.bytes();
    await response.body?.cancel();
    return null;
  } catch {
    return null;
  }
}

/** What is said of the bytes may be vague, but not something else. */
function isImage({ headers }: Response): boolean {
  const type = headers.get("content-type") ?? "";
  return /^($|image\/(?!svg)|application\/octet-stream)/i.test(type);
}

/** Null for what is not to be shown. */
function typeOf(bytes: Uint8Array): string | null {
  if (bytes.length > MAX_BYTES) return null;
  const image = readImage(bytes);
  if (!image) return null;
  const { type, width, height, frames } = image;
  const fits =
    Math.min(width, height) > 0 && Math.max(width, height) <= MAX_SIDE;
  return fits && frames <= MAX_FRAMES ? type : null;
}

function etagOf(bytes: Uint8Array): string {
  const hash = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  return `"${hash.slice(0, 32)}"`;
}
