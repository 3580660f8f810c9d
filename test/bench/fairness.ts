/**
 * What the flood of one user costs the others: how long their tool calls take while one user sends FLOOD (5000)
 * requests a second, and while nobody else is there, with the limits as shipped and without. The flood comes and goes
 * every second within each of the ROUNDS (3) of SECONDS (20), so that whatever else the machine does is in both. The
 * server runs on core 0, and both loads on core 1.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mintToken } from "../../src/demo/token.ts";
import type { Connection } from "./connection.ts";
import { connect } from "./connection.ts";

const rounds = Number(process.env["ROUNDS"] ?? 3);
const seconds = Number(process.env["SECONDS"] ?? 20);
const flood = Number(process.env["FLOOD"] ?? 5000);
const workspaceKey = "bench";
const secret = "a secret for benchmarks that is long enough";
/** Other users, and what they call a second in all: at random, whatever the answers take. */
const OTHERS = 16;
const CALLS = 200;
const FLOODING = 64;
const WINDOW_MS = 1000;
/** Of each window: the flood begins or ends, and takes what it may at once. */
const SETTLING_MS = 200;

const windowOf = (now: number) => Math.floor(now / WINDOW_MS);
const isFlooded = (now: number) => windowOf(now) % 2 === 1;

const body = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "tools/call",
  params: { name: "bench_echo", arguments: { message: "hello" } },
});

async function requestOf(port: number, user: string): Promise<string> {
  const token = await mintToken({ workspaceKey, secret, user });
  return `POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${token}\r\nAccept: application/json\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of stream) {
    text += new TextDecoder().decode(chunk);
    if (text.includes("\n")) return text.slice(0, text.indexOf("\n"));
  }
  throw new Error("The server has not started.");
}

/** The load of one user who sends as much as is wanted, in a process of its own, every other second. */
async function sendFlood(port: number): Promise<never> {
  const request = await requestOf(port, "flood");
  const free = await Promise.all(
    Array.from({ length: FLOODING }, () => connect(port)),
  );
  const counts = { answered: 0, limited: 0 };
  let [sent, floodedMs] = [0, 0];
  process.on("SIGTERM", () => {
    const rate = Math.round((sent / floodedMs) * 1000);
    console.log(JSON.stringify({ ...counts, rate }));
    process.exit(0);
  });
  console.log("flooding");
  let [due, before] = [0, Date.now()];
  for (;;) {
    const now = Date.now();
    if (isFlooded(now)) {
      floodedMs += now - before;
      // What could not be sent in time is not made up for.
      due = Math.min(due + ((now - before) / 1000) * flood, FLOODING);
      while (due >= 1 && free.length > 0) {
        const connection = free.pop()!;
        [due, sent] = [due - 1, sent + 1];
        void connection.send(request).then((answer) => {
          counts[answer.startsWith("HTTP/1.1 429") ? "limited" : "answered"]++;
          free.push(connection);
        });
      }
    }
    before = now;
    await Bun.sleep(1);
  }
}

type Took = { alone: number[]; flooded: number[] };

/** How long the calls of the others take, in ms. */
async function others(port: number, forMs: number): Promise<Took> {
  const requests = await Promise.all(
    Array.from({ length: OTHERS }, (_, n) => requestOf(port, `user-${n}`)),
  );
  const free: Connection[] = [];
  const took: Took = { alone: [], flooded: [] };
  const calls: Promise<void>[] = [];
  async function call(n: number) {
    // The one that has rested longest: the server closes those that rest too long.
    const connection = free.shift() ?? (await connect(port));
    const now = Date.now();
    const startedAt = performance.now();
    const answer = await connection.send(requests[n % OTHERS]!);
    const ms = performance.now() - startedAt;
    free.push(connection);
    if (!answer.includes("hello")) throw new Error(`Wrong: ${answer}`);
    if (now % WINDOW_MS < SETTLING_MS) return;
    took[isFlooded(now) ? "flooded" : "alone"].push(ms);
  }
  const end = performance.now() + forMs;
  let next = performance.now();
  for (let n = 0; next < end;) {
    for (; next <= performance.now(); n++) {
      calls.push(call(n));
      next += (-Math.log(1 - Math.random()) / CALLS) * 1000;
    }
    await Bun.sleep(1);
  }
  await Promise.all(calls);
  for (const connection of free) connection.close();
  return took;
}

function spawn(core: string, script: string, env: Record<string, string>) {
  // The one who floods shall not take the core from those who are measured.
  const nice = core === "1" ? ["nice", "-n", "19"] : [];
  const command = [...nice, "taskset", "-c", core, process.execPath, script];
  return Bun.spawn(command, {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdout: "pipe",
    stderr: "ignore",
  });
}

const off = {
  RATE_LIMIT: "0",
  RATE_LIMIT_SERVER: "0",
  RATE_LIMIT_GLOBAL: "0",
  MAX_CALLS: "0",
};

async function measure(env: Record<string, string>): Promise<Took> {
  const directory = mkdtempSync(join(tmpdir(), "membrane-mcp-fairness-"));
  const server = spawn("0", join(import.meta.dir, "server.ts"), {
    PORT: "0",
    DATA_DIR: directory,
    MEMBRANE_WORKSPACE_KEY: workspaceKey,
    MEMBRANE_WORKSPACE_SECRET: secret,
    ...env,
  });
  try {
    const { port } = new URL(await firstLine(server.stdout));
    const flooding = spawn("1", import.meta.path, {
      FLOODED: port,
      FLOOD: String(flood),
    });
    try {
      await others(Number(port), 4000);
      const took = await others(Number(port), seconds * 1000);
      flooding.kill("SIGTERM");
      const [, said] = (await new Response(flooding.stdout).text()).split("\n");
      console.error(`the flood: ${said}`);
      return took;
    } finally {
      flooding.kill("SIGKILL");
    }
  } finally {
    server.kill("SIGKILL");
    await server.exited;
    rmSync(directory, { recursive: true, force: true });
  }
}

const flooded = process.env["FLOODED"];
if (flooded !== undefined) await sendFlood(Number(flooded));

Bun.spawnSync(["taskset", "-apc", "1", String(process.pid)]);
const cases = { "as shipped": {}, "without limits": off };
const results = Object.entries(cases).map(([name, env]) => {
  const took: Took = { alone: [], flooded: [] };
  return { name, env, took };
});
for (let round = 0; round < rounds; round++) {
  for (const { name, env, took } of results) {
    console.error(`round ${round + 1} of ${rounds}: ${name}`);
    const { alone, flooded } = await measure(env);
    took.alone.push(...alone);
    took.flooded.push(...flooded);
  }
}
console.log("| calls of others | alone, ms | beside the flood, ms | ratio |");
console.log("|---|---:|---:|---:|");
for (const { name, took } of results) {
  for (const part of [0.5, 0.9, 0.99]) {
    const [alone, beside] = [took.alone, took.flooded].map((all) => {
      const inOrder = all.toSorted((a, b) => a - b);
      return inOrder[Math.floor(inOrder.length * part)]!;
    }) as [number, number];
    const what = `${name}, p${part * 100} of ${took.flooded.length}`;
    const figures = [alone.toFixed(2), beside.toFixed(2)];
    console.log(
      `| ${[what, ...figures, (beside / alone).toFixed(2)].join(" | ")} |`,
    );
  }
}
