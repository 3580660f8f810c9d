import { GatewayError } from "../../core/errors.ts";

/** One message of a server, in bytes after decompression. */
export const MAX_MESSAGE = 8_388_608;
/** What is nested deeper takes seconds to write down again. */
const MAX_DEPTH = 64;

/**
 * The same response of the server of this name, whose body errs when a message in it is too long or nested too deeply.
 * In an event stream a message is an event; a body of JSON is one message. `refuse` is told why.
 */
export function guarded(
  name: string,
  response: Response,
  refuse: (fault: GatewayError) => void,
): Response {
  if (response.body === null) return response;
  const type = response.headers.get("content-type");
  const look = type?.startsWith("text/event-stream")
    ? createEventGauge()
    : createGauge();
  const body = response.body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        for (const byte of chunk) {
          look.at(byte);
          const fault =
            look.length() > MAX_MESSAGE
              ? tooLarge(name)
              : look.depth() > MAX_DEPTH
                ? tooDeep(name)
                : null;
          if (!fault) continue;
          refuse(fault);
          throw fault;
        }
        controller.enqueue(chunk);
      },
    }),
  );
  const { status, statusText, headers } = response;
  return new Response(body, { status, statusText, headers });
}

const [QUOTE, BACKSLASH, NEWLINE, RETURN] = [0x22, 0x5c, 0x0a, 0x0d];
const [BRACE, UNBRACE, BRACKET, UNBRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];

/** How long a message is so far, and how deep in it we are. */
function createGauge() {
  let length = 0;
  let depth = 0;
  let inString = false;
  let escaped = false;
  return {
    length: () => length,
    depth: () => depth,
    at(byte: number) {
      length++;
      if (escaped) escaped = false;
      else if (byte === BACKSLASH) escaped = inString;
      else if (byte === QUOTE) inString = !inString;
      else if (inString) return;
      else if (byte === BRACE || byte === BRACKET) depth++;
      else if (byte === UNBRACE || byte === UNBRACKET) depth--;
    },
    /** The same message goes on, in no text: a text has no line ends. */
    lineEnded() {
      inString = escaped = false;
    },
    /** What is not part of the JSON. */
    skip() {
      length++;
    },
    begin() {
      length = depth = 0;
    },
  };
}

/** The same for the events of a stream, whose data may be in many lines. */
function createEventGauge() {
  const gauge = createGauge();
  let isStart = true;
  let isData = false;
  let afterReturn = false;
  return {
    ...gauge,
    at(byte: number) {
      const second = afterReturn && byte === NEWLINE;
      afterReturn = byte === RETURN;
      if (second) return;
      if (byte === NEWLINE || byte === RETURN) {
        if (isStart) gauge.begin();
        gauge.lineEnded();
        isStart = true;
        return;
      }
      if (isStart) isData = !NO_DATA.has(byte);
      isStart = false;
      if (isData) gauge.at(byte);
      else gauge.skip();
    },
  };
}

/** First bytes of comments, and of the fields `event`, `id` and `retry`. */
const NO_DATA: ReadonlySet<number> = new Set([0x3a, 0x65, 0x69, 0x72]);

function tooLarge(name: string): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `${name} has sent a message of more than ${MAX_MESSAGE / 1_048_576} MB.`,
    {
      data: { reason: "upstream_too_large", failureClass: "invalid_response" },
    },
  );
}

function tooDeep(name: string): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `${name} has sent a message nested more than ${MAX_DEPTH} levels deep.`,
    { data: { reason: "upstream_too_deep", failureClass: "invalid_response" } },
  );
}
