/**
 * Measures the server as shipped, side by side with another one, and prints a table of medians and ratios:
 *
 *     bun run bench                                 ours alone, and ours through Membrane's SDK
 *     PEER='node /path/to/built.cjs' PEER_ENV='{"PORT":"3010","NODE_ENV":"test"}' PEER_PORT=3010 \
 *       PEER_TOOL=gmail_send_email bun run bench    beside another MCP server on Streamable HTTP
 *
 * Every server runs on core 0, this load on core 1. ROUNDS (3), SECONDS (2) of each load; rounds go A B, B A, …
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile } from "../../.ci/compile.ts";
import { mintToken } from "../../src/demo/token.ts";
import type { Connection } from "./connection.ts";
import { connect } from "./connection.ts";
import { highLimits } from "./limits.ts";

type Target = {
  name: string;
  command: string[];
  env: Record<string, string>;
  port: number;
  tool: string;
  /** Something it needs beside it. */
  beside?: { command: string[]; env: Record<string, string>; port: number };
};

const rounds = Number(process.env["ROUNDS"] ?? 3);
const seconds = Number(process.env["SECONDS"] ?? 2);
const idleSessions = Number(process.env["IDLE_SESSIONS"] ?? 10_000);
const directory = mkdtempSync(join(tmpdir(), "membrane-mcp-bench-"));
const workspaceKey = "bench";
const secret = "a secret for benchmarks that is long enough";
const token = await mintToken({ workspaceKey, secret, user: "user-1" });
const here = import.meta.dir;

async function buildOurs(): Promise<string> {
  const out = join(directory, "server");
  await compile({ entry: join(here, "server.ts"), out });
  return out;
}

async function targets(): Promise<Target[]> {
  const settings = {
    DATA_DIR: join(directory, "data"),
    MEMBRANE_WORKSPACE_KEY: workspaceKey,
    MEMBRANE_WORKSPACE_SECRET: secret,
    ...highLimits,
  };
  const found: Target[] = [
    {
      name: "membrane-mcp",
      command: [await buildOurs()],
      env: { ...settings, PORT: "3191" },
      port: 3191,
      tool: "bench_echo",
    },
  ];
  const { PEER, PEER_ENV, PEER_PORT, PEER_TOOL } = process.env;
  if (PEER !== undefined) {
    found.push({
      name: "peer",
      command: PEER.split(" "),
      env: JSON.parse(PEER_ENV ?? "{}") as Record<string, string>,
      port: Number(PEER_PORT),
      tool: PEER_TOOL ?? "echo",
    });
  }
  found.push({
    name: "membrane-mcp, through Membrane's SDK",
    command: [process.execPath, join(here, "../../src/main.ts"), "serve"],
    env: {
      ...settings,
      PORT: "3192",
      MEMBRANE_API_URI: "http://127.0.0.1:3193",
    },
    port: 3192,
    tool: "bench_echo",
    beside: {
      command: [process.execPath, join(here, "workspace.ts")],
      env: { ...settings, PORT: "3193" },
      port: 3193,
    },
  });
  return found;
}

// --- one server ---

function spawn(core: string, command: string[], env: Record<string, string>) {
  return Bun.spawn(["taskset", "-c", core, ...command], {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdout: "ignore",
    stderr: "ignore",
  });
}

async function listening(port: number): Promise<Connection> {
  for (let tries = 0; tries < 10_000; tries++) {
    try {
      return await connect(port);
    } catch {
      await Bun.sleep(1);
    }
  }
  throw new Error(`Nothing listens on ${port}.`);
}

async function running<T>(
  target: Target,
  use: (server: { pid: number; startMs: number }) => Promise<T>,
): Promise<T> {
  rmSync(join(directory, "data"), { recursive: true, force: true });
  const { beside } = target;
  const other = beside && spawn("1", beside.command, beside.env);
  if (beside) (await listening(beside.port)).close();
  const startedAt = performance.now();
  const server = spawn("0", target.command, target.env);
  try {
    const connection = await listening(target.port);
    await openSession(target, connection);
    const startMs = performance.now() - startedAt;
    connection.close();
    return await use({ pid: server.pid, startMs });
  } finally {
    server.kill("SIGKILL");
    other?.kill("SIGKILL");
    await Promise.all([server.exited, other?.exited]);
  }
}

