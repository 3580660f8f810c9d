import { GatewayError } from "../../core/errors.ts";

/** One message of a server, in bytes after decompression. */
export const MAX_MESSAGE = 8_388_608;
/** What is nested deeper takes seconds to write down again. */
const MAX_DEPTH = 64;

/**
 * The same response, whose body errs when a message in it is too long or nested too deeply. In an event stream a
 * message is all lines of an event, up to an empty one; a body of JSON is one message. `refuse` is told why.
 */
export function guarded(
  response: Response,
  refuse: (fault: GatewayError) => void,
): Response {
  if (response.body === null) return response;
  const lines = response.headers
    .get("content-type")
    ?.startsWith("text/event-stream");
  const fail = (fault: GatewayError): never => {
    refuse(fault);
    throw fault;
  };
  let length = 0;
  let depth = 0;
  let inString = false;
  let escaped = false;
  let emptyLine = true;
  const body = response.body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        for (const byte of chunk) {
          length++;
          if (lines && byte === NEWLINE) {
            if (length > MAX_MESSAGE) fail(tooLarge());
            // No text of JSON goes on in the next line, but lists and objects do.
            inString = false;
            escaped = false;
            if (emptyLine) {
              length = 0;
              depth = 0;
            }
            emptyLine = true;
            continue;
          }
          if (byte !== RETURN) emptyLine = false;
          if (escaped) escaped = false;
          else if (byte === BACKSLASH) escaped = inString;
          else if (byte === QUOTE) inString = !inString;
          else if (!inString && (byte === BRACE || byte === BRACKET)) {
            if (++depth > MAX_DEPTH) fail(tooDeep());
          } else if (!inString && (byte === UNBRACE || byte === UNBRACKET)) {
            // Not below nothing: a comment could make room for what follows.
            if (depth > 0) depth--;
          }
        }
        if (length > MAX_MESSAGE) fail(tooLarge());
        controller.enqueue(chunk);
      },
    }),
  );
  const { status, statusText, headers } = response;
  return new Response(body, { status, statusText, headers });
}

const [QUOTE, BACKSLASH, NEWLINE, RETURN] = [0x22, 0x5c, 0x0a, 0x0d];
const [BRACE, UNBRACE, BRACKET, UNBRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];

export function tooLarge(): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `The server has sent a message of more than ${MAX_MESSAGE / 1_048_576} MB.`,
    {
      data: { reason: "upstream_too_large", failureClass: "invalid_response" },
    },
  );
}

function tooDeep(): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `The server has sent a message nested more than ${MAX_DEPTH} levels deep.`,
    { data: { reason: "upstream_too_deep", failureClass: "invalid_response" } },
  );
}
