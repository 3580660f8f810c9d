import { writeSync } from "node:fs";
import pino from "pino";
import type { Log, LogFields } from "../core/runtime.ts";

export type LogOptions = {
  level: "debug" | "info" | "warn" | "error" | "silent";
  format: "json" | "pretty";
};

/** A log that also can be emptied to its destination, which matters before the process ends. */
export type ProcessLog = Log & { flush(): void };

/**
 * One structured line per event on standard error, so that standard output carries results only.
 * JSON lines are written in blocks, at most a quarter of a second late.
 */
export async function createLog(options: LogOptions): Promise<ProcessLog> {
  const { destination, flush } = await openDestination(options.format);
  const logger = pino(
    {
      level: options.level,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: "event",
    },
    destination,
  );
  const at =
    (level: "debug" | "info" | "warn" | "error") =>
    (event: string, fields: LogFields = {}) =>
      logger[level](fields, event);
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    flush,
  };
}

async function openDestination(format: LogOptions["format"]) {
  if (format === "pretty") {
    // Loaded only when a person is looking.
    const { default: pretty } = await import("pino-pretty");
    return {
      destination: pretty({
        destination: 2,
        sync: true,
        messageKey: "event",
        translateTime: "SYS:HH:MM:ss.l",
        colorize: process.stderr.isTTY === true && !process.env["NO_COLOR"],
        singleLine: true,
      }),
      flush: () => {},
    };
  }
  return openBuffer(2);
}

/** Lines wait for at most this long, or until there are this many characters of them. */
const FLUSH_MS = 250;
const FLUSH_CHARS = 8192;
/** What is kept while nobody reads; what comes on top of it is lost, and counted. */
const MAX_CHARS = 1_048_576;

/** Gathers lines into blocks: one write for many requests. */
function openBuffer(fd: number) {
  let text = "";
  let lost = 0;
  const flush = () => {
    if (text === "") return;
    try {
      let rest = Buffer.from(text);
      while (rest.length > 0) {
        rest = rest.subarray(writeSync(fd, rest));
        text = rest.toString();
      }
    } catch {
      // A reader that does not keep up (EAGAIN), or has gone: the server goes on without its log.
    }
  };
  setInterval(flush, FLUSH_MS).unref();
  const write = (line: string) => {
    if (text.length > MAX_CHARS) {
      lost++;
      return;
    }
    if (lost > 0) {
      text += `{"level":"warn","lines":${lost},"event":"log lines lost"}\n`;
      lost = 0;
    }
    text += line;
    if (text.length >= FLUSH_CHARS) flush();
  };
  return { destination: { write }, flush };
}