let id = 0;
function request(
  { port }: Target,
  method: string,
  params: object,
  session = "",
) {
  const notification = method.startsWith("notifications/");
  const body = JSON.stringify({
    jsonrpc: "2.0",
    ...(notification ? {} : { id: ++id }),
    method,
    params,
  });
  return `POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${token}\r\nAccept: application/json, text/event-stream\r\nContent-Type: application/json\r\n${session}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** `initialize`, `initialized`, `tools/list`; the headers that later requests carry. */
async function openSession(target: Target, connection: Connection) {
  const session = await handshake(target, connection);
  const list = await connection.send(
    request(target, "tools/list", {}, session),
  );
  if (!list.includes(`"${target.tool}"`)) throw new Error(`No tool: ${list}`);
  return session;
}

async function handshake(target: Target, connection: Connection) {
  const opened = await connection.send(
    request(target, "initialize", {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "bench", version: "1" },
    }),
  );
  const sessionId = /\r\nmcp-session-id: *(\S+)/i.exec(opened)?.[1];
  if (sessionId === undefined) throw new Error(`No session: ${opened}`);
  const agreed = /"protocolVersion":"([^"]+)"/.exec(opened)![1]!;
  const session = `Mcp-Session-Id: ${sessionId}\r\nMcp-Protocol-Version: ${agreed}\r\n`;
  await connection.send(
    request(target, "notifications/initialized", {}, session),
  );
  return session;
}

/** Requests per second of `connections` that each send one after the other. */
async function load(
  connections: number,
  target: Target,
  work: (connection: Connection) => Promise<() => Promise<void>>,
): Promise<number> {
  const open = await Promise.all(
    Array.from({ length: connections }, () => connect(target.port)),
  );
  const steps = await Promise.all(open.map(work));
  let done = 0;
  const startedAt = performance.now();
  const end = startedAt + seconds * 1000;
  await Promise.all(
    steps.map(async (step) => {
      while (performance.now() < end) {
        await step();
        done++;
      }
    }),
  );
  for (const connection of open) connection.close();
  return (done / (performance.now() - startedAt)) * 1000;
}

const sessions = (target: Target) =>
  load(16, target, async (connection) => async () => {
    await handshake(target, connection);
  });

function requests(
  target: Target,
  method: string,
  params: object,
  expected: string,
) {
  return (connections: number) =>
    load(connections, target, async (connection) => {
      const session = await openSession(target, connection);
      return async () => {
        const answer = await connection.send(
          request(target, method, params, session),
        );
        if (!answer.includes(expected)) throw new Error(`Wrong: ${answer}`);
      };
    });
}

function residentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
}

type Figures = Record<string, number>;

async function measure(target: Target): Promise<Figures> {
  const figures: Figures = {};
  const starts: number[] = [];
  for (let n = 0; n < 7; n++) {
    starts.push(await running(target, async ({ startMs }) => startMs));
  }
  figures["start to first tools/list, ms"] = median(starts);
  await running(target, async () => {
    figures["sessions opened/s"] = await sessions(target);
    const list = requests(target, "tools/list", {}, `"${target.tool}"`);
    const call = requests(
      target,
      "tools/call",
      { name: target.tool, arguments: { message: "a message to echo" } },
      "a message to echo",
    );
    for (const n of [1, 16, 64]) {
      figures[`tools/list/s, ${n} connections`] = await list(n);
    }
    for (const n of [1, 16, 64]) {
      figures[`tools/call/s, ${n} connections`] = await call(n);
    }
  });
  await running(target, async ({ pid }) => {
    const connection = await connect(target.port);
    const before = residentMb(pid);
    for (let n = 0; n < idleSessions; n++) await handshake(target, connection);
    connection.close();
    figures["memory when idle, MB"] = before;
    figures[`added by ${idleSessions} idle sessions, MB`] =
      residentMb(pid) - before;
  });
  return figures;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

// --- all of them ---

const all = await targets();
const results = new Map<string, Figures[]>(all.map(({ name }) => [name, []]));
// This process, with all that it starts unless it says otherwise.
Bun.spawnSync(["taskset", "-apc", "1", String(process.pid)]);
try {
  for (let round = 0; round < rounds; round++) {
    for (const target of round % 2 === 0 ? all : all.toReversed()) {
      console.error(`round ${round + 1} of ${rounds}: ${target.name}`);
      results.get(target.name)!.push(await measure(target));
    }
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
const names = [...results.keys()];
const compared = names.includes("peer");
console.log(`| | ${names.join(" | ")} |${compared ? " ratio to peer |" : ""}`);
console.log(`|---|${"---:|".repeat(names.length)}${compared ? "---:|" : ""}`);
for (const figure of Object.keys(results.get(names[0]!)![0]!)) {
  const of = (name: string) =>
    median(results.get(name)!.map((figures) => figures[figure]!));
  const cells = names.map((name) => Math.round(of(name)).toLocaleString("en"));
  const ratio = compared ? ` ${(of(names[0]!) / of("peer")).toFixed(2)} |` : "";
  console.log(`| ${figure} | ${cells.join(" | ")} |${ratio}`);
}
