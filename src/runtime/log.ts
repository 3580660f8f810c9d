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
  const destination = pino.destination({
    fd: 2,
    sync: false,
    minLength: 4096,
    periodicFlush: 250,
  });
  return { destination, flush: () => destination.flushSync() };
}
