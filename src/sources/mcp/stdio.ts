import type { ChildProcess } from "node:child_process";
import type { Writable } from "node:stream";
import type { JSONRPCMessage, Transport } from "@modelcontextprotocol/client";
import { GatewayError } from "../../core/errors.ts";
import type { Log } from "../../core/runtime.ts";
import type { Upstream } from "../../core/upstream.ts";
import { MAX_MESSAGE } from "./guard.ts";

/**
 * A server that runs as a process of this machine and speaks over its standard input and output. It leads a process
 * group of its own, which ends with the connection; and when we end without a word (`kill -9`), a shell that waits for
 * us to close its pipe ends the group.
 */

/** How long it may take to leave by itself, and then on SIGTERM. */
const LEAVE_MS = 1000;

/** `$$` is the number of the process that the command takes over, and of its group. */
const GUARD =
  '(read -r _ <&3; kill -9 -$$) </dev/null >/dev/null 2>&1 & exec "$@" 3<&-';

export function createStdioTransport(
  upstream: Upstream,
  env: Record<string, string>,
  log: Log,
  /** Told why the process has ended by itself. */
  fault: (error: GatewayError) => void,
): Transport {
  if (!upstream.command) {
    throw new GatewayError(
      "internal",
      `What runs ${upstream.name} cannot be read in the database. Remove the server, and register it again.`,
    );
  }
  const { command, args, cwd } = upstream.command;
  let child: ChildProcess | null = null;
  let ended = false;
  let leaving = false;

  const kill = (signal: NodeJS.Signals) => {
    try {
      process.kill(-child!.pid!, signal);
    } catch {
      // There is nobody left in the group.
    }
  };

  const transport: Transport = {
    async start() {
      const { spawn } = process.getBuiltinModule("node:child_process");
      const [{ getDefaultEnvironment }, { ReadBuffer }] = await Promise.all([
        import("@modelcontextprotocol/client/stdio"),
        import("@modelcontextprotocol/client"),
      ]);
      const started = spawn("sh", ["-c", GUARD, "sh", command, ...args], {
        ...(cwd === null ? {} : { cwd }),
        // Nothing of our own environment: it holds our secrets.
        env: { ...getDefaultEnvironment(), ...env },
        stdio: ["pipe", "pipe", "pipe", "pipe"],
        detached: true,
      });
      child = started;
      const end = (why: string) => {
        if (ended) return;
        ended = true;
        log[leaving ? "info" : "warn"]("server process ended", {
          server: upstream.slug,
          reason: why,
        });
        if (!leaving) fault(processEnded(upstream.name, why));
        // Those that it has started.
        kill("SIGKILL");
        (started.stdio[3] as Writable).destroy();
        transport.onclose?.();
      };
      const buffer = new ReadBuffer({ maxBufferSize: MAX_MESSAGE });
      started.stdout!.on("data", (chunk: Buffer) => {
        try {
          buffer.append(chunk);
        } catch {
          return end("it has sent a message that is too long");
        }
        for (;;) {
          let message: JSONRPCMessage | null;
          try {
            message = buffer.readMessage();
          } catch (error) {
            // Programs print other things too.
            transport.onerror?.(error as Error);
            continue;
          }
          if (message === null) return;
          transport.onmessage?.(message);
        }
      });
      started.stderr!.on("data", (chunk: Buffer) => {
        log.debug("server process says", {
          server: upstream.slug,
          text: chunk.toString().slice(0, 1000),
        });
      });
      started.stdin!.on("error", () => {});
      started.stdio[3]!.on("error", () => {});
      started.on("exit", (code, signal) =>
        end(signal ?? `exit code ${code}${exitReasons[code!] ?? ""}`),
      );
      await new Promise<void>((resolve, reject) => {
        started.once("spawn", resolve);
        started.once("error", (cause) => {
          ended = true;
          reject(
            new GatewayError(
              "upstream_failed",
              `${upstream.name} cannot be started: a program sh is needed for it.`,
              { cause, data: { failureClass: "transport" } },
            ),
          );
        });
      });
    },

    async send(message) {
      if (child === null || ended) throw new Error("The process has ended.");
      child.stdin!.write(`${JSON.stringify(message)}\n`);
    },

    async close() {
      if (child === null || ended) return;
      leaving = true;
      const left = new Promise((resolve) => child!.once("exit", resolve));
      child.stdin!.end();
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        await Promise.race([left, Bun.sleep(LEAVE_MS)]);
        if (ended) return;
        kill(signal);
      }
      await left;
    },
  };
  return transport;
}

/** Of the shell. */
const exitReasons: Record<number, string> = {
  126: ", which says that it cannot be executed",
  127: ", which says that there is no such program",
};

function processEnded(name: string, why: string): GatewayError {
  return new GatewayError(
    "upstream_failed",
    `The program of ${name} has ended (${why}).`,
    { data: { failureClass: "transport" } },
  );
}
