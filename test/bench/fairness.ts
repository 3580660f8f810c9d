/**
 * What the flood of one user costs the others: how long their tool calls take while nobody else is there, and while
 * one user sends FLOOD (5000) requests a second, with the limits as shipped and without. Medians of ROUNDS (9) of
 * SECONDS (2) each, in turns. The server runs on core 0, and both loads on core 1.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mintToken } from "../../src/demo/token.ts";
import { connect } from "./connection.ts";

const rounds = Number(process.env["ROUNDS"] ?? 9);
const seconds = Number(process.env["SECONDS"] ?? 2);
const flood = Number(process.env["FLOOD"] ?? 5000);
const workspaceKey = "bench";
const secret = "a secret for benchmarks that is long enough";
/** Other users, each at a quarter of what one may send. */
const OTHERS = 16;
const EACH_MS = 20;
const FLOODING = 64;

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

/** The load of one user who sends as much as is wanted, in a process of its own. */
async function sendFlood(port: number): Promise<never> {
  const request = await requestOf(port, "flood");
  const connections = await Promise.all(
    Array.from({ length: FLOODING }, () => connect(port)),
  );
  const free = [...connections];
  const counts = { answered: 0, limited: 0 };
  const startedAt = performance.now();
  let sent = 0;
  process.on("SIGTERM", () => {
    const rate = sent / ((performance.now() - startedAt) / 1000);
    console.log(JSON.stringify({ ...counts, rate: Math.round(rate) }));
    process.exit(0);
  });
  console.log("flooding");
  for (;;) {
    const due = ((performance.now() - startedAt) / 1000) * flood;
    while (sent < due && free.length > 0) {
      const connection = free.pop()!;
      sent++;
      void connection.send(request).then((answer) => {
        counts[answer.startsWith("HTTP/1.1 429") ? "limited" : "answered"]++;
        free.push(connection);
      });
    }
    await Bun.sleep(1);
  }
}

/** How long the calls of the others take, in ms, in order. */
async function others(port: number): Promise<number[]> {
  const took: number[] = [];
  await Promise.all(
    Array.from({ length: OTHERS }, async (_, n) => {
      const request = await requestOf(port, `user-${n}`);
      const connection = await connect(port);
      const end = performance.now() + seconds * 1000;
      // Not all at once.
      await Bun.sleep((n * EACH_MS) / OTHERS);
      while (performance.now() < end) {
        const startedAt = performance.now();
        const answer = await connection.send(request);
        took.push(performance.now() - startedAt);
        if (!answer.includes("hello")) throw new Error(`Wrong: ${answer}`);
        await Bun.sleep(EACH_MS);
      }
      connection.close();
    }),
  );
  return took.toSorted((a, b) => a - b);
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

type Case = { name: string; flooding: boolean; env: Record<string, string> };
const off = {
  RATE_LIMIT: "0",
  RATE_LIMIT_SERVER: "0",
  RATE_LIMIT_GLOBAL: "0",
  MAX_CALLS: "0",
};
const cases: Case[] = [
  { name: "alone", flooding: false, env: {} },
  { name: "beside the flood", flooding: true, env: {} },
  { name: "beside it, without limits", flooding: true, env: off },
];

async function measure({ flooding, env }: Case) {
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
    await others(Number(port));
    const other = flooding
      ? spawn("1", import.meta.path, { FLOODED: port, FLOOD: String(flood) })
      : null;
    if (other) await Bun.sleep(500);
    const took = await others(Number(port));
    other?.kill("SIGTERM");
    const said = other ? await new Response(other.stdout).text() : "";
    const at = (part: number) => took[Math.floor(took.length * part)]!;
    return { p50: at(0.5), p99: at(0.99), flood: said.split("\n")[1] ?? "" };
  } finally {
    server.kill("SIGKILL");
    await server.exited;
    rmSync(directory, { recursive: true, force: true });
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

const flooded = process.env["FLOODED"];
if (flooded !== undefined) await sendFlood(Number(flooded));

Bun.spawnSync(["taskset", "-apc", "1", String(process.pid)]);
const results = new Map(
  cases.map(({ name }) => [name, [] as { p50: number; p99: number }[]]),
);
for (let round = 0; round < rounds; round++) {
  for (const one of round % 2 === 0 ? cases : cases.toReversed()) {
    const figures = await measure(one);
    console.error(
      `round ${round + 1} of ${rounds}: ${one.name}: ${JSON.stringify(figures)}`,
    );
    results.get(one.name)!.push(figures);
  }
}
const [alone] = cases;
const of = (name: string, figure: "p50" | "p99") =>
  results.get(name)!.map((figures) => figures[figure]);
/** Of each round, so that what else the machine does meanwhile is in both. */
const ratio = (name: string, figure: "p50" | "p99") => {
  const before = of(alone!.name, figure);
  return median(of(name, figure).map((ms, n) => ms / before[n]!)).toFixed(1);
};
console.log(
  "| calls of others | p50, ms | p99, ms | p50, ratio | p99, ratio |",
);
console.log("|---|---:|---:|---:|---:|");
for (const { name } of cases) {
  const ms = (["p50", "p99"] as const).map((figure) =>
    median(of(name, figure)).toFixed(2),
  );
  console.log(
    `| ${[name, ...ms, ratio(name, "p50"), ratio(name, "p99")].join(" | ")} |`,
  );
}
