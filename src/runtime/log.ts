import { writeSync } from "node:fs";
import type { Log, LogFields } from "../core/runtime.ts";

const levels = ["debug", "info", "warn", "error", "silent"] as const;

export type LogOptions = {
  level: (typeof levels)[number];
  format: "json" | "pretty";
};

/** A log that also can be emptied to its destination, which matters before the process ends. */
export type ProcessLog = Log & { flush(): void };

/**
 * One JSON line per event on standard error, so that standard output carries results only; coloured and
 * laid out for a person when asked. Lines leave in blocks, at most a quarter of a second late.
 */
export async function createLog(options: LogOptions): Promise<ProcessLog> {
  const { write, flush } =
    options.format === "pretty" ? await openPretty() : openBuffer(2);
  const threshold = levels.indexOf(options.level);
  const at = (level: keyof Log) =>
    levels.indexOf(level) < threshold
      ? () => {}
      : (event: string, fields: LogFields = {}) => {
          const time = new Date().toISOString();
          const head = JSON.stringify({ level, time, event }).slice(0, -1);
          const rest = JSON.stringify(fields)
            .slice(1)
            .replace(CONTROLS, "\ufffd");
          write(`${head}${rest === "}" ? "" : ","}${rest}\n`);
        };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    flush,
  };
}

/** What JSON does not escape, and a terminal or whoever reads line by line obeys. */
const CONTROLS = /[\u007f-\u009f\u2028\u2029]/g;

/** Loaded only when a person is looking. */
async function openPretty() {
  const { default: pretty } = await import("pino-pretty");
  const stream = pretty({
    destination: 2,
    sync: true,
    messageKey: "event",
    translateTime: "SYS:HH:MM:ss.l",
    colorize: process.stderr.isTTY === true && !process.env["NO_COLOR"],
    singleLine: true,
  });
  return { write: (line: string) => void stream.write(line), flush: () => {} };
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
      text += `{"level":"warn","event":"log lines lost","lines":${lost}}\n`;
      lost = 0;
    }
    text += line;
    if (text.length >= FLUSH_CHARS) flush();
  };
  return { write, flush };
}
