import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { explained, failed } from "./outbound-errors.ts";

/** One call to the outside, from its first byte to its last. */
export type Exchange = {
  /** Whom it is with, for messages. */
  host: string;
  /** Aborted, with the reason, when the caller or a deadline ends it. */
  cut: AbortSignal;
  /** Told when there is nothing left to end. */
  over(): void;
};

/** Bytes that wait for their reader before the server has to. */
const READ_AHEAD = 65_536;

/** Answers without a body, whatever is sent after them. */
const bodiless: ReadonlySet<number> = new Set([204, 205, 304]);

/**
 * The answer as `fetch` gives it, its body unpacked as it is read. Reading throws what the exchange was cut with,
 * `upstream_failed` when it breaks off, or that with `data.reason` "upstream_too_large".
 */
export function toResponse(
  message: IncomingMessage,
  exchange: Exchange,
  of: {
    url: string;
    redirected: boolean;
    bodiless: boolean;
    maxBytes: number | null;
  },
): Response {
  const { host, over } = exchange;
  const status = message.statusCode ?? 0;
  if (status < 200 || status > 599) {
    throw failed(host, "protocol", `answers with status ${status}.`);
  }
  const headers = new Headers();
  const { rawHeaders } = message;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    headers.append(rawHeaders[at]!, rawHeaders[at + 1]!);
  }
  let body: ReadableStream<Uint8Array> | null = null;
  if (of.bodiless || bodiless.has(status)) {
    message.destroy();
    over();
  } else {
    const source = unpacked(message);
    if (!source) {
      throw failed(host, "protocol", "answers in an encoding not asked for.");
    }
    if (source !== message) {
      headers.delete("content-encoding");
      headers.delete("content-length");
    }
    body = bodyOf(source, of.maxBytes, exchange);
  }
  const response = new Response(body, { status, headers });
  return Object.defineProperties(response, {
    url: { value: of.url },
    redirected: { value: of.redirected },
  });
}

/** Null for an encoding that is not known here. */
function unpacked(message: IncomingMessage): Readable | null {
  const coding = message.headers["content-encoding"]?.trim().toLowerCase();
  if (coding === undefined || coding === "identity") return message;
  const { constants, createBrotliDecompress, createGunzip } =
    process.getBuiltinModule("node:zlib");
  const { pipeline } = process.getBuiltinModule("node:stream");
  const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH } = constants;
  // What has come is given on at once: it may be a stream of events.
  const unpack =
    coding === "gzip" || coding === "x-gzip"
      ? createGunzip({ flush: Z_SYNC_FLUSH, finishFlush: Z_SYNC_FLUSH })
      : coding === "br"
        ? createBrotliDecompress({
            flush: BROTLI_OPERATION_FLUSH,
            finishFlush: BROTLI_OPERATION_FLUSH,
          })
        : null;
  // Its errors are those of what it returns.
  return unpack && pipeline(message, unpack, () => {});
}

function bodyOf(
  source: Readable,
  maxBytes: number | null,
  { host, cut, over }: Exchange,
): ReadableStream<Uint8Array> {
  let bytes = 0;
  let done = false;
  const finish = () => {
    done = true;
    over();
  };
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const fail = (error: unknown) => {
          if (done) return;
          finish();
          controller.error(cut.aborted ? cut.reason : explained(host, error));
          source.destroy();
        };
        cut.addEventListener("abort", fail, { once: true });
        source
          .on("data", (chunk: Uint8Array) => {
            if (done) return;
            bytes += chunk.length;
            if (maxBytes !== null && bytes > maxBytes) {
              return fail(
                failed(
                  host,
                  "upstream_too_large",
                  `sends more than ${maxBytes} bytes.`,
                ),
              );
            }
            controller.enqueue(chunk);
            if ((controller.desiredSize ?? 0) <= 0) source.pause();
          })
          .on("end", () => {
            if (done) return;
            finish();
            controller.close();
          })
          .on("error", fail)
          .on("close", () =>
            fail(failed(host, "unreachable", "closed the connection.")),
          );
      },
      pull() {
        source.resume();
      },
      cancel() {
        finish();
        source.destroy();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: READ_AHEAD }),
  );
}
